"""When a destination is left alone."""

from __future__ import annotations

import random

from dicom_node.deliver.breaker import CALLS_IN_VAIN, Breaker
from dicom_node.retry import RetryPolicy


def breaker(cap_s: float = 60.0) -> Breaker:
    return Breaker(RetryPolicy(2.0, cap_s, None), random.Random(1))


def shut(now_s: float = 0.0) -> Breaker:
    made = breaker()
    for _ in range(CALLS_IN_VAIN):
        made.failed(now_s)
    return made


def test_one_call_in_vain_shuts_nothing() -> None:
    made = breaker()
    assert [made.failed(0.0) for _ in range(CALLS_IN_VAIN)] == [False] * (CALLS_IN_VAIN - 1) + [True]
    assert made.is_shut


def test_an_answer_between_begins_the_count_anew() -> None:
    made = breaker()
    for _ in range(10):
        made.failed(0.0)
        assert not made.answered()
    assert not made.is_shut


def test_it_is_asked_ever_more_seldom_up_to_the_cap() -> None:
    made, now_s, waits = shut(), 0.0, []
    for _ in range(12):
        assert not made.is_time_to_ask(now_s)
        assert made.is_time_to_ask(made.ask_at_s)
        waits.append(made.ask_at_s - now_s)
        now_s = made.ask_at_s
        assert not made.failed(now_s)
    assert 1.0 <= waits[0] <= 2.0
    assert all(30.0 <= wait <= 60.0 for wait in waits[6:])
    assert len(set(waits)) == len(waits), "couriers that found out together must not ask together"


def test_it_remembers_since_when() -> None:
    made = shut(100.0)
    made.failed(150.0)
    assert made.shut_for_s(160.0) == 60.0


def test_the_first_answer_opens_it() -> None:
    made = shut()
    assert made.answered()
    assert not made.is_shut
    assert not made.is_time_to_ask(1e9)
    assert made.shut_for_s(1e9) == 0.0
