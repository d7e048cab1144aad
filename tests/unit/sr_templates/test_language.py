"""The page in other languages: nothing is left in English by oversight, and numbers are written one way on a page."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from pydicom import DataElement, config

from inference.dating import EQUATIONS, INTERGROWTH_2016, REFERENCE_SYSTEM
from inference.domain import REASON_TEXT, CalibrationSource, Reason, Remark
from inference.growth import STANDARDS
from sr_templates import identity, wording
from sr_templates.language import ENGLISH, FOLDER, Language, Words
from sr_templates.page import draw_page
from sr_templates.report import ReportInput
from sr_templates.sheet import Sheet, Style
from tests.reports import measurement, multiframe_source, picture, report, source, with_lmp

ROOT = Path(__file__).parents[3]
GERMAN = Words(Language.GERMAN)
OTHERS = [language for language in Language if language is not Language.ENGLISH]

SAME_IN_GERMAN = re.compile(r"BPD|sha256 .*|20 mm|\d+( mm)?|[-•]")
"""What reads the same: one abbreviation, the weights, lengths without a fraction, marks."""


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("catalogue", ROOT / "tools" / "catalogue.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def po(language: Language) -> Path:
    return FOLDER / language.value / "LC_MESSAGES" / "report.po"


@pytest.mark.parametrize("language", OTHERS)
def test_every_sentence_is_translated_with_its_placeholders(language: Language, tool: ModuleType) -> None:
    assert tool.faults(tool.read_po(po(language).read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("language", OTHERS)
def test_what_the_page_reads_is_what_the_translator_wrote(language: Language, tool: ModuleType) -> None:
    entries = tool.read_po(po(language).read_text(encoding="utf-8"))
    assert po(language).with_suffix(".mo").read_bytes() == tool.compiled(entries)
    for sentence in tool.sentences():
        assert Words(language)(sentence) == entries[sentence]


def test_a_fault_of_a_catalogue_is_found(tool: ModuleType) -> None:
    good = tool.read_po(po(Language.GERMAN).read_text(encoding="utf-8"))
    without = {sentence: text for sentence, text in good.items() if sentence != "outline"}
    assert tool.faults(without) == ["not translated: outline"]
    assert tool.faults({**good, "Never said.": "Nie."}) == ["said nowhere: Never said."]
    assert tool.faults({**good, "outline": " "}) == ["empty: outline"]
    assert tool.faults({**good, "range {range}": "Bereich {rang}"}) == ["other placeholders: range {range}"]
    with pytest.raises(ValueError, match="twice"):
        tool.read_po('msgid "a"\nmsgstr "b"\n\nmsgid "a"\nmsgstr "c"\n')


def pages() -> Iterator[ReportInput]:
    """Every branch that puts words on the page."""
    head = measurement()
    yield report(measurement=dataclasses.replace(with_lmp(head, 175), warnings=tuple(Remark)))
    for days in (150, 152, 153, 154, 290):
        yield report(measurement=with_lmp(head, days))
    for equation in (INTERGROWTH_2016, REFERENCE_SYSTEM):
        yield report(measurement=measurement(equation))
    yield report(multiframe_source(), measurement=measurement(hc_interval=None))
    yield report(measurement=measurement(hc_mm=80.0), interval_coverage=None)
    yield report(measurement=measurement(hc_mm=300.0))
    yield report(measurement=measurement(hc_mm=400.0))
    for calibration in CalibrationSource:
        yield report(measurement=measurement(calibration_source=calibration))
    for reason in (Reason.NO_INDEPENDENT_AGE, Reason.DATES_DISAGREE, Reason.NO_ACQUISITION_DATE):
        yield report(measurement=measurement(growth=reason))


def lines_of(facts: ReportInput, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []

    def noted(_sheet: Sheet, x: float, _y: float, value: str, _style: Style) -> float:
        said.append(value)
        return x

    with monkeypatch.context() as patched:
        patched.setattr(Sheet, "text", noted)
        draw_page(facts, picture())
    return said


def names_of(facts: ReportInput) -> str:
    """What is no sentence: text of the source and of the literature."""
    literature = [equation.citation for equation in EQUATIONS.values()]
    literature += [text for standard in STANDARDS.values() for text in (standard.citation, standard.title)]
    head = facts.source
    scanner = f"{head.Manufacturer} {head.ManufacturerModelName}"
    return " ".join((identity.name_of(head), scanner, *map(str, head.values()), *literature))


def test_no_line_of_a_german_page_is_english(monkeypatch: pytest.MonkeyPatch) -> None:
    for facts in pages():
        english = set(lines_of(facts, monkeypatch))
        german = lines_of(dataclasses.replace(facts, language=Language.GERMAN), monkeypatch)
        left = [line for line in german if line in english and not SAME_IN_GERMAN.fullmatch(line)]
        assert [line for line in left if line not in names_of(facts)] == []


def test_a_german_page_writes_decimals_with_a_comma_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Points are left where they are no decimals: dates, UIDs, versions, hashes."""
    facts = report(measurement=with_lmp(measurement(), 175), language=Language.GERMAN)
    said = " ".join(lines_of(facts, monkeypatch))
    no_decimals = (r"\d\d\.\d\d\.\d{4}", re.escape(facts.source.SOPInstanceUID), r"fetal-hc-node [\d.]+")
    for written in no_decimals:
        said, count = re.subn(written, "", said)
        assert count
    assert re.findall(r"\d\.\d", said) == []
    assert {"197,1", "55,0", "78,6", "0,5000", "0,985"} <= set(re.findall(r"\d+,\d+", said))


@pytest.mark.parametrize(
    ("text", "german"),
    [
        (wording.millimetres(176.4, GERMAN), "176,4 mm"),
        (wording.weeks_and_days(143, GERMAN), "20+3 SSW"),
        (wording.whole_age(143, GERMAN), "20+3 SSW (143 Tage)"),
        (wording.interval_name(0.95, GERMAN), "95-%-Intervall"),
        (wording.interval_name(0.975, GERMAN), "97,5-%-Intervall"),
        (wording.ordinal(3, GERMAN), "P3"),
        (GERMAN.date("20261121"), "21.11.2026"),
        (GERMAN.shortest(238.3), "238,3"),
        (GERMAN(REASON_TEXT[Reason.NO_HEAD_FOUND]), "Es wurde kein fetaler Kopf gefunden."),
    ],
)
def test_numbers_and_dates_are_those_of_the_language(text: str, german: str) -> None:
    assert text == german


def test_english_says_itself() -> None:
    assert ENGLISH("{low} to {high}", low=1, high="2 mm") == "1 to 2 mm"
    assert ENGLISH.date("20261121") == "2026-11-21"
    assert ENGLISH("{braces} stay") == "{braces} stay"


def test_a_date_that_is_none_stands_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    header = source()
    header.add(DataElement(0x00100030, "DA", "1995", validation_mode=config.IGNORE))
    facts = report(header, language=Language.GERMAN)
    assert "1995" in lines_of(facts, monkeypatch)


def test_the_page_names_its_language() -> None:
    assert b"/Lang (de)" in draw_page(report(language=Language.GERMAN), picture())
    assert b"/Lang (en)" in draw_page(report(), picture())
