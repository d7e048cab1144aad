"""Every limit of the gate refuses what lies beyond it, by its own name, and lets through what does not."""

import math
from dataclasses import asdict, replace

import pytest

from inference.appearance import UNSEEN
from inference.domain import REASON_TEXT, EllipsePx, Reason, RegionPx
from inference.quality import (
    Gate,
    Mask,
    Objection,
    object_to_doubt,
    object_to_mask,
    object_to_outline,
    object_to_picture,
    object_to_strangeness,
)
from inference.uncertainty import NO_EVIDENCE

OPEN = Gate(0.0, 1.0, 0.0, 0.0, 1e9, 0.0, 100.0)


def of(objection: Objection | None) -> Reason | None:
    return None if objection is None else objection.reason


@pytest.mark.parametrize(
    ("limit", "field", "beyond", "within", "reason"),
    [
        ({"highest_outside_sector": 0.05}, "outside_sector", 0.06, 0.05, Reason.HEAD_OUTSIDE_SECTOR),
        ({"lowest_bright_level": 20.0}, "bright_level", 19.0, 20.0, Reason.IMAGE_TOO_DARK),
        ({"highest_saturated": 0.2}, "saturated", 0.21, 0.2, Reason.IMAGE_SATURATED),
        ({"lowest_sharpness": 0.1}, "sharpness", 0.09, 0.1, Reason.IMAGE_BLURRED),
        ({"highest_weak_echo": 0.8}, "weak_echo", 0.81, 0.8, Reason.SKULL_ECHO_WEAK),
        ({"lowest_echo_variation": 0.1}, "echo_variation", 0.09, 0.1, Reason.ECHO_TOO_EVEN),
    ],
)
def test_limits_on_the_picture(
    limit: dict[str, float], field: str, beyond: float, within: float, reason: Reason
) -> None:
    gate = replace(OPEN, **limit)
    assert of(object_to_picture(gate, replace(UNSEEN, **{field: beyond}))) is reason
    assert object_to_picture(gate, replace(UNSEEN, **{field: within})) is None
    assert object_to_picture(OPEN, replace(UNSEEN, **{field: beyond})) is None


@pytest.mark.parametrize(
    ("limit", "field", "reason"),
    [
        ("highest_spread", "relative_spread", Reason.SPREAD_TOO_LARGE),
        ("highest_level_spread", "relative_level_spread", Reason.UNSURE_OUTLINE),
        ("highest_blur", "relative_blur", Reason.UNSURE_OUTLINE),
    ],
)
def test_limits_on_doubt(limit: str, field: str, reason: Reason) -> None:
    gate = replace(OPEN, **{limit: 0.04})
    assert of(object_to_doubt(gate, replace(NO_EVIDENCE, **{field: 0.05}))) is reason
    assert object_to_doubt(gate, replace(NO_EVIDENCE, **{field: 0.04})) is None
    assert object_to_doubt(OPEN, replace(NO_EVIDENCE, **{field: 0.9})) is None


def test_limits_on_the_mask() -> None:
    gate = replace(OPEN, highest_second_part=0.25, highest_residual=0.04, highest_hesitation=0.1)
    assert of(object_to_mask(gate, Mask(second_part=0.3))) is Reason.TWO_HEADS
    assert of(object_to_mask(gate, Mask(residual=0.05))) is Reason.UNEVEN_OUTLINE
    assert of(object_to_mask(gate, Mask(hesitation=0.11))) is Reason.UNSURE_HEAD
    assert object_to_mask(gate, Mask(0.04, 0.25, 0.1)) is None
    assert object_to_mask(OPEN, Mask(1.0, 1.0, 1.0)) is None


def test_what_is_not_a_number_passes_no_limit() -> None:
    nan = math.nan
    gate = replace(OPEN, highest_residual=0.04, lowest_sharpness=0.1, highest_blur=0.1, lowest_overlap=0.95)
    ellipse, box = EllipsePx(50.0, 40.0, 20.0, 15.0, 0.0), RegionPx(0, 0, 99, 79)
    assert of(object_to_outline(gate, nan, ellipse, box)) is Reason.POOR_ELLIPSE_FIT
    assert of(object_to_mask(gate, Mask(residual=nan))) is Reason.UNEVEN_OUTLINE
    assert of(object_to_picture(gate, replace(UNSEEN, sharpness=nan))) is Reason.IMAGE_BLURRED
    assert of(object_to_doubt(gate, replace(NO_EVIDENCE, relative_blur=nan))) is Reason.UNSURE_OUTLINE


def test_an_older_gate_has_no_newer_limit_and_every_reason_a_text() -> None:
    assert [name for name, limit in asdict(OPEN).items() if limit is None] == list(asdict(OPEN))[7:]
    assert set(REASON_TEXT) == set(Reason)


def test_hesitation_counts_for_more_where_no_bone_is_seen() -> None:
    """A faint head has a sure network, an oval of other tissue has neither; either alone would not tell them apart."""
    gate = replace(OPEN, highest_strangeness=0.012)
    unsure, faint = Mask(hesitation=0.005), replace(UNSEEN, weak_echo=0.85)
    assert object_to_strangeness(gate, unsure, replace(UNSEEN, weak_echo=0.3)) is None
    assert object_to_strangeness(gate, Mask(hesitation=0.001), faint) is None
    both = object_to_strangeness(gate, unsure, faint)
    assert both is not None
    assert both.reason is Reason.UNSURE_HEAD
    assert object_to_strangeness(gate, Mask(hesitation=math.nan), faint) is not None
    assert object_to_strangeness(OPEN, Mask(hesitation=1.0), faint) is None
