"""The structured report: its whole tree as golden text, and what must hold of its parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage

from inference.dating import REFERENCE_SYSTEM
from inference.domain import ADVICE_TEXT, REASON_TEXT, Advice, EllipsePx, IntervalMm, Reason
from inference.growth import STANDARDS
from sr_templates import codes, wording
from sr_templates.content import outline_scoord
from sr_templates.report import Predecessor, ReportInput, SrClass
from sr_templates.tid1500 import build_tid1500
from tests.machine_report import machine_report
from tests.reports import (
    agreed,
    beside_operator,
    frames,
    measurement,
    multiframe_source,
    report,
    source,
    with_lmp,
    written,
)
from tests.unit.sr_templates.templates import violations
from tests.unit.sr_templates.trees import tree

IMAGING_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
MEASUREMENT_GROUP = Code("125007", "DCM", "Measurement Group")
GOLDEN = Path(__file__).parent / "golden_tid1500.txt"


def sr(facts: ReportInput) -> Dataset:
    return written(build_tid1500(facts)).dataset


def items(root: Dataset, code: Code) -> list[Dataset]:
    """All items below `root` with that concept name, in document order."""
    found = []
    for child in root.get("ContentSequence") or ():
        name = child.get("ConceptNameCodeSequence")
        if name and (name[0].CodeValue, name[0].CodingSchemeDesignator) == (code.value, code.scheme_designator):
            found.append(child)
        found += items(child, code)
    return found


def value_of(item: Dataset) -> str:
    return str(item.MeasuredValueSequence[0].NumericValue)


def test_the_whole_tree_is_the_golden_one() -> None:
    assert "\n".join(tree(sr(report()))) + "\n" == GOLDEN.read_text(encoding="utf-8")


def test_of_a_cine_hc_names_the_frames_that_agree_and_what_they_say() -> None:
    seen = frames(replace(measurement(), frame=15))
    together = replace(agreed(seen), advice=Advice.FEW_FRAMES_MEASURED, why=Reason.SKULL_ECHO_WEAK)
    cine = multiframe_source()
    made = sr(report(source=cine, measurement=seen[4], together=together))
    (hc,) = items(made, codes.HEAD_CIRCUMFERENCE)
    (source,) = items(hc, Code("121112", "DCM", "Source of Measurement"))
    (referenced,) = source.ReferencedSOPSequence
    assert (source.ValueType, source.RelationshipType) == ("IMAGE", "INFERRED FROM")
    assert tuple(referenced.ReferencedFrameNumber) == together.frames_used
    assert 15 in together.frames_used
    assert not set(together.frames_used) & {12, 27}
    assert referenced.ReferencedSOPInstanceUID == cine.SOPInstanceUID
    texts = [item.TextValue for item in items(made, codes.COMMENT)]
    (said,) = [
        text for text in texts if text.startswith("Frame 15 speaks for the cine: 14 of 16 examined frames agree")
    ]
    assert ADVICE_TEXT[Advice.FEW_FRAMES_MEASURED] in said
    assert said.endswith(REASON_TEXT[Reason.SKULL_ECHO_WEAK])
    assert violations(made, "1500") == []


def test_same_facts_same_bytes() -> None:
    facts = report()
    assert written(build_tid1500(facts)).content == written(build_tid1500(facts)).content


def test_flags_say_that_nobody_has_verified_it() -> None:
    made = sr(report())
    assert (made.CompletionFlag, made.VerificationFlag, made.PreliminaryFlag) == (
        "COMPLETE",
        "UNVERIFIED",
        "PRELIMINARY",
    )
    assert "VerifyingObserverSequence" not in made


def test_numbers_are_those_of_the_measurement() -> None:
    head = measurement()
    made = sr(report(measurement=head))
    assert head.hc_interval is not None
    assert head.age.equation_band is not None
    for code, text in (
        (codes.HEAD_CIRCUMFERENCE, f"{head.hc_mm:.1f}"),
        (codes.UPPER_UNCERTAINTY, f"{head.hc_interval.high - head.hc_mm:.1f}"),
        (codes.LOWER_UNCERTAINTY, f"{head.hc_mm - head.hc_interval.low:.1f}"),
        (codes.GESTATIONAL_AGE, str(head.age.days)),
        (codes.TWO_SIGMA_LOWER, str(head.age.equation_band.low)),
        (codes.TWO_SIGMA_UPPER, str(head.age.equation_band.high)),
        (codes.BIPARIETAL_DIAMETER, f"{head.bpd_mm:.1f}"),
        (codes.OCCIPITAL_FRONTAL_DIAMETER, f"{head.ofd_mm:.1f}"),
        (codes.CEPHALIC_INDEX, f"{head.cephalic_index_percent:.1f}"),
    ):
        (item,) = items(made, code)
        assert value_of(item) == text


def test_two_sigma_is_the_equation_s_band_and_not_the_joined_range() -> None:
    head = measurement(hc_interval=IntervalMm(180.0, 215.0))
    assert head.age.interval != head.age.equation_band  # else the test could not tell
    made = sr(report(measurement=head))
    lower, upper = (int(value_of(items(made, code)[0])) for code in (codes.TWO_SIGMA_LOWER, codes.TWO_SIGMA_UPPER))
    assert head.age.equation_band is not None
    assert (lower, upper) == (head.age.equation_band.low, head.age.equation_band.high)


def test_hc_and_age_come_first() -> None:
    names = [line.split("(")[1].split(",")[0] for line in tree(sr(report())) if line.startswith("      CONTAINS NUM")]
    assert names[:2] == ["11984-2", "18185-9"]


def test_no_interval_no_uncertainty() -> None:
    made = sr(report(measurement=measurement(hc_interval=None)))
    assert not items(made, codes.UPPER_UNCERTAINTY)
    assert wording.NO_INTERVAL in [c.TextValue for c in items(made, codes.COMMENT)]


def test_no_age_no_number_but_the_reason() -> None:
    made = sr(report(measurement=measurement(hc_mm=400.0)))
    assert not items(made, codes.GESTATIONAL_AGE)
    assert any(c.TextValue.startswith("No gestational age: HC lies outside") for c in items(made, codes.COMMENT))


def test_the_reference_system_has_a_private_code_with_its_scheme_and_no_band() -> None:
    made = sr(report(measurement=measurement(REFERENCE_SYSTEM)))
    (equation,) = items(made, codes.EQUATION)
    assert equation.ConceptCodeSequence[0].CodingSchemeDesignator == codes.PRIVATE_SCHEME
    assert "11932-1" not in "\n".join(tree(made))
    assert items(made, codes.EQUATION_CITATION)[0].TextValue == REFERENCE_SYSTEM.citation
    assert made.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == codes.PRIVATE_SCHEME
    assert not items(made, codes.TWO_SIGMA_LOWER)


def test_an_unknown_equation_is_private_too() -> None:
    head = measurement()
    other = dataclasses.replace(head, age=dataclasses.replace(head.age, equation="some-other-equation-of-2031"))
    (equation,) = items(sr(report(measurement=other)), codes.EQUATION)
    assert equation.ConceptCodeSequence[0].CodingSchemeDesignator == codes.PRIVATE_SCHEME


def test_hadlock_needs_no_private_scheme() -> None:
    assert "CodingSchemeIdentificationSequence" not in sr(report())


def children(item: Dataset) -> dict[str, Dataset]:
    """What qualifies an item, by code value."""
    return {child.ConceptNameCodeSequence[0].CodeValue: child for child in item.ContentSequence}


def test_size_for_age_names_its_standard_and_the_age_it_rests_on() -> None:
    made = sr(report(measurement=with_lmp(measurement(), 150)))
    ranks, scores = items(made, codes.GROWTH_PERCENTILE_RANK), items(made, codes.GROWTH_Z_SCORE)
    assert [value_of(item) for item in ranks] == ["83.3", "60.6"]
    assert [value_of(item) for item in scores] == ["0.97", "0.27"]
    for item, standard in zip((*ranks, *scores), [*codes.STANDARD_CODES][::-1] * 2, strict=True):
        below = children(item)
        assert below[codes.EQUATION.value].ConceptCodeSequence[0].CodeValue == codes.STANDARD_CODES[standard].value
        used = below[codes.GESTATIONAL_AGE_BY_LMP.value]
        assert (used.RelationshipType, value_of(used)) == ("INFERRED FROM", "150")


def test_only_intergrowth_needs_a_citation_and_the_private_scheme() -> None:
    made = sr(report(measurement=with_lmp(measurement(), 150)))
    cited = {c.TextValue for c in items(made, codes.EQUATION_CITATION)}
    assert cited == {STANDARDS["intergrowth-2014"].citation}
    assert made.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == codes.PRIVATE_SCHEME


def test_hc_and_age_lead_and_a_percentile_is_among_the_five_that_viewers_show() -> None:
    made = sr(report(measurement=with_lmp(measurement(), 150)))
    names = [line.split("(")[1].split(",")[0] for line in tree(made) if line.startswith("      CONTAINS NUM")]
    assert names[:2] == ["11984-2", "18185-9"]
    assert names[4:] == ["125012", "125013", "125012", "125013", "11885-1", "11823-2"]


def test_an_age_outside_the_standards_gives_the_age_and_no_size() -> None:
    made = sr(report(measurement=with_lmp(measurement(), 290)))
    assert [value_of(item) for item in items(made, codes.GESTATIONAL_AGE_BY_LMP)] == ["290"]
    assert items(made, codes.GROWTH_PERCENTILE_RANK) == items(made, codes.GROWTH_Z_SCORE) == []
    assert "CodingSchemeIdentificationSequence" not in made


def test_a_percentile_that_rounds_to_0_is_left_to_the_z_score() -> None:
    head = with_lmp(measurement(), 175)
    made = sr(report(measurement=head))
    assert not items(made, codes.GROWTH_PERCENTILE_RANK)
    assert [value_of(item) for item in items(made, codes.GROWTH_Z_SCORE)] == ["-3.88", "-3.83"]
    assert any("percentile below 0.1" in c.TextValue for c in items(made, codes.COMMENT))


def test_without_an_independent_age_there_is_no_size() -> None:
    made = sr(report())
    for code in (codes.GESTATIONAL_AGE_BY_LMP, codes.GROWTH_PERCENTILE_RANK, codes.GROWTH_Z_SCORE):
        assert not items(made, code)


def test_a_cine_is_referenced_with_its_frame() -> None:
    header = multiframe_source()
    made = sr(report(header, measurement=measurement(frame=2)))
    (region,) = [i for i in items(made, Code("111030", "DCM", "Image Region")) if i.ValueType == "SCOORD"]
    reference = region.ContentSequence[0].ReferencedSOPSequence[0]
    assert (reference.ReferencedSOPInstanceUID, reference.ReferencedFrameNumber) == (header.SOPInstanceUID, 2)


def test_evidence_is_the_source() -> None:
    header = source()
    (study,) = sr(report(header)).CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert study.StudyInstanceUID == header.StudyInstanceUID
    assert series.SeriesInstanceUID == header.SeriesInstanceUID
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == header.SOPInstanceUID


def test_a_new_report_names_the_one_it_replaces() -> None:
    old = sr(report())
    new = sr(report(predecessors={"tid1500": Predecessor.of(old)}))
    (study,) = new.PredecessorDocumentsSequence
    reference = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == old.SOPInstanceUID
    assert "PredecessorDocumentsSequence" not in old


def test_requests_are_fulfilled() -> None:
    request = Dataset()
    request.RequestedProcedureID = "RP-1"
    made = sr(report(source(RequestAttributesSequence=[request])))
    assert made.ReferencedRequestSequence[0].RequestedProcedureID == "RP-1"


@given(
    st.floats(50, 900),
    st.floats(50, 700),
    st.floats(20, 300),
    st.floats(0.5, 1.0),
    st.floats(0, 179.9),
)
def test_the_outline_is_closed_and_half_a_pixel_from_our_own_coordinates(
    column: float, row: float, semi_major: float, ratio: float, angle: float
) -> None:
    ellipse = EllipsePx(column, row, semi_major, semi_major * ratio, angle)
    points = outline_scoord(ellipse)
    assert len(points) >= 65
    assert np.array_equal(points[0], points[-1])
    assert points[:-1].mean(axis=0) == pytest.approx([column + 0.5, row + 0.5], abs=1e-6)
    x, y = points[:-1, 0], points[:-1, 1]
    area = abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2
    assert area == pytest.approx(np.pi * semi_major**2 * ratio, rel=2e-3)


def test_all_text_of_our_own_is_ascii() -> None:
    """A source in any character set can carry the report."""
    made = build_tid1500(report(source(PatientName="Doe^Jane")))
    assert "\n".join(tree(made)).isascii()


def test_the_operator_s_hc_stands_below_the_difference_to_it() -> None:
    made = sr(report(measurement=beside_operator(measurement(), 199.5)))
    by_mm, by_percent = items(made, codes.HC_DIFFERENCE)
    assert (value_of(by_mm), value_of(by_percent)) == ("-2.4", "-1.2")
    assert [value_of(items(each, codes.HEAD_CIRCUMFERENCE)[0]) for each in (by_mm, by_percent)] == ["199.5"] * 2
    contained = [i for i in items(made, codes.HEAD_CIRCUMFERENCE) if i.RelationshipType == "CONTAINS"]
    assert [value_of(i) for i in contained] == ["197.1"]
    assert made.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == codes.PRIVATE_SCHEME
    said = [c.TextValue for c in items(made, codes.COMMENT)]
    assert any("199.5 mm" in text and "AI - operator -2.4 mm (-1.2 %)" in text for text in said)


def test_without_an_operator_s_hc_there_is_no_difference() -> None:
    assert not items(sr(report()), codes.HC_DIFFERENCE)


def test_what_the_measurement_leans_on_is_evidence_too() -> None:
    machine = machine_report()
    header = source(StudyInstanceUID=machine.StudyInstanceUID)
    (study,) = sr(report(header, beside=(machine,))).CurrentRequestedProcedureEvidenceSequence
    references = [item for series in study.ReferencedSeriesSequence for item in series.ReferencedSOPSequence]
    assert [item.ReferencedSOPInstanceUID for item in references] == [header.SOPInstanceUID, machine.SOPInstanceUID]


def test_rows_are_those_of_the_template() -> None:
    for head in (measurement(), with_lmp(measurement(), 150), beside_operator(measurement(), 199.5)):
        assert violations(sr(report(measurement=head)), "1500") == []


def with_hc_outside(root: Dataset) -> None:
    items(root, IMAGING_MEASUREMENTS)[0].ContentSequence.append(items(root, codes.HEAD_CIRCUMFERENCE)[0])


def without_tracking(root: Dataset) -> None:
    del items(root, MEASUREMENT_GROUP)[0].ContentSequence[1]


def without_region(root: Dataset) -> None:
    group = items(root, MEASUREMENT_GROUP)[0]
    group.ContentSequence = [child for child in group.ContentSequence if child.ValueType != "SCOORD"]


def contained_algorithm(root: Dataset) -> None:
    items(root, Code("111001", "DCM", ""))[0].RelationshipType = "CONTAINS"


@pytest.mark.parametrize("broken", [with_hc_outside, without_tracking, without_region, contained_algorithm])
def test_a_tree_that_leaves_the_template_would_be_found(broken: Callable[[Dataset], None]) -> None:
    made = sr(report())
    broken(made)
    assert violations(made, "1500")


def test_the_content_is_the_same_in_both_classes() -> None:
    plain, spatial = sr(report()), sr(report(sr_class=SrClass.COMPREHENSIVE_3D))
    assert (plain.SOPClassUID, spatial.SOPClassUID) == (ComprehensiveSRStorage, Comprehensive3DSRStorage)
    assert [*tree(plain)] == [*tree(spatial)]
