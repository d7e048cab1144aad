"""The growth chart puts ages, sizes and percentiles where they belong, and is absent where it would say nothing."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reportlab.pdfgen.canvas import Canvas

from inference.domain import Growth, IntervalMm, Measurement, Reason
from sr_templates import page
from sr_templates.chart import (
    LABEL_STEP,
    PERCENTILES,
    POINT_RADIUS,
    WINDOW_WEEKS,
    GrowthChart,
    growth_chart,
    label_heights,
)
from sr_templates.language import Words
from sr_templates.sheet import Box, Sheet
from tests.reports import measurement, picture, report, with_lmp

PLOT = Box(100.0, 200.0, 200.0, 150.0)


def chart_of(head: Measurement) -> GrowthChart:
    chart = growth_chart(head, PLOT)
    assert chart is not None
    return chart


def test_the_head_stands_at_its_age_and_size() -> None:
    chart = chart_of(with_lmp(measurement(hc_mm=197.1), 150))  # 21 w 3 d
    # the window is 16 to 26 weeks, the axis 110 mm (3rd at 16 weeks: 111) to 260 mm (97th at 26 weeks: 257)
    assert (chart.weeks.low, chart.weeks.high) == (16.0, 26.0)
    assert (chart.axis_mm.low, chart.axis_mm.high) == (110.0, 260.0)
    x, y = chart.at(chart.head_weeks, chart.head_mm)
    assert x == pytest.approx(100.0 + (150 / 7 - 16.0) * 20.0, abs=0.1)
    assert y == pytest.approx(200.0 + (197.1 - 110.0) * 1.0, abs=0.1)


def test_the_ink_is_where_the_chart_says(monkeypatch: pytest.MonkeyPatch) -> None:
    head = with_lmp(measurement(), 150)
    circles: list[tuple[float, float, float]] = []
    monkeypatch.setattr(Canvas, "circle", lambda self, x, y, r, **_: circles.append((x, y, r)))
    frames: list[GrowthChart] = []
    original = page.draw_chart

    def noted(sheet: Sheet, chart: GrowthChart, interval_name: str, words: Words) -> None:
        frames.append(chart)
        original(sheet, chart, interval_name, words)

    monkeypatch.setattr(page, "draw_chart", noted)
    page.draw_page(report(measurement=head), picture())
    (plot,) = [chart.plot for chart in frames]
    x = plot.left + (150 / 7 - 16.0) / 10.0 * plot.width
    y = plot.bottom + (head.hc_mm - 110.0) / 150.0 * plot.height
    assert circles[0] == pytest.approx((x, y, POINT_RADIUS), abs=0.1)


@pytest.mark.parametrize(
    ("percentile", "weeks", "hc_mm"),
    # INTERGROWTH-21st's own table, mm
    [(50, 20.0, 172.5), (50, 28.0, 260.4)],
)
def test_curves_go_through_the_published_table(percentile: int, weeks: float, hc_mm: float) -> None:
    chart = chart_of(with_lmp(measurement(hc_mm=hc_mm), round(weeks * 7)))
    x, y = chart.at(weeks, hc_mm)
    after = next(point for point in chart.curve(percentile) if point[0] >= x - 1e-6)
    assert after == pytest.approx((x, y), abs=0.1)


@settings(deadline=None, max_examples=50)
@given(days=st.integers(98, 280), hc_mm=st.floats(60.0, 400.0), half=st.floats(0.1, 20.0))
def test_everything_lies_in_the_plot(days: int, hc_mm: float, half: float) -> None:
    hc_mm = round(hc_mm, 1)
    interval = IntervalMm(round(hc_mm - half, 1), round(hc_mm + half, 1))
    chart = chart_of(with_lmp(measurement(hc_mm=hc_mm, hc_interval=interval), days))
    assert chart.weeks.length == WINDOW_WEEKS
    assert 14.0 <= chart.weeks.low <= days / 7 <= chart.weeks.high <= 40.0
    points = [chart.at(days / 7, mm) for mm in (hc_mm, interval.low, interval.high)]
    points += [point for percentile in PERCENTILES for point in chart.curve(percentile)]
    for x, y in points:
        assert PLOT.left - 1e-6 <= x <= PLOT.left + PLOT.width + 1e-6
        assert PLOT.bottom - 1e-6 <= y <= PLOT.bottom + PLOT.height + 1e-6


def test_curves_keep_their_order() -> None:
    chart = chart_of(with_lmp(measurement(), 150))
    for lower, upper in pairwise([chart.curve(p) for p in PERCENTILES]):
        assert all(a[1] < b[1] for a, b in zip(lower, upper, strict=True))


@pytest.mark.parametrize(("percentile", "z"), [(3, -1.88), (10, -1.28), (50, 0.0), (90, 1.28), (97, 1.88)])
def test_a_head_on_a_curve_has_the_percentile_of_that_curve(percentile: int, z: float) -> None:
    standard = chart_of(with_lmp(measurement(), 150)).standard
    hc_mm = round(standard.percentile_mm(percentile, 150 / 7), 1)
    growth = with_lmp(measurement(hc_mm=hc_mm), 150).growth
    assert isinstance(growth, Growth)
    assert growth.sizes[0].at is not None
    assert growth.sizes[0].at.percentile == pytest.approx(percentile, abs=0.2)
    assert growth.sizes[0].at.z_score == pytest.approx(z, abs=0.015)


@pytest.mark.parametrize(
    "head",
    [
        measurement(),
        dataclasses.replace(measurement(), growth=Reason.DATES_DISAGREE),
        with_lmp(measurement(), 97),
        with_lmp(measurement(), 281),
    ],
    ids=["no age", "an age that is not believed", "before 14 weeks", "after 40 weeks"],
)
def test_no_chart_without_an_age_that_the_standard_covers(head: Measurement) -> None:
    assert growth_chart(head, PLOT) is None


def test_without_an_interval_there_is_no_bar() -> None:
    assert chart_of(with_lmp(measurement(hc_interval=None), 150)).interval is None


def test_names_of_curves_keep_apart_and_near() -> None:
    assert label_heights([0.0, 30.0, 60.0, 90.0, 120.0]) == [0.0, 30.0, 60.0, 90.0, 120.0]
    heights = label_heights([50.0, 52.0, 56.0, 60.0, 62.0])
    assert heights[2] == 56.0
    assert all(upper - lower >= LABEL_STEP - 1e-9 for lower, upper in pairwise(heights))
