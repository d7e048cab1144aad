"""Content items that our structured reports share: who observed whom, numbers with what qualifies them, the outline.

Numbers carry the text that the page and the overlay print, so that no reader sees other digits than another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    ContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    GraphicTypeValues,
    ImageRegion,
    Measurement,
    NumContentItem,
    ObservationContext,
    ObserverContext,
    RelationshipTypeValues,
    SourceImageForMeasurement,
    SourceImageForRegion,
    SubjectContext,
    SubjectContextFetus,
    TextContentItem,
)
from highdicom.sr.coding import CodedConcept
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import UID, UltrasoundImageStorage, UltrasoundMultiFrameImageStorage

from inference.domain import EllipsePx, GestationalAge
from inference.domain import Measurement as HeadMeasurement
from inference.measure import outline_px
from sr_templates import codes, wording
from sr_templates.report import ObjectInput, ReportInput
from sr_templates.source import is_multi_frame

OUTLINE_POINTS = 96
"""An inscribed polygon of 96 points lies within 0.06 % of the ellipse's semi-axis; readers shall not measure it."""

FIRST_PIXEL_CENTRE = 0.5
"""In the coordinates of PS3.3 C.18.6 (0, 0) is the top left corner of the first pixel; ours begin at its centre."""


def outline_scoord(ellipse: EllipsePx) -> NDArray[np.float64]:
    """The closed outline [n + 1, 2], (column, row), in the coordinates of PS3.3 C.18.6."""
    points = outline_px(ellipse, OUTLINE_POINTS) + FIRST_PIXEL_CENTRE
    return np.concatenate([points, points[:1]])


def source_image(source: Dataset, frame: int) -> SourceImageForRegion:
    """The image that coordinates are selected from; `frame` (1-based) is said where the object counts frames."""
    return SourceImageForRegion(source.SOPClassUID, source.SOPInstanceUID, [frame] if is_multi_frame(source) else None)


def outline_region(source: Dataset, frame: int, ellipse: EllipsePx) -> ImageRegion:
    """The outline as coordinates that are selected from the image and its frame.

    highdicom looks the class of the image up, and knows none of the retired ones: built for a class in use
    (PS3.4 B.5), then told which one it is.
    """
    image = source_image(source, frame)
    image.ReferencedSOPSequence[0].ReferencedSOPClassUID = stand_in_class(source)
    region = ImageRegion(GraphicTypeValues.POLYLINE, outline_scoord(ellipse), image)
    region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPClassUID = source.SOPClassUID
    return region


def agreeing_frames(source: Dataset, frames: Sequence[int]) -> SourceImageForMeasurement:
    """The image and those of its frames (1-based) that a measurement was inferred from (TID 300, TID 320)."""
    image = SourceImageForMeasurement(stand_in_class(source), source.SOPInstanceUID, list(frames))
    image.ReferencedSOPSequence[0].ReferencedSOPClassUID = source.SOPClassUID
    return image


def stand_in_class(source: Dataset) -> UID:
    """The ultrasound class in use of which the image could be one, for a library that knows no other."""
    return UltrasoundMultiFrameImageStorage if is_multi_frame(source) else UltrasoundImageStorage


def observation_context(report: ObjectInput) -> ObservationContext:
    """TID 1001: this device observed (TID 1004), the fetus was observed (TID 1008)."""
    return ObservationContext(
        observer_device_context=device_context(report),
        subject_context=SubjectContext(
            CodedConcept.from_code(codes.FETUS), SubjectContextFetus(wording.SUBJECT_NOT_ASSIGNED)
        ),
    )


def device_context(report: ObjectInput) -> ObserverContext:
    """TID 1002: this device as the observer (TID 1004)."""
    equipment = report.equipment
    device = DeviceObserverIdentifyingAttributes(
        uid=equipment.device_uid,
        name=equipment.model_name,
        manufacturer_name=equipment.manufacturer,
        model_name=equipment.model_name,
        serial_number=equipment.serial,
    )
    return ObserverContext(CodedConcept.from_code(codes.DEVICE), device)


def algorithm(report: ReportInput, head: HeadMeasurement) -> AlgorithmIdentification:
    """TID 4019: which network, which software, which weights, and what made HC and age of the outline."""
    return network(report, f"equation {head.age.equation}", f"calibration {head.calibration_source}")


def network(report: ObjectInput, *further: str) -> AlgorithmIdentification:
    """TID 4019: which network, which software, which weights."""
    return AlgorithmIdentification(
        name=report.model.name,
        version=report.equipment.software_version,
        parameters=[f"weights sha256 {report.model.sha256}", *further],
        family=codes.ARTIFICIAL_INTELLIGENCE,
        manufacturer=report.equipment.manufacturer,
    )


def hc_uncertainty(head: HeadMeasurement) -> list[ContentItem]:
    """HC's interval as the ranges of upper and lower measurement uncertainty (CID 225), in mm from the value.

    Not through MeasurementProperties of highdicom, which gives these ranges the unit "no units".
    """
    if head.hc_interval is None:
        return []
    ranges = (
        (codes.UPPER_UNCERTAINTY, head.hc_interval.high - head.hc_mm),
        (codes.LOWER_UNCERTAINTY, head.hc_mm - head.hc_interval.low),
    )
    return [number_property(code, wording.tenths(range_mm), codes.MILLIMETRE) for code, range_mm in ranges]


def gestational_age(age: GestationalAge) -> Measurement:
    """The age in days, the equation it was inferred from, and that equation's own 2 SD (CID 226)."""
    children = inferred_from(_equation_code(age), wording.equation_citation(age))
    if age.equation_band is not None:
        children.append(number_property(codes.TWO_SIGMA_LOWER, str(age.equation_band.low), codes.DAY))
        children.append(number_property(codes.TWO_SIGMA_UPPER, str(age.equation_band.high), codes.DAY))
    made = number(codes.GESTATIONAL_AGE, str(age.days), codes.DAY)
    qualify(made, children)
    return made


def inferred_from(code: Code, citation: str) -> list[ContentItem]:
    """TID 315; a code of our own tells nobody where it comes from, so its citation goes with it."""
    children: list[ContentItem] = [CodeContentItem(codes.EQUATION, code, RelationshipTypeValues.INFERRED_FROM)]
    if code.scheme_designator == codes.PRIVATE_SCHEME:
        children.append(TextContentItem(codes.EQUATION_CITATION, citation, RelationshipTypeValues.INFERRED_FROM))
    return children


def comment(text: str) -> TextContentItem:
    """A sentence inside a container."""
    return TextContentItem(codes.COMMENT, text, RelationshipTypeValues.CONTAINS)


def number(name: Code, value: str, unit: Code) -> Measurement:
    """TID 300 without anything that qualifies it."""
    made = Measurement(name, float(value), unit)
    set_value(made[0], value)
    return made


def number_property(name: Code, value: str, unit: Code) -> NumContentItem:
    """A number that is a property of another one."""
    item = NumContentItem(name, float(value), unit, relationship_type=RelationshipTypeValues.HAS_PROPERTIES)
    set_value(item, value)
    return item


def number_origin(name: Code, value: str, unit: Code) -> NumContentItem:
    """A number that another one was inferred from."""
    item = NumContentItem(name, float(value), unit, relationship_type=RelationshipTypeValues.INFERRED_FROM)
    set_value(item, value)
    return item


def set_value(item: Dataset, value: str) -> None:
    """Numeric Value (0040,A30A) says the text exactly; its floating point twin is for values that need more."""
    measured = item.MeasuredValueSequence[0]
    measured.NumericValue = value
    measured.pop("FloatingPointValue", None)


def qualify(made: Measurement, children: Sequence[ContentItem]) -> None:
    """Put `children` below the number, after those that it has."""
    if children:
        made[0].ContentSequence = ContentSequence([*(made[0].get("ContentSequence") or ()), *children])


def _equation_code(age: GestationalAge) -> Code:
    """A published code only for the equation it names; whatever else comes is private and carries its own name."""
    known = codes.EQUATION_CODES.get(age.equation)
    return known or Code(age.equation[:16], codes.PRIVATE_SCHEME, age.equation[:64])
