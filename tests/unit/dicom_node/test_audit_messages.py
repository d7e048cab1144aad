"""What a collector reads of a record of the trail: the codes of the profile, in the order of its schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from dicom_node.audit import NODE, AuditEntry, AuditEvent, AuditRecord
from dicom_node.audit_messages import Message, Source, messages_of
from tests.audit_schema import parsed
from tests.unit.dicom_node.storage.rooms import START

SOURCE = Source(("FETALHC", "RESEARCH"), "Hospital")
US, SR, STUDY = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.88.33", "1.2.3"


def record(event: AuditEvent, actor: str = "US1", number: int = 1, **more: Any) -> AuditRecord:
    return AuditRecord(
        number, START, "node-1", AuditEntry(event, actor, **{"host": "192.0.2.1", **more}), number, "seal"
    )


def received(uid: str, number: int = 1, **more: Any) -> AuditRecord:
    told = {"outcome": "new", "sop_class_uid": US, "study_instance_uid": STUDY, "patient_id": "4711", **more}
    return record(AuditEvent.OBJECT_RECEIVED, sop_instance_uid=uid, number=number, **told)


def messages(*records: AuditRecord, patients: dict[str, str] | None = None) -> Sequence[Message]:
    return messages_of(records, patients or {}, SOURCE)


def one(*records: AuditRecord, patients: dict[str, str] | None = None) -> ET.Element:
    (message,) = messages(*records, patients=patients)
    return parsed(message.xml)


def codes(message: ET.Element, name: str) -> list[str]:
    return [element.get("csd-code", "") for element in message.iter(name)]


def facts(message: ET.Element, name: str, *attributes: str) -> list[tuple[str | None, ...]]:
    return [tuple(element.get(attribute) for attribute in attributes) for element in message.iter(name)]


@pytest.mark.parametrize(
    ("event", "more", "event_id", "kind", "action", "outcome"),
    [
        (AuditEvent.PROCESS_STARTED, {"actor": NODE, "outcome": "courier"}, "110100", "110120", "E", "0"),
        (AuditEvent.PROCESS_STOPPED, {"actor": NODE, "outcome": "courier"}, "110100", "110121", "E", "0"),
        (AuditEvent.TRAIL_READ, {"outcome": "list"}, "110101", None, "R", "0"),
        (AuditEvent.OBJECT_SENT, {"actor": "pacs", "outcome": "sent"}, "110104", None, "R", "0"),
        (AuditEvent.OBJECT_GIVEN_UP, {"actor": "pacs", "outcome": "dead"}, "110104", None, "R", "8"),
        (AuditEvent.OBJECT_READ, {"outcome": "retrieve"}, "110103", None, "R", "0"),
        (AuditEvent.OBJECT_READ, {"outcome": "download"}, "110106", None, "R", "0"),
        (AuditEvent.STUDY_VIEWED, {}, "110103", None, "R", "0"),
        (AuditEvent.STUDY_DELETED, {"actor": NODE, "outcome": "aged"}, "110105", None, "D", "0"),
        (AuditEvent.ASSOCIATION_REFUSED, {"outcome": "calling_ae_unknown"}, "110113", "110126", "E", "4"),
        (AuditEvent.USER_SIGNED_IN, {"actor": "anna"}, "110114", "110122", "E", "0"),
        (AuditEvent.USER_REFUSED, {"actor": "anna", "outcome": "wrong password"}, "110114", "110122", "E", "4"),
        (AuditEvent.ADMIN_USER, {"actor": "anna", "outcome": "user.added"}, "110113", "110137", "E", "0"),
        (AuditEvent.ADMIN_SETTING, {"actor": "anna", "outcome": "peer.added"}, "110113", "110128", "E", "0"),
        (AuditEvent.ADMIN_CHANGE, {"actor": NODE, "outcome": "peers"}, "110113", "110129", "E", "0"),
        (AuditEvent.ADMIN_JOB, {"actor": "anna", "outcome": "queued"}, "110113", "110132", "E", "0"),
        (AuditEvent.ADMIN_DELIVERY, {"actor": "anna", "outcome": "pending"}, "110113", "110132", "E", "0"),
    ],
)
def test_each_event_has_the_code_of_the_profile(  # noqa: PLR0917  one row of the table
    event: AuditEvent, more: dict[str, Any], event_id: str, kind: str | None, action: str, outcome: str
) -> None:
    message = one(record(event, **more))
    assert codes(message, "EventID") == [event_id]
    assert codes(message, "EventTypeCode") == ([] if kind is None else [kind])
    told = facts(message, "EventIdentification", "EventActionCode", "EventOutcomeIndicator", "EventDateTime")
    assert told == [(action, outcome, "2026-03-01T12:00:00.000Z")]
    assert facts(message, "AuditSourceIdentification", "AuditSourceID", "AuditEnterpriseSiteID") == [
        ("FETALHC@node-1", "Hospital")
    ]


def test_what_the_profile_does_not_know_has_no_message() -> None:
    assert messages(record(AuditEvent.RESULT_MADE, NODE), record(AuditEvent.ASSOCIATION_ACCEPTED)) == ()


def test_what_came_in_one_transfer_is_one_message_with_all_its_objects() -> None:
    message = one(received("1.1", 1), received("1.2", 2), received("1.9", 3, sop_class_uid=SR))
    assert facts(message, "SOPClass", "UID", "NumberOfInstances") == [(US, "2"), (SR, "1")]
    assert facts(message, "Instance", "UID") == [("1.1",), ("1.2",), ("1.9",)]
    assert codes(message, "RoleIDCode") == ["110153", "110152"]
    assert facts(message, "ActiveParticipant", "UserID", "AlternativeUserID", "NetworkAccessPointID") == [
        ("US1", "AETITLES=US1", "192.0.2.1"),
        ("dicom-node@node-1", "AETITLES=FETALHC;RESEARCH", "node-1"),
    ]
    identities = facts(
        message, "ParticipantObjectIdentification", "ParticipantObjectID", "ParticipantObjectTypeCodeRole"
    )
    assert identities == [(STUDY, "3"), ("4711", "1")]


@pytest.mark.parametrize(
    "other",
    [{"study_instance_uid": "1.2.4"}, {"patient_id": "4712"}, {"outcome": "same"}, {"host": "192.0.2.2"}],
    ids=["study", "patient", "outcome", "host"],
)
def test_one_message_is_about_one_patient_one_study_and_one_peer(other: dict[str, Any]) -> None:
    assert len(messages(received("1.1", 1), received("1.2", 2, **other))) == 2


@pytest.mark.parametrize(("outcome", "action"), [("new", "C"), ("version", "U"), ("same", "R")])
def test_the_action_says_whether_the_object_was_here(outcome: str, action: str) -> None:
    assert facts(one(received("1.1", outcome=outcome)), "EventIdentification", "EventActionCode") == [(action,)]


def test_the_patient_of_what_is_sent_is_that_of_what_was_received() -> None:
    sent = record(AuditEvent.OBJECT_SENT, "pacs", sop_instance_uid="2.25.1", sop_class_uid=SR, study_instance_uid=STUDY)
    identities = facts(one(sent, patients={STUDY: "4711"}), "ParticipantObjectIdentification", "ParticipantObjectID")
    assert identities == [(STUDY,), ("4711",)]
    assert facts(one(sent), "ParticipantObjectIdentification", "ParticipantObjectID") == [(STUDY,)]


def test_what_comes_from_outside_breaks_no_message() -> None:
    nasty = 'US<1>&"\x00\x1b\ud800\n'
    message = one(record(AuditEvent.ASSOCIATION_REFUSED, nasty, outcome="calling_ae_unknown", host="room-2"))
    assert facts(message, "ActiveParticipant", "UserID", "NetworkAccessPointTypeCode")[1] == ('US<1>&"???\n', "1")


def test_a_message_is_one_line() -> None:
    (message,) = messages(record(AuditEvent.USER_REFUSED, "a\nb\r"))
    assert message.failed
    assert not set(message.xml) & set(b"\r\n")
