"""A random view moves picture and truth together."""

import numpy as np
import pytest

from inference.domain import EllipsePx
from inference.measure import fit_ellipse_mm, inside_distance_px, map_ellipse
from inference.preprocess import Grid, plan, to_grid
from inference.segment import largest_component, outline_points
from inference.training.augmentation import letterbox_affine, targets, view

GRID = Grid(256, 384)
TRUTH = EllipsePx(400, 270, 150, 115, 30)


@pytest.mark.parametrize("seed", range(12))
def test_the_bright_disc_of_the_view_lies_on_its_target(seed: int) -> None:
    picture = (np.clip(0.5 + inside_distance_px(TRUTH, 540, 800), 0, 1) * 200).astype(np.uint8)
    sample = view(picture, TRUTH, GRID, np.random.default_rng(seed))
    assert sample.grey.shape == sample.target.shape == sample.weight.shape == (256, 384)
    inside, outside = sample.grey[sample.target > 0.99], sample.grey[sample.target < 0.01]
    assert np.median(inside) > np.median(outside) + 30
    seen = np.abs(sample.grey[(sample.target > 0.01)].mean())
    assert seen > 30


def test_targets_carry_the_ellipse_without_bias() -> None:
    """A filled polygon would paint half a pixel outside; the ramp's 0.5 level is the outline itself."""
    ellipse = EllipsePx(190.3, 130.6, 100, 78, 20)
    target, weight = targets(inside_distance_px(ellipse, GRID.rows, GRID.columns))
    fitted = fit_ellipse_mm(outline_points(target, largest_component(target, 0.5), 0.5))
    assert fitted.semi_major_mm == pytest.approx(100, abs=0.05)
    assert fitted.semi_minor_mm == pytest.approx(78, abs=0.05)
    assert weight.max() == pytest.approx(5.0, abs=0.2)
    assert weight.min() == pytest.approx(1.0, abs=1e-3)


def test_no_head_means_an_empty_target() -> None:
    sample = view(np.full((540, 800), 80, np.uint8), None, GRID, np.random.default_rng(1))
    assert sample.target.max() == 0
    assert sample.weight.min() == 1


def test_an_ellipse_follows_its_affine_map() -> None:
    moved = map_ellipse(EllipsePx(10, 20, 8, 5, 0), np.array([[2.0, 0.0, 1.0], [0.0, 2.0, -3.0]]))
    assert moved.center_col_px == pytest.approx(21)
    assert moved.center_row_px == pytest.approx(37)
    assert moved.semi_major_px == pytest.approx(16)


@pytest.mark.parametrize("shape", [(540, 800), (768, 1024), (400, 300)])
def test_training_and_use_see_the_head_in_the_same_place(shape: tuple[int, int]) -> None:
    """Without jitter the affine view and the letterbox of inference give the same outline: no half-pixel slip."""
    rows, columns = shape
    ellipse = EllipsePx(columns * 0.48, rows * 0.52, min(shape) * 0.3, min(shape) * 0.24, 35.0)
    picture = (np.clip(0.5 + inside_distance_px(ellipse, rows, columns), 0, 1) * 255).astype(np.uint8)
    box = plan(rows, columns, None, GRID)
    seen = to_grid(picture, box, GRID) / 255.0
    fitted = fit_ellipse_mm(outline_points(seen, largest_component(seen, 0.5), 0.5))
    moved = map_ellipse(ellipse, letterbox_affine(rows, columns, GRID)[:2])
    assert fitted.center_x_mm == pytest.approx(moved.center_col_px, abs=0.05)
    assert fitted.center_y_mm == pytest.approx(moved.center_row_px, abs=0.05)
    assert fitted.semi_major_mm == pytest.approx(moved.semi_major_px, rel=2e-3)
    assert fitted.semi_minor_mm == pytest.approx(moved.semi_minor_px, rel=2e-3)
