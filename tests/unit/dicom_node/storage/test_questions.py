"""Storage commitment that peers ask of us: what is decided, when, and how often it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from pydicom.uid import generate_uid

from dicom_node.audit import AuditEvent
from dicom_node.domain import (
    CommitmentQuestion,
    CommitmentReply,
    CommitmentReport,
    CommitmentTerms,
    NewInstance,
    Relation,
    Route,
)
from dicom_node.storage.repository import Repository
from dicom_node.storage.trail import Wanted
from tests.attempts import failed, taken
from tests.unit.dicom_node.storage.rooms import LEASE_S, START, after, claimed, image

US = "1.2.840.10008.5.1.4.1.1.6.1"
TERMS = CommitmentTerms(("pacs",), timedelta(hours=1))


def original(uid: str, content: str = "first", forward: Sequence[str] = ("pacs",)) -> NewInstance:
    return replace(image(uid, content, measurable=False), route=Route(forward=tuple(forward)))


def question(*uids: str, transaction_uid: str = "2.25.1", sop_class: str = US) -> CommitmentQuestion:
    return CommitmentQuestion("SCANNER", "FETALHC", "192.0.2.1", transaction_uid, tuple((sop_class, u) for u in uids))


def ask(repository: Repository, *uids: str, sop_class: str = US) -> None:
    assert repository.ask_for_commitment(question(*uids, sop_class=sop_class), START)


def reply(repository: Repository, seconds: float = 0, terms: CommitmentTerms = TERMS) -> CommitmentReply | None:
    return repository.commitment_answer("SCANNER", terms, after(seconds))


def verdicts(told: CommitmentReply | None) -> tuple[list[str], list[tuple[str, int]]]:
    assert told is not None
    return [uid for _, uid in told.committed], [(uid, reason) for _, uid, reason in told.failed]


def send(repository: Repository, seconds: float = 0, destination: str = "pacs") -> list[str]:
    """All that is due there is sent; the UIDs."""
    batch = repository.claim_deliveries("courier", LEASE_S, 99, after(seconds), destination)
    for delivery in batch:
        repository.mark_sent(delivery, taken(asked=destination), after(seconds))
    return [delivery.sop_instance_uid for delivery in batch]


def commit(repository: Repository, *uids: str) -> None:
    """The archive's report about what it was sent."""
    transaction_uid = generate_uid(None)
    assert repository.ask_commitment(transaction_uid, "pacs", 99, START) is not None
    repository.commitment_answered(CommitmentReport(transaction_uid, uids, ()), START)


def test_nothing_is_promised_before_an_archive_has_promised_it(repository: Repository) -> None:
    repository.register(original("1.1"), START)
    ask(repository, "1.1")
    assert reply(repository) is None
    send(repository)
    assert reply(repository, 10) is None
    commit(repository, "1.1")
    assert verdicts(reply(repository, 20)) == (["1.1"], [])


def test_each_object_has_its_own_answer(repository: Repository) -> None:
    for new in (original("1.1"), original("1.2", forward=()), original("1.3", forward=("research",))):
        repository.register(new, START)
    send(repository)
    commit(repository, "1.1")
    send(repository, destination="research")
    ask(repository, "1.1", "1.2", "1.3", "1.4")
    assert verdicts(reply(repository)) == (["1.1"], [("1.2", 0x0110), ("1.3", 0x0110), ("1.4", 0x0112)])


def test_an_object_of_another_class_is_not_meant(repository: Repository) -> None:
    repository.register(original("1.1"), START)
    send(repository)
    commit(repository, "1.1")
    ask(repository, "1.1", sop_class="1.2.840.10008.5.1.4.1.1.3.1")
    assert verdicts(reply(repository)) == ([], [("1.1", 0x0119)])


def test_one_archive_of_two_is_enough_and_another_than_those_that_commit_is_none(repository: Repository) -> None:
    repository.register(original("1.1", forward=("pacs", "research")), START)
    ask(repository, "1.1")
    (lost,) = repository.claim_deliveries("courier", LEASE_S, 9, START, "pacs")
    repository.bury_delivery(lost, failed(0xC000), "cannot understand", START)
    both = replace(TERMS, destinations=("pacs", "research"))
    assert reply(repository, 10, both) is None
    assert verdicts(reply(repository, 80)) == ([], [("1.1", 0x0110)])


def test_what_no_archive_commits_in_time_has_failed(repository: Repository) -> None:
    repository.register(original("1.1"), START)
    send(repository)
    ask(repository, "1.1")
    assert reply(repository, 3599) is None
    assert verdicts(reply(repository, 3700)) == ([], [("1.1", 0x0110)])
    commit(repository, "1.1")
    assert verdicts(reply(repository, 4000)) == ([], [("1.1", 0x0110)]), "what was said stays said"


def test_the_last_version_that_counts_is_meant(repository: Repository) -> None:
    """The archive holds the first one; the scanner asks about what it sent since."""
    repository.register(original("1.1"), START)
    send(repository)
    commit(repository, "1.1")
    repository.register(original("1.1", "corrected"), START)
    ask(repository, "1.1")
    assert reply(repository) is None, "nobody knows yet what it is"
    repository.reconcile(claimed(repository), Relation.CORRECTION, accept=True, now=START)
    assert reply(repository, 10) is None
    assert send(repository) == ["1.1"]
    commit(repository, "1.1")
    assert verdicts(reply(repository, 20)) == (["1.1"], [])


@pytest.mark.parametrize(
    ("relation", "expected"),
    [(Relation.DUPLICATE, (["1.1"], [])), (Relation.CONFLICT, ([], [("1.1", 0x0110)]))],
)
def test_a_copy_is_its_first_one_and_what_contradicts_it_is_not(
    repository: Repository, relation: Relation, expected: tuple[list[str], list[tuple[str, int]]]
) -> None:
    repository.register(original("1.1"), START)
    send(repository)
    commit(repository, "1.1")
    repository.register(original("1.1", "again"), START)
    repository.reconcile(claimed(repository), relation, accept=False, now=START)
    ask(repository, "1.1")
    assert verdicts(reply(repository)) == expected


def test_an_answer_is_told_once_and_again_to_who_asks_again(repository: Repository) -> None:
    ask(repository, "1.1")
    told = reply(repository)
    assert told is not None
    assert reply(repository, 60) is None, "somebody is telling it"
    assert reply(repository, 200) == told, "whoever did has died"
    repository.commitment_told(told.id, after(201))
    assert reply(repository, 9999) is None
    ask(repository, "1.1")
    assert reply(repository, 9999) == told


def test_a_peer_that_cannot_be_told_is_told_later(repository: Repository) -> None:
    ask(repository, "1.1")
    told = reply(repository)
    assert told is not None
    repository.postpone_commitment_answer(told.id, "connection refused", after(30))
    assert reply(repository, 29) is None
    assert reply(repository, 30) == told


def test_a_transaction_uid_belongs_to_its_objects_and_its_peer(repository: Repository) -> None:
    ask(repository, "1.1")
    assert repository.ask_for_commitment(question("1.1", "1.2"), START) is False
    other = replace(question("1.2"), peer="ROOM2")
    assert repository.ask_for_commitment(other, START)
    assert repository.commitment_answer("ROOM3", TERMS, START) is None
    assert verdicts(repository.commitment_answer("ROOM2", TERMS, START)) == ([], [("1.2", 0x0112)])


def test_an_object_that_is_named_twice_is_answered_once(repository: Repository) -> None:
    ask(repository, "1.1", "1.1")
    assert verdicts(reply(repository)) == ([], [("1.1", 0x0112)])


def test_questions_that_nobody_came_back_for_are_forgotten(repository: Repository) -> None:
    ask(repository, "1.1")
    month = 31 * 24 * 3600
    assert repository.ask_for_commitment(question("1.2", transaction_uid="2.25.2"), after(month))
    assert verdicts(reply(repository, month)) == ([], [("1.2", 0x0112)])
    assert reply(repository, month) is None


def test_the_audit_trail_says_what_was_asked_and_what_the_peer_was_told(repository: Repository) -> None:
    repository.register(original("1.1"), START)
    send(repository)
    commit(repository, "1.1")
    ask(repository, "1.1", "1.2")
    told = reply(repository)
    assert told is not None
    events = Wanted((AuditEvent.COMMITMENT_ASKED, AuditEvent.OBJECT_ANSWERED_FOR))
    (asked,) = repository.audit_trail(events, 9)
    assert (asked.entry.actor, asked.entry.detail["objects"]) == ("SCANNER", 2)
    repository.commitment_told(told.id, after(1))
    answered = [record.entry for record in repository.audit_trail(events, 9)[:-1]]
    outcomes = [(one.sop_instance_uid, one.outcome, one.detail["why"]) for one in reversed(answered)]
    assert outcomes == [("1.1", "committed", None), ("1.2", "failed", "unknown")]


def test_a_peer_that_would_not_hear_it_was_told_nothing(repository: Repository) -> None:
    ask(repository, "1.1")
    told = reply(repository)
    assert told is not None
    repository.commitment_told(told.id, START, "the report was answered with status 0x0115")
    assert reply(repository, 9999) is None
    assert repository.audit_trail(Wanted((AuditEvent.OBJECT_ANSWERED_FOR,)), 9) == ()
