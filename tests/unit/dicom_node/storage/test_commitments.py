"""Storage commitment in the database: asked once, answered whenever, sent again where it failed."""

from __future__ import annotations

import pytest

from dicom_node.domain import (
    CommitmentOutcome,
    CommitmentReport,
    CommitmentRequest,
    Delivery,
    DeliveryState,
    Destination,
    IllegalTransition,
    ResultKind,
)
from dicom_node.storage.commitments import MOST_RESENDS
from dicom_node.storage.repository import Repository
from dicom_node.storage.trail import Wanted
from tests.attempts import taken
from tests.unit.dicom_node.storage.rooms import LEASE_S, START, after, corrected, measured

PACS = Destination("pacs", "PACS", "localhost", 104, (ResultKind.TID1500,))
SENT, COMMITTED, PENDING, DEAD = (
    DeliveryState.SENT,
    DeliveryState.COMMITTED,
    DeliveryState.PENDING,
    DeliveryState.DEAD,
)


def sent(repository: Repository, *uids: str, asked: str = "pacs") -> list[str]:
    """SOP Instance UIDs of one sent object for each image."""
    for uid in uids:
        measured(repository, uid, (PACS,))
    return send_all(repository, 0, asked)


def send_all(repository: Repository, now: float, asked: str = "pacs") -> list[str]:
    claimed = repository.claim_deliveries("courier", LEASE_S, 100, after(now), "pacs")
    for delivery in claimed:
        repository.mark_sent(delivery, taken(asked=asked), after(now))
    return [delivery.sop_instance_uid for delivery in claimed]


def ask(repository: Repository, uid: str = "2.25.1", destination: str = "pacs", limit: int = 100) -> list[str]:
    request = repository.ask_commitment(uid, destination, limit, START)
    return [] if request is None else [instance for _class, instance in request.objects]


def states(repository: Repository) -> dict[str, DeliveryState]:
    return {delivery.sop_instance_uid: delivery.state for delivery in repository.deliveries((), 100)}


def report(*committed: str, failed: tuple[tuple[str, int], ...] = (), uid: str = "2.25.1") -> CommitmentReport:
    return CommitmentReport(uid, committed, failed)


def only(repository: Repository) -> Delivery:
    (delivery,) = repository.deliveries((), 10)
    return delivery


def test_what_was_sent_is_asked_about_once(repository: Repository) -> None:
    uids = sent(repository, "1.1", "1.2", "1.3")
    assert sorted(ask(repository, "2.25.1", limit=2) + ask(repository, "2.25.2")) == sorted(uids)
    assert ask(repository, "2.25.3") == []


def test_the_request_names_the_classes(repository: Repository) -> None:
    (uid,) = sent(repository, "1.1")
    request = repository.ask_commitment("2.25.1", "pacs", 10, START)
    assert request == CommitmentRequest("2.25.1", (("1.2.840.10008.5.1.4.1.1.88.33", uid),))


def test_what_was_not_sent_is_not_asked_about(repository: Repository) -> None:
    measured(repository, "1.1", (PACS,))
    assert ask(repository) == []


def test_only_who_took_it_is_asked(repository: Repository) -> None:
    uids = sent(repository, "1.1", asked="spare")
    assert ask(repository, destination="pacs") == []
    assert ask(repository, destination="spare") == uids
    outcome = repository.commitment_answered(report(*uids), START)
    assert outcome == CommitmentOutcome("spare", 1, 0, 0)
    assert only(repository).state is COMMITTED


def test_a_report_commits_what_it_names_and_the_rest_is_asked_about_again(repository: Repository) -> None:
    first, second = sent(repository, "1.1", "1.2")
    ask(repository)
    assert repository.commitment_answered(report(first), after(9)) == CommitmentOutcome("pacs", 1, 0, 0)
    assert states(repository) == {first: COMMITTED, second: SENT}
    assert ask(repository, "2.25.2") == [second]


def test_a_report_that_comes_twice_changes_nothing_more(repository: Repository) -> None:
    uids = sent(repository, "1.1")
    ask(repository)
    repository.commitment_answered(report(*uids), START)
    again = repository.commitment_answered(report(failed=((uids[0], 0x0112),)), START)
    assert again == CommitmentOutcome("pacs", 0, 0, 0)
    assert only(repository).state is COMMITTED


def test_an_unknown_transaction_commits_nothing(repository: Repository) -> None:
    uids = sent(repository, "1.1")
    ask(repository)
    assert repository.commitment_answered(report(*uids, uid="2.25.99"), START) is None
    assert only(repository).state is SENT


def test_a_report_about_objects_of_others_changes_nothing(repository: Repository) -> None:
    sent(repository, "1.1")
    ask(repository)
    assert repository.commitment_answered(report("2.25.4711"), START) == CommitmentOutcome("pacs", 0, 0, 0)
    assert only(repository).state is SENT


def test_a_report_about_nothing_is_waited_for_as_if_it_had_not_come(repository: Repository) -> None:
    """An archive that reports so at once was asked again every ten seconds, for ever."""
    (uid,) = sent(repository, "1.1")
    ask(repository)
    assert repository.commitment_answered(report(), START) == CommitmentOutcome("pacs", 0, 0, 0)
    assert ask(repository, "2.25.2") == []
    assert repository.expire_commitments("pacs", START, after(9)) == 1
    assert ask(repository, "2.25.2") == [uid]


def test_a_report_of_any_length_is_taken(repository: Repository) -> None:
    (uid,) = sent(repository, "1.1")
    ask(repository)
    others = tuple(f"2.25.{number}" for number in range(100_000, 103_000))
    assert repository.commitment_answered(report(*others, uid), START) == CommitmentOutcome("pacs", 1, 0, 0)


def test_what_failed_is_sent_again_under_the_same_uid(repository: Repository) -> None:
    (uid,) = sent(repository, "1.1")
    ask(repository)
    outcome = repository.commitment_answered(report(failed=((uid, 0x0112),)), after(10))
    assert outcome == CommitmentOutcome("pacs", 0, 1, 0)
    waiting = only(repository)
    assert (waiting.state, waiting.status_word) == (PENDING, 0x0112)
    assert "no such object instance" in str(waiting.comment)
    assert [one.cause for one in repository.attempts(waiting.id)] == ["status", "not_committed"]
    assert send_all(repository, 11) == [], "the archive gets a minute to find it"
    assert send_all(repository, 71) == [uid]
    assert ask(repository, "2.25.2") == [uid]


def test_a_report_says_nothing_about_what_was_sent_since(repository: Repository) -> None:
    """An archive repeats a report where our answer to it was lost."""
    (uid,) = sent(repository, "1.1")
    ask(repository)
    repository.commitment_answered(report(failed=((uid, 0x0112),)), after(10))
    assert send_all(repository, 71) == [uid]
    for told in (report(failed=((uid, 0x0112),)), report(uid)):
        assert repository.commitment_answered(told, after(80)) == CommitmentOutcome("pacs", 0, 0, 0)
    assert only(repository).state is SENT
    assert ask(repository, "2.25.2") == [uid]
    assert repository.commitment_answered(report(uid, uid="2.25.2"), after(90)) == CommitmentOutcome("pacs", 1, 0, 0)


def test_one_that_is_never_committed_is_put_aside_and_may_be_retried(repository: Repository) -> None:
    (uid,) = sent(repository, "1.1")
    for round_ in range(MOST_RESENDS + 1):
        ask(repository, f"2.25.{round_}")
        failed = report(failed=((uid, 0x0110),), uid=f"2.25.{round_}")
        repository.commitment_answered(failed, after(round_ * 100))
        send_all(repository, round_ * 100 + 90)
    dead = only(repository)
    assert dead.state is DEAD
    repository.retry_delivery(dead.id, after(1000))
    assert send_all(repository, 1000) == [uid]


def test_what_a_correction_replaced_is_not_sent_again(repository: Repository) -> None:
    (uid,) = sent(repository, "1.1")
    ask(repository)
    corrected(repository, "1.1")
    repository.commitment_answered(report(failed=((uid, 0x0112),)), START)
    assert states(repository)[uid] is DeliveryState.HELD


def test_a_refused_request_is_made_again(repository: Repository) -> None:
    uids = sent(repository, "1.1")
    ask(repository)
    repository.withdraw_commitment("2.25.1", "refused")
    assert ask(repository, "2.25.2") == uids


def test_a_request_without_report_is_made_again_and_its_late_report_counts(repository: Repository) -> None:
    uids = sent(repository, "1.1")
    ask(repository)
    assert repository.expire_commitments("pacs", after(-1), after(-1)) == 0
    assert repository.expire_commitments("other", after(100), after(100)) == 0
    assert repository.expire_commitments("pacs", after(100), after(100)) == 1
    assert repository.expire_commitments("pacs", after(100), after(100)) == 0
    assert ask(repository, "2.25.2") == uids
    assert repository.commitment_answered(report(*uids), after(200)) == CommitmentOutcome("pacs", 1, 0, 0)
    assert only(repository).state is COMMITTED


def test_what_is_committed_or_sent_is_not_retried_by_hand(repository: Repository) -> None:
    uids = sent(repository, "1.1")
    ask(repository)
    for _ in range(2):
        with pytest.raises(IllegalTransition):
            repository.retry_delivery(only(repository).id, START)
        repository.commitment_answered(report(*uids), START)


def test_requests_that_nothing_points_to_are_forgotten_in_the_end(repository: Repository) -> None:
    uids = sent(repository, "1.1")
    ask(repository)
    repository.withdraw_commitment("2.25.1", "refused")
    ask(repository, "2.25.2")
    repository.commitment_answered(report(*uids, uid="2.25.2"), START)
    repository.expire_commitments("pacs", after(31 * 86400), after(31 * 86400))
    assert repository.commitment_answered(report(*uids), START) is None
    assert repository.commitment_answered(report(*uids, uid="2.25.2"), START) is not None


def test_a_request_that_never_went_out_is_made_again_without_waiting_for_a_report(repository: Repository) -> None:
    """Its courier was killed between the database and the destination."""
    uids = sent(repository, "1.1")
    ask(repository)
    assert repository.forget_untaken_commitments("pacs", after(-1)) == 0
    assert repository.forget_untaken_commitments("other", after(100)) == 0
    assert repository.forget_untaken_commitments("pacs", after(100)) == 1
    assert repository.forget_untaken_commitments("pacs", after(100)) == 0
    assert ask(repository, "2.25.2") == uids
    repository.commitment_taken("2.25.2", after(101))
    assert repository.forget_untaken_commitments("pacs", after(200)) == 0
    assert ask(repository, "2.25.3") == []


def test_a_request_from_before_the_clock_was_set_back_is_made_again(repository: Repository) -> None:
    uids = sent(repository, "1.1")
    assert repository.ask_commitment("2.25.1", "pacs", 10, after(365 * 86400)) is not None
    assert repository.expire_commitments("pacs", after(-86400), START) == 1
    assert ask(repository, "2.25.2") == uids


def test_the_audit_trail_says_who_answers_for_an_object(repository: Repository) -> None:
    uids = sent(repository, "1.1")
    ask(repository)
    repository.commitment_answered(report(*uids), after(5))
    *_, last = repository.whole_audit_trail(Wanted())
    assert (last.entry.event, last.entry.sop_instance_uid, last.entry.actor) == ("object.committed", uids[0], "pacs")
