"""Dice and HC of a mask, against shapes whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from inference.domain import EllipsePx, PixelSpacingMm
from inference.measure import circumference_mm, inside_distance_px, to_millimetres
from inference.overlap import filled, overlap_with

HEAD = EllipsePx(200.0, 150.0, 120.0, 90.0, 20.0)
SPACING = PixelSpacingMm(0.2, 0.3)


def mask_of(ellipse: EllipsePx) -> np.ndarray:
    return inside_distance_px(ellipse, 300, 400) > 0


def test_the_same_shape_overlaps_wholly_and_has_the_same_hc() -> None:
    overlap = overlap_with(HEAD, mask_of(HEAD), SPACING)
    assert overlap.dice == 1.0
    assert overlap.true_hc_mm == pytest.approx(circumference_mm(to_millimetres(HEAD, SPACING)), abs=0.2)


def test_dice_of_two_squares_is_that_of_the_formula() -> None:
    true = np.zeros((300, 400), bool)
    true[:, :200] = True  # half of an ellipse that is centred on the border between two pixels
    overlap = overlap_with(EllipsePx(199.5, 150.0, 120.0, 90.0, 0.0), true, None)
    area = int(overlap.found.sum())
    assert overlap.dice == pytest.approx(2 * (area / 2) / (area + 300 * 200), abs=1e-3)
    assert overlap.true_hc_mm is None


def test_an_outline_is_filled_and_a_mask_stays() -> None:
    mask = mask_of(HEAD)
    inner = mask_of(EllipsePx(200.0, 150.0, 117.0, 87.0, 20.0))
    assert np.array_equal(filled(mask & ~inner), mask)
    assert np.array_equal(filled(mask), mask)


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        overlap_with(HEAD, np.zeros((300, 400), bool), SPACING)


def test_a_line_has_no_circumference() -> None:
    line = np.zeros((300, 400), bool)
    line[150, 100:103] = True
    assert overlap_with(HEAD, line, SPACING).dice < 0.001
