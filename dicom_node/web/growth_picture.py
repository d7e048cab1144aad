"""The curves of a growth standard and the measured head, as points of an SVG picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference.dating import DAYS_PER_WEEK
from inference.growth import STANDARDS, Standard

WIDTH, HEIGHT = 420.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 40.0, 34.0, 10.0, 30.0
PERCENTILES = (3, 10, 50, 90, 97)
_EITHER_SIDE_WEEKS = 6
_STEP_MM = 50


@dataclass(frozen=True)
class GrowthPicture:
    """In units of the picture. `curves`: percentile, points of its line, and height of its end."""

    title: str
    citation: str
    curves: tuple[tuple[int, str, float], ...]
    weeks: tuple[tuple[int, float], ...]
    millimetres: tuple[tuple[int, float], ...]
    head: tuple[float, float]
    interval: tuple[float, float] | None
    percentile: float | None
    width: float = WIDTH
    height: float = HEIGHT


def growth_picture(answer: Mapping[str, Any] | None) -> GrowthPicture | None:
    """Of an answer with an age that does not come from HC, by the first standard that covers it; else None."""
    if not answer or answer.get("hc_mm") is None or answer.get("ga_independent_days") is None:
        return None
    days = int(answer["ga_independent_days"])
    for name, said in (answer.get("growth") or {}).items():
        standard = STANDARDS.get(name)
        if standard is not None and standard.covers(days):
            return _picture(standard, answer, days / DAYS_PER_WEEK, said.get("percentile"))
    return None


def _picture(standard: Standard, answer: Mapping[str, Any], age: float, percentile: float | None) -> GrowthPicture:
    first = max(standard.range_days.low / DAYS_PER_WEEK, age - _EITHER_SIDE_WEEKS)
    last = min(standard.range_days.high / DAYS_PER_WEEK, age + _EITHER_SIDE_WEEKS)
    hc = float(answer["hc_mm"])
    low = min(standard.percentile_mm(PERCENTILES[0], first), hc) - 8.0
    high = max(standard.percentile_mm(PERCENTILES[-1], last), hc) + 8.0

    def x(weeks: float) -> float:
        return round(LEFT + (weeks - first) / (last - first) * (WIDTH - LEFT - RIGHT), 1)

    def y(millimetres: float) -> float:
        return round(HEIGHT - BOTTOM - (millimetres - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    steps = [first + (last - first) * step / 40 for step in range(41)]
    curves = tuple(
        (
            one,
            " ".join(f"{x(week)},{y(standard.percentile_mm(one, week))}" for week in steps),
            y(standard.percentile_mm(one, last)),
        )
        for one in PERCENTILES
    )
    ends = [float(end) for end in (answer.get("hc_low_mm"), answer.get("hc_high_mm")) if end is not None]
    return GrowthPicture(
        title=standard.title,
        citation=standard.citation,
        curves=curves,
        weeks=tuple((week, x(week)) for week in range(-int(-first // 1), int(last) + 1) if week % 2 == 0),
        millimetres=tuple((mm, y(mm)) for mm in range(_STEP_MM * (int(low) // _STEP_MM + 1), int(high) + 1, _STEP_MM)),
        head=(x(age), y(hc)),
        interval=(y(ends[0]), y(ends[1])) if len(ends) == 2 else None,
        percentile=percentile,
    )
