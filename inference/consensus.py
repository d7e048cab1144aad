"""From the frames of a cine to one answer: where they agree, which of them speaks, and whether to look again.

No mean is given out as a head: the consensus decides which frame speaks (`speaker`), and its HC can be checked
against its picture. Frames without a number take no part, those the model is less sure of count less (by the inverse
square of their interval's width), and those that stray count nothing (biweight, Beaton & Tukey 1974, Technometrics
16:147). Who speaks must show a sure outline too: a shadowed frame may agree by chance, with an interval no wider.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.agreement import hc_range
from inference.domain import Abstention, Advice, Consensus, Finding, IntervalMm, Measurement, Reason

Values = NDArray[np.float64]

CUTOFF = 4.685
"""Of the biweight, in deviations: 95 % as efficient as the mean where errors are normal."""
ROUNDS = 20
TO_DEVIATION = 1.4826
"""Median absolute deviation to standard deviation, where errors are normal."""
LEAST_DEVIATION = 0.004
"""Relative: below it frames do not differ by more than a hand's tremor."""

SURE_SHARE = 0.6
"""Of the frames that count, those that are sure; more than a half, so that some are sure in both ways."""
ROUNDING = 1e-6
"""Doubts that differ by less are the same."""
LOWEST_RELIABILITY = 0.5
LARGEST_DEVIATION = 0.03
"""Relative standard deviation of HC over the frames, above which the plane is not held."""

SECOND_SHARE, SECOND_FRAMES = 0.2, 2
"""Of the frames with a number, what a second size takes at least: fewer may be slips, which count nothing."""


class Size(NamedTuple):
    """HC of one frame and the ends of its interval, in mm."""

    hc_mm: float
    low: float
    high: float


class Settled(NamedTuple):
    """Where values agree, and the share of each in it ([n], sum 1; 0 for one that strays)."""

    centre: float
    weights: Values


def consensus(findings: Sequence[Finding], doubts: Sequence[float] | None = None) -> Consensus | None:
    """The consensus of the findings of one region; None where no frame has a number.

    `doubts`: how unsure each outline is, in the order of the findings; None: intervals alone say who is sure.
    """
    places = [place for place, finding in enumerate(findings) if isinstance(finding, Measurement)]
    heads = [finding for finding in findings if isinstance(finding, Measurement)]
    if not heads:
        return None
    values, widths = [head.hc_mm for head in heads], [_width(head) for head in heads]
    senses = [widths] if doubts is None else [widths, [doubts[place] for place in places]]
    settled = settle(values, widths)
    shares = iter(settled.weights)
    weights = tuple(float(next(shares)) if isinstance(finding, Measurement) else 0.0 for finding in findings)
    off = np.array(values) - settled.centre
    deviation = float(np.sqrt(settled.weights @ off**2))
    holding = sum(hc_range(head).low <= settled.centre <= hc_range(head).high for head in heads)
    reliability = holding / len(findings)
    advice = _advice(len(heads) / len(findings), deviation / settled.centre, reliability)
    return Consensus(
        hc_mm=round(settled.centre, 1),
        deviation_mm=round(deviation, 1),
        weights=weights,
        reliability=round(reliability, 2),
        freeze_frame=heads[speaker(settled, values, senses)].frame,
        frames_used=tuple(finding.frame for finding, weight in zip(findings, weights, strict=True) if weight > 0.0),
        advice=advice,
        why=commonest_reason(findings) if advice is Advice.FEW_FRAMES_MEASURED else None,
    )


def sizes_of(findings: Sequence[Finding]) -> list[Size]:
    """Of the findings with a number."""
    heads = (finding for finding in findings if isinstance(finding, Measurement))
    return [Size(head.hc_mm, hc_range(head).low, hc_range(head).high) for head in heads]


def two_sizes(frames: Sequence[Size]) -> tuple[IntervalMm, IntervalMm] | None:
    """HC of the smaller and of the larger head where the frames fall into two groups, else None.

    No interval of one group meets one of the other, and each has its share of the frames. A plane that wanders gives
    sizes in between, which is `Advice.PLANE_NOT_HELD`; two heads of one size look like one.
    """
    ordered = sorted(frames)
    least = max(SECOND_FRAMES, math.ceil(SECOND_SHARE * len(ordered)))
    for cut in range(least, len(ordered) - least + 1):
        small, large = ordered[:cut], ordered[cut:]
        if max(size.high for size in small) < min(size.low for size in large):
            return IntervalMm(small[0].hc_mm, small[-1].hc_mm), IntervalMm(large[0].hc_mm, large[-1].hc_mm)
    return None


def settle(values: Sequence[float], widths: Sequence[float]) -> Settled:
    """Where `values` agree; `widths`, positive, say how far off each may be. At least one value."""
    x, certainty = np.asarray(values, np.float64), 1.0 / np.asarray(widths, np.float64) ** 2
    centre = _median(x, certainty)
    deviation = max(TO_DEVIATION * _median(np.abs(x - centre), certainty), LEAST_DEVIATION * abs(centre))
    weights = certainty
    for _ in range(ROUNDS):
        weights = certainty * np.clip(1.0 - ((x - centre) / (CUTOFF * deviation)) ** 2, 0.0, None) ** 2
        centre = float(weights @ x / weights.sum())
    return Settled(centre, weights / weights.sum())


def speaker(settled: Settled, values: Sequence[float], senses: Sequence[Sequence[float]]) -> int:
    """Which value speaks: of those that are sure in every sense, the nearest to the centre.

    `senses`: one or two kinds of doubt about each value, small where it is sure. Only values that count take part. Of
    equals the one that counts most speaks, then the first. Nearness alone would often choose a shadowed frame that
    happens to agree.
    """
    counts = [place for place in range(len(values)) if settled.weights[place] > 0.0]
    sure = set.intersection(*(_surest(doubts, counts) for doubts in senses))
    return min(sure, key=lambda place: (abs(values[place] - settled.centre), -settled.weights[place], place))


def _surest(doubts: Sequence[float], counts: Sequence[int]) -> set[int]:
    """Of the places that count, `SURE_SHARE` with the smallest doubts, and their equals."""
    kept = math.ceil(SURE_SHARE * len(counts) - ROUNDING)
    limit = sorted(doubts[place] for place in counts)[kept - 1] + ROUNDING
    return {place for place in counts if doubts[place] <= limit}


def commonest_reason(findings: Sequence[Finding]) -> Reason | None:
    """Why most frames without a number have none; of equals the one that came first."""
    counts = Counter(finding.reason for finding in findings if isinstance(finding, Abstention))
    return counts.most_common(1)[0][0] if counts else None


def _advice(measured_share: float, relative_deviation: float, reliability: float) -> Advice | None:
    if measured_share < LOWEST_RELIABILITY:
        return Advice.FEW_FRAMES_MEASURED
    if relative_deviation > LARGEST_DEVIATION:
        return Advice.PLANE_NOT_HELD
    return Advice.FRAMES_DISAGREE if reliability < LOWEST_RELIABILITY else None


def _width(head: Measurement) -> float:
    interval = hc_range(head)
    return interval.high - interval.low


def _median(values: Values, weights: Values) -> float:
    """Weighted median, the middle of two where half of the weight lies on either side."""
    order = np.argsort(values, kind="stable")
    passed = weights[order].cumsum() / weights.sum()
    low = int(np.searchsorted(passed, 0.5 - 1e-12))
    high = int(np.searchsorted(passed, 0.5 + 1e-12))
    return float((values[order[low]] + values[order[min(high, len(values) - 1)]]) / 2.0)
