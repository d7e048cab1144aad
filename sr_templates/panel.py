"""A panel of figures in that corner of a picture where it hides least."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from inference.domain import EllipsePx, Measurement
from inference.measure import outline_px
from sr_templates.drawing import OUTLINE_POINTS, Color
from sr_templates.report import Picture
from sr_templates.typeface import BOLD, REGULAR, picture_font

Corner = tuple[int, int]
"""Left and top of the panel, in pixels."""

FONT_SHARE = 0.0235
"""Height of the panel's letters as a share of the picture's rows: 14 px at 600 rows."""

SMALLEST_FONT_PX = 9
LARGEST_FONT_PX = 48
PANEL_OPACITY = 0.84
PANEL_MAX_SHARE = 0.6
"""The panel's letters shrink rather than take more than this share of the picture's width."""

VIEWER_TEXT_SHARE = 0.105
"""Viewers write into the corners of their window, OHIF 3.13 into a tenth of its height above and a fourteenth below: a
panel keeps this share of the rows away from both, unless it would then hide the head."""

BRIGHT = 96
"""Interface text is at least this bright, of 255."""

TEXT: Color = (245, 245, 245)
SOFT_TEXT: Color = (200, 204, 208)


@dataclass(frozen=True, slots=True)
class ColorBar:
    """A scale: uint8 [n, 3] from its left to its right end, and what stands below left end, middle and right end."""

    colors: Picture
    labels: tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class PanelLine:
    """One line of the panel, `scale` times the base size; a `bar` instead of text takes the height of two.

    A `spare` line gives way where the panel would hide the head: other objects say it too.
    """

    text: str
    color: Color = TEXT
    bold: bool = False
    scale: float = 1.0
    bar: ColorBar | None = None
    spare: bool = False

    def font(self, base_px: int) -> ImageFont.FreeTypeFont:
        return picture_font(BOLD if self.bold else REGULAR, max(SMALLEST_FONT_PX, round(base_px * self.scale)))


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines with the base size that makes them fit, and the size in pixels that they then need."""

    lines: tuple[PanelLine, ...]
    base_px: int
    width: int
    height: int

    @property
    def padding(self) -> int:
        return max(3, round(self.base_px * 0.6))


def place_panel(lines: tuple[PanelLine, ...], picture: Picture, measurement: Measurement) -> tuple[Panel, Corner]:
    """The largest letters, down to three quarters of the usual, with which some corner leaves the head in sight.

    Where none does out of the way of a viewer's text, the very corners of the picture are tried; then the lines that
    are not spare alone.
    """
    usual = int(np.clip(round(picture.shape[0] * FONT_SHARE), SMALLEST_FONT_PX, LARGEST_FONT_PX))
    smallest = max(SMALLEST_FONT_PX, round(usual * 0.75))
    ground = _Ground.of(picture, measurement)
    needed = tuple(line for line in lines if not line.spare)
    for kept, at_edge in product((lines, needed), (False, True)):
        for base in range(usual, smallest - 1, -1):
            panel = _measure_panel(kept, base)
            corner = ground.quiet_corner(panel, at_edge)
            if panel.width <= picture.shape[1] * PANEL_MAX_SHARE and not _covered(ground.head, panel, corner).any():
                return panel, corner
    panel = _measure_panel(needed, smallest)
    return panel, ground.quiet_corner(panel, at_edge=True)


def _covered(points: NDArray[np.float64], panel: Panel, corner: Corner) -> NDArray[np.bool_]:
    """Which of the points [n, 2] lie under the panel, [n]."""
    left, top = corner
    under: NDArray[np.bool_] = np.all((points >= corner) & (points <= (left + panel.width, top + panel.height)), axis=1)
    return under


def _measure_panel(lines: tuple[PanelLine, ...], base_px: int) -> Panel:
    width = max(_width(line, base_px) for line in lines)
    height = sum(_line_height(line, base_px) for line in lines)
    padding = Panel(lines, base_px, 0, 0).padding
    return Panel(lines, base_px, round(width) + 2 * padding, height + 2 * padding)


def _width(line: PanelLine, base_px: int) -> float:
    """The labels of a bar keep two letters' distance."""
    text = line.text if line.bar is None else "mm".join(line.bar.labels)
    return line.font(base_px).getlength(text)


def _line_height(line: PanelLine, base_px: int) -> int:
    one = max(SMALLEST_FONT_PX, base_px * line.scale) * 1.32
    return round(one if line.bar is None else 2.0 * one)


@dataclass(frozen=True, slots=True)
class _Ground:
    """What a panel may hide: the picture, points [n, 2] of the head, interface text, bool [rows, columns]."""

    picture: Picture
    head: NDArray[np.float64]
    text: NDArray[np.bool_]

    @classmethod
    def of(cls, picture: Picture, measurement: Measurement) -> _Ground:
        box = measurement.region
        red, green, blue = np.moveaxis(picture, 2, 0)
        text = np.maximum(np.maximum(red, green), blue) > BRIGHT  # ten times as fast as max(axis=2)
        text[box.min_row : box.max_row + 1, box.min_column : box.max_column + 1] = False
        return cls(picture, _points_inside(measurement.ellipse), text)

    def quiet_corner(self, panel: Panel, at_edge: bool) -> Corner:
        """The left and top with which the panel hides least: head first, then interface text, then tissue."""
        rows, columns = self.text.shape
        margin = panel.padding
        inset = margin if at_edge else max(margin, round(rows * VIEWER_TEXT_SHARE))
        lowest, rightmost = max(0, rows - panel.height), max(0, columns - panel.width)
        tops = min(inset, lowest), max(0, lowest - inset)
        lefts = min(margin, rightmost), max(0, rightmost - margin)

        def hidden(corner: Corner) -> float:
            left, top = corner
            covered = slice(top, top + panel.height), slice(left, left + panel.width)
            on_head = _covered(self.head, panel, corner)
            return float(
                1000.0 * on_head.mean() + 50.0 * self.text[covered].mean() + self.picture[covered].mean() / 255
            )

        return min(((left, top) for top in tops for left in lefts), key=hidden)


def _points_inside(ellipse: EllipsePx) -> NDArray[np.float64]:
    """Points on four nested ellipses, [points, 2] as (column, row)."""
    centre = np.array([ellipse.center_col_px, ellipse.center_row_px])
    ring = outline_px(ellipse, OUTLINE_POINTS) - centre
    return np.concatenate([centre + ring * share for share in (0.25, 0.5, 0.75, 1.0)])


def draw_panel(picture: Picture, panel: Panel, corner: Corner) -> None:
    """Darken the ground, then write; in place, clipped to the picture."""
    left, top = corner
    ground = picture[top : top + panel.height, left : left + panel.width]
    ground[:] = (ground * (1.0 - PANEL_OPACITY)).astype(np.uint8)
    image = Image.fromarray(ground)
    pen = ImageDraw.Draw(image)
    y = panel.padding
    for line in panel.lines:
        height = _line_height(line, panel.base_px)
        if line.bar is None:
            pen.text((panel.padding, y + height / 2), line.text, line.color, line.font(panel.base_px), anchor="lm")
        else:
            _draw_bar(image, panel, line, y)
        y += height
    ground[:] = np.asarray(image)


def _draw_bar(image: Image.Image, panel: Panel, line: PanelLine, top: int) -> None:
    """The colours above, their labels below; clipped to the panel."""
    assert line.bar is not None  # noqa: S101  the caller has looked
    half = _line_height(line, panel.base_px) / 2
    left, right = panel.padding, panel.width - panel.padding
    strip = Image.fromarray(np.ascontiguousarray(line.bar.colors[None]))
    image.paste(strip.resize((max(1, right - left), max(1, round(half * 0.7)))), (left, round(top + half * 0.2)))
    pen, font = ImageDraw.Draw(image), line.font(panel.base_px)
    places = ((left, "lm"), ((left + right) / 2, "mm"), (right, "rm"))
    for label, (x, anchor) in zip(line.bar.labels, places, strict=True):
        pen.text((x, top + half * 1.5), label, line.color, font, anchor=anchor)
