"""What the pages, the Dockerfile and config.yaml say is there: commands, options, keys, defaults, links."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from pydantic import BaseModel

from dicom_node.config import Config, load_config
from dicom_node.examiner import find_entry
from dicom_node.worker import protocol_of
from inference.dating import EQUATIONS
from inference.domain import AgeSource, CalibrationSource, Reason
from inference.formula import FractionalPolynomial, Term
from inference.growth import REDATING, REDATING_CITATION, STANDARDS
from inference.models import find_model, read_manifest
from inference.training.card import card_text
from inference.training.evaluate import read_rows
from inference.training.folds import FOLDS
from inference.training.page import read_summaries
from inference.training.report import BEGIN, END, summaries_of, told_in_readme
from inference.training.summary import summarise
from sr_templates.wording import weeks_and_days

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path for pattern in ("*.md", "docs/**/*.md", "weights/*.md", "sr_templates/**/*.md") for path in ROOT.glob(pattern)
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
WORD = re.compile(r"^[a-z][a-z-]*$")


def identify(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every command: lines of shell blocks, and inline code."""
    text = page.read_text(encoding="utf-8")
    lines = [line for language, block in FENCE.findall(text) if language == "sh" for line in block.splitlines()]
    lines += INLINE.findall(prose(page))
    for line in lines:
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        while words and re.match(r"^[A-Z_]+=", words[0]):
            words.pop(0)
        if words:
            yield words


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def wrong_option(words: list[str]) -> str | None:
    """What is wrong with `dicom-node VERB --options`, or None."""
    from dicom_node.cli import cli

    verbs = typer.main.get_command(cli).commands  # type: ignore[attr-defined]
    if not words or not WORD.match(words[0]):
        return None
    if words[0] not in verbs:
        return f"no verb {words[0]}"
    command = verbs[words[0]]
    commands_below = [command, *getattr(command, "commands", {}).values()]
    parameters = [parameter for below in commands_below for parameter in below.params]
    options = {option for parameter in parameters for option in (*parameter.opts, *parameter.secondary_opts)}
    wrong = [word for word in words[1:] if word.startswith("--") and word.split("=")[0] not in options | {"--help"}]
    return f"{words[0]} has no {wrong[0]}" if wrong else None


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_make_targets_exist(page: Path) -> None:
    named = {
        word
        for words in commands(page)
        if words[0] == "make"
        for word in words[1:]
        if WORD.match(word) and len(words) > 1
    }

    assert named <= make_targets()


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_verbs_and_options_exist(page: Path) -> None:
    wrong = [wrong_option(words[1:]) for words in commands(page) if Path(words[0]).name == "dicom-node"]

    assert [problem for problem in wrong if problem] == []


def test_the_readme_names_every_role_and_both_commands() -> None:
    found = {" ".join(words[:2]) for words in commands(ROOT / "README.md")}

    assert {"make demo", "make test", "dicom-node serve", "dicom-node worker"} <= found


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_relative_links_resolve(page: Path) -> None:
    targets = [target.split("#")[0] for target in LINK.findall(prose(page))]
    relative = [target for target in targets if target and "://" not in target and not target.startswith("mailto:")]

    assert [target for target in relative if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_tests_that_are_named_are_there(page: Path) -> None:
    named = re.findall(r"\[`?(test_\w+)`?\]\(([^)\s]+\.py)\)", prose(page))
    missing = [name for name, file in named if f"def {name}(" not in (page.parent / file).read_text(encoding="utf-8")]
    assert missing == []


def keys(model: type[BaseModel]) -> dict[str, Any]:
    """The schema as nested names; a list of entries counts as one key."""
    return {
        name: keys(field.annotation) if _is_section(field.annotation) else None
        for name, field in model.model_fields.items()
    }


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def shape(value: Any) -> Any:
    return {name: shape(inner) for name, inner in value.items()} if isinstance(value, dict) else None


def test_config_yaml_has_every_key_with_its_default() -> None:
    raw = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))

    assert shape(raw) == keys(Config)
    assert load_config(ROOT / "config.yaml") == Config()


def test_config_yaml_is_the_generated_one() -> None:
    """`make config` writes it again."""
    check = subprocess.run([sys.executable, "tools/write_config.py", "--check"], cwd=ROOT, check=False)

    assert check.returncode == 0


def test_the_page_on_reliability_is_the_generated_one() -> None:
    """`python tools/write_reliability.py` writes it again, as `make soak` and `make bench` do."""
    check = subprocess.run([sys.executable, "tools/write_reliability.py", "--check"], cwd=ROOT, check=False)

    assert check.returncode == 0


def test_the_tests_that_the_page_on_reliability_names_are_there() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"\[`(test_\w+)`\]\(\.\./(tests/[\w/]+\.py)\)", text)

    assert len(named) >= 10
    assert [name for name, path in named if f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8")] == []


def test_the_examples_in_config_yaml_are_valid_when_uncommented(tmp_path: Path) -> None:
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")
    text = re.sub(r"^(\w+): \[\]$", r"\1:", text, flags=re.MULTILINE)
    text = re.sub(r"^#(  (?:- |  )\w+:)", r"\1", text, flags=re.MULTILINE)
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")

    config = load_config(tmp_path / "config.yaml")

    assert len(config.peers) == len(config.destinations) == 1


def test_every_key_has_a_reason() -> None:
    for section in (Config(), *(getattr(Config(), name) for name in Config.model_fields)):
        if isinstance(section, BaseModel) and not isinstance(section, Config):
            missing = [name for name, field in type(section).model_fields.items() if not field.description]
            assert missing == [], type(section).__name__


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_configuration_in_pages_is_valid(page: Path, tmp_path: Path) -> None:
    for number, (language, block) in enumerate(FENCE.findall(page.read_text(encoding="utf-8"))):
        if language == "yaml":
            file = tmp_path / f"{number}.yaml"
            file.write_text(block, encoding="utf-8")
            load_config(file)


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_keys_named_in_pages_exist(page: Path) -> None:
    """`section.key` in inline code, where it is not a module such as `inference.domain`."""
    schema = keys(Config)
    named = [(s, k) for s, k in re.findall(r"`(\w+)\.(\w+)(?:: [^`]*)?`", prose(page)) if s in schema]

    assert [f"{s}.{k}" for s, k in named if k not in (schema[s] or {}) and not (ROOT / s / f"{k}.py").exists()] == []


def test_the_page_lists_the_settings_that_change_a_result() -> None:
    """Those that are part of a result's identity, as the worker gives them to it."""
    config = Config()
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    section = page.partition("## What changes a result")[2].partition("\n## ")[0]
    hashed = {name for name, _ in protocol_of(config, find_entry(config)).configuration} - {"narrative"}
    named = {key for _, key in re.findall(r"`(\w+)\.(\w+)`", section)}
    assert named == hashed | {"model", "device", "precision", "mode"}
    assert {"`narrative.mode`", "`narrative.model`", "`inference.model`"} <= set(re.findall(r"`[^`]+`", section))


def dockerfile() -> list[list[str]]:
    """Instructions as words, continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


def test_what_the_image_copies_is_there_and_reaches_the_build() -> None:
    sources = [word for words in dockerfile() if words[0] == "COPY" for word in words[1:-1]]
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert {source.rstrip("/") for source in sources} == let_in


def test_what_the_image_runs_is_there() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    health = re.search(r'CMD \["dicom-node", "echo", "(\w+)@127\.0\.0\.1:(\d+)"\]', text)

    assert "tools/bootstrap runtime" in text
    assert health is not None
    assert (health[1], int(health[2])) == (Config().node.ae_title, Config().node.port)
    assert f"EXPOSE {Config().node.port}\n" in text
    assert wrong_option(["echo"]) is None
    assert wrong_option(["serve"]) is None
    assert ["USER", "fetalhc"] in dockerfile()


def test_the_makefile_calls_verbs_that_exist() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    calls = re.findall(r"-m dicom_node ([^\n]*)", text)

    assert calls
    assert [wrong_option(re.findall(r"[a-z-]+", call.split("$(")[0])) for call in calls] == [None] * len(calls)
    assert wrong_option(["demo", "--images"]) is None


EVALUATION = ROOT / "docs/evaluation"
"""`dicom-node evaluate --data DIR --record` writes again what the next tests read."""


def test_the_readmes_figures_are_those_of_the_evaluation() -> None:
    entry = find_model(ROOT / "weights", Config().inference.model)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.split(BEGIN)[1].split(END)[0].strip() == told_in_readme(summaries_of(EVALUATION, entry))


def test_the_evaluated_weights_are_those_that_ship() -> None:
    """A file is judged by its folds' recipe, or on exams that it never saw; what it was judged on is named by hash."""
    shipped = find_model(ROOT / "weights", Config().inference.model)
    assert summaries_of(EVALUATION, shipped)
    assert shipped.verified(ROOT / "weights")
    silent = json.loads((EVALUATION / "non-heads.json").read_text(encoding="utf-8"))
    assert (silent["model"], silent["sha256"]) == (shipped.name, shipped.sha256)
    for summary in read_summaries(EVALUATION):
        entry = find_model(ROOT / "weights", summary["model"])
        assert (entry.sha256, entry.calibration_sha256) == (summary["sha256"], summary["calibration_sha256"])


def test_manifest_and_cards_tell_the_figures_of_the_evaluation() -> None:
    for entry in read_manifest(ROOT / "weights"):
        summaries = summaries_of(EVALUATION, entry)
        assert set(entry.figures) == set(summaries)
        assert all(entry.figures[split] == summary["figures"] for split, summary in summaries.items())
        assert (ROOT / "weights" / entry.card).read_text(encoding="utf-8") == card_text(entry, summaries)


def numbers(tree: Any) -> list[float]:
    """All numbers of a JSON document, in the order of its keys."""
    if isinstance(tree, dict):
        return [number for key in sorted(tree) for number in numbers(tree[key])]
    if isinstance(tree, list):
        return [number for branch in tree for number in numbers(branch)]
    return [float(tree)] if isinstance(tree, int | float) else []


ROWS = [path for path in sorted(EVALUATION.rglob("*.csv")) if path.with_suffix(".json").is_file()]


@pytest.mark.parametrize("rows", ROWS, ids=identify)
def test_the_figures_are_those_of_the_rows(rows: Path) -> None:
    written = json.loads(rows.with_suffix(".json").read_text(encoding="utf-8"))["figures"]
    assert numbers(summarise(read_rows(rows))) == pytest.approx(numbers(written), abs=2e-4)


def test_every_image_of_a_fold_has_its_row() -> None:
    """Rows of all folds with an image left out would flatter."""
    missing = {s["model"]: s["missing"] for s in read_summaries(EVALUATION / "folds") if len(s["folds"]) == FOLDS}
    assert {model: images for model, images in missing.items() if images} == {}


def table_keys(page: Path, head: str) -> list[str]:
    """First cells, without code marks, of all tables of a page whose first header cell is `head`."""
    tables = re.findall(
        rf"^\| {head} \|[^\n]*\n\|[- |]+\n((?:\|[^\n]*\n)+)", page.read_text(encoding="utf-8"), re.MULTILINE
    )
    return [row.split("|")[1].strip(" `") for table in tables for row in table.splitlines()]


def test_every_reason_has_its_line_of_advice() -> None:
    told = [key for page in ("calibration", "dating") for key in table_keys(ROOT / f"docs/{page}.md", "reason")]
    assert sorted(told) == sorted(reason.value for reason in Reason)


DATING = ROOT / "docs/dating.md"


def rows_of(head: str) -> dict[str, list[str]]:
    """The rows of docs/dating.md's table with that first header cell, by their own first cell, without code marks."""
    (table,) = re.findall(
        rf"^\| {head} \|[^\n]*\n\|[- |]+\n((?:\|[^\n]*\n)+)", DATING.read_text(encoding="utf-8"), re.MULTILINE
    )
    cells = [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in table.splitlines()]
    return {first: rest for first, *rest in cells}


def checks_of(head: str) -> list[tuple[str, ...]]:
    text = DATING.read_text(encoding="utf-8").split(f"| {head} |")[1]
    return re.findall(r"^\| `([\w-]+)` \| (\S+) \| (\S+) \|$", text.split("\n\n")[0], re.MULTILINE)


def says_formula(cell: str, formula: FractionalPolynomial) -> bool:
    """Whether the cell has exactly the formula's coefficients, each with its sign."""
    said = re.findall(r"(?<![\w.])(-? ?[0-9]+(?:\.[0-9]+)?(?:e-[0-9]+)?)", cell)
    return sorted(float(number.replace(" ", "")) for number in said) == sorted(t.coefficient for t in formula.terms)


def test_the_table_of_equations_is_the_one_in_use() -> None:
    rows = rows_of("equation")
    assert list(rows) == list(EQUATIONS)
    for name, equation in EQUATIONS.items():
        citation, formula, used, spread = rows[name]
        bands = ", ".join(f"from {band.from_weeks:g} w {band.two_sd_weeks:g}" for band in equation.spread)
        assert citation == equation.citation
        assert says_formula(formula, equation.formula.f)  # type: ignore[attr-defined]
        assert used == f"{equation.range_mm.low:g} to {equation.range_mm.high:g} mm"
        assert spread == (f"{bands} weeks" if bands else "not known here")
    assert checks_of("equation checked") == [
        (e.name, f"{check.hc_mm:g}", f"{check.weeks:.4f}") for e in EQUATIONS.values() for check in e.checks
    ]


def test_the_table_of_growth_standards_is_the_one_in_use() -> None:
    rows = rows_of("standard")
    assert list(rows) == list(STANDARDS)
    for name, standard in STANDARDS.items():
        citation, mean, sd, used = rows[name]
        low, high = standard.range_days.low / 7, standard.range_days.high / 7
        assert (citation, used) == (standard.citation, f"{low:g} to {high:g} weeks")
        assert says_formula(mean, standard.mean_mm)
        assert says_formula(sd, standard.sd_mm)
    assert checks_of("standard checked") == [
        (s.name, f"{check.weeks:g}", f"{check.mean_mm:.1f}") for s in STANDARDS.values() for check in s.checks
    ]


def test_a_changed_coefficient_would_be_found() -> None:
    formula = FractionalPolynomial((Term(8.96), Term(-0.004, 2), Term(6.409e-9, 3)))
    assert says_formula("weeks = 8.96 - 0.004 HC² + 6.409e-9 HC³, HC in cm", formula)
    assert not says_formula("weeks = 8.96 + 0.004 HC² + 6.409e-9 HC³, HC in cm", formula)
    assert not says_formula("weeks = 8.96 - 0.004 HC², HC in cm", formula)


def test_the_thresholds_and_sources_of_an_age_are_those_in_use() -> None:
    assert rows_of("age by last menstrual date from") == {
        weeks_and_days(row.from_days): [f"{row.more_than_days} days"] for row in REDATING
    }
    assert list(rows_of("source")) == [source.value for source in AgeSource]
    assert REDATING_CITATION in " ".join(DATING.read_text(encoding="utf-8").split())


def test_every_source_of_the_scale_is_in_the_table() -> None:
    page = (ROOT / "docs/calibration.md").read_text(encoding="utf-8")
    assert [source.value for source in CalibrationSource if f"| `{source.value}` |" not in page] == []
