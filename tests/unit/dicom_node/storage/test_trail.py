"""The audit trail: what is recorded without anybody's care, that it cannot be changed, and that a change would show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from dicom_node.audit import NODE, AuditEntry, AuditEvent, AuditRecord
from dicom_node.domain import DeliveryState, JobState, NewStudyResult, Quiet, Relation, Route
from dicom_node.errors import DatabaseUnavailable, NodeError
from dicom_node.storage.repository import Repository
from dicom_node.storage.rows import AuditRow
from dicom_node.storage.trail import Wanted
from tests.attempts import failed, taken
from tests.unit.dicom_node.storage.rooms import LEASE_S, START, after, answer, claimed, corrected, image, measured

ALL = Wanted()
HELLO = AuditEntry(AuditEvent.ASSOCIATION_ACCEPTED, "SCANNER", "192.0.2.1", detail={"called_ae": "FETALHC"})


def recorded(repository: Repository, *events: AuditEvent) -> list[AuditRecord]:
    """Oldest first."""
    return list(repository.whole_audit_trail(Wanted(events)))


def told(repository: Repository) -> list[tuple[AuditEvent, str | None]]:
    return [(found.entry.event, found.entry.outcome) for found in recorded(repository)]


def seal_all(repository: Repository) -> None:
    while repository.seal_trail():
        pass


def test_what_comes_in_is_recorded_with_who_sent_it_and_whose_it_is(repository: Repository) -> None:
    new = replace(image("1.1"), patient_id="P1", route=Route(("fetal", "rest")))
    repository.register(new, START)
    repository.register(new, after(1))
    first, again = recorded(repository)
    assert first.at == START
    assert first.entry == AuditEntry(
        event=AuditEvent.OBJECT_RECEIVED,
        actor="SCANNER",
        host="192.0.2.1",
        outcome="new",
        sop_instance_uid="1.1",
        sop_class_uid=new.sop_class_uid,
        study_instance_uid="1.2.3",
        patient_id="P1",
        detail={"called_ae": "FETALHC", "revision": 0, "rules": "fetal rest"},
    )
    assert (again.entry.outcome, again.at) == ("same", after(1))


def test_an_object_that_is_not_committed_leaves_no_record(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr("dicom_node.storage.corrections.apply_to_earlier", fail)
    repository.register(image("1.1"), START)
    with pytest.raises(DatabaseUnavailable):
        repository.register(image("1.1", "second"), START)
    assert told(repository) == [(AuditEvent.OBJECT_RECEIVED, "new")]


def test_results_and_what_the_destination_said_are_recorded(repository: Repository) -> None:
    measured(repository, "1.1")
    sent, dead, *_ = repository.claim_deliveries("courier", LEASE_S, 10, START, "pacs")
    repository.mark_sent(sent, taken(0xB000), after(1))
    repository.bury_delivery(dead, failed(0xA900, "Doe^Jane is unknown"), "Doe^Jane is unknown", after(2))
    _, result, gone, given_up = recorded(repository)
    assert (result.entry.event, result.entry.outcome, result.entry.sop_instance_uid) == (
        AuditEvent.RESULT_MADE,
        "measured",
        "1.1",
    )
    assert (gone.entry.event, gone.entry.actor, gone.at) == (AuditEvent.OBJECT_SENT, "pacs", after(1))
    assert (gone.entry.sop_instance_uid, gone.entry.study_instance_uid) == (sent.sop_instance_uid, "1.2.3")
    assert gone.entry.detail["status"] == "0xB000"
    assert (given_up.entry.event, given_up.entry.detail["status"]) == (AuditEvent.OBJECT_GIVEN_UP, "0xA900")
    assert "Doe" not in str(given_up)


def test_the_report_of_a_study_is_recorded_with_its_study(repository: Repository) -> None:
    measured(repository, "1.1", ())
    repository.enqueue_quiet_studies(Quiet(0), after(1))
    job = claimed(repository, after(2))
    repository.commit_study(job, NewStudyResult(answer("study", ())), (), after(3))
    *_, study = recorded(repository, AuditEvent.RESULT_MADE)
    assert (study.entry.study_instance_uid, study.entry.sop_instance_uid) == ("1.2.3", None)
    assert study.entry.detail["study_version"] == 1


def test_a_refusal_is_recorded_and_stays_when_the_list_of_the_last_ones_has_forgotten_it(
    repository: Repository,
) -> None:
    for number in range(202):
        repository.record_refusal(f"AE{number}", "FETALHC", "192.0.2.9", "calling_ae_unknown", "", after(number))
    assert len(repository.refusals(300)) == 200
    found = recorded(repository, AuditEvent.ASSOCIATION_REFUSED)
    assert [one.entry.actor for one in found] == [f"AE{number}" for number in range(202)]


def test_what_a_further_version_was_found_to_be_is_recorded(repository: Repository) -> None:
    measured(repository, "1.1")
    corrected(repository, "1.1")
    (found,) = recorded(repository, AuditEvent.OBJECT_RECONCILED)
    assert (found.entry.outcome, found.entry.detail["revision"]) == (Relation.CORRECTION, 1)


def test_what_a_person_does_is_recorded_with_their_name_and_what_workers_do_is_not(repository: Repository) -> None:
    measured(repository, "1.1")
    corrected(repository, "1.1")
    (held,) = repository.jobs([JobState.HELD], 10)
    person = repository.acting_as("annie")
    person.cancel_job(held.id, after(1))
    person.retry_job(held.id, after(2))
    person.confirm_job(held.id, after(3))
    found = recorded(repository, AuditEvent.ADMIN_JOB)
    assert [(one.entry.actor, one.entry.outcome) for one in found] == [
        ("annie", "cancelled"),
        ("annie", "held"),
        ("annie", "queued"),
    ]
    assert {one.entry.sop_instance_uid for one in found} == {"1.1"}


def test_a_delivery_that_a_person_retries_is_recorded(repository: Repository) -> None:
    measured(repository, "1.1")
    dead, *_ = repository.claim_deliveries("courier", LEASE_S, 10, START, "pacs")
    repository.bury_delivery(dead, failed(), "no answer", after(1))
    repository.acting_as("annie").retry_delivery(dead.id, after(2))
    (found,) = recorded(repository, AuditEvent.ADMIN_DELIVERY)
    assert (found.entry.actor, found.entry.outcome) == ("annie", DeliveryState.PENDING)
    assert found.entry.detail["destination"] == "pacs"


def test_the_list_is_newest_first_and_can_be_narrowed(repository: Repository) -> None:
    repository.record(HELLO, START)
    repository.register(image("1.1"), after(1))
    repository.register(image("1.2", study="9"), after(2))
    events = (AuditEvent.OBJECT_RECEIVED,)

    def uids(wanted: Wanted, limit: int = 10) -> list[str | None]:
        return [found.entry.sop_instance_uid for found in repository.audit_trail(wanted, limit)]

    assert uids(ALL) == ["1.2", "1.1", None]
    assert uids(ALL, 1) == ["1.2"]
    assert uids(Wanted(events)) == ["1.2", "1.1"]
    assert uids(Wanted(since=after(1), until=after(2))) == ["1.1"]
    assert uids(Wanted(study_instance_uid="9")) == ["1.2"]


def test_text_of_peers_is_stored_without_what_an_engine_refuses(repository: Repository) -> None:
    repository.record(AuditEntry(AuditEvent.OBJECT_REFUSED, "BAD\0AE", NODE, patient_id="P\0"), START)
    (found,) = recorded(repository)
    assert (found.entry.actor, found.entry.patient_id) == ("BADAE", "P")


# --- append-only, and sealed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["audit", "audit_seal"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET {}"])
def test_nothing_is_changed_or_deleted(repository: Repository, table: str, statement: str) -> None:
    repository.record(HELLO, START)
    repository.seal_trail()
    value = "actor = 'NOBODY'" if table == "audit" else "sha256 = ''"
    with pytest.raises((IntegrityError, NodeError)), repository._write() as session:
        session.execute(text(statement.format(table, value)))
    assert repository.verify_trail().sealed == 1
    assert recorded(repository)[0].entry.actor == "SCANNER"


@pytest.mark.parametrize("table", ["audit", "audit_seal"])
def test_nor_emptied(repository: Repository, table: str) -> None:
    """What PostgreSQL does without asking the triggers of rows."""
    repository.record(HELLO, START)
    repository.seal_trail()
    with pytest.raises((IntegrityError, OperationalError, NodeError)), repository._write() as session:
        session.execute(text(f"TRUNCATE {table}"))
    assert repository.verify_trail().sealed == 1


def test_the_chain_covers_what_was_sealed_and_says_what_was_not(repository: Repository) -> None:
    assert repository.seal_trail() == 0
    assert repository.verify_trail().head is None
    for number in range(3):
        repository.record(HELLO, after(number))
    assert repository.seal_trail() == 3
    repository.record(HELLO, after(3))
    found = repository.verify_trail()
    assert (found.sealed, found.unsealed, found.broken_at) == (3, 1, None)
    seal_all(repository)
    trail = recorded(repository)
    assert [one.number for one in trail] == [1, 2, 3, 4]
    assert repository.verify_trail().head == trail[-1].seal
    assert len({one.seal for one in trail}) == 4


def test_a_chain_of_several_steps_is_one_chain(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_node.storage.trail._PAGE", 2)
    monkeypatch.setattr("dicom_node.storage.trail.SEAL_AT_ONCE", 3)
    for number in range(7):
        repository.record(HELLO, after(number))
    seal_all(repository)
    assert repository.verify_trail().sealed == 7
    assert [one.number for one in recorded(repository)] == [1, 2, 3, 4, 5, 6, 7]


def without_guards(repository: Repository, *statements: str) -> None:
    """What somebody who owns the database can do."""
    with repository._write() as session:
        if session.get_bind().dialect.name == "postgresql":
            for table in ("audit", "audit_seal"):
                session.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        else:
            for table in ("audit", "audit_seal"):
                for act in ("update", "delete"):
                    session.execute(text(f"DROP TRIGGER {table}_no_{act}"))
        for statement in statements:
            session.execute(text(statement))
        if session.get_bind().dialect.name == "postgresql":
            for table in ("audit", "audit_seal"):
                session.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))


@pytest.mark.parametrize(
    ("statements", "broken_at"),
    [
        (["UPDATE audit SET actor = 'NOBODY' WHERE id = 2"], 2),
        (["UPDATE audit SET detail = NULL WHERE id = 3"], 3),
        (["DELETE FROM audit WHERE id = 1"], 1),
        (["DELETE FROM audit WHERE id = 2", "DELETE FROM audit_seal WHERE audit_id = 2"], 2),
        (["UPDATE audit_seal SET sha256 = 'ab' WHERE number = 2"], 2),
    ],
)
def test_whoever_owns_the_database_cannot_change_it_unseen(
    repository: Repository, statements: Sequence[str], broken_at: int
) -> None:
    for number in range(4):
        repository.record(HELLO, START + timedelta(microseconds=number))
    seal_all(repository)
    without_guards(repository, *statements)
    found = repository.verify_trail()
    assert found.broken_at == broken_at
    assert found.why
    assert found.sealed == broken_at - 1


def test_what_was_put_in_past_the_chain_is_told(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_node.storage.trail._LATECOMERS", 2)
    for number in range(5):
        repository.record(HELLO, after(number))
    with repository._read() as session:
        old = session.execute(select(AuditRow.__table__).where(AuditRow.id == 1)).mappings().one()
    without_guards(repository, "DELETE FROM audit WHERE id = 1")
    seal_all(repository)
    assert repository.verify_trail().slipped_in == 0
    with repository._write() as session:
        session.execute(insert(AuditRow).values(**old))
    seal_all(repository)
    found = repository.verify_trail()
    assert (found.broken_at, found.slipped_in) == (None, 1)


def test_a_record_that_was_committed_late_is_sealed_late(repository: Repository) -> None:
    """On PostgreSQL a number is drawn at the insert and seen at the commit."""
    for number in range(3):
        repository.record(HELLO, after(number))
    with repository._read() as session:
        late = session.execute(select(AuditRow.__table__).where(AuditRow.id == 2)).mappings().one()
    without_guards(repository, "DELETE FROM audit WHERE id = 2")
    seal_all(repository)
    with repository._write() as session:
        session.execute(insert(AuditRow).values(**late))
    seal_all(repository)
    assert [(one.id, one.number) for one in recorded(repository)] == [(1, 1), (2, 3), (3, 2)]
    assert repository.verify_trail().broken_at is None
