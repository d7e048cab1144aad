"""The OB-GYN report: its whole tree as golden text, its rows against the templates', and what it may not say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from functools import cache
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.sr.coding import Code

from inference.dating import INTERGROWTH_2016
from inference.domain import AgeSource, IndependentAge, PixelSpacingMm
from inference.growth import growth_of
from sr_templates import codes, wording
from sr_templates.report import Predecessor, ReportInput
from sr_templates.tid1500 import build_tid1500
from sr_templates.tid5000 import Candidate, build_tid5000, path_to
from tests.reports import beside_operator, measurement, multiframe_source, report, source, with_lmp, written
from tests.unit.sr_templates.templates import target_of, violations
from tests.unit.sr_templates.trees import tree

FOLDER = Path(__file__).parent
CINE_UID, OTHER_UID = "1.2.3.4.7", "1.2.3.4.9"


def alone() -> Dataset:
    """One head on one image that says nothing of the pregnancy."""
    return build_tid5000(report())


def among_others() -> Dataset:
    """A head in a cine, with a last menstrual date; another frame of it and another image show the head too."""
    cine = multiframe_source(SOPInstanceUID=CINE_UID, LastMenstrualDate="20250805")
    facts = report(cine, measurement=with_lmp(measurement(frame=2), 150))
    other = source(SOPInstanceUID=OTHER_UID, SeriesInstanceUID="1.2.3.5")
    beside = [Candidate(cine, measurement(frame=3)), Candidate(other, measurement(hc_mm=200.0))]
    return build_tid5000(facts, beside)


def intergrowth() -> Dataset:
    return build_tid5000(report(measurement=with_lmp(measurement(INTERGROWTH_2016), 150)))


def without_age() -> Dataset:
    return build_tid5000(report(measurement=measurement(hc_mm=400.0)))


def far_from_the_standard() -> Dataset:
    return build_tid5000(report(measurement=with_lmp(measurement(), 175)))


CASES = [alone, among_others, intergrowth, without_age, far_from_the_standard]


def read(made: Dataset) -> Dataset:
    return written(made).dataset


@cache
def bytes_of(case: Callable[[], Dataset]) -> bytes:
    return written(case()).content


def made_of(case: Callable[[], Dataset]) -> Dataset:
    """The report of a case as it reads back; each call reads anew, so that a test may spoil it."""
    return dcmread(BytesIO(bytes_of(case)))


def items(root: Dataset, code: Code) -> list[Dataset]:
    """All items with that concept name, in document order."""
    found = []
    for child in root.get("ContentSequence") or ():
        if name_of(child) == (code.value, code.scheme_designator):
            found.append(child)
        found += items(child, code)
    return found


def name_of(item: Dataset) -> tuple[str, str] | None:
    name = item.get("ConceptNameCodeSequence")
    return (name[0].CodeValue, name[0].CodingSchemeDesignator) if name else None


def value_of(item: Dataset) -> str:
    return str(item.MeasuredValueSequence[0].NumericValue)


def links(item: Dataset) -> Iterator[Dataset]:
    """By-reference items below."""
    for child in item.get("ContentSequence") or ():
        if "ReferencedContentItemIdentifier" in child:
            yield child
        yield from links(child)


@pytest.mark.parametrize("case", [alone, among_others])
def test_the_whole_tree_is_the_golden_one(case: Callable[[], Dataset]) -> None:
    golden = FOLDER / f"golden_tid5000_{case.__name__}.txt"
    assert "\n".join(tree(made_of(case))) + "\n" == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES)
def test_relationships_value_types_and_codes_are_those_of_the_templates(case: Callable[[], Dataset]) -> None:
    assert violations(made_of(case)) == []


def mixed(root: Dataset) -> None:
    groups = items(root, codes.BIOMETRY_GROUP)
    groups[0].ContentSequence.append(groups[1].ContentSequence[0])


def in_weeks(root: Dataset) -> None:
    units = items(root, codes.GESTATIONAL_AGE)[0].MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0]
    units.CodeValue = "wk"


def turned(root: Dataset) -> None:
    root.ContentSequence = [*root.ContentSequence[:-2], *root.ContentSequence[:-3:-1]]


def twice(root: Dataset) -> None:
    items(root, codes.BIOMETRY_GROUP)[0].ContentSequence.insert(1, items(root, codes.GESTATIONAL_AGE)[0])


def contained(root: Dataset) -> None:
    items(root, codes.EQUATION)[0].RelationshipType = "CONTAINS"


def another_equation(root: Dataset) -> None:
    items(root, codes.EQUATION)[0].ConceptCodeSequence[0].CodeValue = codes.HC_BY_GA_HADLOCK_1984.value


def empty(root: Dataset) -> None:
    items(root, codes.BIOMETRY_GROUP)[1].ContentSequence = []


@pytest.mark.parametrize("broken", [mixed, in_weeks, turned, twice, contained, another_equation, empty])
def test_a_tree_that_leaves_the_templates_would_be_found(broken: Callable[[Dataset], None]) -> None:
    made = made_of(alone)
    broken(made)
    assert violations(made)


def test_each_group_holds_one_type_of_measurement() -> None:
    for group in items(made_of(among_others), codes.BIOMETRY_GROUP):
        ages = (codes.GESTATIONAL_AGE.value, codes.GROWTH_PERCENTILE_RANK.value)
        numbers = [name_of(i) for i in group.ContentSequence if i.ValueType == "NUM"]
        assert len({name for name in numbers if name is not None and name[0] not in ages}) == 1


def test_numbers_are_those_of_the_other_report() -> None:
    facts = report(measurement=with_lmp(measurement(), 150))
    ours, other = read(build_tid5000(facts)), read(build_tid1500(facts))
    for code in (
        codes.HEAD_CIRCUMFERENCE,
        codes.UPPER_UNCERTAINTY,
        codes.LOWER_UNCERTAINTY,
        codes.GESTATIONAL_AGE,
        codes.TWO_SIGMA_LOWER,
        codes.TWO_SIGMA_UPPER,
        codes.BIPARIETAL_DIAMETER,
        codes.OCCIPITAL_FRONTAL_DIAMETER,
        codes.CEPHALIC_INDEX,
    ):
        (mine,), (theirs,) = items(ours, code), items(other, code)
        assert value_of(mine) == value_of(theirs)


def test_what_was_derived_points_to_what_it_was_derived_from() -> None:
    made = made_of(among_others)
    targets = {
        name_of(item): [name_of(target_of(link, made)) for link in links(item)]
        for code in (codes.GESTATIONAL_AGE, codes.GROWTH_PERCENTILE_RANK, codes.CEPHALIC_INDEX)
        for item in items(made, code)
    }
    assert targets == {
        ("18185-9", "LN"): [("11984-2", "LN")],
        ("125012", "DCM"): [("11885-1", "LN")],
        ("11823-2", "LN"): [("11820-8", "LN"), ("11851-3", "LN")],
    }


def test_the_age_comes_from_the_selected_head() -> None:
    made = made_of(among_others)
    (link,) = links(items(made, codes.GESTATIONAL_AGE)[0])
    assert items(target_of(link, made), codes.SELECTION_STATUS)


def test_a_path_to_nowhere_is_an_error() -> None:
    with pytest.raises(ValueError, match="not in the tree"):
        path_to(Dataset(), alone())


def test_only_the_selected_of_several_is_marked() -> None:
    heads = items(made_of(among_others), codes.HEAD_CIRCUMFERENCE)
    assert [value_of(head) for head in heads] == ["197.1", "197.1", "200.0"]
    assert [len(items(head, codes.SELECTION_STATUS)) for head in heads] == [1, 0, 0]
    assert not items(made_of(alone), codes.SELECTION_STATUS)


def test_the_choice_by_software_is_a_code_of_ours_and_declared() -> None:
    made = made_of(among_others)
    (status,) = items(made, codes.SELECTION_STATUS)
    assert status.ConceptCodeSequence[0].CodingSchemeDesignator == codes.PRIVATE_SCHEME
    assert made.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == codes.PRIVATE_SCHEME
    assert "CodingSchemeIdentificationSequence" not in made_of(alone)


def pictures(item: Dataset) -> list[tuple[str, int | None]]:
    """UID and frame of every image that is referenced below, in document order."""
    found = []
    for child in item.get("ContentSequence") or ():
        if child.get("ValueType") == "IMAGE":
            reference = child.ReferencedSOPSequence[0]
            found.append((reference.ReferencedSOPInstanceUID, reference.get("ReferencedFrameNumber")))
        found += pictures(child)
    return found


def test_the_library_holds_each_picture_once_and_every_head_its_own() -> None:
    made = made_of(among_others)
    shown = [(CINE_UID, 2), (CINE_UID, 3), (OTHER_UID, None)]
    assert pictures(items(made, codes.IMAGE_LIBRARY)[0]) == shown
    assert [pictures(head) for head in items(made, codes.HEAD_CIRCUMFERENCE)] == [[picture] for picture in shown]


def test_two_heads_on_one_picture_are_one_picture() -> None:
    facts = report()
    made = read(build_tid5000(facts, [Candidate(facts.source, measurement(hc_mm=200.0))]))
    assert len(pictures(items(made, codes.IMAGE_LIBRARY)[0])) == 1


def test_evidence_is_every_image_once_under_its_series() -> None:
    made = made_of(among_others)
    (study,) = made.CurrentRequestedProcedureEvidenceSequence
    uids = [[i.ReferencedSOPInstanceUID for i in s.ReferencedSOPSequence] for s in study.ReferencedSeriesSequence]
    assert uids == [[CINE_UID], [OTHER_UID]]
    assert all("ReferencedFrameNumber" not in s.ReferencedSOPSequence[0] for s in study.ReferencedSeriesSequence)


def test_without_an_independent_age_nothing_is_said_of_the_pregnancy_nor_of_size() -> None:
    made = read(build_tid5000(report(source(LastMenstrualDate="19000101"))))
    for code in (codes.LMP, codes.FETUS_SUMMARY, codes.GROWTH_PERCENTILE_RANK, codes.GROWTH_Z_SCORE):
        assert not items(made, code)


@pytest.mark.filterwarnings("ignore:Invalid value for VR DA")  # as ACR-NEMA wrote it
@pytest.mark.parametrize("written_as", ["20250805", "2025.08.05"])
def test_the_last_menstrual_date_is_that_of_the_header(written_as: str) -> None:
    facts = report(source(LastMenstrualDate=written_as), measurement=with_lmp(measurement(), 150))
    made = read(build_tid5000(facts))
    assert [item.Date for item in items(made, codes.LMP)] == ["20250805"]
    assert [value_of(item) for item in items(made, codes.GESTATIONAL_AGE_BY_LMP)] == ["150"]


def test_a_rank_that_is_none_is_a_z_score() -> None:
    made = made_of(far_from_the_standard)
    assert not items(made, codes.GROWTH_PERCENTILE_RANK)
    assert [value_of(item) for item in items(made, codes.GROWTH_Z_SCORE)] == ["-3.83"]


def test_the_rank_is_that_of_the_standard_that_others_know_and_the_rest_is_said_in_words() -> None:
    made = made_of(intergrowth)
    (rank,) = items(made, codes.GROWTH_PERCENTILE_RANK)
    assert items(rank, codes.EQUATION)[0].ConceptCodeSequence[0].CodeValue == codes.HC_BY_GA_HADLOCK_1984.value
    assert any(c.TextValue.startswith("INTERGROWTH-21st 2014: percentile") for c in items(made, codes.COMMENT))


def test_an_age_outside_the_standards_has_no_rank() -> None:
    made = read(build_tid5000(report(measurement=with_lmp(measurement(), 290))))
    assert items(made, codes.FETUS_SUMMARY)
    assert not items(made, codes.GROWTH_PERCENTILE_RANK) + items(made, codes.GROWTH_Z_SCORE)


def test_an_equation_without_a_published_code_is_cited() -> None:
    age = items(made_of(intergrowth), codes.GESTATIONAL_AGE)[0]
    assert items(age, codes.EQUATION)[0].ConceptCodeSequence[0].CodingSchemeDesignator == codes.PRIVATE_SCHEME
    assert items(age, codes.EQUATION_CITATION)[0].TextValue == INTERGROWTH_2016.citation
    assert not items(age, codes.TWO_SIGMA_LOWER)


def test_without_an_age_there_is_the_reason() -> None:
    made = made_of(without_age)
    assert not items(made, codes.GESTATIONAL_AGE)
    assert any(c.TextValue.startswith("No gestational age: HC lies outside") for c in items(made, codes.COMMENT))


def test_nobody_has_verified_it_and_nobody_has_counted_fetuses() -> None:
    made = made_of(among_others)
    flags = (made.CompletionFlag, made.VerificationFlag, made.PreliminaryFlag)
    assert flags == ("COMPLETE", "UNVERIFIED", "PRELIMINARY")
    assert wording.AI_NOT_VERIFIED in [c.TextValue for c in items(items(made, codes.SUMMARY)[0], codes.COMMENT)]
    assert not items(made, Code("11878-6", "LN", "Number of Fetuses by US"))


@pytest.mark.parametrize("spacing", [PixelSpacingMm(0.5, 0.5), PixelSpacingMm(0.4, 0.6)])
def test_the_diameters_are_drawn_where_they_were_measured(spacing: PixelSpacingMm) -> None:
    """Both meet in the centre of the outline, and with equal spacing their lengths are the numbers."""
    made = read(build_tid5000(report(measurement=measurement(spacing_mm=spacing))))
    lengths, centres = [], []
    for code in (codes.BIPARIETAL_DIAMETER, codes.OCCIPITAL_FRONTAL_DIAMETER):
        (item,) = items(made, code)
        (line,) = [child for child in item.ContentSequence if child.ValueType == "SCOORD"]
        x0, y0, x1, y1 = line.GraphicData
        lengths.append(math.hypot((x1 - x0) * spacing.column, (y1 - y0) * spacing.row))
        centres.append(((x0 + x1) / 2, (y0 + y1) / 2))
    assert centres == [pytest.approx((170.5, 125.5), abs=1e-4)] * 2
    if spacing.row == spacing.column:
        assert lengths == pytest.approx([55.0, 70.0], abs=1e-3)
    assert lengths[0] < lengths[1]


def test_bpd_and_ofd_say_that_they_are_outer_to_outer() -> None:
    _, bpd, ofd = items(made_of(alone), codes.BIOMETRY_GROUP)
    assert [items(group, codes.COMMENT)[0].TextValue for group in (bpd, ofd)] == [wording.BPD_OUTER, wording.OFD_OUTER]


def test_every_sentence_of_the_other_report_is_here() -> None:
    facts: ReportInput = report(measurement=with_lmp(measurement(), 150))
    ours = {c.TextValue for c in items(read(build_tid5000(facts)), codes.COMMENT)}
    assert {*wording.comments(facts)} - ours == {wording.BPD_IS_OUTER}


def test_a_new_report_names_the_one_it_replaces() -> None:
    old = made_of(alone)
    new = read(build_tid5000(report(predecessors={"tid5000": Predecessor.of(old)})))
    reference = new.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == old.SOPInstanceUID


def test_same_facts_same_bytes() -> None:
    facts = report(measurement=with_lmp(measurement(), 150))
    beside = [Candidate(facts.source, measurement(hc_mm=200.0))]
    assert written(build_tid5000(facts, beside)).content == written(build_tid5000(facts, beside)).content


def test_all_text_of_our_own_is_ascii() -> None:
    assert "\n".join(tree(build_tid5000(report(source(PatientName="Doe^Jane"))))).isascii()


@pytest.mark.parametrize(
    ("told", "date_code", "age_code"),
    [
        (IndependentAge(150, AgeSource.REPORTED_LMP, date(2025, 8, 5)), codes.LMP, codes.GESTATIONAL_AGE_BY_LMP),
        (IndependentAge(150, AgeSource.REPORTED_EDD, date(2026, 5, 12)), codes.EDD, codes.GESTATIONAL_AGE_BY_EDD),
        (IndependentAge(150, AgeSource.REPORTED_LMP), None, codes.GESTATIONAL_AGE_BY_LMP),
    ],
)
def test_a_date_of_the_machine_s_report_stands_in_the_summary(
    told: IndependentAge, date_code: Code | None, age_code: Code
) -> None:
    head = measurement()
    made = read(build_tid5000(report(measurement=replace(head, growth=growth_of(head, told)))))
    dates = {name_of(item): item.Date for item in items(made, codes.SUMMARY)[0].ContentSequence if "Date" in item}
    assert dates == ({} if date_code is None else {(date_code.value, "LN"): f"{told.stated:%Y%m%d}"})
    assert [value_of(item) for item in items(made, age_code)] == ["150"]


def test_a_reporting_system_finds_one_hc_and_the_operator_s_in_words() -> None:
    made = read(build_tid5000(report(measurement=beside_operator(measurement(), 195.0))))
    assert [value_of(item) for item in items(made, codes.HEAD_CIRCUMFERENCE)] == ["197.1"]
    assert any("AI - operator +2.1 mm (+1.1 %)" in c.TextValue for c in items(made, codes.COMMENT))
    assert violations(made) == []
