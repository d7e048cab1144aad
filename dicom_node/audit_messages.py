"""Records of the audit trail as DICOM audit messages (PS3.15 A.5): the events that the profile knows, and no others.

Records of one transfer (same peer, same study, same outcome) that lie in one batch become one message. Of a patient the
ID is told where the profile demands it, and nothing else.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from xml.etree import ElementTree as ET  # it writes; nothing is parsed here  # nosec B405

from dicom_node.audit import NODE, AuditEvent, AuditRecord

SUCCESS, MINOR_FAILURE, SERIOUS_FAILURE = "0", "4", "8"
_APPLICATION_SERVER = "4"
_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>'  # on one line: collectors escape or cut at its end
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PERSON, _SYSTEM_OBJECT = "1", "2"
_PATIENT, _REPORT, _SECURITY_RESOURCE = "1", "3", "13"  # ParticipantObjectTypeCodeRole, PS3.15 A.5.1.2.2

Code = tuple[str, str]
"""Value and meaning, of the coding scheme DCM (PS3.16 D)."""

APPLICATION_ACTIVITY: Code = ("110100", "Application Activity")
AUDIT_LOG_USED: Code = ("110101", "Audit Log Used")
INSTANCES_ACCESSED: Code = ("110103", "DICOM Instances Accessed")
INSTANCES_TRANSFERRED: Code = ("110104", "DICOM Instances Transferred")
STUDY_DELETED: Code = ("110105", "DICOM Study Deleted")
EXPORT: Code = ("110106", "Export")
SECURITY_ALERT: Code = ("110113", "Security Alert")
USER_AUTHENTICATION: Code = ("110114", "User Authentication")

APPLICATION_START: Code = ("110120", "Application Start")
APPLICATION_STOP: Code = ("110121", "Application Stop")
LOGIN: Code = ("110122", "Login")
NODE_AUTHENTICATION: Code = ("110126", "Node Authentication")
NETWORK_CONFIGURATION: Code = ("110128", "Network Configuration")
SOFTWARE_CONFIGURATION: Code = ("110129", "Software Configuration")
RESTRICTED_FUNCTION: Code = ("110132", "Use of Restricted Function")
USER_ATTRIBUTES_CHANGED: Code = ("110137", "User Security Attributes Changed")

APPLICATION: Code = ("110150", "Application")
DESTINATION_ROLE: Code = ("110152", "Destination Role ID")
SOURCE_ROLE: Code = ("110153", "Source Role ID")

_STUDY_UID: Code = ("110180", "Study Instance UID")
_PATIENT_NUMBER: Code = ("2", "Patient Number")
_URI: Code = ("12", "URI")
_NODE_ID: Code = ("110182", "Node ID")
_RFC_3881 = "RFC-3881"


@dataclass(frozen=True, slots=True)
class Source:
    """Who reports. `ae_titles`: all of ours; `site`: AuditEnterpriseSiteID, where there is one."""

    ae_titles: tuple[str, ...]
    site: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One audit message, and the last record in it; `failed`: it tells of a failure."""

    record: AuditRecord
    failed: bool
    xml: bytes


def messages_of(records: Sequence[AuditRecord], patients: Mapping[str, str], source: Source) -> tuple[Message, ...]:
    """The messages of sealed records; `patients`: Patient ID by Study Instance UID, where a record has none itself.

    Records of events that the profile does not know have no message.
    """
    groups: dict[object, list[AuditRecord]] = {}
    for record in records:
        if record.entry.event in _KINDS:
            groups.setdefault(_transfer(record) or record.id, []).append(record)
    return tuple(_message(group, patients, source) for group in groups.values())


def _transfer(record: AuditRecord) -> object:
    """What makes records one message; None: each has one of its own."""
    entry = record.entry
    if entry.event not in _TRANSFERS:
        return None
    peer = entry.event, entry.actor, entry.host, entry.detail.get("called_ae"), record.node
    return *peer, entry.outcome, entry.study_instance_uid, entry.patient_id


def _message(group: Sequence[AuditRecord], patients: Mapping[str, str], source: Source) -> Message:
    last = group[-1]
    message = ET.Element("AuditMessage")
    _KINDS[last.entry.event](_Writing(message, group, patients, source))
    failed = message[0].get("EventOutcomeIndicator") != SUCCESS
    return Message(last, failed, _DECLARATION + ET.tostring(message, encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class _Writing:
    """A message that is being written, element by element, in the order of the schema (PS3.15 A.5.1)."""

    message: ET.Element
    group: Sequence[AuditRecord]
    patients: Mapping[str, str]
    source: Source

    @property
    def last(self) -> AuditRecord:
        return self.group[-1]

    def event(self, event_id: Code, action: str, outcome: str, kind: Code | None = None, why: str = "") -> None:
        at = self.last.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        facts = {"EventActionCode": action, "EventDateTime": at, "EventOutcomeIndicator": outcome}
        element = ET.SubElement(self.message, "EventIdentification", facts)
        _coded(element, "EventID", event_id)
        if kind is not None:
            _coded(element, "EventTypeCode", kind)
        if why:
            ET.SubElement(element, "EventOutcomeDescription").text = _text(why)

    def node(self, role: Code | None = None, requestor: bool = False, *, pid: object = None) -> None:
        """This node: the process that did it."""
        titles = {"AlternativeUserID": f"AETITLES={';'.join(self.source.ae_titles)}"}
        user = f"dicom-node@{self.last.node}" if pid is None else str(pid)
        self._participant(user, self.last.node, role, requestor, titles)

    def peer(self, ae_title: str, host: str | None, role: Code | None, requestor: bool) -> None:
        self._participant(ae_title or "unknown", host, role, requestor, {"AlternativeUserID": f"AETITLES={ae_title}"})

    def person(self, requestor: bool = True) -> None:
        """Who asked for it; a record without one is the node's own."""
        entry = self.last.entry
        if entry.actor == NODE:
            self.node(requestor=requestor)
        else:
            self._participant(entry.actor, entry.host, None, requestor, {})

    def origin(self) -> None:
        """AuditSourceIdentification."""
        facts = {"AuditSourceID": f"{self.source.ae_titles[0]}@{self.last.node}"}
        if self.source.site is not None:
            facts = {"AuditEnterpriseSiteID": self.source.site, **facts}
        element = ET.SubElement(self.message, "AuditSourceIdentification", facts)
        ET.SubElement(element, "AuditSourceTypeCode", {"csd-code": _APPLICATION_SERVER})

    def study(self) -> None:
        """The study, with the objects that are meant, and its patient, where the ID is known."""
        entry = self.last.entry
        if entry.study_instance_uid:
            element = self._object(entry.study_instance_uid, (_SYSTEM_OBJECT, _REPORT), _STUDY_UID)
            self._instances(element)
        patient = entry.patient_id or self.patients.get(entry.study_instance_uid or "")
        if patient:
            self._object(patient, (_PERSON, _PATIENT), _PATIENT_NUMBER, scheme=_RFC_3881)

    def resource(self, identity: str, name: str, kind: Code = _URI, scheme: str = _RFC_3881) -> None:
        """What of the system it was about."""
        self._object(identity, (_SYSTEM_OBJECT, _SECURITY_RESOURCE), kind, name, scheme)

    def _instances(self, study: ET.Element) -> None:
        classes: dict[str, list[str]] = {}
        for record in self.group:
            if record.entry.sop_instance_uid:
                classes.setdefault(record.entry.sop_class_uid or "", []).append(record.entry.sop_instance_uid)
        if not classes:
            return
        description = ET.SubElement(study, "ParticipantObjectDescription")
        for sop_class, uids in classes.items():
            facts = {"UID": sop_class} if sop_class else {}
            element = ET.SubElement(description, "SOPClass", {**facts, "NumberOfInstances": str(len(uids))})
            for uid in uids:
                ET.SubElement(element, "Instance", {"UID": _text(uid)})

    def _participant(
        self, user: str, host: str | None, role: Code | None, requestor: bool, more: Mapping[str, str]
    ) -> None:
        facts = {"UserID": user, **more, "UserIsRequestor": "true" if requestor else "false"}
        if host:
            facts |= {"NetworkAccessPointID": host, "NetworkAccessPointTypeCode": _kind_of(host)}
        checked = {name: _text(value) for name, value in facts.items()}
        element = ET.SubElement(self.message, "ActiveParticipant", checked)
        if role is not None:
            _coded(element, "RoleIDCode", role)

    def _object(
        self, identity: str, kind: tuple[str, str], code: Code, name: str = "", scheme: str = "DCM"
    ) -> ET.Element:
        """The schema wants a name; the patient's is nobody's business here."""
        facts = {
            "ParticipantObjectID": _text(identity),
            "ParticipantObjectTypeCode": kind[0],
            "ParticipantObjectTypeCodeRole": kind[1],
        }
        element = ET.SubElement(self.message, "ParticipantObjectIdentification", facts)
        _coded(element, "ParticipantObjectIDTypeCode", code, scheme)
        ET.SubElement(element, "ParticipantObjectName").text = name
        return element


# --- the events of PS3.15 A.5.3 ------------------------------------------------------------------------------------


def _application(writing: _Writing) -> None:
    """A.5.3.1."""
    entry = writing.last.entry
    kind = APPLICATION_START if entry.event is AuditEvent.PROCESS_STARTED else APPLICATION_STOP
    writing.event(APPLICATION_ACTIVITY, "E", SUCCESS, kind)
    writing.node(APPLICATION, pid=entry.detail.get("pid"))
    writing.origin()


def _log_used(writing: _Writing) -> None:
    """A.5.3.2."""
    writing.event(AUDIT_LOG_USED, "R", SUCCESS)
    writing.person()
    writing.origin()
    writing.resource(f"urn:dicom-node:{writing.last.node}:audit", "Security Audit Log")


def _received(writing: _Writing) -> None:
    """A.5.3.7, as the receiver."""
    entry = writing.last.entry
    writing.event(INSTANCES_TRANSFERRED, _ACTION_OF_OUTCOME.get(entry.outcome or "", "C"), SUCCESS)
    writing.peer(entry.actor, entry.host, SOURCE_ROLE, requestor=True)
    writing.node(DESTINATION_ROLE)
    writing.origin()
    writing.study()


_ACTION_OF_OUTCOME = {"new": "C", "version": "U", "same": "R"}


def _sent(writing: _Writing) -> None:
    """A.5.3.7, as the sender, who does not know what the receiver had."""
    entry = writing.last.entry
    given_up = entry.event is AuditEvent.OBJECT_GIVEN_UP
    why = "not delivered, put aside" if given_up else ""
    writing.event(INSTANCES_TRANSFERRED, "R", SERIOUS_FAILURE if given_up else SUCCESS, why=why)
    writing.node(SOURCE_ROLE, requestor=True)
    writing.peer(str(entry.detail.get("via") or entry.actor), None, DESTINATION_ROLE, requestor=False)
    writing.origin()
    writing.study()


def _read(writing: _Writing) -> None:
    """A.5.3.6 where it stays with those who look; A.5.3.8 where a person took it away as a file."""
    if writing.last.entry.outcome in _TAKEN_AWAY:
        writing.event(EXPORT, "R", SUCCESS)
        writing.person()
        writing.node(SOURCE_ROLE)
    else:
        writing.event(INSTANCES_ACCESSED, "R", SUCCESS)
        writing.person()
        writing.node()
    writing.origin()
    writing.study()


_TAKEN_AWAY = frozenset({"download", "fhir"})


def _deleted(writing: _Writing) -> None:
    """A.5.3.9."""
    writing.event(STUDY_DELETED, "D", SUCCESS)
    writing.person()
    writing.origin()
    writing.study()


def _refused(writing: _Writing) -> None:
    """A.5.3.11: somebody was kept out."""
    entry = writing.last.entry
    writing.event(SECURITY_ALERT, "E", MINOR_FAILURE, NODE_AUTHENTICATION, why=entry.outcome or "")
    writing.node()
    writing.peer(entry.actor, entry.host, None, requestor=False)
    writing.origin()
    writing.resource(entry.host, entry.outcome or "refused", _NODE_ID, "DCM")


def _alert(kind: Code) -> Callable[[_Writing], None]:
    """A.5.3.11: a person changed something that others rely on."""

    def write(writing: _Writing) -> None:
        entry = writing.last.entry
        writing.event(SECURITY_ALERT, "E", SUCCESS, kind, why=entry.outcome or "")
        writing.person(requestor=entry.actor != NODE)
        writing.origin()
        what = f"{entry.event.value} {entry.outcome or ''}".strip()
        writing.resource(f"urn:dicom-node:{writing.last.node}:{entry.event.value}", what)

    return write


def _authenticated(writing: _Writing) -> None:
    """A.5.3.12."""
    entry = writing.last.entry
    is_in = entry.event is AuditEvent.USER_SIGNED_IN
    writing.event(USER_AUTHENTICATION, "E", SUCCESS if is_in else MINOR_FAILURE, LOGIN, why=entry.outcome or "")
    writing.person()
    writing.node()
    writing.origin()


_TRANSFERS = frozenset({AuditEvent.OBJECT_RECEIVED, AuditEvent.OBJECT_SENT, AuditEvent.OBJECT_GIVEN_UP})

_KINDS: Mapping[AuditEvent, Callable[[_Writing], None]] = {
    AuditEvent.PROCESS_STARTED: _application,
    AuditEvent.PROCESS_STOPPED: _application,
    AuditEvent.TRAIL_READ: _log_used,
    AuditEvent.OBJECT_RECEIVED: _received,
    AuditEvent.OBJECT_SENT: _sent,
    AuditEvent.OBJECT_GIVEN_UP: _sent,
    AuditEvent.OBJECT_READ: _read,
    AuditEvent.STUDY_VIEWED: _read,
    AuditEvent.STUDY_DELETED: _deleted,
    AuditEvent.ASSOCIATION_REFUSED: _refused,
    AuditEvent.USER_SIGNED_IN: _authenticated,
    AuditEvent.USER_REFUSED: _authenticated,
    AuditEvent.ADMIN_USER: _alert(USER_ATTRIBUTES_CHANGED),
    AuditEvent.ADMIN_SETTING: _alert(NETWORK_CONFIGURATION),
    AuditEvent.ADMIN_CHANGE: _alert(SOFTWARE_CONFIGURATION),
    AuditEvent.ADMIN_JOB: _alert(RESTRICTED_FUNCTION),
    AuditEvent.ADMIN_DELIVERY: _alert(RESTRICTED_FUNCTION),
}


def _coded(parent: ET.Element, name: str, code: Code, scheme: str = "DCM") -> None:
    ET.SubElement(parent, name, {"csd-code": code[0], "codeSystemName": scheme, "originalText": code[1]})


def _kind_of(host: str) -> str:
    """NetworkAccessPointTypeCode: 2 of an address, 1 of a machine's name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "1"
    return "2"


def _text(value: str) -> str:
    """Without what XML 1.0 (2.2) cannot carry: titles and names come from outside."""
    return _NO_XML.sub("?", value)
