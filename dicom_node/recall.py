"""A stored answer read back: the measurement that it told, so that a study speaks in the numbers of its images.

The network is not asked again: another version of it might say something else than the reports that have left. What
another age says of HC is not read back: it is compared anew, since the machine's own report often comes last.
"""

from __future__ import annotations

from dicom_node.answers import Answer
from inference.domain import (
    Abstention,
    Advice,
    CalibrationSource,
    Consensus,
    EllipsePx,
    Finding,
    GestationalAge,
    IntervalDays,
    IntervalMm,
    Measurement,
    ModelIdentity,
    PixelSpacingMm,
    Reason,
    RegionPx,
    Remark,
    Status,
    Trimester,
)
from sr_templates.wording import DISCORDANCE


def told_heads(answer: Answer) -> tuple[Measurement, ...]:
    """The heads that an image's answer puts up for its study: the chosen one or, where regions disagree, one of each.

    Empty where no HC was told. Without growth and without the operator's HC. Pixel coordinates are those of the
    answer, rounded to 0.001.

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


def told_frames(answer: Answer) -> tuple[Finding, ...]:
    """The findings of all examined frames in the region of the chosen one; of a still, that one. Raises ValueError."""
    return tuple(_finding(found) for found in answer["measurements"] if found["region"] == answer["region"])


def told_consensus(answer: Answer) -> Consensus | None:
    """What the frames of a cine said together; None of a still, and of answers of before. Raises ValueError."""
    cine = answer.get("cine")
    if cine is None or "weights" not in cine:
        return None
    advice, why = cine["advice"], cine["advice_reason"]
    return Consensus(
        hc_mm=cine["hc_mm"],
        deviation_mm=cine["hc_deviation_mm"],
        weights=tuple(cine["weights"]),
        reliability=cine["reliability"],
        freeze_frame=cine["freeze_frame"],
        frames_used=tuple(cine["frames_agreeing"]),
        advice=None if advice is None else Advice(advice),
        why=None if why is None else Reason(why),
    )


def told_by(answer: Answer) -> ModelIdentity:
    """Which weights spoke."""
    return ModelIdentity(answer["model"], answer["model_sha256"])


def _finding(facts: Answer) -> Finding:
    """An abstention without its detail."""
    if facts["status"] == Status.MEASURED:
        return _measurement(facts)
    spacing, ellipse = facts["pixel_spacing_mm"], facts["ellipse"]
    return Abstention(
        frame=facts["frame"],
        region=RegionPx(*facts["region"]),
        spacing_mm=None if spacing is None else PixelSpacingMm(*spacing),
        calibration_source=CalibrationSource(facts["calibration_source"]),
        reason=Reason(facts["reason"]),
        detail="",
        ellipse=None if ellipse is None else EllipsePx(**ellipse),
        quality=facts["quality"],
        colour_share=facts["colour_share"],
        cephalic_index_percent=facts["cephalic_index_percent"],
        calibration_detail=facts["calibration_detail"] or "",
    )


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
        warnings=tuple(remark for remark in map(Remark, facts["warnings"]) if remark not in DISCORDANCE),
        colour_share=facts["colour_share"],
        calibration_detail=facts["calibration_detail"] or "",
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
