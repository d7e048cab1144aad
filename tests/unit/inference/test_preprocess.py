"""The grid keeps millimetres square and pixel centres where they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.domain import EllipsePx, PixelSpacingMm
from inference.measure import inside_distance_px
from inference.preprocess import Grid, Normalisation, plan, to_grid

GRID = Grid(256, 384)
sizes = st.integers(60, 1200)
spacings = st.builds(PixelSpacingMm, st.floats(0.05, 0.5), st.floats(0.05, 0.5))


@given(sizes, sizes, spacings)
def test_points_go_to_the_grid_and_back(rows: int, columns: int, spacing: PixelSpacingMm) -> None:
    box = plan(rows, columns, spacing, GRID)
    points = np.array([[0.0, 0.0], [columns - 1.0, rows - 1.0], [columns / 3, rows / 2]])
    assert box.to_region(box.to_grid(points)) == pytest.approx(points, abs=1e-6)


@given(sizes, sizes, spacings)
def test_the_whole_region_lies_inside_the_grid(rows: int, columns: int, spacing: PixelSpacingMm) -> None:
    box = plan(rows, columns, spacing, GRID)
    corners = box.to_grid(np.array([[-0.5, -0.5], [columns - 0.5, rows - 0.5]]))
    assert corners.min() >= -0.5 - 1e-9
    assert corners[1, 0] <= GRID.columns - 0.5 + 1e-9
    assert corners[1, 1] <= GRID.rows - 0.5 + 1e-9


@pytest.mark.parametrize("spacing", [PixelSpacingMm(0.1, 0.1), PixelSpacingMm(0.2, 0.1), PixelSpacingMm(0.1, 0.17)])
def test_millimetres_are_square_on_the_grid(spacing: PixelSpacingMm) -> None:
    box = plan(540, 800, spacing, GRID)
    assert box.column_scale / spacing.column == pytest.approx(box.row_scale / spacing.row, rel=0.01)


@pytest.mark.parametrize(("rows", "columns"), [(540, 800), (300, 700), (200, 90), (128, 192)])
def test_a_disc_stays_where_it_is(rows: int, columns: int) -> None:
    """The centre of mass of a soft disc moves as the map says, to a tenth of a grid pixel: no half-pixel slip."""
    centre = np.array([[columns * 0.4 + 0.3, rows * 0.55 - 0.2]])
    radius = min(rows, columns) / 4
    disc = np.clip(0.5 + inside_distance_px(EllipsePx(*centre[0], radius, radius, 0), rows, columns), 0, 1)
    box = plan(rows, columns, None, GRID)
    on_grid = to_grid((disc * 255).astype(np.uint8), box, GRID)
    row, column = np.mgrid[0 : GRID.rows, 0 : GRID.columns]
    seen = np.array([(on_grid * column).sum(), (on_grid * row).sum()]) / on_grid.sum()
    assert seen == pytest.approx(box.to_grid(centre)[0], abs=0.1)


@pytest.mark.parametrize(
    ("rows", "columns", "spacing"),
    [(200, 900, PixelSpacingMm(0.45, 0.1)), (900, 200, PixelSpacingMm(0.1, 0.6)), (100, 500, PixelSpacingMm(0.5, 0.1))],
)
def test_a_picture_that_shrinks_along_one_axis_and_grows_along_the_other_stays_where_it_is(
    rows: int, columns: int, spacing: PixelSpacingMm
) -> None:
    box = plan(rows, columns, spacing, GRID)
    assert (box.row_scale > 1) != (box.column_scale > 1)
    blob = np.zeros((rows, columns), np.uint8)
    blob[rows // 4 : rows // 2, columns // 3 : columns // 2] = 255
    centre = np.array([[(columns // 3 + columns // 2 - 1) / 2, (rows // 4 + rows // 2 - 1) / 2]])
    on_grid = to_grid(blob, box, GRID)
    row, column = np.mgrid[0 : GRID.rows, 0 : GRID.columns]
    seen = np.array([(on_grid * column).sum(), (on_grid * row).sum()]) / on_grid.sum()
    assert seen == pytest.approx(box.to_grid(centre)[0], abs=0.02)
    # every source pixel counts: what is averaged keeps its sum
    assert on_grid.sum() == pytest.approx(blob.sum() * box.row_scale * box.column_scale, rel=0.01)


def test_padding_is_black_and_normalisation_is_fixed() -> None:
    box = plan(100, 800, None, GRID)
    canvas = to_grid(np.full((100, 800), 255, np.uint8), box, GRID)
    assert canvas[0].max() == 0
    assert canvas[GRID.rows // 2].min() == 255
    assert Normalisation(0.25, 0.5).apply(np.float32([[0, 255]])).tolist() == [[-0.5, 1.5]]
