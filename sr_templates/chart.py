"""The growth chart: HC against an age that does not come from it, over the percentiles of a growth standard.

All vectors, in shades that survive a grey print. The window is ten weeks wide and not the whole pregnancy: over 26
weeks an interval of a few millimetres would vanish below the point that it belongs to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from inference.dating import DAYS_PER_WEEK
from inference.domain import Growth, IntervalMm, Measurement
from inference.growth import STANDARDS, Standard
from sr_templates import wording
from sr_templates.drawing import Color, Point
from sr_templates.language import ENGLISH, Words
from sr_templates.sheet import INK, MUTED, RULE, Box, Sheet, Style, unit
from sr_templates.typeface import text_width

WINDOW_WEEKS = 10.0
STEPS = 60
"""Pieces of a curve: a sixth of a week each, less than 0.01 mm off the curve between its ends."""

WEEKS_STEP = 2
TICK_MM = ((150.0, 20), (math.inf, 50))
"""Up to so many mm on the axis, a tick every so many."""

POINT_RADIUS = 1.7
CAP = 3.0
LABEL_STEP = 7.6
"""Between the baselines of two percentiles' names."""

CURVE: Color = (96, 104, 114)
CURVE_LABEL = Style(6.8, color=INK)
AXIS_LABEL = Style(7, color=MUTED)
KEY = Style(7, color=INK)


@dataclass(frozen=True, slots=True)
class Stroke:
    """`width` and `dash` in points."""

    width: float
    dash: tuple[float, ...] = ()


PERCENTILES: Mapping[int, Stroke] = MappingProxyType(
    {3: Stroke(0.6, (2.0, 1.6)), 10: Stroke(0.6), 50: Stroke(1.1), 90: Stroke(0.6), 97: Stroke(0.6, (2.0, 1.6))}
)


@dataclass(frozen=True, slots=True)
class Span:
    """An axis from end to end, in its own unit."""

    low: float
    high: float

    @property
    def length(self) -> float:
        return self.high - self.low


@dataclass(frozen=True, slots=True)
class GrowthChart:
    """Everything that decides where ink goes; `plot` is the frame of the axes on the page."""

    plot: Box
    standard: Standard
    weeks: Span
    axis_mm: Span
    head_weeks: float
    head_mm: float
    interval: IntervalMm | None

    def at(self, weeks: float, hc_mm: float) -> Point:
        """Where an age and a size lie on the page, in points."""
        across = (weeks - self.weeks.low) / self.weeks.length
        up = (hc_mm - self.axis_mm.low) / self.axis_mm.length
        return self.plot.left + across * self.plot.width, self.plot.bottom + up * self.plot.height

    def curve(self, percentile: int) -> list[Point]:
        """The curve of one percentile from the left to the right edge of the plot."""
        steps = (self.weeks.low + self.weeks.length * i / STEPS for i in range(STEPS + 1))
        return [self.at(weeks, self.standard.percentile_mm(percentile, weeks)) for weeks in steps]


def standard_of(measurement: Measurement) -> Standard | None:
    """The first growth standard that says something about this head; None without an independent age in its range."""
    growth = measurement.growth
    if not isinstance(growth, Growth) or not growth.sizes or growth.sizes[0].at is None:
        return None
    return STANDARDS[growth.sizes[0].standard]


def growth_chart(measurement: Measurement, plot: Box) -> GrowthChart | None:
    """The chart of one head in the frame `plot`; None where `standard_of` gives none."""
    standard, growth = standard_of(measurement), measurement.growth
    if standard is None or not isinstance(growth, Growth):
        return None
    age = growth.independent.days / DAYS_PER_WEEK
    weeks = _window(age, standard)
    return GrowthChart(
        plot=plot,
        standard=standard,
        weeks=weeks,
        axis_mm=_axis_mm(measurement, standard, weeks),
        head_weeks=age,
        head_mm=measurement.hc_mm,
        interval=measurement.hc_interval,
    )


def draw_chart(sheet: Sheet, chart: GrowthChart, interval_name: str, words: Words = ENGLISH) -> None:
    """Axes, curves with their names at the right, and the head; the names take some 22 points beyond the plot."""
    canvas = sheet.canvas
    canvas.saveState()
    _axes(sheet, chart, words)
    for percentile, stroke in PERCENTILES.items():
        _line(sheet, chart.curve(percentile), CURVE, stroke)
    _names(sheet, chart, words)
    head = chart.at(chart.head_weeks, chart.head_mm)
    _head(sheet, head, _bar(chart))
    _key(sheet, chart, interval_name, words)
    canvas.restoreState()


def label_heights(wanted: Sequence[float]) -> list[float]:
    """Heights that keep `LABEL_STEP` between neighbours and stay as near to those wanted (ascending) as that allows.

    The middle one keeps its place: the curves spread evenly about it.
    """
    heights, middle = list(wanted), len(wanted) // 2
    for i in range(middle + 1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + LABEL_STEP)
    for i in range(middle - 1, -1, -1):
        heights[i] = min(heights[i], heights[i + 1] - LABEL_STEP)
    return heights


def _window(age: float, standard: Standard) -> Span:
    """Whole weeks about the age, inside the range of the standard."""
    first = standard.range_days.low / DAYS_PER_WEEK
    last = standard.range_days.high / DAYS_PER_WEEK - WINDOW_WEEKS
    low = min(max(round(age - WINDOW_WEEKS / 2), first), last)
    return Span(low, low + WINDOW_WEEKS)


def _axis_mm(measurement: Measurement, standard: Standard, weeks: Span) -> Span:
    """Whole tens of millimetres that hold the outer curves and the head with its interval."""
    interval = measurement.hc_interval
    ends = (measurement.hc_mm,) if interval is None else (interval.low, interval.high)
    outer = [
        standard.percentile_mm(p, w) for p in (min(PERCENTILES), max(PERCENTILES)) for w in (weeks.low, weeks.high)
    ]
    return Span(10.0 * math.floor(min(*outer, *ends) / 10.0), 10.0 * math.ceil(max(*outer, *ends) / 10.0))


def _axes(sheet: Sheet, chart: GrowthChart, words: Words) -> None:
    plot = chart.plot
    _line(sheet, [(plot.left, plot.bottom), (plot.left + plot.width, plot.bottom)], MUTED, Stroke(0.6))
    _line(sheet, [(plot.left, plot.bottom), (plot.left, plot.bottom + plot.height)], MUTED, Stroke(0.6))
    first = math.ceil(chart.weeks.low)
    for week in range(first, math.floor(chart.weeks.high) + 1, WEEKS_STEP):
        x, y = chart.at(week, chart.axis_mm.low)
        _line(sheet, [(x, y), (x, y - 2.5)], MUTED, Stroke(0.6))
        name = words("{week} weeks", week=week) if week == first else f"{week}"
        sheet.text(x - text_width(f"{week}", AXIS_LABEL.font, AXIS_LABEL.size) / 2, y - 10, name, AXIS_LABEL)
    every = next(step for up_to, step in TICK_MM if chart.axis_mm.length <= up_to)
    ticks = range(every * math.ceil(chart.axis_mm.low / every), math.floor(chart.axis_mm.high) + 1, every)
    for hc_mm in ticks:
        x, y = chart.at(chart.weeks.low, hc_mm)
        _line(sheet, [(x, y), (x + plot.width, y)], RULE, Stroke(0.4))
        sheet.text_right(x - 4, y - 2.4, f"{hc_mm} mm" if hc_mm == ticks[-1] else f"{hc_mm}", AXIS_LABEL)


def _names(sheet: Sheet, chart: GrowthChart, words: Words) -> None:
    ends = [chart.curve(percentile)[-1] for percentile in PERCENTILES]
    heights = label_heights([y for _, y in ends])
    for percentile, (x, y), height in zip(PERCENTILES, ends, heights, strict=True):
        _line(sheet, [(x, y), (x + 5, height)], CURVE, Stroke(0.3))
        sheet.text(x + 6.5, height - 2.4, wording.ordinal(percentile, words), CURVE_LABEL)


def _bar(chart: GrowthChart) -> tuple[Point, Point] | None:
    if chart.interval is None:
        return None
    return chart.at(chart.head_weeks, chart.interval.low), chart.at(chart.head_weeks, chart.interval.high)


def _head(sheet: Sheet, head: Point, bar: tuple[Point, Point] | None) -> None:
    """A point, and a bar with caps from end to end of the interval; white below them keeps curves off."""
    if bar is not None:
        strokes = [list(bar), *([(x - CAP, y), (x + CAP, y)] for x, y in bar)]
        for color, stroke in (((255, 255, 255), Stroke(2.6)), (INK, Stroke(0.9))):
            for points in strokes:
                _line(sheet, points, color, stroke)
    sheet.canvas.setFillColorRGB(*unit(INK))
    sheet.canvas.circle(*head, POINT_RADIUS, stroke=0, fill=1)


def _key(sheet: Sheet, chart: GrowthChart, interval_name: str, words: Words) -> None:
    """What the point is, in the corner that the curves, which rise to the right, leave free on its far side."""
    lines = [words("this head, {hc}", hc=wording.millimetres(chart.head_mm, words))]
    if chart.interval is not None:
        lines.append(words("bar: {interval}", interval=interval_name))
    plot = chart.plot
    small = chart.head_mm < chart.standard.mean_mm(chart.head_weeks)
    width = max(text_width(line, KEY.font, KEY.size) for line in lines) + 10
    x = plot.left + 8 if small else plot.left + plot.width - width - 4
    y = plot.bottom + plot.height - 9 if small else plot.bottom + 6 + 9 * (len(lines) - 1)
    sheet.canvas.setFillColorRGB(1, 1, 1)
    sheet.canvas.rect(x - 3, y - 9 * (len(lines) - 1) - 2.5, width + 4, 9 * len(lines) + 1, stroke=0, fill=1)
    sheet.canvas.setFillColorRGB(*unit(INK))
    sheet.canvas.circle(x + 2, y + 2.5, POINT_RADIUS, stroke=0, fill=1)
    for line in lines:
        sheet.text(x + 10, y, line, KEY)
        y -= 9


def _line(sheet: Sheet, points: Sequence[Point], color: Color, stroke: Stroke) -> None:
    path = sheet.canvas.beginPath()
    path.moveTo(*points[0])
    for point in points[1:]:
        path.lineTo(*point)
    sheet.canvas.setLineCap(0)
    sheet.canvas.setDash(*([list(stroke.dash)] if stroke.dash else []))
    sheet.canvas.setStrokeColorRGB(*unit(color))
    sheet.canvas.setLineWidth(stroke.width)
    sheet.canvas.drawPath(path, stroke=1, fill=0)
