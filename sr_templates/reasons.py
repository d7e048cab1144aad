"""The two maps that explain an outline, side by side on the page, each with its scale and what it cannot say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inference.domain import Explanation, Map
from sr_templates import photograph, wording
from sr_templates.heat import DEVIATION_TOP, blended, colors
from sr_templates.language import Words, message
from sr_templates.report import Picture, ReportInput
from sr_templates.sheet import INK, MUTED, Box, Column, Sheet, Style
from sr_templates.typeface import wrap

GAP = 24.0
MOST_HEIGHT = 150.0
"""Of one picture."""

BAR_HEIGHT = 6.0
NARROWEST_SCALE = 140.0
BELOW_PICTURE = 26.0
"""Scale with its numbers."""

TITLE = Style(8, color=MUTED)
SCALE = Style(6.8, color=INK)
NOTE = Style(8)
LEADING = 10.5

ATTENTION_SAYS = message(
    "GradCAM++: the part of the picture that the answer rests on, as a share of its own largest value. It is no sign"
    " that HC or the plane is right."
)
DEVIATION_SAYS = message(
    "Standard deviation of the head probability over {answers} answers to this image. It shows where the outline is in"
    " doubt, not how far HC is off."
)

FRAMES_SAY = message(
    "Standard deviation of the head probability over the {frames} frames that agree, each laid on this head, so that"
    " motion leaves nothing. It shows where the outline is in doubt, not how far HC is off."
)


@dataclass(frozen=True, slots=True)
class _Panel:
    """A map of the region, 0..1 of its scale, and its words."""

    title: str
    values: Map
    labels: tuple[str, str, str]
    note: str


def height(sheet: Sheet, report: ReportInput, explanation: Explanation) -> float:
    """What `draw` needs below its top, in points."""
    column = _columns(sheet)[0]
    lines = max(len(wrap(panel.note, NOTE.font, NOTE.size, column.width)) for panel in _panels(report, explanation))
    return 10 + _box(report, column, 0.0).height + BELOW_PICTURE + LEADING * lines


def draw(sheet: Sheet, report: ReportInput, picture: Picture, explanation: Explanation, top: float) -> None:
    """Titles at `top`, pictures, scales and sentences below. `picture`: the frame, RGB uint8 [rows, columns, 3]."""
    for panel, column in zip(_panels(report, explanation), _columns(sheet), strict=True):
        box = _box(report, column, top - 10)
        sheet.text(box.left, top, panel.title, TITLE)
        photograph.put(sheet.canvas, blended(photograph.cut(picture, explanation.region), panel.values), box)
        photograph.outline(sheet.canvas, report.measurement, box, width=0.8)
        sheet.canvas.restoreState()
        _scale(sheet, panel, box)
        for i, line in enumerate(wrap(panel.note, NOTE.font, NOTE.size, column.width)):
            sheet.text(column.left, box.bottom - BELOW_PICTURE - 6 - LEADING * i, line, NOTE)


def _panels(report: ReportInput, explanation: Explanation) -> tuple[_Panel, _Panel]:
    words = report.words
    top = words.shortest(DEVIATION_TOP)
    return (
        _Panel(
            title=words(wording.ATTENTION_TITLE),
            values=explanation.attention,
            labels=("0", words.shortest(0.5), "1"),
            note=words(ATTENTION_SAYS),
        ),
        _Panel(
            title=words(wording.DEVIATION_TITLE),
            values=explanation.deviation / np.float32(DEVIATION_TOP),
            labels=("0", words.shortest(DEVIATION_TOP / 2), words("{value} or more", value=top)),
            note=_deviation_says(explanation, words),
        ),
    )


def _deviation_says(explanation: Explanation, words: Words) -> str:
    if explanation.frames:
        return words(FRAMES_SAY, frames=explanation.frames)
    return words(DEVIATION_SAYS, answers=explanation.answers)


def _columns(sheet: Sheet) -> tuple[Column, Column]:
    width = (sheet.content_width - GAP) / 2
    left = sheet.right - sheet.content_width
    return Column(left, width), Column(left + width + GAP, width)


def _box(report: ReportInput, column: Column, top: float) -> Box:
    aspect = photograph.aspect(report.measurement)
    width = min(column.width, MOST_HEIGHT * aspect)
    return Box(column.left, top - width / aspect, width, width / aspect)


def _scale(sheet: Sheet, panel: _Panel, box: Box) -> None:
    """The colours from low to high, as wide as the picture where its numbers have room, below both ends and middle."""
    width = max(box.width, NARROWEST_SCALE)
    bar = np.repeat(colors()[None], 8, axis=0)  # [8, 256, 3]
    bottom = box.bottom - 4 - BAR_HEIGHT
    sheet.canvas.drawImage(photograph.lossless(bar), box.left, bottom, width, BAR_HEIGHT)
    low, middle, high = panel.labels
    sheet.text(box.left, bottom - 8, low, SCALE)
    sheet.text_centred(box.left + width / 2, bottom - 8, middle, SCALE)
    sheet.text_right(box.left + width, bottom - 8, high, SCALE)
