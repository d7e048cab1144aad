"""Outline, axes and a panel of figures, drawn anti-aliased into a copy of the frame."""

from __future__ import annotations

import numpy as np

from inference.domain import CalibrationSource
from inference.measure import outline_px
from sr_templates import drawing, wording
from sr_templates.drawing import OUTLINE_POINTS, axes_px
from sr_templates.panel import SOFT_TEXT, TEXT, PanelLine, draw_panel, place_panel
from sr_templates.report import Picture, ReportInput
from sr_templates.strokes import draw_closed, draw_dashed


def draw_overlay(report: ReportInput, picture: Picture) -> Picture:
    """A new picture of the same shape. `picture`: RGB uint8 [rows, columns, 3]."""
    drawn = np.ascontiguousarray(picture).copy()
    measurement = report.measurement
    axes = axes_px(measurement.ellipse, measurement.spacing_mm)
    draw_dashed(drawn, axes.ofd, drawing.OFD_COLOR, drawing.OFD_DASH)
    draw_dashed(drawn, axes.bpd, drawing.BPD_COLOR, drawing.BPD_DASH)
    draw_closed(drawn, outline_px(measurement.ellipse, OUTLINE_POINTS), drawing.OUTLINE_COLOR)
    panel, corner = place_panel(panel_lines(report), drawn, measurement)
    draw_panel(drawn, panel, corner)
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
    lines.append(PanelLine(interval, SOFT_TEXT))
    lines.append(
        PanelLine(f"GA {'none' if age.days is None else wording.weeks_and_days(age.days)}", bold=True, scale=1.35)
    )
    if age.days is not None:
        ranges = (wording.age_range(age), wording.age_range_note(age))
        lines += [PanelLine(text, SOFT_TEXT) for text in ranges if text]
        lines.append(PanelLine(wording.equation_name(age), SOFT_TEXT, spare=True))
    if measurement.calibration_source is CalibrationSource.NOMINAL_SCANNED_PIXEL_SPACING:
        lines.append(PanelLine(wording.SCANNED_MARK, bold=True))
    return (
        *lines,
        PanelLine(f"BPD {wording.millimetres(measurement.bpd_mm)} outer to outer", drawing.BPD_COLOR, spare=True),
        PanelLine(f"OFD {wording.millimetres(measurement.ofd_mm)} outer to outer", drawing.OFD_COLOR, spare=True),
        PanelLine("Not verified by a clinician", TEXT),
        PanelLine("Standard plane not verified", TEXT, spare=True),
    )
