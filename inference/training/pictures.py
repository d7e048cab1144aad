"""The worst cases as pictures: outlines alone for the repository, ultrasound images for a folder outside it.

HC18's images are not part of this repository, so what is committed shows the two ellipses in millimetres, on white.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

from inference.domain import EllipseMm, EllipsePx, Luminance
from inference.measure import outline_px
from inference.training.evaluate import Row
from inference.training.summary import expert_weeks, worst

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

BLUE, ORANGE = "#0072B2", "#D55E00"
CASES = 12
ACROSS, DOWN = 4, 3
DPI = 90
MARGIN = 1.15


def draw_worst_outlines(rows: Sequence[Row], path: Path) -> Path:
    """The expert's and our ellipse of the worst cases, in mm, named by image; without any picture."""
    return _panel(worst(_drawable(rows), CASES), {}, path)


def draw_worst_images(rows: Sequence[Row], images: Mapping[str, Luminance], path: Path) -> Path:
    """The same over the ultrasound images, uint8 [rows, columns], by name. For the eye only: never committed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return _panel(worst(_drawable(rows), CASES), images, path)


def _drawable(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.expert is not None]


def _panel(rows: Sequence[Row], images: Mapping[str, Luminance], path: Path) -> Path:
    figure, grid = plt.subplots(DOWN, ACROSS, figsize=(14.0, 9.6), layout="constrained", squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for row, axes in zip(rows, grid.flat, strict=False):
        _case(axes, row, images.get(row.image))
    figure.suptitle("Worst cases: expert blue, ours orange (dashed); millimetres", fontsize=11)
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    plt.close(figure)
    return path


def _case(axes: Axes, row: Row, image: Luminance | None) -> None:
    axes.set_axis_on()
    if image is not None:
        rows, columns = image.shape
        mm = row.pixel_size_mm
        extent = (-0.5 * mm, (columns - 0.5) * mm, (rows - 0.5) * mm, -0.5 * mm)
        axes.imshow(image, cmap="gray", extent=extent, vmin=0, vmax=200)
    for ellipse, colour, style in ((row.expert, BLUE, "-"), (row.found, ORANGE, "--")):
        if ellipse is not None:
            axes.plot(*_closed(ellipse), color=colour, linestyle=style, linewidth=1.0)
    axes.set_aspect("equal")
    axes.set_xlim(*_around(row, "x"))
    axes.set_ylim(*reversed(_around(row, "y")))
    axes.tick_params(labelsize=6)
    said = "" if row.status == "measured" else f", {row.reason}"
    axes.set_title(
        f"{row.image}: {row.hc_true_mm:.1f} mm ({expert_weeks(row):.0f} wk), ours {row.error_mm:+.1f}{said}", fontsize=8
    )


def _around(row: Row, axis: str) -> tuple[float, float]:
    """The ends of a square view, in mm, that holds both outlines."""
    seen = [ellipse for ellipse in (row.expert, row.found) if ellipse is not None]
    centres = [float(getattr(ellipse, f"center_{axis}_mm")) for ellipse in seen]
    reach = MARGIN * max(ellipse.semi_major_mm for ellipse in seen)
    return min(centres) - reach, max(centres) + reach


def _closed(ellipse: EllipseMm) -> tuple[list[float], list[float]]:
    """x and y of a closed outline, in mm."""
    as_points = EllipsePx(
        ellipse.center_x_mm, ellipse.center_y_mm, ellipse.semi_major_mm, ellipse.semi_minor_mm, ellipse.angle_deg
    )
    points = outline_px(as_points, 180)
    return [*points[:, 0], points[0, 0]], [*points[:, 1], points[0, 1]]
