"""From committed rows to page, manifest, card and README, without networks."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from inference.domain import ModelError
from inference.models import EVERY_EXAM, FIRST_SPLIT, ModelEntry, find_model
from inference.training import bootstrap, report
from inference.training.ablations import read_answers
from inference.training.agreement import AGREEMENT, Pair, agreement
from inference.training.agreement import record as record_agreement
from inference.training.challenge import Split
from inference.training.evaluate import read_rows, write_rows
from inference.training.export import write_entry
from inference.training.folds import FOLDS, fold_of
from inference.training.gating import calibrate_gate
from inference.training.outoffold import settings_of
from inference.training.report import (
    BEGIN,
    END,
    OPENINGS,
    Place,
    judge_split,
    record,
    renew,
    summaries_of,
    told_in_readme,
)
from inference.training.summary import hc_at
from inference.weakness import WeakSize
from tests.unit.inference.test_examine import MODEL
from tests.unit.inference.training.rows import rows

SHIPPED = replace(MODEL, name="tiny", card="tiny.md", trained_on=EVERY_EXAM)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Rows of all folds, with a late class that is worse, beside a shipped model and a README."""
    out, weights = tmp_path / "docs" / "evaluation", tmp_path / "weights"
    (out / "folds").mkdir(parents=True)
    weights.mkdir()
    write_entry(weights, SHIPPED)
    late = hc_at(28.0)
    write_rows([replace(r, hc_forced_mm=r.hc_true_mm + (4.0 if r.hc_true_mm > late else 1.0))
                for r in rows([0.0] * 150)], out / "folds" / "tiny.csv")  # fmt: skip
    write_runs(out / "folds" / "tiny-runs.json", SHIPPED)
    (out / "doubtful-outlines.csv").write_text("image,reason\n001_HC,cuts the skull\n")
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    return Place(tmp_path, out, weights)


@pytest.fixture
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pictures and few resamples, where only words are looked at."""
    for name in ("draw_all", "draw_worst_outlines", "draw_learning_curves"):
        monkeypatch.setattr(report, name, lambda *_: None)
    monkeypatch.setattr(bootstrap, "ROUNDS", 20)


def write_runs(path: Path, entry: ModelEntry) -> None:
    runs = {
        "architecture": entry.architecture,
        "width": entry.width,
        "grid": asdict(entry.grid),
        "settings": settings_of(entry),
        "recipe": {"coarse_epochs": 3, "fine_epochs": 0},
        "runs": [
            {"fold": fold, "weights_sha256": "ab" * 32, "history": [{"epoch": 0, "loss": 1.0}]} for fold in range(FOLDS)
        ],
    }
    path.write_text(json.dumps(runs))


def test_everything_is_made_from_the_rows(place: Place) -> None:
    answered = read_answers(place.out / "folds/tiny.csv")
    record_agreement(place.out / AGREEMENT, agreement(Pair("tiny", "itself", "all"), answered, answered))
    (told,) = renew(place)
    assert told.startswith("tiny: 150 images of 150 exams of HC18 in 5 folds by exam")
    page = (place.out / "README.md").read_text()
    for said in (
        "images of 5 folds have no row", "cross-validated recipe, not this file", "Without 001_HC, whose expert",
        "cuts the skull",
        "| below 14 weeks | ", "above 30 weeks (n = ", "at HC from 257", "errors above 4 mm", "runs/worst-cases",
        "| tiny | itself | all | 150 | ", "| 1.000 [1.000, 1.000] |",
    ):  # fmt: skip
        assert said in page, said
    drawn = ("worst", "bland-altman", "scatter", "error-boxplot", "dice-histogram", "risk-coverage", "learning-curve")
    assert [name for name in drawn if f"(folds/tiny-{name}.png)" not in page] == []
    assert [name for name in drawn if not (place.out / f"folds/tiny-{name}.png").is_file()] == []
    record(place, "tiny")
    entry = find_model(place.weights, "tiny")
    folds = summaries_of(place.out, entry)["folds"]
    assert entry.figures["folds"] == folds["figures"]
    assert entry.weak_sizes == (WeakSize(hc_at(28.0), None),)
    assert entry.gate == calibrate_gate(read_rows(place.out / "folds/tiny.csv"), SHIPPED.gate)
    assert entry.interval is not None
    assert sum(entry.interval.counts) == 150
    readme = (place.out.parents[1] / "README.md").read_text()
    assert readme == f"before\n{BEGIN}\n{told_in_readme({'folds': folds})}\n{END}\nafter\n"
    assert "figures of the cross-validated recipe" in " ".join(readme.split())
    check_card((place.weights / "tiny.md").read_text())


def check_card(card: str) -> None:
    """The sections of Mitchell et al. 2019 in their order, figures by group, and the known weakness."""
    heads = [line.removeprefix("## ") for line in card.splitlines() if line.startswith("## ")]
    assert heads == [
        "Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data",
        "Quantitative analyses", "Bias audit", "Ethical considerations", "Caveats and recommendations",
        "Regulatory status",
    ]  # fmt: skip
    assert "cross-validated recipe, not this file" in card
    assert "**Known weakness by size**: at HC from 257" in card
    assert "### Pixel size" in card
    assert "visibly leaves the skull in 001_HC" in card


@pytest.mark.usefixtures("_undrawn")
def test_folds_of_another_setting_are_not_recorded(place: Place) -> None:
    write_runs(place.out / "folds" / "tiny-runs.json", replace(SHIPPED, probability=0.4))
    renew(place)
    with pytest.raises(ModelError, match="another architecture, grid or setting"):
        record(place, "tiny")
    assert find_model(place.weights, "tiny").figures == SHIPPED.figures


@pytest.mark.usefixtures("_undrawn")
def test_folds_are_no_figures_of_a_file_that_is_no_refit(place: Place) -> None:
    write_entry(place.weights, replace(SHIPPED, trained_on=FIRST_SPLIT))
    renew(place)
    with pytest.raises(ModelError, match="folds judge a refit on every exam"):
        record(place, "tiny")


@pytest.mark.parametrize("split", [Split.TEST, Split.VALIDATION])
def test_a_refit_is_not_judged_on_exams_that_it_learnt_from(place: Place, split: Split) -> None:
    nobody: Any = None
    with pytest.raises(ModelError, match=f"trained on every exam, {split} exams among them"):
        judge_split(place, split, nobody, SHIPPED)
    assert not (place.weights / OPENINGS).exists()


@pytest.mark.usefixtures("_undrawn")
def test_all_folds_are_said_only_where_every_image_has_its_row(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {row.image: fold_of(row.exam) for row in rows([0.0] * 150)}
    monkeypatch.setattr(report, "read_folds", lambda: told)
    renew(place)
    assert "All 5 folds of" in (place.out / "README.md").read_text()


@pytest.mark.usefixtures("_undrawn")
def test_some_folds_do_not_stand_for_all(place: Place) -> None:
    some = [r for r in rows([1.0] * 60) if r.fold == 0]
    for file in (place.out / "folds").iterdir():
        file.rename(file.with_name(file.name.replace("tiny", "tiny-fold-0")))
    write_rows(some, place.out / "folds" / "tiny-fold-0.csv")
    renew(place)
    assert "**Only fold 0 of 5: not the figures of all images.**" in (place.out / "README.md").read_text()
    assert summaries_of(place.out, SHIPPED) == {}


@pytest.mark.usefixtures("_undrawn")
def test_splits_of_a_file_that_ships_no_more_are_taken_away(place: Place) -> None:
    for split, sha256 in (("test", SHIPPED.sha256), ("validation", "f" * 64)):
        write_rows(rows([1.0] * 30), place.out / f"tiny-{split}.csv")
        facts = {"model": "tiny", "sha256": sha256, "calibration_sha256": "", "split": split, "split_salt": ""}
        (place.out / f"tiny-{split}.json").write_text(json.dumps(facts))
    renew(place)
    record(place, "tiny")
    assert sorted(path.name for path in place.out.glob("tiny-*")) == ["tiny-test.csv", "tiny-test.json"]
    assert set(find_model(place.weights, "tiny").figures) == {"folds", "test"}
