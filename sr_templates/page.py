"""One measurement on paper, as PDF bytes; the same input always gives the same bytes.

The first page is for the reader: figures, picture, growth chart, what the numbers say. How it was measured, for the
auditor, comes last. What has no room goes on a further page: nothing is left out and nothing runs into the footer.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from inference.measure import outline_px
from sr_templates import drawing, identity, wording
from sr_templates.chart import draw_chart, growth_chart, standard_of
from sr_templates.drawing import Color, Point, axes_px
from sr_templates.report import Picture, ReportInput
from sr_templates.sheet import ALERT, INK, MARGIN, MUTED, Box, Column, Sheet, Style, unit
from sr_templates.source import is_multi_frame, local_time
from sr_templates.typeface import BOLD, REGULAR, fit, text_width, wrap

TITLE = "Fetal head circumference"

LABEL_WIDTH = 62.0
PICTURE_WIDTH = 318.0
PICTURE_HEIGHT = 262.0
GUTTER = 24.0
FLOOR = MARGIN + 22.0
"""Above the footer: no baseline of the content lies lower."""

SIGN_OFF_HEIGHT = 34.0
MOST_LINES = 4
"""Of one value in a table: 64 of the widest letters take no more."""

CHART = Box(34.0, 24.0, 194.0, 136.0)
"""The axes' frame inside the chart's own box: room for numbers at its left and below, for names at its right."""

CHART_WIDTH = 252.0
CHART_HEIGHT = 176.0
JPEG_QUALITY = 92
SCALE_BAR_MM = 20.0
OUTLINE_POINTS = 180

Row = tuple[str, str]
"""Label and value."""

TITLE_STYLE = Style(17, BOLD)
FIGURE = Style(22, BOLD)
NO_FIGURE = Style(16, BOLD)
HEADING = Style(10, BOLD)
BODY = Style(9)
NOTE = Style(8.5)
SMALL = Style(7.5)
LABEL = Style(8, color=MUTED)
ALERT_LINE = Style(9, BOLD, ALERT)
ON_PICTURE = Style(7, color=(255, 255, 255))


class _Flow:
    """Where the next thing hangs, on which page."""

    def __init__(self, report: ReportInput) -> None:
        self.report = report
        self.sheet = Sheet(report.page_size)
        self.number = 1
        self.y = _header(self.sheet)

    def need(self, height: float) -> None:
        """Go on with a further page unless `height` points are left above the footer."""
        if self.y - height < FLOOR:
            _footer(self.sheet, f"page {self.number}, more follows")
            self.sheet.turn()
            self.number += 1
            self.y = _continued(self.sheet, self.report)

    def finish(self) -> bytes:
        _footer(self.sheet, f"page {self.number} of {self.number}")
        return self.sheet.finish()


def draw_page(report: ReportInput, picture: Picture) -> bytes:
    """The whole document. `picture`: RGB uint8 [rows, columns, 3], the frame that was measured."""
    flow = _Flow(report)
    sheet = flow.sheet
    sheet.canvas.setTitle(TITLE)
    sheet.canvas.setAuthor(report.equipment.manufacturer)
    sheet.canvas.setSubject(wording.AI_NOT_VERIFIED)
    y = _identity_block(sheet, report, flow.y)
    below_picture = _picture_column(sheet, report, picture, y)
    below_figures = _figures_column(sheet, report, y)
    flow.y = min(below_picture, below_figures) - 30
    _growth_block(flow)
    _notes(flow)
    _method_block(flow)
    _sign_off(flow)
    return flow.finish()


def _header(sheet: Sheet) -> float:
    y = sheet.height - MARGIN - 14
    sheet.text(MARGIN, y, TITLE, TITLE_STYLE)
    sheet.text_right(sheet.right, y, wording.AI_NOT_VERIFIED, ALERT_LINE)
    sheet.rule(y - 11)
    return y - 11


def _identity_block(sheet: Sheet, report: ReportInput, y: float) -> float:
    """Two columns of label and value; long values take several lines."""
    source = report.source
    name = identity.name_of(source)
    when = f"{identity.date_of(source, 'StudyDate')} {identity.time_of(source, 'StudyTime')}".strip()
    scanner = f"{identity.text_of(source, 'Manufacturer')} {identity.text_of(source, 'ManufacturerModelName')}".strip()
    left = [
        ("Patient", name),
        ("Patient ID", _with_issuer(report)),
        ("Born", identity.date_of(source, "PatientBirthDate")),
        ("Sex", identity.text_of(source, "PatientSex")),
    ]
    right = [
        ("Study", when),
        ("Accession", identity.text_of(source, "AccessionNumber")),
        ("Description", identity.text_of(source, "StudyDescription")),
        ("Scanner", scanner),
    ]
    half = (sheet.content_width - GUTTER) / 2
    ends = [
        _rows(sheet, left, Column(MARGIN, half), y - 17),
        _rows(sheet, right, Column(MARGIN + half + GUTTER, half), y - 17),
    ]
    sheet.rule(min(ends) + 6)
    return min(ends) + 6


def _with_issuer(report: ReportInput) -> str:
    issuer = identity.text_of(report.source, "IssuerOfPatientID")
    patient_id = identity.text_of(report.source, "PatientID")
    return f"{patient_id} ({issuer})" if issuer else patient_id


def _rows(sheet: Sheet, rows: Sequence[Row], column: Column, y: float) -> float:
    for row in rows:
        y = _row(sheet, row, column, y, BODY)
    return y


def _row(sheet: Sheet, row: Row, column: Column, y: float, style: Style) -> float:
    """Label and value, wrapped, at most `MOST_LINES` lines and then an ellipsis; a missing value is a dash."""
    (label, value), room = row, column.width - LABEL_WIDTH
    sheet.text(column.left, y, label, LABEL)
    lines = wrap(value or "-", style.font, style.size, room)
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], fit(" ".join(lines[MOST_LINES - 1 :]), style.font, style.size, room)]
    for i, line in enumerate(lines):
        sheet.text(column.left + LABEL_WIDTH, y - i * (style.size + 2.5), line, style)
    return y - (len(lines) - 1) * (style.size + 2.5) - (style.size + 5.5)


def _picture_column(sheet: Sheet, report: ReportInput, picture: Picture, y: float) -> float:
    box = _picture_box(report, y - 22)
    _draw_picture(sheet, report, picture, box)
    legend_y = box.bottom - 14
    x = MARGIN
    for name, color, dash in (
        ("outline", drawing.OUTLINE_COLOR, ()),
        ("BPD", drawing.BPD_COLOR, drawing.BPD_DASH),
        ("OFD", drawing.OFD_COLOR, drawing.OFD_DASH),
    ):
        sheet.canvas.setFillColorRGB(*unit(INK))
        sheet.canvas.roundRect(x, legend_y - 2.2, 22, 9, 1.5, stroke=0, fill=1)
        _stroke(sheet.canvas, [(x + 3, legend_y + 2.3), (x + 19, legend_y + 2.3)], color, dash)
        x = sheet.text(x + 27, legend_y, name, LABEL) + 14
    return legend_y


def _picture_box(report: ReportInput, top: float) -> Box:
    """As large as fits, in the proportions of millimetres."""
    region, scale = report.measurement.region, report.measurement.spacing_mm
    aspect = (region.columns * scale.column) / (region.rows * scale.row)
    width = min(PICTURE_WIDTH, PICTURE_HEIGHT * aspect)
    return Box(MARGIN, top - width / aspect, width, width / aspect)


def _draw_picture(sheet: Sheet, report: ReportInput, picture: Picture, box: Box) -> None:
    """The examined region with outline and axes as vectors, clipped to it."""
    measurement = report.measurement
    region = measurement.region
    crop = picture[region.min_row : region.max_row + 1, region.min_column : region.max_column + 1]
    canvas = sheet.canvas
    canvas.saveState()
    clip = canvas.beginPath()
    clip.rect(box.left, box.bottom, box.width, box.height)
    canvas.clipPath(clip, stroke=0, fill=0)
    canvas.drawImage(_jpeg(crop), box.left, box.bottom, box.width, box.height)

    def on_page(point: Point) -> Point:
        """Pixel centres lie half a pixel inside the picture's edge."""
        across = (point[0] - region.min_column + 0.5) / region.columns
        down = (point[1] - region.min_row + 0.5) / region.rows
        return box.left + across * box.width, box.bottom + (1.0 - down) * box.height

    axes = axes_px(measurement.ellipse, measurement.spacing_mm)
    _stroke(canvas, [on_page(p) for p in axes.ofd], drawing.OFD_COLOR, drawing.OFD_DASH)
    _stroke(canvas, [on_page(p) for p in axes.bpd], drawing.BPD_COLOR, drawing.BPD_DASH)
    outline = [on_page((float(c), float(r))) for c, r in outline_px(measurement.ellipse, OUTLINE_POINTS)]
    _stroke(canvas, [*outline, outline[0]], drawing.OUTLINE_COLOR, (), width=1.3)
    _scale_bar(sheet, box, SCALE_BAR_MM * box.width / (region.columns * measurement.spacing_mm.column))
    canvas.restoreState()


def _scale_bar(sheet: Sheet, box: Box, length: float) -> None:
    """20 mm in the lower right corner."""
    right, y = box.left + box.width - 10, box.bottom + 10
    _stroke(sheet.canvas, [(right - length, y), (right, y)], (255, 255, 255), (), width=1.6)
    sheet.text_right(right, y + 4, f"{SCALE_BAR_MM:.0f} mm", ON_PICTURE)


def _jpeg(crop: Picture) -> ImageReader:
    """Quality 92 without chroma subsampling: speckle survives, and the page stays below 200 kB."""
    encoded = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(crop)).save(encoded, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    encoded.seek(0)
    return ImageReader(encoded)


def _stroke(canvas: Canvas, points: Sequence[Point], color: Color, dash: tuple[float, ...], width: float = 1.1) -> None:
    """A line in colour over a dark casing, so that it shows on bright bone."""
    path = canvas.beginPath()
    path.moveTo(*points[0])
    for point in points[1:]:
        path.lineTo(*point)
    canvas.setLineCap(0)
    canvas.setDash(*([[d * width for d in dash]] if dash else []))
    canvas.setStrokeColorRGB(0, 0, 0, alpha=0.5)
    canvas.setLineWidth(width + 1.2)
    canvas.drawPath(path, stroke=1, fill=0)
    canvas.setStrokeColorRGB(*unit(color), alpha=1)
    canvas.setLineWidth(width)
    canvas.drawPath(path, stroke=1, fill=0)


def _figures_column(sheet: Sheet, report: ReportInput, y: float) -> float:
    """HC and age in large figures, the rest as a small table."""
    measurement = report.measurement
    left, right = MARGIN + PICTURE_WIDTH + GUTTER, sheet.right
    y -= 29
    sheet.text(left, y, "Head circumference", LABEL)
    sheet.text(left, y - 24, wording.millimetres(measurement.hc_mm), FIGURE)
    hc_range = wording.hc_range(measurement)
    interval = [wording.interval_name(report.interval_coverage), hc_range] if hc_range else [wording.NO_INTERVAL_SHORT]
    y = _lines(sheet, interval, left, y - 38)
    y -= 18
    sheet.text(left, y, "Gestational age", LABEL)
    y = _age(sheet, report, left, y, right - left)
    y -= 16
    sheet.rule(y + 9, left, right)
    trimester = measurement.age.trimester
    for label, value in (
        ("BPD, outer to outer", wording.millimetres(measurement.bpd_mm)),
        ("OFD, outer to outer", wording.millimetres(measurement.ofd_mm)),
        ("Cephalic index", wording.percent(measurement.cephalic_index_percent)),
        ("Trimester", "-" if trimester is None else wording.TRIMESTER_TEXT[trimester]),
        ("Ellipse fit (Dice)", wording.quality(measurement)),
    ):
        y -= 6
        sheet.text(left, y, label, LABEL)
        sheet.text_right(right, y, value, BODY)
        y -= 8.5
    return y


def _age(sheet: Sheet, report: ReportInput, left: float, y: float, width: float) -> float:
    age = report.measurement.age
    if age.days is None:
        sheet.text(left, y - 22, "none", NO_FIGURE)
        return _lines(sheet, wrap(wording.age_or_reason(age), REGULAR, 9, width), left, y - 36)
    end = sheet.text(left, y - 24, wording.weeks_and_days(age.days), FIGURE)
    sheet.text(end + 6, y - 24, f"({age.days} days)", Style(9, color=MUTED))
    lines: list[str] = []
    age_range = wording.age_range(age)
    if age_range is not None:
        lines.append(f"range {age_range}")
    lines += filter(None, [wording.age_range_note(age)])
    lines += wrap(wording.equation_name(age), REGULAR, 9, width)
    return _lines(sheet, lines, left, y - 38)


def _lines(sheet: Sheet, lines: Sequence[str], x: float, y: float) -> float:
    for line in lines:
        sheet.text(x, y, line, BODY)
        y -= 12
    return y


def _growth_block(flow: _Flow) -> None:
    """Size for an age that does not come from HC, beside its chart; one line where there is none."""
    report = flow.report
    head = report.measurement
    charted = standard_of(head) is not None
    width = flow.sheet.content_width - (CHART_WIDTH + GUTTER if charted else 0.0)
    lines = [
        (line, style)
        for texts, style in ((wording.growth_lines(head), BODY), (wording.discordance(head), ALERT_LINE))
        for text in texts
        for line in wrap(text, style.font, style.size, width)
    ]
    flow.need(max(16 + 12.5 * len(lines), CHART_HEIGHT if charted else 0.0))
    top = flow.y
    y = _heading(flow, "Size for age")
    for line, style in lines:
        flow.sheet.text(MARGIN, y, line, style)
        y -= 12.5
    if charted:
        _chart(flow.sheet, report, Column(flow.sheet.right - CHART_WIDTH, CHART_WIDTH), top)
        y = min(y, top - CHART_HEIGHT)
    flow.y = y - 10


def _chart(sheet: Sheet, report: ReportInput, column: Column, top: float) -> None:
    box = Box(column.left + CHART.left, top - CHART_HEIGHT + CHART.bottom, CHART.width, CHART.height)
    chart = growth_chart(report.measurement, box)
    if chart is not None:
        sheet.text(box.left, top, wording.chart_title(chart.standard), LABEL)
        draw_chart(sheet, chart, wording.interval_name(report.interval_coverage))


def _heading(flow: _Flow, text: str) -> float:
    flow.sheet.text(MARGIN, flow.y, text, HEADING)
    return flow.y - 16


def _notes(flow: _Flow) -> None:
    measurement = flow.report.measurement
    joined = [wording.AGE_RANGE] if measurement.age.interval is not None else []
    above = wording.discordance(measurement)
    remarks = [remark for remark in wording.remarks(measurement) if remark not in above]
    growth = wording.growth_notes(measurement)
    notes = [*wording.coverage_notes(measurement), *joined, *growth, *remarks, wording.BPD_IS_OUTER]
    flow.need(16 + 3 * 11.5)
    flow.y = _heading(flow, "What these numbers say, and what they do not")
    for note in notes:
        lines = wrap(note, REGULAR, 8.5, flow.sheet.content_width - 12)
        flow.need(11.5 * (len(lines) - 1))
        flow.sheet.text(MARGIN + 1, flow.y, "•", LABEL)
        for line in lines:
            flow.sheet.text(MARGIN + 12, flow.y, line, NOTE)
            flow.y -= 11.5
        flow.y -= 2
    flow.y -= 12


def _method_block(flow: _Flow) -> None:
    """In small print, for whoever has to trace a number back."""
    rows = _method_rows(flow.report)
    flow.need(16 + 13 * len(rows))
    flow.y = _heading(flow, "How it was measured")
    for row in rows:
        flow.need(10 * (MOST_LINES - 1))
        flow.y = _row(flow.sheet, row, Column(MARGIN, flow.sheet.content_width), flow.y, SMALL)


def _method_rows(report: ReportInput) -> list[Row]:
    measurement, source = report.measurement, report.source
    frame = f", frame {measurement.frame}" if is_multi_frame(source) else ""
    rows = [
        ("Method", f"{wording.method(report)}; ellipse on the outer border of the skull"),
        ("Weights", f"sha256 {report.model.sha256}"),
        ("Scale", wording.scale(measurement)),
        ("Equation", wording.equation_citation(measurement.age) or wording.equation_name(measurement.age)),
    ]
    standard = standard_of(measurement)
    if standard is not None:
        rows.append(("Chart", standard.citation))
    rows.append(("Image", f"{identity.text_of(source, 'SOPInstanceUID')}{frame}"))
    predecessor = report.predecessors.get("pdf")
    if predecessor is not None:
        rows.append(("Replaces", predecessor.sop_instance_uid))
    return [*rows, ("Made", f"{local_time(source, report.created):%Y-%m-%d %H:%M}")]


def _sign_off(flow: _Flow) -> None:
    """A line to sign on, on the last page, always at the same place above the footer."""
    flow.need(SIGN_OFF_HEIGHT)
    sheet = flow.sheet
    y = FLOOR + 6
    parts = (("Reviewed by", 0.44), ("Signature", 0.34), ("Date", 0.22))
    x = MARGIN
    for name, share in parts:
        end = x + share * sheet.content_width
        sheet.text(x, y, name, LABEL)
        sheet.rule(y - 2, x + text_width(name, LABEL.font, LABEL.size) + 6, end - (0 if name == "Date" else 12))
        x = end


def _continued(sheet: Sheet, report: ReportInput) -> float:
    """The head of a further page: whose it is, should it get lost from the first."""
    y = _header(sheet) - 17
    whose = (identity.name_of(report.source), _with_issuer(report), identity.text_of(report.source, "SOPInstanceUID"))
    for text in filter(None, whose):
        sheet.text(MARGIN, y, fit(text, REGULAR, 9, sheet.content_width), BODY)
        y -= 11.5
    return y - 12.5


def _footer(sheet: Sheet, number: str) -> None:
    sheet.rule(MARGIN + 12)
    sheet.text(MARGIN, MARGIN, wording.RESEARCH_USE, ALERT_LINE)
    sheet.text_right(sheet.right, MARGIN, number, LABEL)
