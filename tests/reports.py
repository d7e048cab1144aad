"""Measurements and report inputs for tests: a phantom whose ellipse is known, as if the node had measured it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from inference.consensus import consensus
from inference.dating import HADLOCK_1984, Equation, date_by_hc, dating_warnings
from inference.domain import (
    Abstention,
    AgeSource,
    CalibrationSource,
    Consensus,
    EllipseMm,
    EllipsePx,
    Examination,
    Explanation,
    Finding,
    IndependentAge,
    IntervalMm,
    Measurement,
    ModelIdentity,
    OperatorHc,
    PixelSpacingMm,
    Reason,
    RegionPx,
    Remark,
)
from inference.growth import compare
from inference.measure import circumference_mm, inside_distance_px, shift
from sr_templates.cine import Cine, consensus_strip
from sr_templates.report import AbstentionInput, ObjectInput, ReportInput
from sr_templates.strip import Strip
from sr_templates.uids import UidEntropy, equipment, result_uids
from tests.ultrasound import us_image, us_multiframe, us_region

ROWS, COLUMNS = 240, 320
REGION = RegionPx(40, 30, 299, 219)
SPACING = PixelSpacingMm(0.5, 0.5)
ELLIPSE = EllipsePx(170.0, 125.0, 70.0, 55.0, 25.0)
CREATED = datetime(2026, 1, 2, 9, 31, tzinfo=UTC)
SHA256 = "ab" * 32


def measurement(equation: Equation = HADLOCK_1984, **changes: Any) -> Measurement:
    """What the node would say about `ELLIPSE` (HC 197.1 mm); the interval is 2.5 mm either way."""
    axes = EllipseMm(0.0, 0.0, ELLIPSE.semi_major_px * SPACING.column, ELLIPSE.semi_minor_px * SPACING.row, 0.0)
    hc_mm = changes.pop("hc_mm", round(circumference_mm(axes), 1))
    interval = changes.pop("hc_interval", IntervalMm(round(hc_mm - 2.5, 1), round(hc_mm + 2.5, 1)))
    age = date_by_hc(hc_mm, interval, equation)
    warnings = [Remark.PLANE_NOT_VERIFIED, *dating_warnings(hc_mm, age)]
    if interval is None:
        warnings.append(Remark.INTERVAL_NOT_CALIBRATED)
    made = Measurement(
        frame=1,
        region=REGION,
        spacing_mm=SPACING,
        calibration_source=CalibrationSource.ULTRASOUND_REGION,
        ellipse=ELLIPSE,
        hc_mm=hc_mm,
        hc_interval=interval,
        bpd_mm=55.0,
        ofd_mm=70.0,
        cephalic_index_percent=78.6,
        age=age,
        quality=0.9853,
        warnings=tuple(warnings),
    )
    return replace(made, **changes)


def explanation(head: Measurement | None = None, **changes: Any) -> Explanation:
    """What spoke for the head: most in its middle, nothing outside; doubt in a band around its outline."""
    head = measurement() if head is None else head
    box = head.region
    inside = inside_distance_px(shift(head.ellipse, -box.min_column, -box.min_row), box.rows, box.columns)
    attention = np.clip(inside / head.ellipse.semi_minor_px, 0.0, 1.0).astype(np.float32)
    deviation = (0.2 * np.exp(-((inside / 4.0) ** 2))).astype(np.float32)
    return replace(Explanation(box, attention, deviation, 6), **changes)


def agreed(findings: Sequence[Finding]) -> Consensus:
    """What they say together."""
    together = consensus(findings)
    assert together is not None
    return together


def agreed_strip(findings: Sequence[Finding]) -> Strip:
    return consensus_strip(findings, agreed(findings))


def cine(frames: Sequence[int] = (1, 2, 3), **changes: Any) -> Cine:
    """Frames of the picture; the second was chosen, nothing was measured in the last; 40 ms from frame to frame."""
    findings: list[Finding] = [measurement(frame=number, quality=0.96) for number in frames]
    findings[1] = measurement(frame=frames[1], hc_mm=198.4)
    findings[-1] = abstention(frame=frames[-1])
    made = Cine(
        findings=tuple(findings),
        chosen=1,
        frame_count=frames[-1],
        picture=lambda _number: picture(),
        times_ms=tuple(40.0 * (number - 1) for number in frames),
        strip=agreed_strip(findings),
    )
    return replace(made, **changes)


def abstention(**changes: Any) -> Abstention:
    """An outline that is seen, and of which nothing is said."""
    source = CalibrationSource.ULTRASOUND_REGION
    return replace(Abstention(1, REGION, SPACING, source, Reason.UNSURE_OUTLINE, "", ELLIPSE, 0.9), **changes)


def frames(head: Measurement, examined: int = 16, silent: tuple[int, ...] = (4, 9)) -> tuple[Finding, ...]:
    """Every third frame of a cine: `head` speaks in the fifth of them, the `silent` ones have no number."""
    found: list[Finding] = []
    for place in range(1, examined + 1):
        hc_mm = round(head.hc_mm + 0.6 * (place * 37 % 11 - 5), 1)
        interval = None if head.hc_interval is None else IntervalMm(round(hc_mm - 2.5, 1), round(hc_mm + 2.5, 1))
        other = replace(head, frame=3 * place, hc_mm=hc_mm, hc_interval=interval)
        mute = Abstention(
            3 * place, head.region, head.spacing_mm, head.calibration_source, Reason.NO_HEAD_FOUND, "", None, None
        )
        found.append(mute if place in silent else replace(head, frame=15) if place == 5 else other)
    return tuple(found)


def with_lmp(head: Measurement, days: int) -> Measurement:
    """The same head in a pregnancy of so many days by last menstrual date."""
    looked = Examination((head,), 0, (head.frame,), ModelIdentity("efficientnet-lite0-unet", SHA256), 0.1)
    (finding,) = compare(looked, IndependentAge(days, AgeSource.LAST_MENSTRUAL_DATE)).findings
    assert isinstance(finding, Measurement)
    return finding


def beside_operator(head: Measurement, hc_mm: float) -> Measurement:
    """The same head, whose HC the sonographer measured too."""
    return replace(head, operator=OperatorHc(hc_mm, "1.2.3.70.1"))


def picture(rows: int = ROWS, columns: int = COLUMNS) -> NDArray[np.uint8]:
    """Speckle in the region, black elsewhere; uint8 RGB [rows, columns, 3]."""
    pixels = np.zeros((rows, columns, 3), np.uint8)
    box = REGION
    shape = pixels[box.min_row : box.max_row + 1, box.min_column : box.max_column + 1, :1].shape
    speckle = np.random.default_rng(7).integers(10, 120, shape, dtype=np.uint8)
    pixels[box.min_row : box.max_row + 1, box.min_column : box.max_column + 1] = speckle
    return pixels


def stored(dataset: Dataset) -> Dataset:
    """The header as the node sees it: written, read back, elements still raw."""
    content = BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    content.seek(0)
    return dcmread(content, stop_before_pixels=True)


def source(**attributes: Any) -> Dataset:
    """Header of a single-frame source with a calibrated region."""
    return stored(us_image(picture(), [_region()], **{"SOPInstanceUID": "1.2.3.4.5", **attributes}))


def multiframe_source(frames: int = 3, **attributes: Any) -> Dataset:
    """Header of a cine loop."""
    return stored(us_multiframe(np.stack([picture()] * frames), [_region()], **attributes))


def report(header: Dataset | None = None, **changes: Any) -> ReportInput:
    """Everything a builder needs; any field can be replaced by keyword."""
    header = source() if header is None else header
    entropy = UidEntropy(header.StudyInstanceUID, header.SOPInstanceUID, 0, (1,), SHA256, "0.1.0", "torch-cpu/fp32")
    made = ReportInput(
        source=header,
        measurement=measurement(),
        model=ModelIdentity("efficientnet-lite0-unet", SHA256),
        equipment=equipment("0.1.0", "FETALHC"),
        uids=result_uids(entropy),
        created=CREATED,
        interval_coverage=0.95,
    )
    return replace(made, **changes)


@dataclass(frozen=True, slots=True)
class Written:
    """A result object as bytes and as it reads back."""

    content: bytes
    dataset: Dataset


def written(dataset: Dataset) -> Written:
    """Write as a DICOM file in memory and read it again."""
    content = BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return Written(content.getvalue(), dcmread(BytesIO(content.getvalue())))


def _region() -> Dataset:
    box = (REGION.min_column, REGION.min_row, REGION.max_column, REGION.max_row)
    return us_region(box, (SPACING.column / 10.0, SPACING.row / 10.0))


def abstained(header: Dataset | None = None, **changes: Any) -> AbstentionInput:
    """Everything that the report of an abstention needs; any field can be replaced by keyword."""
    facts = report(header)
    shared = {each.name: getattr(facts, each.name) for each in fields(ObjectInput)}
    return replace(AbstentionInput(**shared, abstention=abstention()), **changes)
