"""Several values of HC for what may be one head: whether they fit together, and which of them speaks.

Values are never merged: a mean would be the HC of no image, and nobody could check it against a picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from inference.domain import IntervalMm, Measurement, Reason, Remark

UNSTATED_MARGIN = 0.03
"""Relative; how far two values of HC may lie apart where the model has no interval that would say it."""

DOUBTFUL_SCALE = frozenset({Remark.SECONDARY_CAPTURE, Remark.SCALE_OF_SCANNED_MEDIUM})
"""Remarks by which nobody vouches for the millimetres, which no interval covers."""


class Verdict(StrEnum):
    """What became of one candidate."""

    SELECTED = "selected"
    WIDER_INTERVAL = "wider_interval"  # agrees with the selected one
    DOUBTFUL_SCALE = "doubtful_scale"  # agrees, but its scale is less sure
    NOT_SELECTED = "not_selected"  # nobody was


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of several heads speaks for the fetus: `selected` is its place among them; None: `reason` says why.

    `verdicts` has one for each head, in their order.
    """

    selected: int | None
    reason: Reason | None
    verdicts: tuple[Verdict, ...]


def agree(heads: Iterable[Measurement]) -> bool:
    """Whether one HC lies in the intervals of all; true of one head, and of none."""
    ranges = [hc_range(head) for head in heads]
    return not ranges or max(r.low for r in ranges) <= min(r.high for r in ranges)


def choose(heads: Sequence[Measurement], several_heads: bool) -> Choice:
    """The head whose interval is narrowest relative to its HC, if all agree.

    `several_heads`: an image of the study shows more than one. The interval is what the model itself says about how
    well this outline can be trusted. A head whose scale nobody vouches for speaks only where there is no other. What
    is equal to the last digit is decided by the fit of the ellipse, then by the order of `heads`.
    """
    if not heads or several_heads or not agree(heads):
        reason = Reason.FETUS_NOT_IDENTIFIED if heads or several_heads else Reason.NO_CANDIDATE
        return Choice(None, reason, (Verdict.NOT_SELECTED,) * len(heads))
    selected = min(range(len(heads)), key=lambda place: _rank(heads[place]))
    best = heads[selected]
    verdicts = [_verdict(head, best) for head in heads]
    verdicts[selected] = Verdict.SELECTED
    return Choice(selected, None, tuple(verdicts))


def hc_range(head: Measurement) -> IntervalMm:
    """HC's interval, or the margin that stands for it where the model has none."""
    if head.hc_interval is not None:
        return head.hc_interval
    return IntervalMm(head.hc_mm * (1.0 - UNSTATED_MARGIN), head.hc_mm * (1.0 + UNSTATED_MARGIN))


def relative_width(head: Measurement) -> float:
    """Width of HC's interval as a share of HC."""
    interval = hc_range(head)
    return (interval.high - interval.low) / head.hc_mm


def _rank(head: Measurement) -> tuple[bool, bool, float, float]:
    return _is_doubtful(head), head.hc_interval is None, relative_width(head), -head.quality


def _verdict(head: Measurement, best: Measurement) -> Verdict:
    doubtful = _is_doubtful(head) and not _is_doubtful(best)
    return Verdict.DOUBTFUL_SCALE if doubtful else Verdict.WIDER_INTERVAL


def _is_doubtful(head: Measurement) -> bool:
    return not DOUBTFUL_SCALE.isdisjoint(head.warnings)
