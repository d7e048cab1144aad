"""The chart of a cine's frames: each number at its frame and size, silent frames seen, the chosen one told apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from reportlab.pdfgen.canvas import Canvas

from inference.domain import IntervalMm, Measurement
from sr_templates import frames_chart, wording
from sr_templates.frames_chart import FramesChart, draw_frames_chart, sentences
from sr_templates.language import ENGLISH, Language, Words
from sr_templates.report import PageSize
from sr_templates.sheet import Box, Sheet
from tests.reports import agreed, frames, measurement

PLOT = Box(100.0, 200.0, 480.0, 80.0)
HEAD = replace(measurement(), frame=15)
FRAMES = frames(HEAD)
TOGETHER = agreed(FRAMES)


def chart() -> FramesChart:
    made = frames_chart.frames_chart(frames(HEAD), HEAD.frame, PLOT)
    assert made is not None
    return made


def test_frames_and_sizes_have_their_places() -> None:
    assert (chart().low_mm, chart().high_mm) == (190.0, 205.0)
    assert chart().at(3, 190.0) == pytest.approx((100.0 + 480.0 * 0.5 / 46, 200.0))
    assert chart().at(48, 205.0) == pytest.approx((580.0 - 480.0 * 0.5 / 46, 280.0))


@pytest.mark.parametrize("found", [(), (HEAD,), tuple(f for f in frames(HEAD) if not isinstance(f, Measurement))])
def test_without_two_frames_or_a_number_there_is_no_chart(found: tuple[Measurement, ...]) -> None:
    assert frames_chart.frames_chart(found, HEAD.frame, PLOT) is None


def test_one_number_among_silent_frames_is_drawn() -> None:
    lonely = tuple(f for f in frames(HEAD) if not isinstance(f, Measurement) or f.frame == 15)
    made = frames_chart.frames_chart(lonely, 15, PLOT)
    assert made is not None
    assert made.low_mm < HEAD.hc_mm < made.high_mm


@pytest.mark.parametrize("hc_mm", [200.0, 197.1])
def test_frames_that_agree_to_the_last_digit_have_an_axis(hc_mm: float) -> None:
    same = replace(HEAD, hc_mm=hc_mm, hc_interval=None)
    made = frames_chart.frames_chart([replace(same, frame=n) for n in (1, 2)], 1, PLOT)
    assert made is not None
    assert made.low_mm <= hc_mm <= made.high_mm
    assert made.low_mm < made.high_mm


def test_points_bars_and_crosses_lie_where_the_chart_says(monkeypatch: pytest.MonkeyPatch) -> None:
    circles: list[tuple[float, float, float]] = []
    lines: list[tuple[float, ...]] = []
    monkeypatch.setattr(Canvas, "circle", lambda _self, x, y, r, **_: circles.append((x, y, r)))
    monkeypatch.setattr(Canvas, "line", lambda _self, *ends: lines.append(ends))
    draw_frames_chart(Sheet(PageSize.A4), chart(), ENGLISH)
    in_plot = [c for c in circles if c[1] >= PLOT.bottom]
    assert [c[:2] for c in in_plot] == [pytest.approx(chart().at(m.frame, m.hc_mm)) for m in chart().measured]
    (largest,) = [c for c in in_plot if c[2] == max(r for *_, r in in_plot)]
    assert largest[:2] == pytest.approx(chart().at(15, HEAD.hc_mm))
    bars = [line for line in lines if line[0] == line[2]]
    ends = [(m.hc_interval.low, m.hc_interval.high) for m in chart().measured if m.hc_interval]
    assert len(bars) == len(ends) == 14
    for (_, y_low, _, y_high), (low, high), m in zip(bars, ends, chart().measured, strict=True):
        assert (y_low, y_high) == pytest.approx((chart().at(m.frame, low)[1], chart().at(m.frame, high)[1]))
    crosses = {round((x1 + x2) / 2, 3) for x1, y1, x2, y2 in lines if x1 != x2 and y1 != y2 and y1 > PLOT.bottom - 3}
    assert crosses == {round(chart().at(frame, 190.0)[0], 3) for frame in (12, 27)}


def test_the_sentence_counts_and_warns() -> None:
    (english,) = sentences(chart(), None, ENGLISH)
    (german,) = sentences(chart(), None, Words(Language.GERMAN))
    assert english.startswith("HC in 14 of 16 examined frames: 194.1 mm to 200.1 mm. ")
    assert german.startswith("KU in 14 von 16 untersuchten Einzelbildern: 194,1 mm")


def test_what_the_frames_say_together_is_told_with_what_a_weight_is() -> None:
    _, agreed, weight = sentences(chart(), TOGETHER, ENGLISH)
    assert agreed == wording.cine_lines(TOGETHER)[0]
    assert weight.startswith("Weight: ")


def test_a_bar_below_the_axis_is_as_long_as_its_frame_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[tuple[float, ...]] = []
    monkeypatch.setattr(Canvas, "rect", lambda _self, *box, **_: bars.append(box))
    mixed = tuple(reversed(FRAMES))
    backwards = replace(TOGETHER, weights=tuple(reversed(TOGETHER.weights)))
    made = frames_chart.frames_chart(mixed, HEAD.frame, PLOT, backwards)
    assert made is not None
    draw_frames_chart(Sheet(PageSize.A4), made, ENGLISH)
    assert [x + width / 2 for x, _, width, _ in bars] == pytest.approx([made.at(f.frame, 190.0)[0] for f in FRAMES])
    lengths = np.array(TOGETHER.weights) / max(TOGETHER.weights) * frames_chart.BAR_HEIGHT
    assert [height for *_, height in bars] == pytest.approx(list(lengths))
    assert {y for _, y, *_ in bars} == {PLOT.bottom - frames_chart.STRIP}
    assert [length for length, f in zip(lengths, FRAMES, strict=True) if not isinstance(f, Measurement)] == [0.0, 0.0]


def test_a_chart_without_weights_has_no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Canvas, "rect", lambda *_box, **_: pytest.fail("a bar"))
    draw_frames_chart(Sheet(PageSize.A4), chart(), ENGLISH)


def test_intervals_wider_than_the_page_s_usual_are_held() -> None:
    wide = replace(HEAD, hc_interval=IntervalMm(100.0, 390.0))
    made = frames_chart.frames_chart([wide, replace(wide, frame=16)], 15, PLOT)
    assert made is not None
    assert (made.low_mm, made.high_mm) == (100.0, 400.0)
