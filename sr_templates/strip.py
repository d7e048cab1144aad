"""A strip below the frames of a cine: how much each examined frame counted when one was chosen.

It knows nothing of how the weights came about; today they are those of a consensus (`inference.consensus`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from sr_templates import drawing
from sr_templates.drawing import Color
from sr_templates.panel import FONT_SHARE, LARGEST_FONT_PX, SMALLEST_FONT_PX, SOFT_TEXT
from sr_templates.report import Picture
from sr_templates.typeface import REGULAR, picture_font

BARS = 3.0
"""Height of the tallest bar in heights of a letter."""

GUTTERS = (0.16, 0.09)
"""Left and right of the bars, as shares of the width: viewers write there (OHIF 3.13 the window and the frame)."""

LEGEND = "orange: chosen; triangle: this frame; no bar: no HC"
BAR_COLOR: Color = (130, 136, 142)
NO_BAR_COLOR: Color = (70, 74, 78)


@dataclass(frozen=True, slots=True)
class Strip:
    """One weight for each examined frame, in their order; None where a frame had no say.

    Bars stand on `low` and end at `high`, which the strip names; `caption` says in ASCII what the weights are.
    """

    weights: tuple[float | None, ...]
    caption: str
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"a scale from {self.low} to {self.high} has no length")
        if not all(weight is None or self.low <= weight <= self.high for weight in self.weights):
            raise ValueError(f"a weight lies outside {self.low} to {self.high}")


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where things stand, in pixels of the strip."""

    letter: int
    left: int
    step: float
    top: int
    foot: int

    def bar(self, index: int, share: float) -> tuple[int, int, int, int]:
        """Left, top, right and bottom (inclusive) of a bar; the smallest is two pixels high."""
        left = round(self.left + self.step * index)
        right = max(left, round(self.left + self.step * (index + 1)) - 1 - round(self.step * 0.25))
        return left, self.foot - max(1, round(share * (self.foot - self.top))), right, self.foot


def _letter(rows: int) -> int:
    """Height of letters, in pixels, as in the panel of a picture of so many rows."""
    return int(np.clip(round(rows * FONT_SHARE), SMALLEST_FONT_PX, LARGEST_FONT_PX))


def strip_rows(rows: int) -> int:
    """How many rows the strip below a picture of so many `rows` takes."""
    return round(_letter(rows) * (BARS + 3.6))


def draw_strip(strip: Strip, shape: tuple[int, int], current: int, chosen: int) -> Picture:
    """RGB uint8 [strip_rows(rows), columns, 3], for a picture of `shape` (rows, columns)."""
    rows, columns = shape
    image = Image.new("RGB", (columns, strip_rows(rows)))
    pen, letter = ImageDraw.Draw(image), _letter(rows)
    font = picture_font(REGULAR, letter)
    layout = _layout(len(strip.weights), columns, letter)
    for value, y, anchor in ((strip.high, layout.top, "rt"), (strip.low, layout.foot, "rb")):
        pen.text((layout.left - letter * 0.6, y), f"{value:.2f}", SOFT_TEXT, font, anchor=anchor)
    for index, weight in enumerate(strip.weights):
        share = 0.0 if weight is None else (weight - strip.low) / (strip.high - strip.low)
        color = NO_BAR_COLOR if weight is None else BAR_COLOR
        pen.rectangle(layout.bar(index, share), drawing.OUTLINE_COLOR if index == chosen else color)
    _point_at(pen, layout, current)
    _write_caption(pen, strip.caption, image.size, letter)
    return np.asarray(image)


def _layout(bars: int, columns: int, letter: int) -> _Layout:
    left, right = (round(share * columns) for share in GUTTERS)
    width = max(1, columns - left - right)
    top = round(letter * 0.5)
    return _Layout(letter, left, width / bars, top, top + round(letter * BARS))


def _point_at(pen: ImageDraw.ImageDraw, layout: _Layout, index: int) -> None:
    """A triangle below a bar."""
    left, _, right, foot = layout.bar(index, 0.0)
    middle, half = (left + right) / 2, layout.letter * 0.4
    tip, base = foot + 3, foot + 3 + 2 * half
    pen.polygon([(middle, tip), (middle - half, base), (middle + half, base)], (255, 255, 255))


def _write_caption(pen: ImageDraw.ImageDraw, caption: str, size: tuple[int, int], letter: int) -> None:
    """In the middle, where viewers write no text of their own; smaller, then without the legend, where it is narrow."""
    columns, rows = size
    for text in (f"{caption} ({LEGEND})", caption):
        for pixels in range(letter, SMALLEST_FONT_PX - 1, -1):
            font = picture_font(REGULAR, pixels)
            if font.getlength(text) <= columns * 0.96:
                pen.text((columns / 2, rows - letter * 0.9), text, SOFT_TEXT, font, anchor="mm")
                return
