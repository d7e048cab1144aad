"""The challenge's folder layout, its hollow annotations and the split."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.domain import EllipsePx, PixelSpacingMm
from inference.measure import circumference_mm, outline_px, to_millimetres
from inference.training.challenge import (
    TRAINING_CSV,
    ChallengeFolderError,
    Split,
    read_challenge,
    split_of,
)

ELLIPSE = EllipsePx(200.4, 150.2, 90.0, 70.0, 30.0)
PIXEL_MM = 0.2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images of one exam and one of another, as the challenge distributes them."""
    images = tmp_path / "training_set"
    images.mkdir()
    hc = circumference_mm(to_millimetres(ELLIPSE, PixelSpacingMm(PIXEL_MM, PIXEL_MM)))
    rows = ["filename,pixel size(mm),head circumference (mm)"]
    for name in ("010_HC", "010_2HC", "011_HC"):
        outline = np.zeros((300, 400), np.uint8)
        points = np.round(outline_px(ELLIPSE, 720) * 16).astype(np.int32)
        cv2.polylines(outline, [points], True, 255, 1, cv2.LINE_8, 4)
        cv2.imwrite(str(images / f"{name}.png"), np.full((300, 400), 40, np.uint8))
        cv2.imwrite(str(images / f"{name}_Annotation.png"), outline)
        rows.append(f"{name}.png,{PIXEL_MM},{hc}")
    (tmp_path / TRAINING_CSV).write_text("\n".join(rows) + "\n")
    return tmp_path


def test_images_come_with_exam_scale_and_the_experts_ellipse(folder: Path) -> None:
    images = read_challenge(folder)
    assert [(i.name, i.exam) for i in images] == [("010_HC", "010"), ("010_2HC", "010"), ("011_HC", "011")]
    fitted = images[0].ellipse()
    assert fitted.center_col_px == pytest.approx(ELLIPSE.center_col_px, abs=0.1)
    assert fitted.semi_major_px == pytest.approx(ELLIPSE.semi_major_px, abs=0.1)
    spacing = PixelSpacingMm(PIXEL_MM, PIXEL_MM)
    assert circumference_mm(to_millimetres(fitted, spacing)) == pytest.approx(images[0].hc_mm, abs=0.1)
    assert images[0].luminance().shape == (300, 400)


def test_a_folder_without_the_table_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ChallengeFolderError, match=r"training_set_pixel_size_and_HC\.csv"):
        read_challenge(tmp_path)


def test_a_missing_annotation_is_named(folder: Path) -> None:
    (folder / "training_set" / "011_HC_Annotation.png").unlink()
    with pytest.raises(ChallengeFolderError, match="011_HC_Annotation"):
        read_challenge(folder)


def test_the_split_is_fixed_for_ever() -> None:
    """Written down once: an exam that changed sides would make every figure before and after incomparable."""
    first = [str(split_of(f"{n:03d}")) for n in (0, 2, 3, 4, 5, 6, 7, 8, 9, 10)]
    assert first == ["test", "train", "validation", "train", "train", "train", "train", "train", "train", "train"]


def test_the_split_has_its_shares() -> None:
    splits = [split_of(f"{n:03d}") for n in range(806)]
    assert 0.09 < splits.count(Split.TEST) / 806 < 0.15
    assert 0.10 < splits.count(Split.VALIDATION) / 806 < 0.16
