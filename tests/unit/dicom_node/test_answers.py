"""The JSON contract: the same keys whatever happened, nothing renamed."""

import json
from dataclasses import replace

import pytest

from dicom_node import answers
from dicom_node.errors import InstanceRefused
from inference.domain import (
    Abstention,
    Advice,
    AgeSource,
    CalibrationSource,
    Consensus,
    EllipsePx,
    Examination,
    GestationalAge,
    IndependentAge,
    IntervalDays,
    IntervalMm,
    Measurement,
    ModelIdentity,
    PixelSpacingMm,
    Reason,
    RegionPx,
    Remark,
    Trimester,
)
from inference.growth import compare

CONTRACT = {
    *("sop_instance_uid", "file", "status", "reason", "reason_text", "frame", "hc_mm", "hc_low_mm", "hc_high_mm"),
    *("bpd_mm", "ofd_mm", "ga_days", "ga_low_days", "ga_high_days", "ga_equation", "ga_reason", "trimester"),
    *("calibration_source", "pixel_spacing_mm", "ellipse", "quality", "warnings", "frames_used", "model"),
    *("ga_interval_reason", *answers.GROWTH_KEYS),
    *("model_sha256", "seconds", "measurements", "calibration_detail", "region", "colour_share", "frame_time_ms"),
}
MODEL = ModelIdentity("m", "ab" * 32)
BOX = RegionPx(0, 0, 99, 79)
ELLIPSE = EllipsePx(50.12345, 40.0, 30.0, 20.0, 15.0)
MEASUREMENT = Measurement(
    2, BOX, PixelSpacingMm(0.2, 0.1), CalibrationSource.ULTRASOUND_REGION, ELLIPSE, 250.0, IntervalMm(246.0, 254.0),
    60.0, 80.0, 75.0,
    GestationalAge("hadlock-1984", 190, IntervalDays(176, 204), IntervalDays(175, 205), Trimester.SECOND, None),
    0.99, (Remark.PLANE_NOT_VERIFIED,),
)  # fmt: skip
ABSTENTION = Abstention(1, BOX, None, CalibrationSource.NONE, Reason.NOT_CALIBRATED, "", ELLIPSE, 0.98)

EXAMINATION = Examination((ABSTENTION, MEASUREMENT), 1, (1, 2), MODEL, 0.12345)


def measured() -> answers.Answer:
    return answers.examined("a.dcm", "1.2.3", EXAMINATION)


def abstained() -> answers.Answer:
    return answers.examined("a.dcm", "1.2.3", Examination((ABSTENTION,), 0, (1,), MODEL, 0.1))


def refused() -> answers.Answer:
    return answers.refused("a.dcm", None, InstanceRefused(Reason.TRUNCATED, "(half)"), MODEL, 0.01)


@pytest.mark.parametrize("answer", [measured(), abstained(), refused()], ids=["measured", "abstained", "refused"])
def test_every_answer_has_every_key_and_is_json(answer: answers.Answer) -> None:
    assert set(answer) >= CONTRACT
    assert set(answer) == set(refused())
    assert json.loads(json.dumps(answer)) == answer


def test_the_chosen_measurement_stands_at_the_top() -> None:
    answer = measured()
    assert (answer["status"], answer["reason"], answer["hc_mm"], answer["frame"]) == ("measured", None, 250.0, 2)
    assert (answer["hc_low_mm"], answer["hc_high_mm"]) == (246.0, 254.0)
    assert (answer["ga_days"], answer["ga_low_days"], answer["ga_high_days"]) == (190, 175, 205)
    assert answer["pixel_spacing_mm"] == [0.2, 0.1]
    assert answer["ellipse"]["center_col_px"] == 50.123
    assert answer["frames_used"] == [1, 2]
    assert [m["status"] for m in answer["measurements"]] == ["abstained", "measured"]


def test_what_the_frames_say_together_is_told_for_a_cine_alone() -> None:
    together = Consensus(250.4, 1.2, (0.6, 0.4, 0.0), 0.67, 2, (1, 2), Advice.FEW_FRAMES_MEASURED, Reason.NO_HEAD_FOUND)
    cine = answers.examined(None, None, replace(EXAMINATION, consensus=together))["cine"]
    assert (cine["hc_mm"], cine["hc_deviation_mm"], cine["reliability"]) == (250.4, 1.2, 0.67)
    assert (cine["freeze_frame"], cine["frames_agreeing"]) == (2, [1, 2])
    assert (cine["advice"], cine["advice_reason"]) == ("few_frames_measured", "no_head_found")
    assert "take the sweep again" in cine["advice_text"]
    assert measured()["cine"] is None


def test_an_uncalibrated_image_keeps_its_ellipse_and_has_no_number() -> None:
    answer = abstained()
    assert (answer["status"], answer["reason"]) == ("abstained", "not_calibrated")
    assert answer["ellipse"]["semi_major_px"] == 30.0
    assert answer["hc_mm"] is None
    assert answer["ga_days"] is None
    assert answer["pixel_spacing_mm"] is None


def test_a_refusal_says_why() -> None:
    answer = refused()
    assert (answer["status"], answer["reason"]) == ("refused", "truncated")
    assert answer["reason_text"].endswith("(half)")
    assert answer["measurements"] == []


def test_region_and_source_of_the_scale_are_told() -> None:
    typed = replace(MEASUREMENT, calibration_source=CalibrationSource.PIXEL_SPACING, calibration_detail="FIDUCIAL")
    answer = answers.finding_facts(typed)
    assert answer["region"] == [0, 0, 99, 79]
    assert (answer["calibration_source"], answer["calibration_detail"]) == ("pixel_spacing", "FIDUCIAL")
    assert answers.finding_facts(MEASUREMENT)["calibration_detail"] is None


def test_the_shape_of_an_uncalibrated_head_is_told() -> None:
    answer = answers.finding_facts(replace(ABSTENTION, cephalic_index_percent=78.5))
    assert (answer["cephalic_index_percent"], answer["hc_mm"], answer["quality"]) == (78.5, None, 0.98)


def test_regions_that_disagree_leave_their_numbers_in_the_list_only() -> None:
    objection = Abstention(2, None, None, CalibrationSource.NONE, Reason.REGIONS_DISAGREE, "HC?", None, None)
    answer = answers.examined("a", "1", Examination((MEASUREMENT, MEASUREMENT), 0, (2,), MODEL, 0.1, objection))
    assert (answer["status"], answer["reason"], answer["hc_mm"]) == ("abstained", "regions_disagree", None)
    assert answer["region"] is None
    assert [m["hc_mm"] for m in answer["measurements"]] == [250.0, 250.0]


def test_the_time_of_each_findings_frame() -> None:
    both = Examination((ABSTENTION, MEASUREMENT), 1, (1, 2), MODEL, 0.1)
    answer = answers.examined(None, "1.2.3", both, (0.0, 33.33333))
    assert answer["frame_time_ms"] == 33.333
    assert [finding["frame_time_ms"] for finding in answer["measurements"]] == [0.0, 33.333]
    assert measured()["frame_time_ms"] is None


def told(independent: IndependentAge | Reason) -> answers.Answer:
    looked = Examination((MEASUREMENT,), 0, (2,), MODEL, 0.1)
    return answers.examined("a", "1", compare(looked, independent))


def test_what_an_independent_age_says() -> None:
    answer = told(IndependentAge(203, AgeSource.LAST_MENSTRUAL_DATE))
    assert {key: answer[key] for key in answers.GROWTH_KEYS if key != "growth"} == {
        "ga_independent_days": 203,
        "ga_independent_source": "last_menstrual_date",
        "ga_independent_reason": None,
        "ga_difference_days": -13,
        "ga_outside_two_sd": False,
        "ga_redating_threshold_days": 21,
        "ga_beyond_redating_threshold": False,
    }
    assert answer["growth"]["intergrowth-2014"] == {
        "z_score": -2.16,
        "percentile": 1.5,
        "z_score_low": -2.6,
        "percentile_low": 0.5,
        "z_score_high": -1.72,
        "percentile_high": 4.3,
        "reason": None,
    }
    assert list(answer["growth"]) == ["intergrowth-2014", "hadlock-1984"]


def test_discordant_ages_are_warned_of() -> None:
    answer = told(IndependentAge(212, AgeSource.LAST_MENSTRUAL_DATE))
    assert (answer["ga_outside_two_sd"], answer["ga_beyond_redating_threshold"]) == (True, True)
    assert answer["warnings"][-2:] == [
        "independent_age_outside_2sd_of_the_equation",
        "independent_age_beyond_redating_threshold",
    ]


def test_without_an_independent_age_there_is_no_percentile_and_a_reason() -> None:
    answer = told(Reason.DATES_DISAGREE)
    assert answer["ga_independent_reason"] == "dates_disagree"
    assert [answer[key] for key in answers.GROWTH_KEYS if answer[key] is not None] == ["dates_disagree"]
    assert measured()["ga_independent_reason"] == "no_independent_age"


def test_an_age_outside_the_standards_has_a_reason_for_each() -> None:
    growth = told(IndependentAge(290, AgeSource.LAST_MENSTRUAL_DATE))["growth"]
    assert {size["reason"] for size in growth.values()} == {"outside_standard_range"}
    assert {value for size in growth.values() for key, value in size.items() if key != "reason"} == {None}


def test_the_reason_for_no_interval_of_the_age() -> None:
    assert measured()["ga_interval_reason"] is None
    bare = replace(MEASUREMENT, age=replace(MEASUREMENT.age, interval=None))
    assert answers.finding_facts(bare)["ga_interval_reason"] == "not_calibrated_yet"
