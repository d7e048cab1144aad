"""Outline, axes and a panel of figures, drawn anti-aliased into a copy of the frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from inference.domain import CalibrationSource, EllipsePx, Measurement
from inference.measure import outline_px
from sr_templates import drawing, wording
from sr_templates.drawing import Color, Point, axes_px
from sr_templates.report import Picture, ReportInput
from sr_templates.typeface import BOLD, REGULAR, picture_font

Corner = tuple[int, int]
"""Left and top of the panel, in pixels."""

OUTLINE_POINTS = 240
FONT_SHARE = 0.0235
"""Height of the panel's letters as a share of the picture's rows: 14 px at 600 rows."""

SMALLEST_FONT_PX = 8
LARGEST_FONT_PX = 48
PANEL_OPACITY = 0.84
PANEL_MAX_SHARE = 0.6
"""The panel's letters shrink rather than take more than this share of the picture's width."""

BRIGHT = 96
"""Interface text is at least this bright, of 255."""

_SHIFT = 4  # OpenCV's fixed point: sixteenths of a pixel
_CASING: Color = (0, 0, 0)
_TEXT: Color = (245, 245, 245)
_SOFT_TEXT: Color = (200, 204, 208)


@dataclass(frozen=True, slots=True)
class PanelLine:
    """One line of the panel; `scale` times the base size."""

    text: str
    color: Color = _TEXT
    bold: bool = False
    scale: float = 1.0

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


def draw_overlay(report: ReportInput, picture: Picture) -> Picture:
    """A new picture of the same shape. `picture`: RGB uint8 [rows, columns, 3]."""
    drawn = np.ascontiguousarray(picture).copy()
    measurement = report.measurement
    axes = axes_px(measurement.ellipse, measurement.spacing_mm)
    outline = outline_px(measurement.ellipse, OUTLINE_POINTS)
    _dashed(drawn, axes.ofd, drawing.OFD_COLOR, drawing.OFD_DASH)
    _dashed(drawn, axes.bpd, drawing.BPD_COLOR, drawing.BPD_DASH)
    _closed(drawn, outline)
    panel, corner = _place_panel(panel_lines(report), drawn, measurement)
    _draw_panel(drawn, panel, corner)
    return drawn


def panel_lines(report: ReportInput) -> tuple[PanelLine, ...]:
    """What the panel says, top to bottom, in the words of the report."""
    measurement, age = report.measurement, report.measurement.age
    lines = [
        PanelLine(wording.RESEARCH_MARK, drawing.OUTLINE_COLOR, bold=True),
        PanelLine(f"HC {wording.millimetres(measurement.hc_mm)}", bold=True, scale=1.35),
    ]
    hc_range = wording.hc_range(measurement)
    interval = (
        f"{wording.interval_name(report.interval_coverage)} {hc_range}" if hc_range else wording.NO_INTERVAL_SHORT
    )
    lines.append(PanelLine(interval, _SOFT_TEXT))
    lines.append(
        PanelLine(f"GA {'none' if age.days is None else wording.weeks_and_days(age.days)}", bold=True, scale=1.35)
    )
    if age.days is not None:
        details = (wording.age_range(age), wording.age_range_note(age), wording.equation_name(age))
        lines += [PanelLine(detail, _SOFT_TEXT) for detail in details if detail]
    if measurement.calibration_source is CalibrationSource.NOMINAL_SCANNED_PIXEL_SPACING:
        lines.append(PanelLine(wording.SCANNED_MARK, bold=True))
    return (
        *lines,
        PanelLine(f"BPD {wording.millimetres(measurement.bpd_mm)} outer to outer", drawing.BPD_COLOR),
        PanelLine(f"OFD {wording.millimetres(measurement.ofd_mm)} outer to outer", drawing.OFD_COLOR),
        PanelLine("Not verified by a clinician", _TEXT),
        PanelLine("Standard plane not verified", _TEXT),
    )


def _place_panel(lines: tuple[PanelLine, ...], picture: Picture, measurement: Measurement) -> tuple[Panel, Corner]:
    """The largest letters, down to three quarters of the usual, with which some corner leaves the head in sight."""
    usual = int(np.clip(round(picture.shape[0] * FONT_SHARE), SMALLEST_FONT_PX, LARGEST_FONT_PX))
    smallest = max(SMALLEST_FONT_PX, round(usual * 0.75))
    head = _points_inside(measurement.ellipse)
    for base in range(usual, smallest - 1, -1):
        panel = _measure_panel(lines, base)
        corner = _quiet_corner(picture, panel, measurement)
        if panel.width <= picture.shape[1] * PANEL_MAX_SHARE and not _covered(head, panel, corner).any():
            return panel, corner
    panel = _measure_panel(lines, smallest)
    return panel, _quiet_corner(picture, panel, measurement)


def _covered(points: NDArray[np.float64], panel: Panel, corner: Corner) -> NDArray[np.bool_]:
    """Which of the points [n, 2] lie under the panel, [n]."""
    left, top = corner
    under: NDArray[np.bool_] = np.all((points >= corner) & (points <= (left + panel.width, top + panel.height)), axis=1)
    return under


def _measure_panel(lines: tuple[PanelLine, ...], base_px: int) -> Panel:
    width = max(line.font(base_px).getlength(line.text) for line in lines)
    height = sum(_line_height(line, base_px) for line in lines)
    padding = Panel(lines, base_px, 0, 0).padding
    return Panel(lines, base_px, round(width) + 2 * padding, height + 2 * padding)


def _line_height(line: PanelLine, base_px: int) -> int:
    return round(max(SMALLEST_FONT_PX, base_px * line.scale) * 1.32)


def _quiet_corner(picture: Picture, panel: Panel, measurement: Measurement) -> Corner:
    """Left and top of the corner where the panel hides least: head first, then interface text, then tissue."""
    rows, columns = picture.shape[:2]
    margin = panel.padding
    right, bottom = max(0, columns - panel.width - margin), max(0, rows - panel.height - margin)
    corners = [(left, top) for top in (min(margin, bottom), bottom) for left in (min(margin, right), right)]
    head = _points_inside(measurement.ellipse)
    box = measurement.region
    text = picture.max(axis=2) > BRIGHT
    text[box.min_row : box.max_row + 1, box.min_column : box.max_column + 1] = False

    def hidden(corner: Corner) -> float:
        left, top = corner
        covered = slice(top, top + panel.height), slice(left, left + panel.width)
        on_head = _covered(head, panel, corner)
        return float(1000.0 * on_head.mean() + 50.0 * text[covered].mean() + picture[covered].mean() / 255)

    return min(corners, key=hidden)


def _points_inside(ellipse: EllipsePx) -> NDArray[np.float64]:
    """Points on four nested ellipses, [points, 2] as (column, row)."""
    centre = np.array([ellipse.center_col_px, ellipse.center_row_px])
    ring = outline_px(ellipse, OUTLINE_POINTS) - centre
    return np.concatenate([centre + ring * share for share in (0.25, 0.5, 0.75, 1.0)])


def _draw_panel(picture: Picture, panel: Panel, corner: Corner) -> None:
    """Darken the ground, then write; in place, clipped to the picture."""
    left, top = corner
    ground = picture[top : top + panel.height, left : left + panel.width]
    ground[:] = (ground * (1.0 - PANEL_OPACITY)).astype(np.uint8)
    image = Image.fromarray(ground)
    pen = ImageDraw.Draw(image)
    y = panel.padding
    for line in panel.lines:
        height = _line_height(line, panel.base_px)
        pen.text((panel.padding, y + height / 2), line.text, line.color, line.font(panel.base_px), anchor="lm")
        y += height
    ground[:] = np.asarray(image)


def _line_width(picture: Picture) -> int:
    rows: int = picture.shape[0]
    return max(1, round(rows / 330))


def _closed(picture: Picture, points: NDArray[np.float64]) -> None:
    """The outline over a dark casing, so that it shows on bright bone."""
    _line(picture, points, drawing.OUTLINE_COLOR, closed=True)


def _dashed(picture: Picture, ends: tuple[Point, Point], color: Color, pattern: tuple[float, float]) -> None:
    """`pattern`: dash and gap in multiples of the line width; half as much again for the casing between them."""
    width = _line_width(picture)
    for piece in _pieces(ends, (pattern[0] * width * 1.5, pattern[1] * width * 1.5)):
        _line(picture, np.array(piece), color, closed=False)


def _line(picture: Picture, points: NDArray[np.float64], color: Color, closed: bool) -> None:
    width, fixed = _line_width(picture), [_fixed(points)]
    cv2.polylines(picture, fixed, closed, _CASING, width + 2, cv2.LINE_AA, _SHIFT)
    cv2.polylines(picture, fixed, closed, color, width, cv2.LINE_AA, _SHIFT)


def _pieces(ends: tuple[Point, Point], dash: tuple[float, float]) -> Iterator[Sequence[Point]]:
    """The strokes of a dashed line; dash and gap in pixels."""
    start, stop = np.array(ends[0]), np.array(ends[1])
    length = float(np.hypot(*(stop - start)))
    if length <= 0:
        return
    for at in np.arange(0.0, length, sum(dash)):
        first = start + (stop - start) * (at / length)
        last = start + (stop - start) * (min(at + dash[0], length) / length)
        yield tuple(first), tuple(last)


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """OpenCV's sub-pixel coordinates; like ours, they count from the first pixel's centre."""
    return np.round(points * (1 << _SHIFT)).astype(np.int32)
