"""Exams for the viewer: a source image whose head is known, and every object that we make of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileDataset

from inference.domain import EllipseMm, RegionPx
from inference.measure import circumference_mm
from inference.phantom import PhantomImage
from sr_templates.abstention import build_abstention
from sr_templates.capture import build_overlay
from sr_templates.pdf import build_pdf
from sr_templates.report import Picture, ReportInput
from sr_templates.tid1500 import build_tid1500
from sr_templates.tid5000 import build_tid5000
from tests.phantoms import head_phantom
from tests.reports import abstained, measurement, report, stored, with_lmp, written
from tests.ultrasound import us_image, us_multiframe, us_region

HEAD = 2
SHAPE = (540, 800)
SOURCE_SERIES = "2nd trimester biometry"
MEASURED_FRAME = 2

BUILDERS: tuple[Callable[[ReportInput, Picture], Dataset], ...] = (
    lambda facts, _: build_tid1500(facts),
    build_pdf,
    build_overlay,
    lambda facts, _: build_tid5000(facts),
    lambda facts, _: build_abstention(abstained(facts.source)),
)
"""What is made of one image; a new kind of object is looked at by adding its builder here."""


@dataclass(frozen=True)
class Exam:
    """One study: the facts that the objects say, and all its files (the source image first)."""

    facts: ReportInput
    files: tuple[bytes, ...]

    @property
    def study_instance_uid(self) -> str:
        return str(self.facts.source.StudyInstanceUID)


def single_frame() -> Exam:
    phantom = head_phantom(HEAD, shape=SHAPE)
    return _exam(phantom, us_image(phantom.luminance, [_region(phantom)], SeriesDescription=SOURCE_SERIES), frame=1)


def cine() -> Exam:
    """Three frames; only `MEASURED_FRAME` shows the head of the objects."""
    phantom, empty = head_phantom(HEAD, shape=SHAPE), head_phantom(HEAD, shape=SHAPE, with_head=False)
    frames = np.stack([empty.luminance, phantom.luminance, empty.luminance])
    return _exam(phantom, us_multiframe(frames, [_region(phantom)], SeriesDescription=SOURCE_SERIES), MEASURED_FRAME)


def _region(phantom: PhantomImage) -> Dataset:
    rows, columns = SHAPE
    spacing = phantom.spacing_mm
    return us_region((0, 0, columns - 1, rows - 1), (spacing.column / 10.0, spacing.row / 10.0))


def _exam(phantom: PhantomImage, image: FileDataset, frame: int) -> Exam:
    ellipse, spacing = phantom.ellipse_px, phantom.spacing_mm
    assert ellipse is not None
    minor, major = 2 * ellipse.semi_minor_px * spacing.row, 2 * ellipse.semi_major_px * spacing.row
    hc_mm = circumference_mm(EllipseMm(0.0, 0.0, major / 2, minor / 2, 0.0))
    found = measurement(
        hc_mm=round(hc_mm, 1),
        frame=frame,
        region=RegionPx(0, 0, SHAPE[1] - 1, SHAPE[0] - 1),
        spacing_mm=spacing,
        ellipse=ellipse,
        bpd_mm=round(minor, 1),
        ofd_mm=round(major, 1),
        cephalic_index_percent=round(100 * minor / major, 1),
    )
    assert found.age is not None
    facts = replace(report(stored(image)), measurement=with_lmp(found, round(found.age.days)))
    picture = np.stack([phantom.luminance] * 3, axis=-1)
    made = [build(facts, picture) for build in BUILDERS]
    return Exam(facts, (written(image).content, *(written(each).content for each in made)))
