"""How far a collector has been sent the trail: nothing twice without need, nothing never."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicom_node.audit import AuditBatch, AuditEntry, AuditEvent
from dicom_node.errors import LeaseLost
from dicom_node.storage.repository import Repository
from tests.unit.dicom_node.storage.rooms import START, after, image

LEASE = 300.0


def act(repository: Repository, *names: str) -> None:
    for name in names:
        repository.record(AuditEntry(AuditEvent.USER_SIGNED_IN, name), START)
    repository.seal_trail()


def claim(repository: Repository, seconds: float = 0, limit: int = 99) -> AuditBatch:
    batch = repository.claim_audit(limit, LEASE, after(seconds))
    assert batch is not None
    return batch


def names(batch: AuditBatch) -> list[str]:
    return [record.entry.actor for record in batch.records]


def test_it_begins_with_what_is_sealed_from_then_on(repository: Repository) -> None:
    act(repository, "before")
    assert repository.claim_audit(9, LEASE, START) is None
    assert repository.begin_collecting()
    assert not repository.begin_collecting()
    assert repository.claim_audit(9, LEASE, START) is None
    act(repository, "a", "b")
    repository.record(AuditEntry(AuditEvent.USER_SIGNED_IN, "unsealed"), START)
    assert names(claim(repository)) == ["a", "b"]


def test_the_place_moves_only_with_what_was_sent(repository: Repository) -> None:
    repository.begin_collecting()
    act(repository, "a", "b", "c")
    first = claim(repository, limit=2)
    repository.audit_settled(first, sent=False)
    again = claim(repository, limit=2)
    assert names(again) == names(first) == ["a", "b"]
    repository.audit_settled(again, sent=True)
    rest = claim(repository)
    assert names(rest) == ["c"]
    repository.audit_settled(rest, sent=True)
    assert repository.claim_audit(9, LEASE, START) is None


def test_one_sends_at_a_time_until_its_lease_is_over(repository: Repository) -> None:
    repository.begin_collecting()
    act(repository, "a")
    dead = claim(repository)
    assert repository.claim_audit(9, LEASE, after(LEASE - 1)) is None
    living = claim(repository, LEASE)
    with pytest.raises(LeaseLost):
        repository.audit_settled(dead, sent=True)
    repository.audit_settled(living, sent=True)


def test_a_clock_that_was_ahead_holds_nobody_up(repository: Repository) -> None:
    repository.begin_collecting()
    act(repository, "a")
    claim(repository, 100_000)
    assert names(claim(repository)) == ["a"]


def test_patients_of_studies_are_those_of_the_objects_that_came(repository: Repository) -> None:
    repository.register(replace(image("1.1"), patient_id="4711"), START)
    repository.seal_trail()
    repository.begin_collecting()
    repository.record(AuditEntry(AuditEvent.STUDY_VIEWED, "anna", study_instance_uid="1.2.3"), START)
    repository.record(AuditEntry(AuditEvent.STUDY_VIEWED, "anna", study_instance_uid="1.2.4"), START)
    repository.seal_trail()
    assert claim(repository).patients == {"1.2.3": "4711"}
