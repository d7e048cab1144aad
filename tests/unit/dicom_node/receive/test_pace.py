"""How fast a peer may send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.receive.pace import BURST_S, LONGEST_WAIT_S, Pace, Paces


@given(per_minute=st.integers(1, 10_000), asked=st.lists(st.floats(0, 5), max_size=60))
def test_over_any_time_no_more_than_the_limit_and_its_burst(per_minute: int, asked: list[float]) -> None:
    pace, now, served = Pace(per_minute), 1000.0, []
    for pause in asked:
        now += pause
        wait = pace.turn(now)
        if wait is not None:
            assert 0 <= wait <= LONGEST_WAIT_S
            served.append(now + wait)

    for first, begin in enumerate(served):
        for last, end in enumerate(served[first:], start=first):
            assert last - first <= (end - begin + BURST_S) * per_minute / 60 + 1e-6


def test_an_exam_at_once_then_evenly_then_not_at_all() -> None:
    pace = Pace(60)
    waits = [pace.turn(1000.0) for _ in range(33)]

    assert waits[:11] == [0.0] * 11
    assert waits[11:31] == [pytest.approx(n) for n in range(1, 21)]
    assert waits[31:] == [None, None]
    assert pace.turn(1001.0) == pytest.approx(20.0)


def test_each_peer_has_its_own_and_a_new_limit_begins_afresh() -> None:
    paces = Paces()

    assert paces.turn("A", 1, 1000.0) == 0.0
    assert paces.turn("A", 1, 1000.0) is None
    assert paces.turn("B", 1, 1000.0) == 0.0
    assert paces.turn("A", 2, 1000.0) == 0.0
