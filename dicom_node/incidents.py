"""What an administrator is told of, and in which words: no network, no database, no clock, and nobody's patients.

An incident is told once when it begins and once when it is over, on every way that is configured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class IncidentKind(StrEnum):
    """What is wrong."""

    DESTINATION = "destination"  # does not answer
    DISK = "disk"  # fills
    DEAD_LETTERS = "dead_letters"  # something was given up


class NoticeWay(StrEnum):
    """How it is told."""

    EMAIL = "email"
    WEBHOOK = "webhook"


class Turn(StrEnum):
    """Which of the two messages of an incident."""

    BEGAN = "began"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong now. `name`: a destination, a machine, or the node; `detail`: a cause or an amount."""

    kind: IncidentKind
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Incident:
    """Trouble from its beginning to its end."""

    id: int
    trouble: Trouble
    began_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Notice:
    """A message that is to be sent: which one of which incident, on which way, for which time (from 1)."""

    id: int
    incident: Incident
    way: NoticeWay
    turn: Turn
    attempt: int
    made_at: datetime


_HEADINGS: Mapping[tuple[IncidentKind, Turn], str] = {
    (IncidentKind.DESTINATION, Turn.BEGAN): "{name} does not answer",
    (IncidentKind.DESTINATION, Turn.ENDED): "{name} answers again",
    (IncidentKind.DISK, Turn.BEGAN): "{name} runs out of disk space",
    (IncidentKind.DISK, Turn.ENDED): "{name} has disk space again",
    (IncidentKind.DEAD_LETTERS, Turn.BEGAN): "Work was given up",
    (IncidentKind.DEAD_LETTERS, Turn.ENDED): "Nothing is given up any more",
}
_ADVICE: Mapping[IncidentKind, str] = {
    IncidentKind.DESTINATION: "Results wait, and are sent when it answers. `dicom-node echo {name}` tells the cause.",
    IncidentKind.DISK: "Below node.minimum_free_mb no object is received any more. Make room in the data folder.",
    IncidentKind.DEAD_LETTERS: "It waits for a person: see Queue in the console, or `dicom-node jobs`.",
}


def heading(notice: Notice) -> str:
    trouble = notice.incident.trouble
    return _HEADINGS[trouble.kind, notice.turn].format(name=trouble.name)


def text(notice: Notice) -> str:
    """A few plain lines; times in UTC."""
    incident = notice.incident
    lines = [f"{heading(notice)}.", "", f"Since: {_time(incident.began_at)}"]
    if notice.turn is Turn.ENDED and incident.ended_at is not None:
        lines.append(f"Until: {_time(incident.ended_at)}")
    else:
        lines += [f"What is known: {incident.trouble.detail}"]
        lines += ["", _ADVICE[incident.trouble.kind].format(name=incident.trouble.name)]
    return "\n".join(lines) + "\n"


def document(notice: Notice, node: str) -> bytes:
    """The same for a program, as JSON. `id` and `turn` are the same however often it is sent."""
    incident = notice.incident
    told = {
        "id": incident.id,
        "turn": notice.turn.value,
        "kind": incident.trouble.kind.value,
        "name": incident.trouble.name,
        "node": node,
        "detail": incident.trouble.detail,
        "began_at": incident.began_at.isoformat(),
        "ended_at": None if incident.ended_at is None else incident.ended_at.isoformat(),
        "text": heading(notice),
    }
    return json.dumps(told).encode()


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
