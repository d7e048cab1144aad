"""Calibrate intervals: the scale of the error from the evidence, quantiles from images the networks never saw."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from inference.uncertainty import ConformalInterval, Doubts, Scale

SHRINKAGE = 0.5
"""Penalty of the squared powers, per power: a doubt that says nothing is left out rather than followed."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One image that no network of its fold had seen: its doubts (HC as answered among them), and its error."""

    doubts: Doubts
    error_mm: float


class TooFewExamsError(ValueError):
    """The class is too small for the coverage asked of it."""


def conformal_quantile(scores: Sequence[float], coverage: float) -> float:
    """The ceil((n + 1) * coverage)-th smallest score: a new one is not larger with probability `coverage`.

    Raises:
        TooFewExamsError: fewer than coverage / (1 - coverage) scores, for which no finite width keeps the promise.
    """
    rank = math.ceil((len(scores) + 1) * coverage)
    if rank > len(scores):
        raise TooFewExamsError(f"{len(scores)} errors cannot promise {coverage:.0%}")
    return sorted(scores)[rank - 1]


def fit_scale(judged: Sequence[Judged]) -> Scale:
    """Maximum likelihood of Laplace errors whose scale is a product of powers, with shrunk powers.

    Standardised inside, so that the shrinkage treats all doubts alike; a doubt without variation gets power 0. No doubt
    has a negative power: blur and the spread of levels go together on these images, and a fit left free makes the
    interval narrower the more blurred the outline is, which turns false where a picture parts the two.
    """
    x = np.array([j.doubts.terms()[1:] for j in judged])
    size = np.abs([j.error_mm for j in judged]) + 1e-3
    centre, spread = x.mean(axis=0), x.std(axis=0)
    varies = spread > 1e-9
    z = (x - centre) / np.where(varies, spread, 1.0) * varies

    def loss(powers: np.ndarray) -> float:
        log_scale = powers[0] + z @ powers[1:]
        return float(np.sum(log_scale + size * np.exp(-log_scale)) + SHRINKAGE * np.sum(powers[1:] ** 2))

    start = np.array([math.log(float(size.mean())), *np.zeros(z.shape[1])])
    signs = [(None, None)] * 2 + [(0.0, None)] * (z.shape[1] - 1)  # HC alone may go either way
    best = minimize(loss, start, method="L-BFGS-B", bounds=signs).x
    powers = np.where(varies, best[1:] / np.where(varies, spread, 1.0), 0.0)
    return Scale(*(round(float(p), 6) for p in (best[0] - powers @ centre, *powers)))


def calibrate(judged: Sequence[Judged], edges_mm: Sequence[float], coverage: float) -> ConformalInterval:
    """Scale from all, one quantile per class of the *answered* HC, since that is what is known at use.

    Raises:
        TooFewExamsError: a class is too small.
    """
    if not judged:
        raise TooFewExamsError("no image was judged")
    scale = fit_scale(judged)
    classes: list[list[float]] = [[] for _ in range(len(edges_mm) + 1)]
    for j in judged:
        classes[bisect.bisect_right(edges_mm, j.doubts.hc_mm)].append(abs(j.error_mm) / scale.of(j.doubts))
    quantiles = tuple(round(conformal_quantile(scores, coverage), 4) for scores in classes)
    return ConformalInterval(coverage, scale, tuple(edges_mm), quantiles, tuple(map(len, classes)))
