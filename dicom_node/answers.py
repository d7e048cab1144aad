"""One answer per file: the JSON of `measure`, of the stored result and of the API. Keys may be added, never renamed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple
from typing import Any

from dicom_node.errors import InstanceRefused
from inference.domain import (
    ADVICE_TEXT,
    REASON_TEXT,
    Abstention,
    Consensus,
    EllipsePx,
    Examination,
    Finding,
    Growth,
    IntervalMm,
    Measurement,
    ModelIdentity,
    PixelSpacingMm,
    Reason,
    RegionPx,
    SizeForAge,
    Standing,
    Status,
)

Answer = dict[str, Any]
PIXEL_DECIMALS = 3
GROWTH_KEYS = (
    "ga_independent_days",
    "ga_independent_source",
    "ga_independent_reason",
    "ga_difference_days",
    "ga_outside_two_sd",
    "ga_redating_threshold_days",
    "ga_beyond_redating_threshold",
    "growth",
)
OPERATOR_KEYS = ("operator_hc_mm", "hc_difference_mm", "hc_difference_percent")


def examined(
    file: str | None,
    sop_instance_uid: str | None,
    examination: Examination,
    frame_times_ms: Sequence[float] | None = None,
) -> Answer:
    """The answer for an object that was looked at; the chosen finding at the top, all of them in `measurements`.

    `frame_times_ms`: when each frame of the object was taken, in milliseconds since the first; None where not known.
    """
    return {
        "sop_instance_uid": sop_instance_uid,
        "file": file,
        **_timed(examination.finding, frame_times_ms),
        "frames_used": list(examination.frames_used),
        "cine": _cine(examination.consensus),
        **_model_facts(examination.model),
        "seconds": round(examination.seconds, 3),
        "measurements": [_timed(finding, frame_times_ms) for finding in examination.findings],
    }


def refused(
    file: str | None, sop_instance_uid: str | None, refusal: InstanceRefused, model: ModelIdentity, seconds: float
) -> Answer:
    """The answer for an object that cannot be looked at."""
    return {
        "sop_instance_uid": sop_instance_uid,
        "file": file,
        **_nothing(Status.REFUSED, refusal.reason, refusal.detail),
        "frames_used": [],
        "cine": None,
        **_model_facts(model),
        "seconds": round(seconds, 3),
        "measurements": [],
    }


def _cine(together: Consensus | None) -> Answer | None:
    """What the frames of a cine say together; null for a still, and where no frame has a number."""
    if together is None:
        return None
    advice, why = together.advice, together.why
    return {
        "hc_mm": together.hc_mm,
        "hc_deviation_mm": together.deviation_mm,
        "reliability": together.reliability,
        "freeze_frame": together.freeze_frame,
        "frames_agreeing": list(together.frames_used),
        "weights": [round(weight, 4) for weight in together.weights],
        "advice": None if advice is None else str(advice),
        "advice_text": None if advice is None else ADVICE_TEXT[advice],
        "advice_reason": None if why is None else str(why),
    }


def frame_weights(answer: Mapping[str, Any]) -> list[tuple[int, float]]:
    """Frame and weight of what was examined of a cine, where its frames say something together; else empty.

    Answers of earlier versions of the software know of none.
    """
    together = answer.get("cine")
    if together is None:
        return []
    there = [finding["frame"] for finding in answer["measurements"] if finding["region"] == answer["region"]]
    return sorted(zip(there, together["weights"], strict=True))


def finding_facts(finding: Finding) -> Answer:
    """The keys that every finding has; those without a value are null."""
    if isinstance(finding, Abstention):
        return {
            **_nothing(Status.ABSTAINED, finding.reason, finding.detail),
            "frame": finding.frame,
            "region": _box(finding.region),
            "cephalic_index_percent": finding.cephalic_index_percent,
            "calibration_source": str(finding.calibration_source),
            "calibration_detail": finding.calibration_detail or None,
            "pixel_spacing_mm": _spacing(finding.spacing_mm),
            "ellipse": _ellipse(finding.ellipse),
            "quality": finding.quality,
            "colour_share": finding.colour_share,
        }
    return {**_nothing(Status.MEASURED, None, ""), **_measurement_facts(finding)}


def _timed(finding: Finding, frame_times_ms: Sequence[float] | None) -> Answer:
    time = None if frame_times_ms is None else round(frame_times_ms[finding.frame - 1], 3)
    return {**finding_facts(finding), "frame_time_ms": time}


def _measurement_facts(measurement: Measurement) -> Answer:
    interval: IntervalMm | None = measurement.hc_interval
    age = measurement.age
    return {
        "frame": measurement.frame,
        "region": _box(measurement.region),
        "hc_mm": measurement.hc_mm,
        "hc_low_mm": None if interval is None else interval.low,
        "hc_high_mm": None if interval is None else interval.high,
        "hc_interval_reason": None if interval is not None else str(Reason.NOT_CALIBRATED_YET),
        "bpd_mm": measurement.bpd_mm,
        "ofd_mm": measurement.ofd_mm,
        "cephalic_index_percent": measurement.cephalic_index_percent,
        "ga_days": age.days,
        "ga_low_days": None if age.interval is None else age.interval.low,
        "ga_high_days": None if age.interval is None else age.interval.high,
        "ga_equation_low_days": None if age.equation_band is None else age.equation_band.low,
        "ga_equation_high_days": None if age.equation_band is None else age.equation_band.high,
        "ga_equation": age.equation,
        "ga_reason": None if age.reason is None else str(age.reason),
        "ga_interval_reason": None if age.interval_reason is None else str(age.interval_reason),
        "trimester": None if age.trimester is None else str(age.trimester),
        "calibration_source": str(measurement.calibration_source),
        "calibration_detail": measurement.calibration_detail or None,
        "pixel_spacing_mm": _spacing(measurement.spacing_mm),
        "ellipse": _ellipse(measurement.ellipse),
        "quality": measurement.quality,
        "colour_share": measurement.colour_share,
        **_growth_facts(measurement.growth),
        "operator_hc_mm": None if measurement.operator is None else measurement.operator.hc_mm,
        "hc_difference_mm": measurement.difference_mm,
        "hc_difference_percent": measurement.difference_percent,
        "warnings": [str(w) for w in measurement.warnings],
    }


def _nothing(status: Status, reason: Reason | None, detail: str) -> Answer:
    numbers: Sequence[str] = [
        "frame",
        "frame_time_ms",
        "region",
        "hc_mm",
        "hc_low_mm",
        "hc_high_mm",
        "hc_interval_reason",
        "bpd_mm",
        "ofd_mm",
        "cephalic_index_percent",
        "ga_days",
        "ga_low_days",
        "ga_high_days",
        "ga_equation_low_days",
        "ga_equation_high_days",
        "ga_equation",
        "ga_reason",
        "ga_interval_reason",
        "trimester",
        "calibration_source",
        "calibration_detail",
        "pixel_spacing_mm",
        "ellipse",
        "quality",
        "colour_share",
        *GROWTH_KEYS,
        *OPERATOR_KEYS,
    ]
    return {
        "status": str(status),
        "reason": None if reason is None else str(reason),
        "reason_text": None if reason is None else f"{REASON_TEXT[reason]} {detail}".strip(),
        **dict.fromkeys(numbers),
        "warnings": [],
    }


def _growth_facts(growth: Growth | Reason) -> Answer:
    """What an independent age says; null without one, and then `ga_independent_reason` says why."""
    if isinstance(growth, Reason):
        return {**dict.fromkeys(GROWTH_KEYS), "ga_independent_reason": str(growth)}
    return {
        "ga_independent_days": growth.independent.days,
        "ga_independent_source": str(growth.independent.source),
        "ga_independent_reason": None,
        "ga_difference_days": growth.difference_days,
        "ga_outside_two_sd": growth.outside_two_sd,
        "ga_redating_threshold_days": growth.redating_threshold_days,
        "ga_beyond_redating_threshold": growth.beyond_redating_threshold,
        "growth": {size.standard: _size(size) for size in growth.sizes},
    }


def _size(size: SizeForAge) -> Answer:
    """z-score and percentile by one standard, at HC and at the ends of its interval."""
    return {
        **_standing(size.at, ""),
        **_standing(size.low, "_low"),
        **_standing(size.high, "_high"),
        "reason": None if size.reason is None else str(size.reason),
    }


def _standing(standing: Standing | None, end: str) -> Answer:
    return {
        f"z_score{end}": None if standing is None else standing.z_score,
        f"percentile{end}": None if standing is None else standing.percentile,
    }


def _box(region: RegionPx | None) -> list[int] | None:
    """[min column, min row, max column, max row], inclusive, in pixels of the frame."""
    return None if region is None else list(astuple(region))


def _spacing(spacing: PixelSpacingMm | None) -> list[float] | None:
    return None if spacing is None else [spacing.row, spacing.column]


def _ellipse(ellipse: EllipsePx | None) -> dict[str, float] | None:
    return None if ellipse is None else {k: round(v, PIXEL_DECIMALS) for k, v in asdict(ellipse).items()}


def _model_facts(model: ModelIdentity) -> Answer:
    return {"model": model.name, "model_sha256": model.sha256}
