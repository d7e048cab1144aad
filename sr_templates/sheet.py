"""A sheet of paper to write on: margins, styles, and our few ways to put text and lines on it.

The canvas' origin is bottom left, in points; `y` is the baseline or upper edge that the next thing hangs from.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from reportlab import rl_config
from reportlab.lib.pagesizes import A4, LETTER
from reportlab.pdfgen.canvas import Canvas

from sr_templates.drawing import Color
from sr_templates.language import Language
from sr_templates.report import PageSize
from sr_templates.typeface import BOLD, REGULAR, page_font, runs, text_width

rl_config.useA85 = 0  # DICOM carries bytes; ASCII armour costs a fifth of a second and a quarter more size

MARGIN = 45.0
SIZES: Mapping[PageSize, tuple[float, float]] = MappingProxyType({PageSize.A4: A4, PageSize.LETTER: LETTER})
"""Width and height in points."""

INK: Color = (28, 34, 42)
MUTED: Color = (104, 112, 122)
RULE: Color = (205, 210, 216)
ALERT: Color = (170, 72, 0)  # a dark vermillion, 5.6:1 on white


@dataclass(frozen=True, slots=True)
class Style:
    """How a line of text looks; `size` in points."""

    size: float
    font: str = REGULAR
    color: Color = INK


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on the page: left, bottom, width, height in points."""

    left: float
    bottom: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Column:
    """A strip of the page: left edge and width in points."""

    left: float
    width: float


class Sheet:
    """The canvas, one page at a time."""

    def __init__(self, size: PageSize, language: Language = Language.ENGLISH) -> None:
        page_font(REGULAR)
        page_font(BOLD)
        self.width, self.height = SIZES[size]
        self.right = self.width - MARGIN
        self.content_width = self.width - 2 * MARGIN
        self._bytes = io.BytesIO()
        self.canvas = Canvas(
            self._bytes,
            pagesize=SIZES[size],
            initialFontName=REGULAR,
            invariant=1,
            pageCompression=1,
            lang=language.value,
        )

    def text(self, x: float, y: float, value: str, style: Style) -> float:
        """One line from the left; gives back where it ends."""
        self.canvas.setFillColorRGB(*unit(style.color))
        for run in runs(value, style.font):
            self.canvas.setFont(run.font, style.size)
            self.canvas.drawString(x, y, run.text)
            x += run.width(style.size)
        return x

    def text_right(self, x: float, y: float, value: str, style: Style) -> None:
        """One line that ends at `x`."""
        self.text(x - text_width(value, style.font, style.size), y, value, style)

    def text_centred(self, x: float, y: float, value: str, style: Style) -> None:
        """One line whose middle is at `x`."""
        self.text(x - text_width(value, style.font, style.size) / 2, y, value, style)

    def rule(self, y: float, left: float | None = None, right: float | None = None) -> None:
        """A thin grey line, from margin to margin unless told."""
        self.canvas.setStrokeColorRGB(*unit(RULE))
        self.canvas.setLineWidth(0.6)
        self.canvas.setDash()
        self.canvas.line(MARGIN if left is None else left, y, self.right if right is None else right, y)

    def turn(self) -> None:
        """Go on with an empty page."""
        self.canvas.showPage()

    def finish(self) -> bytes:
        self.canvas.showPage()
        self.canvas.save()
        return self._bytes.getvalue()


def unit(color: Color) -> tuple[float, float, float]:
    """As shares of 1, which the canvas takes."""
    return color[0] / 255, color[1] / 255, color[2] / 255
