"""The outbox: batches by destination, leases, fencing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dicom_node.domain import (
    AttemptOutcome,
    Delivery,
    DeliveryState,
    Destination,
    DestinationState,
    IllegalTransition,
    ResultKind,
)
from dicom_node.errors import LeaseLost, Refused
from dicom_node.storage.repository import Repository
from tests.attempts import failed, taken
from tests.objects import IMAGE_OBJECTS
from tests.unit.dicom_node.storage.rooms import ARCHIVE, LEASE_S, PACS, START, after, corrected, measured

PACS_REPORTS = Destination("pacs", "PACS", "localhost", 104, (ResultKind.TID1500,))


def batch(repository: Repository, now: float = 0, limit: int = 100, destination: str = "pacs") -> tuple[Delivery, ...]:
    return repository.claim_deliveries("courier", LEASE_S, limit, after(now), destination)


def state(repository: Repository, delivery: Delivery) -> DeliveryState:
    return next(d.state for d in repository.deliveries((), 100) if d.id == delivery.id)


def test_a_batch_goes_to_one_destination_oldest_first(repository: Repository) -> None:
    for uid in ("1.1", "1.2"):
        measured(repository, uid, (PACS, ARCHIVE))
    claimed = batch(repository)

    assert {d.destination for d in claimed} == {"pacs"}
    assert [d.id for d in claimed] == sorted(d.id for d in claimed)
    assert {(d.state, d.attempts, d.token) for d in claimed} == {(DeliveryState.SENDING, 1, 1)}
    assert [d.kind for d in claimed] == [*IMAGE_OBJECTS, *IMAGE_OBJECTS]
    assert batch(repository) == ()
    assert len(batch(repository, destination="archive")) == 2


def test_a_batch_is_limited(repository: Repository) -> None:
    measured(repository, "1.1")
    assert [len(batch(repository, limit=2)) for _ in range(3)] == [2, 1, 0]


def test_sent_keeps_the_answer(repository: Repository) -> None:
    measured(repository, "1.1")
    first = batch(repository)[0]
    repository.mark_sent(first, taken(0xB000, "coerced"), START)
    (sent,) = repository.deliveries((DeliveryState.SENT,), 10)
    assert (sent.id, sent.status_word, sent.comment) == (first.id, 0xB000, "coerced")


def test_postponed_is_due_at_its_time_and_counts_attempts(repository: Repository) -> None:
    measured(repository, "1.1", (PACS_REPORTS,))
    (first,) = batch(repository)
    repository.postpone_delivery(first, failed(0xA700, "no room"), after(30), after(1))
    assert batch(repository, 29) == ()
    (again,) = batch(repository, 30)
    assert (again.attempts, again.token, again.status_word, again.comment) == (2, 2, 0xA700, "no room")
    assert again.waiting_since == START


def test_a_silent_courier_loses_its_batch_and_is_fenced_off(repository: Repository) -> None:
    measured(repository, "1.1", (PACS_REPORTS,))
    (old,) = batch(repository)
    assert batch(repository, LEASE_S - 1) == ()
    (new,) = batch(repository, LEASE_S)
    assert (new.id, new.attempts, new.token) == (old.id, 2, 2)

    now = after(LEASE_S)
    attempts: tuple[Callable[[], None], ...] = (
        lambda: repository.mark_sent(old, taken(), now),
        lambda: repository.postpone_delivery(old, failed(None, None), now, now),
        lambda: repository.bury_delivery(old, failed(0xC000), "refused", now),
        lambda: repository.renew_delivery(old, LEASE_S, now),
    )
    for late in attempts:
        with pytest.raises(LeaseLost):
            late()
    repository.mark_sent(new, taken(), now)
    assert state(repository, new) is DeliveryState.SENT


def test_a_slow_courier_may_say_sent_if_nobody_took_over(repository: Repository) -> None:
    measured(repository, "1.1", (PACS_REPORTS,))
    (only,) = batch(repository)
    repository.mark_sent(only, taken(), after(10 * LEASE_S))
    assert state(repository, only) is DeliveryState.SENT


def test_a_renewed_lease_holds(repository: Repository) -> None:
    measured(repository, "1.1", (PACS_REPORTS,))
    (only,) = batch(repository)
    repository.renew_delivery(only, LEASE_S, after(50))
    assert batch(repository, LEASE_S + 1) == ()


def test_a_dead_delivery_is_retried_from_the_start(repository: Repository) -> None:
    measured(repository, "1.1", (PACS_REPORTS,))
    (only,) = batch(repository)
    repository.bury_delivery(only, failed(0xA900), "does not match SOP class", START)
    assert batch(repository, 9999) == ()
    repository.retry_delivery(only.id, after(50))
    (again,) = batch(repository, 50)
    assert (again.attempts, again.token, again.waiting_since) == (1, 2, after(50))


def test_retry_makes_a_waiting_delivery_due_now(repository: Repository) -> None:
    measured(repository, "1.1", (PACS_REPORTS,))
    (only,) = batch(repository)
    repository.postpone_delivery(only, failed(None, "down"), after(900), START)
    repository.retry_delivery(only.id, after(1))
    assert len(batch(repository, 1)) == 1


def test_retry_refuses_what_is_sent_or_being_sent(repository: Repository) -> None:
    measured(repository, "1.1", (PACS_REPORTS,))
    (only,) = batch(repository)
    with pytest.raises(IllegalTransition):
        repository.retry_delivery(only.id, START)
    repository.mark_sent(only, taken(), START)
    with pytest.raises(IllegalTransition):
        repository.retry_delivery(only.id, START)
    with pytest.raises(Refused, match="no delivery 17"):
        repository.retry_delivery(17, START)


def test_what_was_sent_is_sent_again_with_the_stored_bytes(repository: Repository) -> None:
    measured(repository, "1.1", (PACS_REPORTS,))
    (only,) = batch(repository)
    with pytest.raises(IllegalTransition, match="sending"):
        repository.resend_delivery(only.id, START)
    repository.mark_sent(only, taken(), START)
    assert batch(repository, 9999) == ()
    repository.resend_delivery(only.id, after(50))
    (again,) = batch(repository, 50)
    assert (again.path, again.sop_instance_uid, again.attempts) == (only.path, only.sop_instance_uid, 1)
    assert len(repository.attempts(only.id)) == 1
    with pytest.raises(Refused, match="no delivery 17"):
        repository.resend_delivery(17, START)


def test_what_a_correction_has_superseded_is_not_sent_again(repository: Repository) -> None:
    measured(repository, "1.1", (PACS_REPORTS,))
    (only,) = batch(repository)
    repository.mark_sent(only, taken(), START)
    corrected(repository, "1.1")
    with pytest.raises(Refused, match="superseded"):
        repository.resend_delivery(only.id, START)
    (kept,) = repository.deliveries([DeliveryState.SENT], 9)
    assert kept.id == only.id


def test_counts_tell_what_is_due(repository: Repository) -> None:
    measured(repository, "1.1")
    sending = batch(repository, limit=1)
    repository.postpone_delivery(sending[0], failed(None, None), after(100), START)
    now = repository.counts(START)
    assert (now["deliveries_pending"], now["deliveries_due"], now["deliveries_sent"]) == (3, 2, 0)


def test_a_courier_of_one_destination_leaves_the_others_alone(repository: Repository) -> None:
    measured(repository, "1.1", (PACS, ARCHIVE))
    mine = repository.claim_deliveries("courier", LEASE_S, 9, START, "pacs")
    assert {d.destination for d in mine} == {"pacs"}
    assert repository.claim_deliveries("courier", LEASE_S, 9, START, "pacs") == ()
    again = repository.claim_deliveries("courier", LEASE_S, 9, after(LEASE_S), "pacs")
    assert [d.id for d in again] == [d.id for d in mine]
    assert repository.delivery_counts() == {
        "pacs": {DeliveryState.SENDING: 3},
        "archive": {DeliveryState.PENDING: 1},
    }


def test_every_attempt_is_kept_in_order(repository: Repository) -> None:
    measured(repository, "1.1", (PACS_REPORTS,))
    (first,) = batch(repository)
    repository.postpone_delivery(first, failed(0xA700, "no room"), after(1), START)
    (second,) = batch(repository, 1)
    repository.bury_delivery(second, failed(0xC000, "cannot understand"), "given up", START)
    repository.retry_delivery(first.id, after(2))
    (third,) = batch(repository, 2)
    repository.mark_sent(third, taken(0xB000, "coerced"), after(2))

    told = [(one.outcome, one.status_word, one.comment) for one in repository.attempts(first.id)]

    assert told == [
        (AttemptOutcome.TRANSIENT, 0xA700, "no room"),
        (AttemptOutcome.TRANSIENT, 0xC000, "cannot understand"),
        (AttemptOutcome.SENT, 0xB000, "coerced"),
    ]
    assert repository.attempts(first.id)[0] == failed(0xA700, "no room")
    assert repository.attempts(999) == ()


def test_a_dead_delivery_says_why(repository: Repository) -> None:
    measured(repository, "1.1", (PACS_REPORTS,))
    (only,) = batch(repository)
    repository.bury_delivery(only, failed(0xC000), "given up", START)
    (dead,) = repository.deliveries((DeliveryState.DEAD,), 10)
    assert (dead.status_word, dead.comment) == (0xC000, "given up")


def test_an_attempt_of_which_nobody_told_may_have_arrived(repository: Repository) -> None:
    """A courier was killed, or is fenced off: the object may be there all the same."""
    measured(repository, "1.1", (PACS_REPORTS,))
    (old,) = batch(repository)
    (new,) = batch(repository, LEASE_S)
    with pytest.raises(LeaseLost):
        repository.mark_sent(old, taken(), after(LEASE_S))
    (lost,) = repository.attempts(new.id)
    assert (lost.asked, lost.outcome, lost.cause, lost.status_word) == (
        "pacs",
        AttemptOutcome.UNKNOWN,
        "courier_lost",
        None,
    )


def test_of_a_destination_that_refuses_for_days_the_first_and_last_attempts_are_kept(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,300 rows for an object within a week of 0xA700; what decides something stays in any case."""
    monkeypatch.setattr("dicom_node.storage.deliveries.FIRST_KEPT", 2)
    monkeypatch.setattr("dicom_node.storage.deliveries.MOST_KEPT", 5)
    measured(repository, "1.1", (PACS_REPORTS,))
    for number in range(9):
        (one,) = batch(repository, number)
        attempt = failed(None, "silence") if number == 3 else failed(0xA700, str(number))
        repository.postpone_delivery(one, attempt, after(number + 1), after(number))
    assert [attempt.comment for attempt in repository.attempts(one.id)] == ["0", "1", "silence", "7", "8"]
    assert one.attempts == 9


def test_a_claim_that_was_given_back_does_not_count(repository: Repository) -> None:
    measured(repository, "1.1", (PACS_REPORTS,))
    (claimed,) = batch(repository)
    repository.postpone_delivery(claimed, None, START, START)
    assert repository.attempts(claimed.id) == ()
    (again,) = batch(repository)
    assert (again.attempts, again.token) == (1, 2)


def test_what_an_alternate_took_says_so(repository: Repository) -> None:
    measured(repository, "1.1", (PACS_REPORTS,))
    (only,) = batch(repository)
    repository.mark_sent(only, taken(asked="archive"), START)
    (sent,) = repository.deliveries((DeliveryState.SENT,), 10)
    assert (sent.destination, sent.via) == ("pacs", "archive")


def test_what_its_own_destination_took_has_no_alternate(repository: Repository) -> None:
    measured(repository, "1.1", (PACS_REPORTS,))
    (only,) = batch(repository)
    repository.postpone_delivery(only, failed(asked="archive"), START, START)
    (again,) = batch(repository)
    repository.mark_sent(again, taken(), START)
    (sent,) = repository.deliveries((DeliveryState.SENT,), 10)
    assert sent.via is None


def test_what_waits_beyond_the_deadline_expires_and_the_rest_stays(repository: Repository) -> None:
    measured(repository, "1.1", (PACS_REPORTS, ARCHIVE))
    measured(repository, "1.2", (PACS_REPORTS,))
    (first, second) = batch(repository)
    repository.postpone_delivery(first, None, START, START)
    repository.bury_delivery(second, failed(), "dead", START)
    repository.retry_delivery(second.id, after(100))

    assert repository.expire_deliveries("pacs", after(50), "too late", after(100)) == 1

    (dead,) = repository.deliveries((DeliveryState.DEAD,), 10)
    assert (dead.id, dead.comment) == (first.id, "too late")
    waiting = {(d.destination, d.id) for d in repository.deliveries((DeliveryState.PENDING,), 10)}
    assert waiting == {("archive", first.id + 1), ("pacs", second.id)}


def test_the_state_of_a_destination_keeps_its_beginning(repository: Repository) -> None:
    def told(reachable: bool, seconds: float, cause: str | None = None) -> DestinationState:
        now = after(seconds)
        state = DestinationState("pacs", reachable, now, now, cause, None)
        repository.tell_destination(state)
        return repository.destination_states()["pacs"]

    assert repository.destination_states() == {}
    assert told(False, 1, "no_route").since == after(1)
    later = told(False, 5, "connection_refused")
    assert (later.since, later.checked_at, later.cause) == (after(1), after(5), "connection_refused")
    assert told(True, 9).since == after(9)
