"""The study's PDF: the page about the selected head, and a table of all heads, if several, with what became of each."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import FileDataset

from inference.agreement import Verdict, relative_width
from inference.domain import Growth, Measurement
from sr_templates import wording
from sr_templates.language import ENGLISH, Words, message
from sr_templates.page import HEADING, LABEL, NOTE, Flow, draw_page
from sr_templates.pdf import encapsulated
from sr_templates.report import NOTHING_FURTHER, Further, Picture
from sr_templates.sheet import ALERT, MARGIN, Style
from sr_templates.source import image_reference, local_time
from sr_templates.study import PDF, VERDICT_TEXT, StudyReport, image_name, sentences, sources_of
from sr_templates.typeface import BOLD, fit, wrap

TITLE = message("Measured heads of this study")
HEADS = (message("Image"), message("HC"), message("Interval"), message("of HC"), message("Age"), message("Outcome"))
WIDTHS = (150.0, 54.0, 102.0, 42.0, 56.0, 101.0)
"""In points; together the width of an A4 page between its margins."""

LINE = 12.5
CHOSEN = Style(NOTE.size, BOLD)
WARNING = Style(9, BOLD, ALERT)

Row = tuple[str, ...]
"""One cell for each of `HEADS`."""


def build_study_pdf(study: StudyReport, picture: Picture | None, further: Further = NOTHING_FURTHER) -> FileDataset:
    """The document as an Encapsulated PDF object (PS3.3 A.45.1).

    `picture`: RGB uint8 [rows, columns, 3], the frame of the selected head; None where no head is selected.
    `further` is about that head.
    """
    document = draw_page(study.report, picture, [lambda flow: _draw(flow, study)], further)
    sources = [image_reference(c.source, c.measurement.frame) for c in sources_of(study.candidates)]
    made = encapsulated(study.report, PDF, document, sources)
    made.InstanceNumber = study.version
    return made


def _draw(flow: Flow, study: StudyReport) -> None:
    if study.choice.selected is not None and len(study.candidates) == 1:
        _draw_alone(flow, study)
    else:
        _draw_heads(flow, study)


def _draw_alone(flow: Flow, study: StudyReport) -> None:
    """One line: a table of one head would repeat the figures above, and cost a second sheet of paper."""
    (head,) = study.candidates
    name = image_name(head.source, head.measurement.frame, flow.words)
    if not isinstance(flow.report.measurement.growth, Growth):
        flow.y += 8  # right under the picture: nearer than a heading
    _paragraph(flow, flow.words("The only measured head of this study: {image}.", image=name), NOTE)
    for text in _traces(study, flow.words):
        _paragraph(flow, text, NOTE)
    flow.y -= 3.5


def _draw_heads(flow: Flow, study: StudyReport) -> None:
    flow.need(4 * LINE + 16)
    flow.sheet.text(MARGIN, flow.y, flow.words(TITLE), HEADING)
    flow.y -= 16
    unidentified = study.choice.reason is not None
    for number, sentence in enumerate(sentences(study, flow.words)):
        _paragraph(flow, sentence, WARNING if unidentified and number == 0 else NOTE)
    flow.y -= 4
    _table(flow, study)
    for text in _traces(study, flow.words):
        _paragraph(flow, text, NOTE)
    flow.y -= 12


def _paragraph(flow: Flow, text: str, style: Style) -> None:
    for line in wrap(text, style.font, style.size, flow.sheet.content_width):
        flow.need(LINE)
        flow.sheet.text(MARGIN, flow.y, line, style)
        flow.y -= LINE


def _table(flow: Flow, study: StudyReport) -> None:
    """Its head stands again on each further page."""
    page = None
    for row, told in zip(rows(study, flow.words), study.choice.verdicts, strict=True):
        flow.need(LINE)
        if page != flow.number:
            page = flow.number
            _line(flow, tuple(map(flow.words, HEADS)), LABEL)
        _line(flow, row, CHOSEN if told is Verdict.SELECTED else NOTE)
    flow.y -= 4


def _line(flow: Flow, row: Row, style: Style) -> None:
    x = MARGIN
    for cell, width in zip(row, WIDTHS, strict=True):
        flow.sheet.text(x, flow.y, fit(cell, style.font, style.size, width - 6), style)
        x += width
    flow.y -= LINE


def rows(study: StudyReport, words: Words = ENGLISH) -> Iterator[Row]:
    """A row for each candidate, in their order."""
    for candidate, told in zip(study.candidates, study.choice.verdicts, strict=True):
        head = candidate.measurement
        yield (
            image_name(candidate.source, head.frame, words),
            wording.millimetres(head.hc_mm, words),
            wording.hc_range(head, words) or words(wording.NO_INTERVAL_SHORT),
            _width(head, words),
            _age(head, words),
            words(VERDICT_TEXT[told]),
        )


def _width(head: Measurement, words: Words) -> str:
    return "-" if head.hc_interval is None else wording.percent(100.0 * relative_width(head), words)


def _age(head: Measurement, words: Words) -> str:
    return "-" if head.age.days is None else wording.weeks_and_days(head.age.days, words)


def _traces(study: StudyReport, words: Words) -> Iterator[str]:
    """What the method block says of a selected head, where there is none; and what this document replaces."""
    report = study.report
    predecessor = report.predecessors.get(PDF.kind)
    if predecessor is not None:
        yield words(
            "Version {version} of the study's report; replaces {uid}.",
            version=study.version,
            uid=predecessor.sop_instance_uid,
        )
    if study.choice.selected is None:
        made = local_time(report.source, report.created)
        yield f"{words('Method')}: {wording.method(report)}"
        yield f"{words('Weights')}: sha256 {report.model.sha256}"
        yield f"{words('Made')}: {words.date(f'{made:%Y%m%d}')} {made:%H:%M}"
