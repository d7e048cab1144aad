"""The two maps that explain an outline, each laid over a copy of the frame with its scale of colours.

One scale of colours for both, viridis: the same order of lightness with any common kind of colour vision and in grey
(van der Walt & Smith 2015). Where a map is 0 the frame is seen as it is; the colour grows denser with the value.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from inference.domain import Explanation, Map
from inference.measure import outline_px
from sr_templates import drawing, wording
from sr_templates.drawing import OUTLINE_POINTS
from sr_templates.panel import SOFT_TEXT, ColorBar, PanelLine, draw_panel, place_panel
from sr_templates.report import Picture, ReportInput
from sr_templates.strokes import draw_thin

DENSEST = 0.65
"""Opacity of the colour at the top of its scale: the tissue below stays in sight."""

FULL_BELOW = 0.35
"""The colour has its full density from this share of the scale on; below it fades out."""

DEVIATION_TOP = 0.25
"""Top of the scale of deviations, the same for every picture, so that pictures compare; at most 0.5 is possible."""


@dataclass(frozen=True, slots=True)
class Heat:
    """A map of a region, float32 [region rows, region columns], 0..1 of its scale, and what the panel says of it."""

    values: Map
    title: str
    labels: tuple[str, str, str]
    notes: tuple[str, ...]


def draw_attention(report: ReportInput, picture: Picture, explanation: Explanation) -> Picture:
    """GradCAM++ over a copy of the frame. `picture`: RGB uint8 [rows, columns, 3]."""
    heat = Heat(explanation.attention, wording.ATTENTION_TITLE, ("0", "0.5", "1"), wording.ATTENTION_NOTES)
    return _draw(report, picture, explanation, heat)


def draw_deviation(report: ReportInput, picture: Picture, explanation: Explanation) -> Picture:
    """How far answers or frames of a cine differ, over a copy of the frame. `picture`: RGB uint8 [rows, columns, 3]."""
    labels = ("0", f"{DEVIATION_TOP / 2:g}", f"{DEVIATION_TOP:g} or more")
    values = explanation.deviation / np.float32(DEVIATION_TOP)
    heat = Heat(values, wording.DEVIATION_TITLE, labels, wording.deviation_notes(explanation))
    return _draw(report, picture, explanation, heat)


def _draw(report: ReportInput, picture: Picture, explanation: Explanation, heat: Heat) -> Picture:
    drawn = np.ascontiguousarray(picture).copy()
    box, measurement = explanation.region, report.measurement
    below = drawn[box.min_row : box.max_row + 1, box.min_column : box.max_column + 1]
    below[:] = blended(below, heat.values)
    draw_thin(drawn, outline_px(measurement.ellipse, OUTLINE_POINTS), drawing.OUTLINE_COLOR)
    panel, corner = place_panel(_lines(report, heat), drawn, measurement)
    draw_panel(drawn, panel, corner)
    return drawn


def _lines(report: ReportInput, heat: Heat) -> tuple[PanelLine, ...]:
    """What the panel says, top to bottom."""
    return (
        PanelLine(wording.RESEARCH_MARK, drawing.OUTLINE_COLOR, bold=True),
        PanelLine(heat.title, bold=True),
        PanelLine("", bar=ColorBar(colors(), heat.labels)),
        *(PanelLine(note, SOFT_TEXT) for note in heat.notes),
        PanelLine(f"HC {wording.millimetres(report.measurement.hc_mm)}", bold=True, spare=True),
        PanelLine("Not verified by a clinician"),
    )


def blended(below: Picture, values: Map) -> Picture:
    """The colours of `values` [rows, columns] over RGB [rows, columns, 3]."""
    level = np.clip(values, 0.0, 1.0)
    opacity = (DENSEST * np.minimum(level / FULL_BELOW, 1.0))[..., None].astype(np.float32)
    over = colors()[np.round(level * 255).astype(np.uint8)]
    mixed: Picture = np.round(below * (1.0 - opacity) + over * opacity).astype(np.uint8)
    return mixed


@lru_cache(maxsize=1)
def colors() -> Picture:
    """Viridis, RGB uint8 [256, 3], from its low to its high end."""
    ramp = np.arange(256, dtype=np.uint8)[None]
    return np.ascontiguousarray(cv2.applyColorMap(ramp, cv2.COLORMAP_VIRIDIS)[0, :, ::-1]).astype(np.uint8, copy=False)
