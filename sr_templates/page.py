"""One measurement on paper, as PDF bytes; the same input always gives the same bytes.

The first page is for the reader: figures, picture, growth chart, what the numbers say. How it was measured, for the
auditor, comes last. What has no room goes on a further page: nothing is left out and nothing runs into the footer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from inference.domain import Growth, Reason
from sr_templates import drawing, identity, narrative, photograph, reasons, wording
from sr_templates.chart import draw_chart, growth_chart, standard_of
from sr_templates.drawing import axes_px
from sr_templates.frames_chart import HEIGHT as FRAMES_HEIGHT
from sr_templates.frames_chart import draw_frames_chart, frames_chart, sentences
from sr_templates.language import Words, message
from sr_templates.report import NOTHING_FURTHER, Further, Picture, ReportInput
from sr_templates.sheet import ALERT, INK, MARGIN, MUTED, Box, Column, Sheet, Style, unit
from sr_templates.source import is_multi_frame, local_time
from sr_templates.typeface import BOLD, REGULAR, fit, text_width, wrap

TITLE = message("Fetal head circumference")

LABEL_WIDTH = 62.0
PICTURE_WIDTH = 318.0
PICTURE_HEIGHT = 262.0
GUTTER = 24.0
FLOOR = MARGIN + 22.0
"""Above the footer: no baseline of the content lies lower."""

SIGN_OFF_HEIGHT = 24.0
FRAMES_LEFT = 34.0
"""Room for the names of the axis, left of the chart of frames."""

MOST_LINES = 4
"""Of one value in a table: 64 of the widest letters take no more."""

CHART = Box(34.0, 24.0, 194.0, 136.0)
"""The axes' frame inside the chart's own box: room for numbers at its left and below, for names at its right."""

CHART_WIDTH = 252.0
CHART_HEIGHT = 176.0
SCALE_BAR_MM = 20.0

Row = tuple[str, str]
"""Label and value."""

TITLE_STYLE = Style(17, BOLD)
FIGURE = Style(22, BOLD)
NO_FIGURE = Style(16, BOLD)
HEADING = Style(10, BOLD)
BODY = Style(9)
NOTE = Style(8.5)
FINE = Style(8)
SMALL = Style(7.5)
LABEL = Style(8, color=MUTED)
ALERT_LINE = Style(9, BOLD, ALERT)
ON_PICTURE = Style(7, color=(255, 255, 255))


class Flow:
    """Where the next thing hangs, on which page."""

    def __init__(self, report: ReportInput) -> None:
        self.report = report
        self.words = report.words
        self.sheet = Sheet(report.page_size, report.language)
        self.number = 1
        self.y = _header(self.sheet, report)

    def need(self, height: float) -> None:
        """Go on with a further page unless `height` points are left above the footer."""
        if self.y - height < FLOOR:
            _footer(self.sheet, self.words, self.words("page {number}, more follows", number=self.number))
            self.sheet.turn()
            self.number += 1
            self.y = _continued(self.sheet, self.report)

    def finish(self) -> bytes:
        _footer(self.sheet, self.words, self.words("page {number} of {number}", number=self.number))
        return self.sheet.finish()


Section = Callable[[Flow], None]
"""A further part of a document, drawn where the flow stands; it leaves `flow.y` below itself."""


def draw_page(
    report: ReportInput,
    picture: Picture | None,
    sections: Sequence[Section] = (),
    further: Further = NOTHING_FURTHER,
) -> bytes:
    """The whole document. `picture`: RGB uint8 [rows, columns, 3], the frame that was measured.

    Without a picture the document is about no head: patient and study of the report, and the `sections`.
    """
    flow = Flow(report)
    sheet = flow.sheet
    sheet.canvas.setTitle(report.words(TITLE))
    sheet.canvas.setAuthor(report.equipment.manufacturer)
    sheet.canvas.setSubject(report.words(wording.AI_NOT_VERIFIED))
    y = _identity_block(sheet, report, flow.y)
    flow.y = y - 22
    if picture is not None:
        below_picture = _picture_column(sheet, report, picture, y)
        below_figures = _figures_column(sheet, report, y)
        flow.y = min(below_picture, below_figures) - 25
        if isinstance(report.measurement.growth, Growth):
            _growth_block(flow)
    for section in sections:
        section(flow)
    if picture is not None:
        _narrative(flow)
        _notes(flow)
        _frames_block(flow, further)
        _reasons_block(flow, picture, further)
        _method_block(flow)
    _sign_off(flow)
    return flow.finish()


def _header(sheet: Sheet, report: ReportInput) -> float:
    y = sheet.height - MARGIN - 14
    sheet.text(MARGIN, y, report.words(TITLE), TITLE_STYLE)
    sheet.text_right(sheet.right, y, report.words(wording.AI_NOT_VERIFIED), ALERT_LINE)
    sheet.rule(y - 11)
    return y - 11


def _identity_block(sheet: Sheet, report: ReportInput, y: float) -> float:
    """Two columns of label and value; long values take several lines."""
    source, words = report.source, report.words
    name = identity.name_of(source)
    when = f"{_date(report, 'StudyDate')} {identity.time_of(source, 'StudyTime')}".strip()
    scanner = f"{identity.text_of(source, 'Manufacturer')} {identity.text_of(source, 'ManufacturerModelName')}".strip()
    left = [
        (words("Patient"), name),
        (words("Patient ID"), _with_issuer(report)),
        (words("Born"), _date(report, "PatientBirthDate")),
        (words("Sex"), identity.text_of(source, "PatientSex")),
    ]
    right = [
        (words("Study"), when),
        (words("Accession"), identity.text_of(source, "AccessionNumber")),
        (words("Description"), identity.text_of(source, "StudyDescription")),
        (words("Scanner"), scanner),
    ]
    half = (sheet.content_width - GUTTER) / 2
    ends = [
        _rows(sheet, left, Column(MARGIN, half), y - 17),
        _rows(sheet, right, Column(MARGIN + half + GUTTER, half), y - 17),
    ]
    sheet.rule(min(ends) + 6)
    return min(ends) + 6


def _date(report: ReportInput, keyword: str) -> str:
    """In the page's own order; what is no date stands there as it is."""
    da = identity.da_of(report.source, keyword)
    return identity.date_of(report.source, keyword) if da is None else report.words.date(da)


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
    sheet.text(column.left, y, row[0], LABEL)
    lines = _value_lines(row, column, style)
    for i, line in enumerate(lines):
        sheet.text(column.left + LABEL_WIDTH, y - i * (style.size + 2.5), line, style)
    return y - (len(lines) - 1) * (style.size + 2.5) - (style.size + 5.5)


def _value_lines(row: Row, column: Column, style: Style) -> list[str]:
    room = column.width - LABEL_WIDTH
    lines = wrap(row[1] or "-", style.font, style.size, room)
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], fit(" ".join(lines[MOST_LINES - 1 :]), style.font, style.size, room)]
    return lines


def _picture_column(sheet: Sheet, report: ReportInput, picture: Picture, y: float) -> float:
    box = _picture_box(report, y - 22)
    _draw_picture(sheet, report, picture, box)
    legend_y = box.bottom - 14
    x = MARGIN
    for name, color, dash in (
        (report.words("outline"), drawing.OUTLINE_COLOR, ()),
        (report.words("BPD"), drawing.BPD_COLOR, drawing.BPD_DASH),
        (report.words("OFD"), drawing.OFD_COLOR, drawing.OFD_DASH),
    ):
        sheet.canvas.setFillColorRGB(*unit(INK))
        sheet.canvas.roundRect(x, legend_y - 2.2, 22, 9, 1.5, stroke=0, fill=1)
        photograph.stroke(sheet.canvas, [(x + 3, legend_y + 2.3), (x + 19, legend_y + 2.3)], color, dash)
        x = sheet.text(x + 27, legend_y, name, LABEL) + 14
    return legend_y


def _picture_box(report: ReportInput, top: float) -> Box:
    """As large as fits, in the proportions of millimetres."""
    aspect = photograph.aspect(report.measurement)
    width = min(PICTURE_WIDTH, PICTURE_HEIGHT * aspect)
    return Box(MARGIN, top - width / aspect, width, width / aspect)


def _draw_picture(sheet: Sheet, report: ReportInput, picture: Picture, box: Box) -> None:
    """The examined region with outline and axes as vectors, clipped to it."""
    measurement = report.measurement
    region, canvas = measurement.region, sheet.canvas
    photograph.put(canvas, photograph.cut(picture, region), box)
    on_page = photograph.placed(region, box)
    axes = axes_px(measurement.ellipse, measurement.spacing_mm)
    photograph.stroke(canvas, [on_page(p) for p in axes.ofd], drawing.OFD_COLOR, drawing.OFD_DASH)
    photograph.stroke(canvas, [on_page(p) for p in axes.bpd], drawing.BPD_COLOR, drawing.BPD_DASH)
    photograph.outline(canvas, measurement, box, width=1.3)
    _scale_bar(sheet, box, SCALE_BAR_MM * box.width / (region.columns * measurement.spacing_mm.column))
    canvas.restoreState()


def _scale_bar(sheet: Sheet, box: Box, length: float) -> None:
    """20 mm in the lower right corner."""
    right, y = box.left + box.width - 10, box.bottom + 10
    photograph.stroke(sheet.canvas, [(right - length, y), (right, y)], (255, 255, 255), (), width=1.6)
    sheet.text_right(right, y + 4, f"{SCALE_BAR_MM:.0f} mm", ON_PICTURE)


def _figures_column(sheet: Sheet, report: ReportInput, y: float) -> float:
    """HC and age in large figures, the rest as a small table."""
    measurement, words = report.measurement, report.words
    left, right = MARGIN + PICTURE_WIDTH + GUTTER, sheet.right
    y -= 29
    sheet.text(left, y, words("Head circumference"), LABEL)
    sheet.text(left, y - 24, wording.millimetres(measurement.hc_mm, words), FIGURE)
    hc_range = wording.hc_range(measurement, words)
    interval = [words(wording.NO_INTERVAL_SHORT)]
    if hc_range is not None:
        interval = [wording.interval_name(report.interval_coverage, words), hc_range]
    y = _lines(sheet, interval, left, y - 38)
    y -= 18
    sheet.text(left, y, words("Gestational age"), LABEL)
    y = _age(sheet, report, left, y, right - left)
    y -= 16
    sheet.rule(y + 9, left, right)
    trimester = measurement.age.trimester
    for label, value in (
        (words("BPD, outer to outer"), wording.millimetres(measurement.bpd_mm, words)),
        (words("OFD, outer to outer"), wording.millimetres(measurement.ofd_mm, words)),
        (words("Cephalic index"), wording.percent(measurement.cephalic_index_percent, words)),
        (words("Trimester"), "-" if trimester is None else words(wording.TRIMESTER_TEXT[trimester])),
        (words("Ellipse fit (Dice)"), wording.quality(measurement, words)),
    ):
        y -= 6
        sheet.text(left, y, label, LABEL)
        sheet.text_right(right, y, value, BODY)
        y -= 8.5
    return y


def _age(sheet: Sheet, report: ReportInput, left: float, y: float, width: float) -> float:
    age, words = report.measurement.age, report.words
    if age.days is None:
        sheet.text(left, y - 22, words("none"), NO_FIGURE)
        return _lines(sheet, wrap(wording.age_or_reason(age, words), REGULAR, 9, width), left, y - 36)
    end = sheet.text(left, y - 24, wording.weeks_and_days(age.days, words), FIGURE)
    days = wording.in_days(age.days, words)
    beside = end + 6 + text_width(days, REGULAR, 9) <= left + width
    if beside:
        sheet.text(end + 6, y - 24, days, Style(9, color=MUTED))
    age_range = wording.age_range(age, words)
    told = (
        None if beside else days,
        None if age_range is None else words("range {range}", range=age_range),
        wording.age_range_note(age, words),
        wording.equation_name(age, words),
    )
    lines = [line for text in told if text is not None for line in wrap(text, REGULAR, 9, width)]
    return _lines(sheet, lines, left, y - 38)


def _lines(sheet: Sheet, lines: Sequence[str], x: float, y: float) -> float:
    for line in lines:
        sheet.text(x, y, line, BODY)
        y -= 12
    return y


def _growth_block(flow: Flow) -> None:
    """Size for an age that does not come from HC, beside its chart."""
    report = flow.report
    head, words = report.measurement, report.words
    charted = standard_of(head) is not None
    width = flow.sheet.content_width - (CHART_WIDTH + GUTTER if charted else 0.0)
    lines = [
        (line, style)
        for texts, style in (
            (wording.operator_lines(head, words), BODY),
            (wording.growth_lines(head, words), BODY),
            (wording.discordance(head, words), ALERT_LINE),
        )
        for text in texts
        for line in wrap(text, style.font, style.size, width)
    ]
    flow.need(max(16 + 12.5 * len(lines), CHART_HEIGHT if charted else 0.0))
    top = flow.y
    y = _heading(flow, words("Size for age"))
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
        sheet.text(box.left, top, wording.chart_title(chart.standard, report.words), LABEL)
        draw_chart(sheet, chart, wording.interval_name(report.interval_coverage, report.words), report.words)


def _heading(flow: Flow, text: str) -> float:
    flow.sheet.text(MARGIN, flow.y, text, HEADING)
    return flow.y - 16


def _narrative(flow: Flow) -> None:
    """Findings and interpretation in words, and who wrote them."""
    told = flow.report.narrative or narrative.from_template(flow.report)
    width = flow.sheet.content_width
    paragraphs = [wrap(text, NOTE.font, NOTE.size, width) for text in (told.findings, told.interpretation)]
    flow.need(16 + 11.0 * len(paragraphs[0]))
    words = flow.words
    author = words("fixed sentences from these numbers")
    if told.author is not None:
        author = words("written by {model}; its numbers were checked by software", model=told.author)
    heading = words("Findings and interpretation")
    room = width - text_width(heading, HEADING.font, HEADING.size) - 12
    flow.sheet.text_right(flow.sheet.right, flow.y, fit(author, LABEL.font, LABEL.size, room), LABEL)
    flow.y = _heading(flow, heading)
    for lines in paragraphs:
        flow.need(11.0 * (len(lines) - 1))
        for line in lines:
            flow.sheet.text(MARGIN, flow.y, line, NOTE)
            flow.y -= 11.0
        flow.y -= 2.5
    flow.y -= 7


def _notes(flow: Flow) -> None:
    measurement, words = flow.report.measurement, flow.words
    joined = [words(wording.AGE_RANGE)] if measurement.age.interval is not None else []
    above = wording.discordance(measurement, words)
    remarks = [remark for remark in wording.remarks(measurement, words) if remark not in above]
    growth = wording.growth_notes(measurement, words)
    if isinstance(measurement.growth, Reason):
        growth = (*wording.operator_lines(measurement, words), wording.no_growth(measurement.growth, words))
    notes = [*wording.coverage_notes(measurement, words), *joined, *growth, *remarks, words(wording.BPD_IS_OUTER)]
    flow.need(16 + 3 * 10.5)
    flow.y = _heading(flow, words("What these numbers say, and what they do not"))
    for note in notes:
        lines = wrap(note, FINE.font, FINE.size, flow.sheet.content_width - 12)
        flow.need(10.5 * (len(lines) - 1))
        flow.sheet.text(MARGIN + 1, flow.y, "•", LABEL)
        for line in lines:
            flow.sheet.text(MARGIN + 12, flow.y, line, FINE)
            flow.y -= 10.5
        flow.y -= 1.5
    flow.y -= 8


def _frames_block(flow: Flow, further: Further) -> None:
    """HC of each examined frame of a cine; nothing where there is only one."""
    head, width = flow.report.measurement, flow.sheet.content_width
    chart = frames_chart(further.frames, head.frame, Box(0.0, 0.0, 1.0, 1.0), further.together)
    if chart is None:
        return
    said = sentences(chart, further.together, flow.words)
    lines = [line for sentence in said for line in wrap(sentence, FINE.font, FINE.size, width)]
    height = FRAMES_HEIGHT + chart.below
    flow.need(16 + height + 10.5 * len(lines))
    flow.y = _heading(flow, flow.words("HC frame by frame"))
    plot = Box(MARGIN + FRAMES_LEFT, flow.y - FRAMES_HEIGHT + 34, width - FRAMES_LEFT, FRAMES_HEIGHT - 34)
    draw_frames_chart(flow.sheet, replace(chart, plot=plot), flow.words)
    flow.y -= height + 6
    for line in lines:
        flow.sheet.text(MARGIN, flow.y, line, FINE)
        flow.y -= 10.5
    flow.y -= 10


def _reasons_block(flow: Flow, picture: Picture, further: Further) -> None:
    """Two small pictures that tell why; nothing where nobody asked."""
    explanation = further.explanation
    if explanation is None:
        return
    height = reasons.height(flow.sheet, flow.report, explanation)
    flow.need(16 + height)
    flow.y = _heading(flow, flow.words("Why the outline lies there"))
    reasons.draw(flow.sheet, flow.report, picture, explanation, flow.y)
    flow.y -= height + 16


def _method_block(flow: Flow) -> None:
    """In small print, for whoever has to trace a number back."""
    rows = _method_rows(flow.report)
    flow.need(16 + 13 * len(rows))
    flow.y = _heading(flow, flow.words("How it was measured"))
    column = Column(MARGIN, flow.sheet.content_width)
    for row in rows:
        flow.need(10.0 * (len(_value_lines(row, column, SMALL)) - 1))
        flow.y = _row(flow.sheet, row, column, flow.y, SMALL)


def _method_rows(report: ReportInput) -> list[Row]:
    measurement, source, words = report.measurement, report.source, report.words
    image = identity.text_of(source, "SOPInstanceUID")
    if is_multi_frame(source):
        image = words("{image}, frame {frame}", image=image, frame=measurement.frame)
    rows = [
        (words("Method"), f"{wording.method(report)}; {words('ellipse on the outer border of the skull')}"),
        (words("Weights"), f"sha256 {report.model.sha256}"),
        (words("Scale"), wording.scale(measurement, words)),
        (
            words("Equation"),
            wording.equation_citation(measurement.age) or wording.equation_name(measurement.age, words),
        ),
    ]
    standard = standard_of(measurement)
    if standard is not None:
        rows.append((words("Chart"), standard.citation))
    rows.append((words("Image"), image))
    predecessor = report.predecessors.get("pdf")
    if predecessor is not None:
        rows.append((words("Replaces"), predecessor.sop_instance_uid))
    made = local_time(source, report.created)
    return [*rows, (words("Made"), f"{words.date(f'{made:%Y%m%d}')} {made:%H:%M}")]


def _sign_off(flow: Flow) -> None:
    """A line to sign on, on the last page, always at the same place above the footer."""
    flow.need(SIGN_OFF_HEIGHT)
    sheet, words = flow.sheet, flow.words
    y = FLOOR + 6
    parts = ((words("Reviewed by"), 0.44, 12), (words("Signature"), 0.34, 12), (words("Date"), 0.22, 0))
    x = MARGIN
    for name, share, gap in parts:
        end = x + share * sheet.content_width
        sheet.text(x, y, name, LABEL)
        sheet.rule(y - 2, x + text_width(name, LABEL.font, LABEL.size) + 6, end - gap)
        x = end


def _continued(sheet: Sheet, report: ReportInput) -> float:
    """The head of a further page: whose it is, should it get lost from the first."""
    y = _header(sheet, report) - 17
    whose = (identity.name_of(report.source), _with_issuer(report), identity.text_of(report.source, "SOPInstanceUID"))
    for text in filter(None, whose):
        sheet.text(MARGIN, y, fit(text, REGULAR, 9, sheet.content_width), BODY)
        y -= 11.5
    return y - 12.5


def _footer(sheet: Sheet, words: Words, number: str) -> None:
    sheet.rule(MARGIN + 12)
    sheet.text(MARGIN, MARGIN, words(wording.RESEARCH_USE), ALERT_LINE)
    sheet.text_right(sheet.right, MARGIN, number, LABEL)
