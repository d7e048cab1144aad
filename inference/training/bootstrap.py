"""Bootstrap intervals by exam: images of one exam are drawn together, since their errors are not independent.

A resample is kept as how often it drew each image, so that a figure of all rounds is a few array operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

ROUNDS = 2000
SEED = 20180817

Values = NDArray[np.float64]
Counts = NDArray[np.float64]
"""How often each image was drawn, [rounds, images]."""
Statistic = Callable[[Counts], Values]
"""One figure per round, [rounds]."""


def draw(exams: Sequence[str]) -> Counts:
    """ROUNDS resamples that draw as many whole exams as there are, with replacement; `exams` names each image's."""
    rng = np.random.default_rng(SEED)
    groups = {exam: index for index, exam in enumerate(dict.fromkeys(exams))}
    drawn = np.stack(
        [np.bincount(rng.integers(0, len(groups), len(groups)), minlength=len(groups)) for _ in range(ROUNDS)]
    )  # [rounds, exams]
    counts: Counts = drawn[:, [groups[exam] for exam in exams]].astype(np.float64)
    return counts


def with_interval(statistic: Statistic, counts: Counts) -> list[float] | None:
    """[value, low, high] with the 95 % percentile interval; None where the figure does not exist (no spread)."""
    value = statistic(np.ones((1, counts.shape[1])))[0]
    rounds = statistic(counts)
    rounds = rounds[np.isfinite(rounds)]
    if not np.isfinite(value) or not len(rounds):
        return None
    low, high = np.percentile(rounds, [2.5, 97.5])
    return [round(float(v), 4) for v in (value, low, high)]


def mean(values: Values, counts: Counts) -> Values:
    """Mean of `values` [images] in each round."""
    out: Values = counts @ values / counts.sum(axis=1)
    return out


def quantile(values: Values, counts: Counts, share: float) -> Values:
    """Quantile with linear interpolation, as in numpy.quantile of the images as often as they were drawn."""
    order = np.argsort(values)
    ordered, passed = values[order], counts[:, order].cumsum(axis=1)  # [rounds, images]
    rank = share * (passed[:, -1] - 1.0)
    below, above = (ordered[(passed <= place[:, None]).sum(axis=1)] for place in (np.floor(rank), np.ceil(rank)))
    out: Values = below + (above - below) * (rank - np.floor(rank))
    return out


def explained(truth: Values, errors: Values, counts: Counts) -> Values:
    """R², the coefficient of determination: 1 - squared errors over squared deviations of the truth from its mean."""
    deviation = mean(truth**2, counts) - mean(truth, counts) ** 2
    out: Values = 1.0 - _ratio(mean(errors**2, counts), deviation)
    return out


def correlation(one: Values, other: Values, counts: Counts) -> Values:
    """Pearson's correlation of `one` and `other` [images] in each round."""
    return _correlation(np.broadcast_to(one, counts.shape), np.broadcast_to(other, counts.shape), counts)


def rank_correlation(one: Values, other: Values, counts: Counts) -> Values:
    """Spearman's correlation with mid-ranks for ties."""
    return _correlation(_ranks(one, counts), _ranks(other, counts), counts)


def _correlation(first: Values, second: Values, counts: Counts) -> Values:
    """Pearson's correlation of values [rounds, images], each as often as it was drawn."""
    total = counts.sum(axis=1, keepdims=True)
    first = first - (counts * first).sum(axis=1, keepdims=True) / total
    second = second - (counts * second).sum(axis=1, keepdims=True) / total
    both, left, right = ((counts * product).sum(axis=1) for product in (first * second, first**2, second**2))
    return _ratio(both, np.sqrt(left * right))


def _ranks(values: Values, counts: Counts) -> Values:
    """Mid-ranks of the images in each round, [rounds, images]."""
    order = np.argsort(values, kind="stable")
    _, starts, inverse = np.unique(values[order], return_index=True, return_inverse=True)
    ties = np.add.reduceat(counts[:, order], starts, axis=1)  # [rounds, distinct values]
    middle = ties.cumsum(axis=1) - ties / 2.0
    ranks = np.empty_like(counts)
    ranks[:, order] = middle[:, inverse]
    return ranks


def _ratio(above: Values, below: Values) -> Values:
    """above / below, NaN where there is nothing to divide by."""
    out: Values = np.full(above.shape, np.nan)
    np.divide(above, below, out=out, where=below > 1e-12)
    return out
