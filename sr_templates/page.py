"""One calm A4 page about one measurement, as PDF bytes; the same input always gives the same bytes.

Notes for which there is no room go on a second page: nothing is left out and nothing runs into the footer.

The canvas' origin is bottom left, in points; `y` is the baseline or upper edge that the next thing hangs from.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from reportlab import rl_config
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from inference.measure import outline_px
from sr_templates import drawing, identity, wording
from sr_templates.drawing import Color, Point, axes_px
from sr_templates.report import Picture, ReportInput
from sr_templates.source import is_multi_frame, local_time
from sr_templates.typeface import BOLD, REGULAR, fit, page_font, runs, text_width, wrap

rl_config.useA85 = 0  # DICOM carries bytes; ASCII armour costs a fifth of a second and a quarter more size

TITLE = "Fetal head circumference"

PAGE_WIDTH: float = A4[0]
PAGE_HEIGHT: float = A4[1]
MARGIN = 45.0
CONTENT_WIDTH = PAGE_WIDTH - 2 * MARGIN
LABEL_WIDTH = 62.0
PICTURE_WIDTH = 318.0
PICTURE_HEIGHT = 262.0
GUTTER = 24.0
LOWEST_NOTE = MARGIN + 22.0
JPEG_QUALITY = 92
SCALE_BAR_MM = 20.0
OUTLINE_POINTS = 180

INK: Color = (28, 34, 42)
MUTED: Color = (104, 112, 122)
RULE: Color = (205, 210, 216)
ALERT: Color = (170, 72, 0)  # a dark vermillion, 5.6:1 on white

Row = tuple[str, str]
"""Label and value."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a line of text looks; `size` in points."""

    size: float
    font: str = REGULAR
    color: Color = INK


TITLE_STYLE = Style(17, BOLD)
FIGURE = Style(22, BOLD)
NO_FIGURE = Style(16, BOLD)
HEADING = Style(10, BOLD)
BODY = Style(9)
NOTE = Style(8.5)
LABEL = Style(8, color=MUTED)
ALERT_LINE = Style(9, BOLD, ALERT)
ON_PICTURE = Style(7, color=(255, 255, 255))


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


class Page:
    """The canvas with our few ways to put text on it."""

    def __init__(self) -> None:
        page_font(REGULAR)
        page_font(BOLD)
        self._bytes = io.BytesIO()
        self.canvas = Canvas(self._bytes, pagesize=A4, invariant=1, pageCompression=1)

    def text(self, x: float, y: float, value: str, style: Style) -> float:
        """One line from the left; gives back where it ends."""
        self.canvas.setFillColorRGB(*_unit(style.color))
        for run in runs(value, style.font):
            self.canvas.setFont(run.font, style.size)
            self.canvas.drawString(x, y, run.text)
            x += run.width(style.size)
        return x

    def text_right(self, x: float, y: float, value: str, style: Style) -> None:
        """One line that ends at `x`."""
        self.text(x - text_width(value, style.font, style.size), y, value, style)

    def rule(self, y: float, left: float = MARGIN, right: float = PAGE_WIDTH - MARGIN) -> None:
        self.canvas.setStrokeColorRGB(*_unit(RULE))
        self.canvas.setLineWidth(0.6)
        self.canvas.setDash()
        self.canvas.line(left, y, right, y)

    def turn(self) -> None:
        """Go on with an empty page."""
        self.canvas.showPage()

    def finish(self) -> bytes:
        self.canvas.showPage()
        self.canvas.save()
        return self._bytes.getvalue()


def draw_page(report: ReportInput, picture: Picture) -> bytes:
    """The whole page. `picture`: RGB uint8 [rows, columns, 3], the frame that was measured."""
    page = Page()
    page.canvas.setTitle(TITLE)
    page.canvas.setAuthor(report.equipment.manufacturer)
    page.canvas.setSubject(wording.AI_NOT_VERIFIED)
    y = _header(page)
    y = _identity_block(page, report, y)
    below_picture = _picture_column(page, report, picture, y)
    below_figures = _figures_column(page, report, y)
    y = _growth_block(page, report, min(below_picture, below_figures) - 30)
    y = _method_block(page, report, y)
    _notes(page, report, y)
    _footer(page, report)
    return page.finish()


def _header(page: Page) -> float:
    y = PAGE_HEIGHT - MARGIN - 14
    page.text(MARGIN, y, TITLE, TITLE_STYLE)
    page.text_right(PAGE_WIDTH - MARGIN, y, wording.AI_NOT_VERIFIED, ALERT_LINE)
    page.rule(y - 11)
    return y - 11


def _identity_block(page: Page, report: ReportInput, y: float) -> float:
    """Two columns of label and value; a long name takes a second line, anything longer is cut with an ellipsis."""
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
    half = (CONTENT_WIDTH - GUTTER) / 2
    ends = [
        _rows(page, left, Column(MARGIN, half), y - 17),
        _rows(page, right, Column(MARGIN + half + GUTTER, half), y - 17),
    ]
    page.rule(min(ends) + 6)
    return min(ends) + 6


def _with_issuer(report: ReportInput) -> str:
    issuer = identity.text_of(report.source, "IssuerOfPatientID")
    patient_id = identity.text_of(report.source, "PatientID")
    return f"{patient_id} ({issuer})" if issuer else patient_id


def _rows(page: Page, rows: Sequence[Row], column: Column, y: float) -> float:
    """Label and value, at most two lines a value; a missing value is a dash."""
    x, room = column.left, column.width - LABEL_WIDTH
    for label, value in rows:
        page.text(x, y, label, LABEL)
        first, *rest = wrap(value or "-", REGULAR, 9, room)
        page.text(x + LABEL_WIDTH, y, first, BODY)
        if rest:
            y -= 11.5
            page.text(x + LABEL_WIDTH, y, fit(" ".join(rest), REGULAR, 9, room), BODY)
        y -= 14.5
    return y


def _picture_column(page: Page, report: ReportInput, picture: Picture, y: float) -> float:
    box = _picture_box(report, y - 22)
    _draw_picture(page, report, picture, box)
    legend_y = box.bottom - 14
    x = MARGIN
    for name, color, dash in (
        ("outline", drawing.OUTLINE_COLOR, ()),
        ("BPD", drawing.BPD_COLOR, drawing.BPD_DASH),
        ("OFD", drawing.OFD_COLOR, drawing.OFD_DASH),
    ):
        page.canvas.setFillColorRGB(*_unit(INK))
        page.canvas.roundRect(x, legend_y - 2.2, 22, 9, 1.5, stroke=0, fill=1)
        _stroke(page.canvas, [(x + 3, legend_y + 2.3), (x + 19, legend_y + 2.3)], color, dash)
        x = page.text(x + 27, legend_y, name, LABEL) + 14
    return legend_y


def _picture_box(report: ReportInput, top: float) -> Box:
    """As large as fits, in the proportions of millimetres."""
    region, scale = report.measurement.region, report.measurement.spacing_mm
    aspect = (region.columns * scale.column) / (region.rows * scale.row)
    width = min(PICTURE_WIDTH, PICTURE_HEIGHT * aspect)
    return Box(MARGIN, top - width / aspect, width, width / aspect)


def _draw_picture(page: Page, report: ReportInput, picture: Picture, box: Box) -> None:
    """The examined region with outline and axes as vectors, clipped to it."""
    measurement = report.measurement
    region = measurement.region
    crop = picture[region.min_row : region.max_row + 1, region.min_column : region.max_column + 1]
    canvas = page.canvas
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
    _scale_bar(page, box, SCALE_BAR_MM * box.width / (region.columns * measurement.spacing_mm.column))
    canvas.restoreState()


def _scale_bar(page: Page, box: Box, length: float) -> None:
    """20 mm in the lower right corner."""
    right, y = box.left + box.width - 10, box.bottom + 10
    _stroke(page.canvas, [(right - length, y), (right, y)], (255, 255, 255), (), width=1.6)
    page.text_right(right, y + 4, f"{SCALE_BAR_MM:.0f} mm", ON_PICTURE)


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
    canvas.setStrokeColorRGB(*_unit(color), alpha=1)
    canvas.setLineWidth(width)
    canvas.drawPath(path, stroke=1, fill=0)


def _figures_column(page: Page, report: ReportInput, y: float) -> float:
    """HC and age in large figures, the rest as a small table."""
    measurement = report.measurement
    left, right = MARGIN + PICTURE_WIDTH + GUTTER, PAGE_WIDTH - MARGIN
    y -= 29
    page.text(left, y, "Head circumference", LABEL)
    page.text(left, y - 24, wording.millimetres(measurement.hc_mm), FIGURE)
    hc_range = wording.hc_range(measurement)
    interval = [wording.interval_name(report.interval_coverage), hc_range] if hc_range else [wording.NO_INTERVAL_SHORT]
    y = _lines(page, interval, left, y - 38)
    y -= 18
    page.text(left, y, "Gestational age", LABEL)
    y = _age(page, report, left, y, right - left)
    y -= 16
    page.rule(y + 9, left, right)
    trimester = measurement.age.trimester
    for label, value in (
        ("BPD, outer to outer", wording.millimetres(measurement.bpd_mm)),
        ("OFD, outer to outer", wording.millimetres(measurement.ofd_mm)),
        ("Cephalic index", wording.percent(measurement.cephalic_index_percent)),
        ("Trimester", "-" if trimester is None else wording.TRIMESTER_TEXT[trimester]),
        ("Ellipse fit (Dice)", wording.quality(measurement)),
    ):
        y -= 6
        page.text(left, y, label, LABEL)
        page.text_right(right, y, value, BODY)
        y -= 8.5
    return y


def _age(page: Page, report: ReportInput, left: float, y: float, width: float) -> float:
    age = report.measurement.age
    if age.days is None:
        page.text(left, y - 22, "none", NO_FIGURE)
        return _lines(page, wrap(wording.age_or_reason(age), REGULAR, 9, width), left, y - 36)
    end = page.text(left, y - 24, wording.weeks_and_days(age.days), FIGURE)
    page.text(end + 6, y - 24, f"({age.days} days)", Style(9, color=MUTED))
    lines: list[str] = []
    age_range = wording.age_range(age)
    if age_range is not None:
        lines.append(f"range {age_range}")
    lines += filter(None, [wording.age_range_note(age)])
    lines += wrap(wording.equation_name(age), REGULAR, 9, width)
    return _lines(page, lines, left, y - 38)


def _lines(page: Page, lines: Sequence[str], x: float, y: float) -> float:
    for line in lines:
        page.text(x, y, line, BODY)
        y -= 12
    return y


def _growth_block(page: Page, report: ReportInput, y: float) -> float:
    """Size for an age that does not come from HC, and in what the two ages disagree; one line where there is none."""
    page.text(MARGIN, y, "Size for age", HEADING)
    y -= 16
    for lines, style in (
        (wording.growth_lines(report.measurement), BODY),
        (wording.discordance(report.measurement), ALERT_LINE),
    ):
        for text in lines:
            for line in wrap(text, style.font, style.size, CONTENT_WIDTH):
                page.text(MARGIN, y, line, style)
                y -= 12.5
    return y - 10


def _method_block(page: Page, report: ReportInput, y: float) -> float:
    measurement, source = report.measurement, report.source
    page.text(MARGIN, y, "How it was measured", HEADING)
    frame = f", frame {measurement.frame}" if is_multi_frame(source) else ""
    rows = [
        ("Method", f"{wording.method(report)}; ellipse on the outer border of the skull"),
        ("Weights", f"sha256 {report.model.sha256}"),
        ("Scale", wording.scale(measurement)),
        ("Equation", wording.equation_citation(measurement.age) or wording.equation_name(measurement.age)),
        ("Image", f"{identity.text_of(source, 'SOPInstanceUID')}{frame}"),
    ]
    predecessor = report.predecessors.get("pdf")
    if predecessor is not None:
        rows.append(("Replaces", predecessor.sop_instance_uid))
    return _rows(page, rows, Column(MARGIN, CONTENT_WIDTH), y - 18) - 16


def _notes(page: Page, report: ReportInput, y: float) -> None:
    page.text(MARGIN, y, "What these numbers say, and what they do not", HEADING)
    y -= 16
    measurement = report.measurement
    joined = [wording.AGE_RANGE] if measurement.age.interval is not None else []
    above = wording.discordance(measurement)
    remarks = [remark for remark in wording.remarks(measurement) if remark not in above]
    growth = wording.growth_notes(measurement)
    notes = [*wording.coverage_notes(measurement), *joined, *growth, *remarks, wording.BPD_IS_OUTER]
    for note in notes:
        lines = wrap(note, REGULAR, 8.5, CONTENT_WIDTH - 12)
        if y - 11.5 * (len(lines) - 1) < LOWEST_NOTE:
            _footer(page, report)
            page.turn()
            y = _continued(page, report)
        page.text(MARGIN + 1, y, "•", LABEL)
        for line in lines:
            page.text(MARGIN + 12, y, line, NOTE)
            y -= 11.5
        y -= 2


def _continued(page: Page, report: ReportInput) -> float:
    """The head of a second page: whose it is, should it get lost from the first."""
    y = _header(page) - 17
    whose = (identity.name_of(report.source), _with_issuer(report), identity.text_of(report.source, "SOPInstanceUID"))
    text = fit(", ".join(filter(None, whose)), REGULAR, 9, CONTENT_WIDTH)
    page.text(MARGIN, y, text, BODY)
    return y - 24


def _footer(page: Page, report: ReportInput) -> None:
    created = local_time(report.source, report.created)
    page.rule(MARGIN + 12)
    page.text(MARGIN, MARGIN, wording.RESEARCH_USE, ALERT_LINE)
    page.text_right(PAGE_WIDTH - MARGIN, MARGIN, f"{created:%Y-%m-%d %H:%M}", LABEL)


def _unit(color: Color) -> tuple[float, float, float]:
    return color[0] / 255, color[1] / 255, color[2] / 255
