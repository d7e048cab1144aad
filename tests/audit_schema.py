"""The audit message schema (PS3.15 A.5.1) as a test reads it: which elements, in which order, with which attributes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

CODED = {"csd-code", "codeSystemName", "displayName", "originalText"}
CHILDREN: Mapping[str, Sequence[tuple[str, str]]] = {
    "AuditMessage": [
        ("EventIdentification", "1"),
        ("ActiveParticipant", "+"),
        ("AuditSourceIdentification", "1"),
        ("ParticipantObjectIdentification", "*"),
    ],
    "EventIdentification": [("EventID", "1"), ("EventTypeCode", "*"), ("EventOutcomeDescription", "?")],
    "ActiveParticipant": [("RoleIDCode", "*"), ("MediaIdentifier", "?")],
    "AuditSourceIdentification": [("AuditSourceTypeCode", "*")],
    "ParticipantObjectIdentification": [
        ("ParticipantObjectIDTypeCode", "1"),
        ("ParticipantObjectName", "1"),
        ("ParticipantObjectDetail", "*"),
        ("ParticipantObjectDescription", "*"),
    ],
    "ParticipantObjectDescription": [("MPPS", "*"), ("Accession", "*"), ("SOPClass", "*")],
    "SOPClass": [("Instance", "*")],
}
"""Element: its children in order. 1: one, ?: at most one, +: one or more, *: any number."""

ATTRIBUTES: Mapping[str, tuple[set[str], set[str]]] = {
    "AuditMessage": (set(), set()),
    "EventIdentification": ({"EventDateTime", "EventOutcomeIndicator"}, {"EventActionCode"}),
    "EventID": ({"csd-code", "codeSystemName", "originalText"}, CODED),
    "EventTypeCode": ({"csd-code", "codeSystemName", "originalText"}, CODED),
    "EventOutcomeDescription": (set(), set()),
    "ActiveParticipant": (
        {"UserID", "UserIsRequestor"},
        {"AlternativeUserID", "UserName", "NetworkAccessPointID", "NetworkAccessPointTypeCode"},
    ),
    "RoleIDCode": ({"csd-code", "codeSystemName", "originalText"}, CODED),
    "AuditSourceIdentification": ({"AuditSourceID"}, {"AuditEnterpriseSiteID"}),
    "AuditSourceTypeCode": ({"csd-code"}, CODED),
    "ParticipantObjectIdentification": (
        {"ParticipantObjectID"},
        {"ParticipantObjectTypeCode", "ParticipantObjectTypeCodeRole", "ParticipantObjectDataLifeCycle"},
    ),
    "ParticipantObjectIDTypeCode": ({"csd-code", "codeSystemName", "originalText"}, CODED),
    "ParticipantObjectName": (set(), set()),
    "ParticipantObjectDescription": (set(), set()),
    "SOPClass": ({"NumberOfInstances"}, {"UID"}),
    "Instance": ({"UID"}, set()),
}
"""Element: attributes that it must have, and those that it may have."""

VALUES = {
    "EventActionCode": "[CRUDE]",
    "EventOutcomeIndicator": "0|4|8|12",
    "EventDateTime": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
    "UserIsRequestor": "true|false",
    "NetworkAccessPointTypeCode": "[1-5]",
    "ParticipantObjectTypeCode": "[1-4]",
    "ParticipantObjectTypeCodeRole": r"[1-9]|1\d|2[0-6]",
    "NumberOfInstances": r"\d+",
    "UID": r"[0-9.]{1,64}",
}


def parsed(xml: bytes) -> ET.Element:
    """The message; fails where it is none."""
    root = ET.fromstring(xml)  # noqa: S314  our own, or what a collector of the tests has of it
    assert root.tag == "AuditMessage"
    _check(root)
    return root


def _check(element: ET.Element) -> None:
    must, may = ATTRIBUTES[element.tag]
    assert must <= set(element.keys()) <= must | may, (element.tag, element.keys())
    for name, value in element.items():
        assert re.fullmatch(VALUES.get(name, "(?s).*"), value), (name, value)
    pattern = "".join(f"(?:{name} ){'' if many == '1' else many}" for name, many in CHILDREN.get(element.tag, ()))
    told = "".join(f"{child.tag} " for child in element)
    assert re.fullmatch(pattern, told), (element.tag, told)
    for child in element:
        _check(child)
