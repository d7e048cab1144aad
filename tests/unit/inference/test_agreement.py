"""Which of several heads speaks: never one against another, and always for a reason that can be read."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.agreement import Verdict, agree, choose
from inference.domain import IntervalMm, Measurement, Reason, Remark
from tests.reports import measurement


def head(hc_mm: float, half_width: float | None, **changes: object) -> Measurement:
    interval = None if half_width is None else IntervalMm(hc_mm - half_width, hc_mm + half_width)
    return measurement(hc_mm=hc_mm, hc_interval=interval, **changes)


SURE, VAGUE = head(200.0, 2.0), head(203.0, 4.0)
CAPTURED = head(201.0, 1.0, warnings=(Remark.SECONDARY_CAPTURE,))


def test_the_narrowest_interval_speaks() -> None:
    choice = choose([VAGUE, SURE], several_heads=False)
    assert (choice.selected, choice.reason) == (1, None)
    assert choice.verdicts == (Verdict.WIDER_INTERVAL, Verdict.SELECTED)


def test_narrow_means_relative_to_the_head() -> None:
    large, small = head(300.0, 5.9), head(290.0, 5.8)
    assert choose([small, large], several_heads=False).selected == 1


def test_a_scale_that_nobody_vouches_for_does_not_win_by_its_interval() -> None:
    choice = choose([CAPTURED, SURE], several_heads=False)
    assert choice.selected == 1
    assert choice.verdicts == (Verdict.DOUBTFUL_SCALE, Verdict.SELECTED)


def test_a_doubtful_scale_speaks_where_there_is_no_other() -> None:
    wider = head(202.0, 3.0, warnings=(Remark.SECONDARY_CAPTURE,))
    choice = choose([wider, CAPTURED], several_heads=False)
    assert choice.selected == 1
    assert choice.verdicts == (Verdict.WIDER_INTERVAL, Verdict.SELECTED)


def test_a_calibrated_interval_is_better_than_none() -> None:
    assert choose([head(200.0, None), head(200.0, 9.0)], several_heads=False).selected == 1


def test_what_is_equal_is_decided_by_the_fit_and_then_by_the_order() -> None:
    worse = head(200.0, 2.0, quality=0.9)
    assert choose([worse, SURE, SURE], several_heads=False).selected == 1


@pytest.mark.parametrize("other", [head(207.0, 2.0), head(193.0, 2.0), head(220.0, None)])
def test_values_that_disagree_are_not_merged(other: Measurement) -> None:
    choice = choose([SURE, other, SURE], several_heads=False)
    assert (choice.selected, choice.reason) == (None, Reason.FETUS_NOT_IDENTIFIED)
    assert set(choice.verdicts) == {Verdict.NOT_SELECTED}
    assert len(choice.verdicts) == 3


def test_a_chain_of_neighbours_does_not_join_two_that_disagree() -> None:
    assert not agree([head(200.0, 2.0), head(203.0, 2.0), head(206.0, 2.0)])


def test_two_heads_in_one_image_leave_the_fetus_open_even_where_values_agree() -> None:
    assert choose([SURE, VAGUE], several_heads=True).reason is Reason.FETUS_NOT_IDENTIFIED
    assert choose([], several_heads=True).reason is Reason.FETUS_NOT_IDENTIFIED


def test_no_head_is_no_choice() -> None:
    choice = choose([], several_heads=False)
    assert (choice.selected, choice.reason, choice.verdicts) == (None, Reason.NO_CANDIDATE, ())


values = st.builds(head, st.integers(900, 3600).map(lambda v: v / 10), st.integers(5, 90).map(lambda v: v / 10))


@given(st.lists(values, min_size=1, max_size=4))
def test_the_choice_does_not_depend_on_the_order_and_lies_in_every_interval_or_is_none(
    heads: list[Measurement],
) -> None:
    chosen = set()
    for order in permutations(heads):
        selected = choose(order, several_heads=False).selected
        chosen.add(None if selected is None else (order[selected].hc_mm, order[selected].hc_interval))
    assert len({None if c is None else c[1].high / c[0] for c in chosen}) == 1
    pairs_meet = all(a.hc_interval.low <= b.hc_interval.high for a in heads for b in heads)  # type: ignore[union-attr]
    assert (None in chosen) is not pairs_meet
