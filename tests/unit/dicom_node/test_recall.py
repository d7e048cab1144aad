"""What an answer told is read back as it was measured, so that no number of a study differs from its image's."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from dicom_node.answers import examined
from dicom_node.recall import told_by, told_consensus, told_frames, told_heads
from inference.dating import HADLOCK_1984, INTERGROWTH_2016
from inference.domain import (
    Abstention,
    Advice,
    CalibrationSource,
    EllipsePx,
    Examination,
    Finding,
    Measurement,
    ModelIdentity,
    Reason,
    RegionPx,
    Remark,
)
from tests.reports import SHA256, agreed, frames, measurement, with_lmp

MODEL = ModelIdentity("efficientnet-lite0-unet", SHA256)
ODD = EllipsePx(170.12345, 125.0, 70.00049, 55.9999, 25.55555)
ROUNDED = EllipsePx(170.123, 125.0, 70.0, 56.0, 25.556)
LEFT, RIGHT = RegionPx(0, 0, 99, 99), RegionPx(100, 0, 199, 99)


def answer(*findings: Finding, objection: Abstention | None = None) -> dict[str, object]:
    """As it is stored: through JSON."""
    looked = Examination(findings, 0, tuple(f.frame for f in findings), MODEL, 0.5, objection)
    return dict(json.loads(json.dumps(examined(None, "1.2.3", looked))))


def nothing(reason: Reason) -> Abstention:
    return Abstention(1, None, None, CalibrationSource.NONE, reason, "", None, None)


HEADS = {
    "hadlock": measurement(HADLOCK_1984),
    "without a spread": measurement(INTERGROWTH_2016),
    "without an interval": measurement(hc_interval=None),
    "without an age": measurement(hc_mm=400.0),
    "remarked": measurement(
        warnings=(Remark.PLANE_NOT_VERIFIED, Remark.COLOUR_OVER_HEAD), colour_share=0.03, calibration_detail="FIDUCIAL"
    ),
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
def test_a_head_is_read_back_as_it_was_measured(head: Measurement) -> None:
    assert told_heads(answer(head)) == (head,)


@pytest.mark.parametrize("days", [150, 175, 300])
def test_what_another_age_says_is_left_to_be_compared_anew(days: int) -> None:
    compared = with_lmp(measurement(), days)
    (head,) = told_heads(answer(compared))
    assert head == measurement()
    assert with_lmp(head, days) == compared


def test_pixels_are_those_of_the_answer() -> None:
    assert told_heads(answer(measurement(ellipse=ODD))) == (measurement(ellipse=ROUNDED),)


def test_the_chosen_head_of_an_image_stands_for_it() -> None:
    assert told_heads(answer(measurement(), measurement(frame=2, hc_mm=201.0))) == (measurement(),)


def test_what_the_frames_of_a_cine_said_together_is_read_back() -> None:
    seen = frames(replace(measurement(), frame=15))
    looked = Examination(seen, 4, tuple(f.frame for f in seen), MODEL, 0.5, None, agreed(seen))
    stored = json.loads(json.dumps(examined(None, "1.2.3", looked)))
    together = told_consensus(stored)
    assert together is not None
    assert together.weights == pytest.approx(agreed(seen).weights, abs=1e-4)
    assert replace(together, weights=()) == replace(agreed(seen), weights=())
    stored["cine"] |= {"advice": "few_frames_measured", "advice_reason": "no_head_found"}
    advised = told_consensus(stored)
    assert advised is not None
    assert (advised.advice, advised.why) == (Advice.FEW_FRAMES_MEASURED, Reason.NO_HEAD_FOUND)


def test_a_still_and_an_answer_of_before_have_no_consensus() -> None:
    assert told_consensus(answer(measurement())) is None
    assert told_consensus({**answer(measurement()), "cine": {"hc_mm": 1.0}}) is None
    before = answer(measurement())
    del before["cine"]
    assert told_consensus(before) is None


def test_where_regions_disagree_the_best_of_each_is_put_up() -> None:
    left, worse = measurement(region=LEFT), measurement(region=LEFT, frame=2, quality=0.9)
    right = measurement(region=RIGHT, hc_mm=250.0)
    said = answer(left, worse, right, nothing(Reason.NO_HEAD_FOUND), objection=nothing(Reason.REGIONS_DISAGREE))
    assert told_heads(said) == (left, right)


@pytest.mark.parametrize("reason", [Reason.TWO_HEADS, Reason.NO_HEAD_FOUND])
def test_an_image_without_hc_puts_up_none(reason: Reason) -> None:
    assert told_heads(answer(nothing(reason))) == ()


def test_the_frames_of_a_cine_are_read_back_with_those_that_gave_no_number() -> None:
    frames = (measurement(), replace(nothing(Reason.NO_HEAD_FOUND), frame=2, region=measurement().region))
    elsewhere = measurement(frame=2, region=LEFT)
    assert told_frames(answer(*frames, elsewhere)) == frames


def test_an_answer_of_before_has_no_band_of_the_equation() -> None:
    old = answer(measurement())
    del old["ga_equation_low_days"], old["ga_equation_high_days"]
    (head,) = told_heads(old)
    assert head == replace(measurement(), age=replace(measurement().age, equation_band=None))


def test_the_model_is_named() -> None:
    assert told_by(answer(measurement())) == MODEL


def test_a_word_of_another_version_is_not_guessed() -> None:
    strange = answer(measurement())
    strange["warnings"] = ["said_by_a_later_version"]
    with pytest.raises(ValueError, match="later_version"):
        told_heads(strange)
