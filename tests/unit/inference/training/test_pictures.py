"""The worst cases are drawn twice: outlines alone, and over their images."""

from pathlib import Path

import cv2
import numpy as np

from inference.training.pictures import draw_worst_images, draw_worst_outlines
from tests.unit.inference.training.rows import rows


def test_outlines_stand_on_white_and_images_under_them(tmp_path: Path) -> None:
    some = rows([1.0, 6.0], (180.0, 200.0))
    alone = cv2.imread(str(draw_worst_outlines(some, tmp_path / "outlines.png")), cv2.IMREAD_GRAYSCALE)
    images = {row.image: np.zeros((400, 600), np.uint8) for row in some}
    over = cv2.imread(str(draw_worst_images(some, images, tmp_path / "new" / "images.png")), cv2.IMREAD_GRAYSCALE)
    assert alone.shape == over.shape
    assert np.mean(alone > 250) > 0.9, "nothing but lines and letters"
    assert np.mean(over < 5) > np.mean(alone < 5) + 0.05
