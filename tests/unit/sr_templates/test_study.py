"""What is said of a study: every head, the one that speaks and why, or that none does; in the SR and on the page."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from pydicom import Dataset
from pydicom.sr.coding import Code

from inference.agreement import Choice, Verdict, choose
from inference.domain import IntervalMm, ModelIdentity
from sr_templates import capture, codes, pdf, tid1500, tid5000
from sr_templates.language import Language, Words
from sr_templates.report import Predecessor
from sr_templates.sheet import Sheet, Style
from sr_templates.study import PDF, SR, StudyReport, build_study_sr, image_name, sentences
from sr_templates.study_page import WIDTHS, build_study_pdf, rows
from sr_templates.tid5000 import Candidate
from sr_templates.typeface import BOLD, REGULAR, text_width
from sr_templates.uids import StudyEntropy, with_study
from tests.reports import SHA256, measurement, multiframe_source, picture, report, source, with_lmp, written
from tests.unit.sr_templates.templates import violations
from tests.unit.sr_templates.test_tid5000 import items, value_of

OLD_MODEL = ModelIdentity("an-older-one", "cd" * 32)
AGREEING = ((197.1, 2.5), (199.0, 2.0), (198.0, 3.0))
DISAGREEING = ((197.1, 2.5), (250.0, 2.0))


def study_of(*values: tuple[float, float], several: bool = False, version: int = 1) -> StudyReport:
    """Heads of these HC and half widths, each on an image of its own."""
    heads = [measurement(hc_mm=hc, hc_interval=IntervalMm(hc - width, hc + width)) for hc, width in values]
    headers = [source(SOPInstanceUID=f"1.2.3.{n}", SeriesNumber=2, InstanceNumber=n) for n in range(1, len(heads) + 1)]
    choice = choose(heads, several)
    spoken = choice.selected or 0
    entropy = StudyEntropy("1.2", version, ("f1", "f2"), "0.1.0")
    facts = report(headers[spoken], measurement=heads[spoken])
    return StudyReport(
        report=replace(facts, uids=with_study(facts.uids, entropy)),
        candidates=tuple(map(Candidate, headers, heads)),
        choice=choice,
        version=version,
        several_heads=(headers[0],) if several else (),
    )


def read(study: StudyReport) -> Dataset:
    return written(build_study_sr(study)).dataset


def chosen(sr: Dataset) -> list[str]:
    return [value_of(hc) for hc in items(sr, codes.HEAD_CIRCUMFERENCE) if items(hc, codes.SELECTION_STATUS)]


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that a page is given from now on."""
    found: list[str] = []
    text = Sheet.text

    def noted(sheet: Sheet, x: float, y: float, value: str, style: Style) -> float:
        found.append(value)
        return text(sheet, x, y, value, style)

    monkeypatch.setattr(Sheet, "text", noted)
    return found


CASES = {
    "one": study_of((197.1, 2.5)),
    "agreeing": study_of(*AGREEING),
    "disagreeing": study_of(*DISAGREEING),
    "two heads in one image": study_of(*AGREEING, several=True),
    "twins by the machine's report": replace(study_of(*AGREEING, several=True), several_heads=(), several_fetuses=True),
}


@pytest.mark.parametrize("study", CASES.values(), ids=CASES.keys())
def test_the_report_keeps_to_the_templates(study: StudyReport) -> None:
    assert violations(read(study)) == []


def test_the_selected_head_is_first_and_marked_and_all_others_are_listed() -> None:
    sr = read(study_of(*AGREEING))
    assert [value_of(hc) for hc in items(sr, codes.HEAD_CIRCUMFERENCE)] == ["199.0", "197.1", "198.0"]
    assert chosen(sr) == ["199.0"]
    (evidence,) = sr.CurrentRequestedProcedureEvidenceSequence
    named = {o.ReferencedSOPInstanceUID for s in evidence.ReferencedSeriesSequence for o in s.ReferencedSOPSequence}
    assert named == {"1.2.3.1", "1.2.3.2", "1.2.3.3"}


@pytest.mark.parametrize("case", ["disagreeing", "two heads in one image"])
def test_where_the_fetus_is_not_identified_nothing_is_selected_and_nothing_derived(case: str) -> None:
    study = CASES[case]
    sr = read(study)
    assert len(items(sr, codes.HEAD_CIRCUMFERENCE)) == len(study.candidates)
    derived = (codes.GESTATIONAL_AGE, codes.BIPARIETAL_DIAMETER, codes.CEPHALIC_INDEX, codes.SELECTION_STATUS)
    assert [code for code in derived if items(sr, code)] == []
    said = [item.TextValue for item in items(sr, codes.COMMENT)]
    assert any(sentence.startswith("Fetus not identified") for sentence in said)


def test_an_independent_age_is_not_said_of_a_fetus_that_is_not_identified() -> None:
    study = study_of(*DISAGREEING)
    aged = [replace(c, measurement=with_lmp(c.measurement, 150)) for c in study.candidates]
    sr = read(replace(study, candidates=tuple(aged), report=replace(study.report, measurement=aged[0].measurement)))
    assert items(sr, codes.LMP) == items(sr, codes.FETUS_SUMMARY) == []


def test_the_image_that_shows_more_than_one_head_is_named() -> None:
    assert "More than one head is seen in: series 2, image 1." in sentences(CASES["two heads in one image"])


def test_each_head_names_the_weights_that_measured_it() -> None:
    study = study_of((199.0, 2.0), (197.1, 2.5))
    first, second = study.candidates
    sr = read(replace(study, candidates=(first, replace(second, model=OLD_MODEL))))
    name = Code("111001", "DCM", "Algorithm Name")
    told = [[i.TextValue for i in items(hc, name)] for hc in items(sr, codes.HEAD_CIRCUMFERENCE)]
    assert told == [["efficientnet-lite0-unet"], ["an-older-one"]]


def test_a_later_version_names_its_predecessor_and_has_a_series_of_its_own(printed: list[str]) -> None:
    first, later = study_of(*AGREEING), study_of(*AGREEING, version=2)
    olds = [build_study_sr(first), build_study_pdf(first, picture())]
    named = {shell.kind: Predecessor.of(old) for shell, old in zip((SR, PDF), olds, strict=True)}
    later = replace(later, report=replace(later.report, predecessors=named))
    sr, page = build_study_sr(later), build_study_pdf(later, picture())
    (reference,) = sr.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    assert reference.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == olds[0].SOPInstanceUID
    for old, new in zip(olds, (sr, page), strict=True):
        assert (old.InstanceNumber, new.InstanceNumber) == (1, 2)
        assert old.SeriesInstanceUID != new.SeriesInstanceUID
        assert old.SOPInstanceUID != new.SOPInstanceUID
    assert f"replaces {olds[1].SOPInstanceUID}" in " ".join(printed)


@pytest.mark.parametrize("study", CASES.values(), ids=CASES.keys())
def test_the_same_facts_give_the_same_bytes(study: StudyReport) -> None:
    frame = None if study.choice.selected is None else picture()
    assert written(build_study_sr(study)).content == written(build_study_sr(study)).content
    assert written(build_study_pdf(study, frame)).content == written(build_study_pdf(study, frame)).content


def test_the_page_lists_every_head_with_what_became_of_it(printed: list[str]) -> None:
    build_study_pdf(CASES["agreeing"], picture())
    for row in rows(CASES["agreeing"]):
        assert " ".join(row) in " ".join(printed)
    assert [row[-1] for row in rows(CASES["agreeing"])] == ["agrees", "selected", "agrees"]


def test_a_head_alone_is_named_without_a_table_and_signed_on_the_first_page(printed: list[str]) -> None:
    page = build_study_pdf(CASES["one"], picture())
    assert "The only measured head of this study: series 2, image 1." in printed
    assert not {"Measured heads of this study", "Outcome", "selected"} & set(printed)
    assert bytes(page.EncapsulatedDocument).count(b"/Type /Page\n") == 1
    assert "Signature" in printed


def test_the_page_of_a_fetus_that_is_not_identified_has_no_figure(printed: list[str]) -> None:
    build_study_pdf(CASES["disagreeing"], None)
    told = " ".join(printed)
    assert "Fetus not identified" in told
    assert "BPD" not in told
    assert "Gestational age range" not in told
    assert SHA256 in told
    assert [row[-1] for row in rows(CASES["disagreeing"])] == ["not selected", "not selected"]


def test_many_heads_go_on_on_further_pages_and_none_is_lost(printed: list[str]) -> None:
    study = study_of(*((200.0 + n / 100, 5.0) for n in range(70)))
    pages = bytes(build_study_pdf(study, picture()).EncapsulatedDocument).count(b"/Type /Page\n")
    assert [n for n in range(1, 71) if printed.count(f"series 2, image {n}") != 1] == []
    assert pages > 2
    assert printed.count("of HC") > 1, "the head of the table stands again"


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize(("told", "font"), [(Verdict.DOUBTFUL_SCALE, REGULAR), (Verdict.SELECTED, BOLD)])
def test_the_cells_of_a_usual_row_have_room(language: Language, told: Verdict, font: str) -> None:
    candidates = (Candidate(multiframe_source(SeriesNumber=12, InstanceNumber=12), measurement(hc_mm=299.9)),)
    wide = replace(CASES["one"], candidates=candidates, choice=Choice(None, None, (told,)))
    (row,) = rows(wide, Words(language))
    too_wide = (cell for cell, width in zip(row, WIDTHS, strict=True) if text_width(cell, font, 8.5) > width - 6)
    assert list(too_wide) == []


def test_images_are_called_as_the_scanner_counts_them() -> None:
    assert image_name(source(SeriesNumber=2, InstanceNumber=14)) == "series 2, image 14"
    assert image_name(source(SeriesNumber=None, InstanceNumber=None, SOPInstanceUID="1.2.9")) == "image 1.2.9"
    assert image_name(multiframe_source(SeriesNumber=2, InstanceNumber=3), 2) == "series 2, image 3, frame 2"


def test_study_objects_stand_apart_from_those_of_an_image() -> None:
    shells = [SR, PDF, tid1500.SHELL, tid5000.SHELL, pdf.SHELL, capture.OVERLAY, capture.GRADCAM]
    assert all(a.series_description != b.series_description for a, b in pairwise(sorted(shells, key=str)))
    assert len({shell.order for shell in shells}) == len(shells)
