"""The demonstration's study says what it shows."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from dicom_node.demo.phantoms import DEMO_FAMILIES, head_with, spacing_for
from dicom_node.demo.study import LEFT, PICTURE, SCENES, SCREEN, TOP, Scene, us_object
from inference.domain import PixelSpacingMm
from inference.measure import circumference_mm
from inference.training.phantoms import TRAINING_FAMILIES
from tests.phantoms import TEST_FAMILIES


def test_scenes_cover_what_the_demonstration_promises() -> None:
    assert {scene.compressed for scene in SCENES} == {True, False}
    assert any(scene.hc_mm is None for scene in SCENES)
    assert any(not scene.calibrated for scene in SCENES)
    assert any(scene.frames > 1 for scene in SCENES)
    assert len({scene.seed for scene in SCENES}) == len(SCENES)


def test_families_are_nobody_elses() -> None:
    assert not {f.name for f in DEMO_FAMILIES} & {f.name for f in (*TRAINING_FAMILIES, *TEST_FAMILIES)}


@pytest.mark.parametrize("hc_mm", [84.0, 202.0, 312.0])
def test_head_has_the_known_circumference_and_lies_in_the_picture(hc_mm: float) -> None:
    spacing = spacing_for(hc_mm, PICTURE[0])
    head = head_with(hc_mm, PICTURE, spacing, 20.0)
    assert circumference_mm(head) == pytest.approx(hc_mm, abs=0.01)
    assert head.center_y_mm + head.semi_major_mm < (PICTURE[0] - 1) * spacing.row
    assert head.center_y_mm - head.semi_major_mm > 0


def test_region_frames_the_picture_and_carries_centimetres() -> None:
    dataset = us_object(Scene("one", 1, 200.0))
    (region,) = dataset.SequenceOfUltrasoundRegions
    spacing: PixelSpacingMm = spacing_for(200.0, PICTURE[0])
    assert (region.PhysicalDeltaX * 10.0, region.PhysicalDeltaY * 10.0) == pytest.approx((spacing.column, spacing.row))
    assert (region.RegionLocationMinX0, region.RegionLocationMinY0) == (LEFT, TOP)
    assert region.RegionLocationMaxX1 - region.RegionLocationMinX0 + 1 == PICTURE[1]
    pixels = dataset.pixel_array
    assert pixels.shape == (*SCREEN, 3)
    inside = pixels[TOP : TOP + PICTURE[0], LEFT : LEFT + PICTURE[1]]
    assert np.array_equal(inside[..., 0], inside[..., 2])  # grey where the region says so
    assert not np.array_equal(pixels[..., 0], pixels[..., 2])  # a coloured interface around it


def test_transfer_syntaxes_and_calibration() -> None:
    assert us_object(Scene("a", 1, None)).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    compressed = us_object(Scene("b", 1, None, compressed=True, calibrated=False))
    assert compressed.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    assert "SequenceOfUltrasoundRegions" not in compressed
    assert compressed.pixel_array.shape == (*SCREEN, 3)
