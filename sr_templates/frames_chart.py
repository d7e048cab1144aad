"""HC of every examined frame of a cine, with its interval, and which of them speaks for the object."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from inference.domain import Consensus, Finding, Measurement
from sr_templates import wording
from sr_templates.drawing import Color, Point
from sr_templates.language import Words, message
from sr_templates.sheet import INK, MUTED, RULE, Box, Sheet, Style, unit
from sr_templates.typeface import text_width

HEIGHT = 112.0
"""Of the whole chart in points, names below included, weights not."""

BAR_HEIGHT = 12.0
"""Of the largest weight."""
STRIP = BAR_HEIGHT + 5.0
"""What the weights take below the axis."""
BAR_SHARE = 0.55
MOST_BAR = 7.0

POINT_RADIUS = 1.6
AXIS_LABEL = Style(7, color=MUTED)
KEY = Style(7.5, color=INK)
CHOSEN: Color = (194, 96, 0)  # the outline's orange, dark enough for white paper: 4.2:1
OTHERS: Color = (96, 104, 114)
WEIGHT_SAYS = message(
    "Weight: how much a frame counts in what the frames agree on. It falls with the width of its interval and with its"
    " distance from the others; it is no sign that the plane is right."
)
NEAREST_NAMES = 16.0
"""Between two frame numbers on the axis, in points."""


@dataclass(frozen=True, slots=True)
class FramesChart:
    """Everything that decides where ink goes; `plot` is the frame of the axes on the page.

    `weights`: of each finding in the consensus, as a share of the largest; empty where there is none.
    """

    plot: Box
    findings: tuple[Finding, ...]
    chosen_frame: int
    low_mm: float
    high_mm: float
    weights: tuple[float, ...] = ()

    @property
    def below(self) -> float:
        """How far the names of the frames move down for the weights."""
        return STRIP if self.weights else 0.0

    def at(self, frame: int, hc_mm: float) -> Point:
        """Where a frame number (1-based) and a size lie on the page, in points."""
        first, last = self.findings[0].frame, self.findings[-1].frame
        across = (frame - first + 0.5) / (last - first + 1)
        up = (hc_mm - self.low_mm) / (self.high_mm - self.low_mm)
        return self.plot.left + across * self.plot.width, self.plot.bottom + up * self.plot.height

    @property
    def measured(self) -> tuple[Measurement, ...]:
        """The findings with a number, in the order of their frames."""
        return tuple(finding for finding in self.findings if isinstance(finding, Measurement))


def frames_chart(
    findings: Sequence[Finding], chosen_frame: int, plot: Box, together: Consensus | None = None
) -> FramesChart | None:
    """The chart of the findings of one region; None with fewer than two of them, or where none was measured.

    `together` has a weight for each of `findings`, in their order.
    """
    ordered = tuple(sorted(findings, key=lambda finding: finding.frame))
    measured = [finding for finding in ordered if isinstance(finding, Measurement)]
    if len(ordered) < 2 or not measured:
        return None
    ends = [end for finding in measured for end in _ends(finding)]
    step = _step(max(ends) - min(ends))
    low, high = step * math.floor(min(ends) / step), step * math.ceil(max(ends) / step)
    chart = FramesChart(plot, ordered, chosen_frame, float(low), float(high if high > low else low + step))
    return chart if together is None else replace(chart, weights=_shares(findings, together))


def _shares(findings: Sequence[Finding], together: Consensus) -> tuple[float, ...]:
    """The weights in the order of the frames, as shares of the largest."""
    pairs = sorted(zip(findings, together.weights, strict=True), key=lambda pair: pair[0].frame)
    return tuple(weight / max(together.weights) for _, weight in pairs)


def draw_frames_chart(sheet: Sheet, chart: FramesChart, words: Words) -> None:
    """Axes, a point with a bar for each measured frame, a cross for each without a number, the chosen one in colour."""
    sheet.canvas.saveState()
    _axes(sheet, chart, words)
    _weights(sheet, chart, words)
    for finding in chart.findings:
        color = CHOSEN if finding.frame == chart.chosen_frame else OTHERS
        if isinstance(finding, Measurement):
            _bar(sheet, chart, finding, color)
        else:
            _cross(sheet, chart.at(finding.frame, chart.low_mm), color)
    _key(sheet, chart, words)
    sheet.canvas.restoreState()


def sentences(chart: FramesChart, together: Consensus | None, words: Words) -> tuple[str, ...]:
    """What the frames say together, and what they do not."""
    sizes = [finding.hc_mm for finding in chart.measured]
    measured = words(
        "HC in {measured} of {examined} examined frames: {low} to {high}. Neighbouring frames are alike: that they"
        " agree does not make HC right.",
        measured=len(sizes),
        examined=len(chart.findings),
        low=wording.millimetres(min(sizes), words),
        high=wording.millimetres(max(sizes), words),
    )
    if together is None:
        return (measured,)
    return (measured, *wording.cine_lines(together, words), words(WEIGHT_SAYS))


def _ends(finding: Measurement) -> tuple[float, ...]:
    interval = finding.hc_interval
    return (finding.hc_mm,) if interval is None else (interval.low, interval.high)


def _step(length_mm: float) -> int:
    """Millimetres between two names of the axis: three to six of them."""
    return next(step for step in (2, 5, 10, 20, 50, 100) if length_mm <= 5 * step or step == 100)


def _axes(sheet: Sheet, chart: FramesChart, words: Words) -> None:
    plot = chart.plot
    step = _step(chart.high_mm - chart.low_mm)
    names = range(round(chart.low_mm), round(chart.high_mm) + 1, step)
    for hc_mm in names:
        _, y = chart.at(chart.chosen_frame, hc_mm)
        _line(sheet, (plot.left, y), (plot.left + plot.width, y), RULE, 0.4)
        sheet.text_right(plot.left - 4, y - 2.4, f"{hc_mm} mm" if hc_mm == names[-1] else f"{hc_mm}", AXIS_LABEL)
    last = -math.inf
    for finding in chart.findings:
        x, _ = chart.at(finding.frame, chart.low_mm)
        if x - last >= NEAREST_NAMES:
            name = f"{finding.frame}"
            left = x - text_width(name, AXIS_LABEL.font, AXIS_LABEL.size) / 2
            sheet.text(left, plot.bottom - chart.below - 12, name, AXIS_LABEL)
            last = x
    sheet.text_right(plot.left - 4, plot.bottom - chart.below - 12, words("frame"), AXIS_LABEL)


def _weights(sheet: Sheet, chart: FramesChart, words: Words) -> None:
    """A bar below the axis for each frame that counts, as long as it counts."""
    if not chart.weights:
        return
    foot = chart.plot.bottom - STRIP
    width = min(MOST_BAR, BAR_SHARE * chart.plot.width / (chart.findings[-1].frame - chart.findings[0].frame + 1))
    sheet.text_right(chart.plot.left - 4, foot + 2, words("weight"), AXIS_LABEL)
    for finding, weight in zip(chart.findings, chart.weights, strict=True):
        x, _ = chart.at(finding.frame, chart.low_mm)
        sheet.canvas.setFillColorRGB(*unit(CHOSEN if finding.frame == chart.chosen_frame else OTHERS))
        sheet.canvas.rect(x - width / 2, foot, width, BAR_HEIGHT * weight, stroke=0, fill=1)
    _line(sheet, (chart.plot.left, foot), (chart.plot.left + chart.plot.width, foot), RULE, 0.4)


def _bar(sheet: Sheet, chart: FramesChart, finding: Measurement, color: Color) -> None:
    if finding.hc_interval is not None:
        low, high = (chart.at(finding.frame, end) for end in _ends(finding))
        _line(sheet, low, high, color, 1.6 if color == CHOSEN else 0.7)
    radius = POINT_RADIUS * (1.5 if color == CHOSEN else 1.0)
    sheet.canvas.setFillColorRGB(*unit(color))
    sheet.canvas.circle(*chart.at(finding.frame, finding.hc_mm), radius, stroke=0, fill=1)


def _cross(sheet: Sheet, point: Point, color: Color) -> None:
    x, y = point
    for up in (2.0, -2.0):
        _line(sheet, (x - 2.0, y - up), (x + 2.0, y + up), color, 0.8)


def _key(sheet: Sheet, chart: FramesChart, words: Words) -> None:
    """One line below the numbers: what point, bar and cross are."""
    y = chart.plot.bottom - chart.below - 24
    x = chart.plot.left
    sheet.canvas.setFillColorRGB(*unit(CHOSEN))
    sheet.canvas.circle(x + 2, y + 2.6, POINT_RADIUS * 1.5, stroke=0, fill=1)
    chosen = words("frame {frame} speaks for the cine", frame=chart.chosen_frame)
    x = sheet.text(x + 9, y, chosen, KEY) + 16
    sheet.canvas.setFillColorRGB(*unit(OTHERS))
    sheet.canvas.circle(x + 2, y + 2.6, POINT_RADIUS, stroke=0, fill=1)
    x = sheet.text(x + 9, y, words("other frames; lines are intervals"), KEY) + 16
    if len(chart.measured) < len(chart.findings):
        _cross(sheet, (x + 2, y + 2.6), OTHERS)
        sheet.text(x + 9, y, words("no HC"), KEY)


def _line(sheet: Sheet, begin: Point, end: Point, color: Color, width: float) -> None:
    sheet.canvas.setDash()
    sheet.canvas.setStrokeColorRGB(*unit(color))
    sheet.canvas.setLineWidth(width)
    sheet.canvas.line(*begin, *end)
