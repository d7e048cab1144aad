"""The decision to try again is pure, so its promises are checked as properties."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.config import DeliverySection, QueueSection
from dicom_node.errors import (
    ConfigError,
    DestinationRefused,
    DestinationUnreachable,
    DiskFull,
    InstanceRefused,
    Permanent,
    Refused,
    Transient,
)
from dicom_node.retry import GiveUp, RetryAt, RetryPolicy, decide, delivery_policy, describe, job_policy, longest_wait_s
from inference.domain import Reason

seconds = st.floats(0.001, 1e6)
policies = st.builds(
    RetryPolicy,
    first_s=seconds,
    cap_s=seconds,
    maximum_attempts=st.none() | st.integers(1, 1000),
    deadline_s=st.none() | seconds,
)
rngs = st.integers().map(random.Random)
transient = st.sampled_from([Transient(), DiskFull(), DestinationUnreachable(), ValueError("x"), OSError("x")])
permanent = st.sampled_from(
    [Permanent(), DestinationRefused(), Refused(), ConfigError(), InstanceRefused(Reason.TRUNCATED)]
)
attempts_made = st.integers(1, 100_000)
ages = st.floats(0, 1e9)


@given(attempts_made, transient, policies, rngs, ages)
def test_a_wait_lies_between_zero_and_the_cap(
    attempts: int, error: Exception, policy: RetryPolicy, rng: random.Random, age_s: float
) -> None:
    decision = decide(attempts, error, policy, rng, age_s)
    if isinstance(decision, RetryAt):
        assert 0 <= decision.delay_s <= longest_wait_s(attempts, policy) <= policy.cap_s


@given(attempts_made, policies)
def test_the_longest_wait_never_shrinks(attempts: int, policy: RetryPolicy) -> None:
    assert longest_wait_s(attempts, policy) <= longest_wait_s(attempts + 1, policy)


@given(attempts_made, permanent, policies, rngs, ages)
def test_what_waiting_cannot_heal_is_never_tried_again(
    attempts: int, error: Exception, policy: RetryPolicy, rng: random.Random, age_s: float
) -> None:
    assert isinstance(decide(attempts, error, policy, rng, age_s), GiveUp)


@given(attempts_made, transient, policies, rngs, ages)
def test_gives_up_exactly_at_the_limits(
    attempts: int, error: Exception, policy: RetryPolicy, rng: random.Random, age_s: float
) -> None:
    blamed = not isinstance(error, Transient)
    out_of_attempts = blamed and policy.maximum_attempts is not None and attempts >= policy.maximum_attempts
    out_of_time = policy.deadline_s is not None and age_s >= policy.deadline_s
    assert isinstance(decide(attempts, error, policy, rng, age_s), GiveUp) == (out_of_attempts or out_of_time)


def test_waits_double_up_to_the_cap() -> None:
    policy = RetryPolicy(first_s=2, cap_s=10, maximum_attempts=None)
    assert [longest_wait_s(n, policy) for n in (1, 2, 3, 4, 1000)] == [2, 4, 8, 10, 10]


def test_waits_are_spread_over_the_whole_range() -> None:
    rng, policy = random.Random(1), RetryPolicy(first_s=10, cap_s=10, maximum_attempts=None)
    decisions = [decide(1, Transient(), policy, rng) for _ in range(200)]
    waits = sorted(decision.delay_s for decision in decisions if isinstance(decision, RetryAt))
    assert waits[0] < 1
    assert waits[-1] > 9


def test_the_words_of_a_stranger_are_not_repeated() -> None:
    """An unforeseen error may quote what it choked on, and that may be patient data."""
    assert describe(ValueError("Doe^Jane")) == "Unexpected ValueError."
    assert describe(DiskFull()) == "There is no room left on the storage file system."
    given_up = decide(1, ValueError("Doe^Jane"), RetryPolicy(1, 1, 1), random.Random())
    assert given_up == GiveUp("Unexpected ValueError. Given up after 1 attempts.")


@pytest.mark.parametrize("attempts", [8, 9, 500])
def test_jobs_are_limited_by_their_own_failures_and_deliveries_by_time(attempts: int) -> None:
    queue, delivery = QueueSection(), DeliverySection()
    jobs, deliveries = job_policy(queue), delivery_policy(queue, delivery)

    assert isinstance(decide(attempts, ValueError(), jobs, random.Random()), GiveUp)
    assert isinstance(decide(attempts, Transient(), jobs, random.Random()), RetryAt)
    assert isinstance(decide(attempts, Transient(), deliveries, random.Random(), age_s=60 * 3600), RetryAt)
    assert isinstance(decide(attempts, Transient(), deliveries, random.Random(), age_s=168 * 3600), GiveUp)
