"""The report of a look without a number: its reason in code and words, and nothing that could pass for a finding."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset

from inference.domain import REASON_TEXT, Reason
from sr_templates import codes, wording
from sr_templates.abstention import build_abstention
from sr_templates.report import AbstentionInput, Predecessor, SrClass
from sr_templates.tid1500 import build_tid1500
from tests.reports import abstained, abstention, multiframe_source, report, source, written
from tests.unit.sr_templates.templates import violations
from tests.unit.sr_templates.trees import tree

GOLDEN = Path(__file__).parent / "golden_abstention.txt"


def made(facts: AbstentionInput) -> Dataset:
    return written(build_abstention(facts)).dataset


def lines(facts: AbstentionInput) -> list[str]:
    return [*tree(made(facts))]


def test_the_whole_tree_is_the_golden_one() -> None:
    assert "\n".join(lines(abstained())) + "\n" == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("reason", codes.ABSTENTION_CODES)
def test_every_reason_is_said_in_a_code_and_in_words(reason: Reason) -> None:
    facts = abstained(abstention=abstention(reason=reason, detail="(detail)"))
    code = codes.ABSTENTION_CODES[reason]
    said = lines(facts)
    detail = "" if reason in wording.TELLS_A_SIZE else " (detail)"
    assert any(f"= ({code.value}, 99FETALHC, {code.meaning})" in line for line in said)
    assert any(line.endswith(f"{REASON_TEXT[reason]}{detail}") for line in said)


@pytest.mark.parametrize(
    ("reason", "detail"),
    [
        (Reason.REGIONS_DISAGREE, "HC would be 197.1 and 250.0 mm."),
        (Reason.IMPLAUSIBLE_SIZE, "The outline measures 612 mm around."),
        (Reason.IMPLAUSIBLE_SHAPE, "The cephalic index would be 47 %."),
    ],
)
def test_what_was_not_to_be_measured_is_not_told_in_words(reason: Reason, detail: str) -> None:
    """Else a reader would find in the reason the number that is withheld."""
    said = "\n".join(lines(abstained(abstention=abstention(reason=reason, detail=detail))))
    assert REASON_TEXT[reason] in said
    assert detail not in said


def test_there_is_no_number_and_no_outline() -> None:
    assert not any(" NUM " in line or " SCOORD " in line for line in lines(abstained()))


def test_rows_are_those_of_the_template() -> None:
    assert violations(made(abstained()), "1500") == []


def test_words_of_a_header_in_another_repertoire_are_left_out() -> None:
    assert "\n".join(lines(abstained(abstention=abstention(detail="(\u00e9chelle)")))).isascii()


def test_a_cine_is_referenced_with_its_frame() -> None:
    header = multiframe_source(SOPInstanceUID="1.2.3.4.7")
    assert any(line.endswith("1.2.3.4.7 frame 2") for line in lines(abstained(header, abstention=abstention(frame=2))))


def test_nobody_has_verified_it_and_its_codes_are_declared() -> None:
    sr = made(abstained())
    assert (sr.CompletionFlag, sr.VerificationFlag, sr.SeriesDescription) == (
        "COMPLETE",
        "UNVERIFIED",
        "AI unverified: no measurement",
    )
    assert sr.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == codes.PRIVATE_SCHEME
    assert wording.AI_NOT_VERIFIED in "\n".join(tree(sr))


def test_it_takes_the_place_of_an_earlier_measurement() -> None:
    old = written(build_tid1500(report())).dataset
    sr = made(abstained(predecessors={"abstention": Predecessor.of(old)}))
    (study,) = sr.PredecessorDocumentsSequence
    assert study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == old.SOPInstanceUID


def test_same_facts_same_bytes_in_a_series_of_its_own() -> None:
    header = source()
    assert written(build_abstention(abstained(header))).content == written(build_abstention(abstained(header))).content
    assert made(abstained(header)).SeriesInstanceUID != build_tid1500(report(header)).SeriesInstanceUID


@pytest.mark.parametrize(("sr_class", "uid"), [(SrClass.COMPREHENSIVE, ".88.33"), (SrClass.COMPREHENSIVE_3D, ".88.34")])
def test_it_comes_in_the_class_that_was_asked_for(sr_class: SrClass, uid: str) -> None:
    sr = made(abstained(sr_class=sr_class))
    assert sr.SOPClassUID.endswith(uid)
    assert sr.file_meta.MediaStorageSOPClassUID == sr.SOPClassUID
