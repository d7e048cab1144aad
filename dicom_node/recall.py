"""A stored answer read back: the measurement that it told, so that a study speaks in the numbers of its images.

The network is not asked again: another version of it might say something else than the reports that have left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dicom_node.answers import Answer
from inference.domain import (
    AgeSource,
    CalibrationSource,
    EllipsePx,
    GestationalAge,
    Growth,
    IndependentAge,
    IntervalDays,
    IntervalMm,
    Measurement,
    ModelIdentity,
    PixelSpacingMm,
    Reason,
    RegionPx,
    Remark,
    SizeForAge,
    Standing,
    Status,
    Trimester,
)


def told_heads(answer: Answer) -> tuple[Measurement, ...]:
    """The heads that an image's answer puts up for its study: the chosen one or, where regions disagree, one of each.

    Empty where no HC was told. Pixel coordinates are those of the answer, rounded to 0.001.

    Raises:
        ValueError: a word of the answer is unknown to this software.
    """
    if answer["status"] == Status.MEASURED:
        return (_measurement(answer),)
    if answer["reason"] != Reason.REGIONS_DISAGREE:
        return ()
    best: dict[RegionPx, Measurement] = {}
    for found in answer["measurements"]:
        if found["status"] == Status.MEASURED:
            head = _measurement(found)
            known = best.get(head.region)
            best[head.region] = head if known is None or head.quality > known.quality else known
    return tuple(best.values())


def told_by(answer: Answer) -> ModelIdentity:
    """Which weights spoke."""
    return ModelIdentity(answer["model"], answer["model_sha256"])


def _measurement(facts: Answer) -> Measurement:
    row, column = facts["pixel_spacing_mm"]
    low, high = facts["hc_low_mm"], facts["hc_high_mm"]
    return Measurement(
        frame=facts["frame"],
        region=RegionPx(*facts["region"]),
        spacing_mm=PixelSpacingMm(row, column),
        calibration_source=CalibrationSource(facts["calibration_source"]),
        ellipse=EllipsePx(**facts["ellipse"]),
        hc_mm=facts["hc_mm"],
        hc_interval=None if low is None else IntervalMm(low, high),
        bpd_mm=facts["bpd_mm"],
        ofd_mm=facts["ofd_mm"],
        cephalic_index_percent=facts["cephalic_index_percent"],
        age=_age(facts),
        quality=facts["quality"],
        warnings=tuple(Remark(word) for word in facts["warnings"]),
        colour_share=facts["colour_share"],
        calibration_detail=facts["calibration_detail"] or "",
        growth=_growth(facts),
    )


def _age(facts: Answer) -> GestationalAge:
    return GestationalAge(
        equation=facts["ga_equation"],
        days=facts["ga_days"],
        equation_band=_days(facts, "ga_equation_"),
        interval=_days(facts, "ga_"),
        trimester=None if facts["trimester"] is None else Trimester(facts["trimester"]),
        reason=None if facts["ga_reason"] is None else Reason(facts["ga_reason"]),
    )


def _days(facts: Answer, prefix: str) -> IntervalDays | None:
    """Answers of before have no equation's own band."""
    low = facts.get(f"{prefix}low_days")
    return None if low is None else IntervalDays(low, facts[f"{prefix}high_days"])


def _growth(facts: Answer) -> Growth | Reason:
    if facts["growth"] is None:
        return Reason(facts["ga_independent_reason"])
    return Growth(
        independent=IndependentAge(facts["ga_independent_days"], AgeSource(facts["ga_independent_source"])),
        sizes=tuple(_size(standard, size) for standard, size in facts["growth"].items()),
        difference_days=facts["ga_difference_days"],
        outside_two_sd=facts["ga_outside_two_sd"],
        redating_threshold_days=facts["ga_redating_threshold_days"],
    )


def _size(standard: str, size: Mapping[str, Any]) -> SizeForAge:
    return SizeForAge(
        standard=standard,
        at=_standing(size, ""),
        low=_standing(size, "_low"),
        high=_standing(size, "_high"),
        reason=None if size["reason"] is None else Reason(size["reason"]),
    )


def _standing(size: Mapping[str, Any], end: str) -> Standing | None:
    z_score = size[f"z_score{end}"]
    return None if z_score is None else Standing(z_score, size[f"percentile{end}"])
