"""Peers and destinations that were added while the node runs, beside those of the configuration file.

They are entries of the same form, checked by the same models, and stand in the database. The file wins: an entry that
it names too, or that it leaves no room for any more, is not used, and the log says so.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import yaml
from pydantic import ValidationError

from dicom_node.config import Config, DestinationEntry, PeerEntry
from dicom_node.domain import ResultKind
from dicom_node.errors import NodeError, Refused

_log = logging.getLogger(__name__)


class EntryKind(StrEnum):
    """What was added."""

    PEER = "peer"
    DESTINATION = "destination"


@dataclass(frozen=True, slots=True)
class AddedEntry:
    """`document`: the entry as in the file, in JSON; `name`: AE title of a peer, or name of a destination."""

    kind: EntryKind
    name: str
    document: str


Added = Callable[[], tuple[AddedEntry, ...]]
"""Asks for what was added; may raise NodeError."""


class EntryRefused(Refused):
    """The entry is not valid. `faults`: what is wrong, by key."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{key}: {text}" if key else text for key, text in faults.items()))
        self.faults = dict(faults)


def nothing_added() -> tuple[AddedEntry, ...]:
    """Where no database is asked."""
    return ()


def look(added: Added, before: tuple[AddedEntry, ...]) -> tuple[AddedEntry, ...]:
    """What is added now; where the database does not answer, what was there `before`."""
    try:
        return added()
    except NodeError:
        return before


def standing(config: Config, entries: Sequence[AddedEntry]) -> Config:
    """The configuration with what was added; entries that do not fit are left out."""
    for entry in entries:
        try:
            config = with_entry(config, entry.kind, json.loads(entry.document))
        except EntryRefused:
            _log.warning("settings.entry_not_used", extra={"kind": entry.kind.value})
    return config


def with_entry(config: Config, kind: EntryKind, values: Mapping[str, Any]) -> Config:
    """The configuration with one more entry.

    Raises:
        EntryRefused: it is not valid, alone or beside the others, or there is one of its name.
    """
    try:
        if kind is EntryKind.PEER:
            peer = PeerEntry.model_validate(values)
            if any(one.ae_title == peer.ae_title for one in config.peers):
                raise EntryRefused({"ae_title": "There is a peer of this AE title already."})
            return _checked(config, {"peers": (*config.peers, peer)})
        destination = DestinationEntry.model_validate(values)
    except ValidationError as error:
        raise EntryRefused(_faults(error)) from None
    if any(one.name == destination.name for one in config.destinations):
        raise EntryRefused({"name": "There is a destination of this name already."})
    if destination.commitment or destination.alternate or ResultKind.ORIGINAL in (destination.objects or ()):
        text = "Storage commitment, an alternate and originals need an entry in the configuration file."
        raise EntryRefused({"": text})
    try:
        return _checked(config, {"destinations": (*config.destinations, destination)})
    except ValidationError as error:
        raise EntryRefused(_faults(error)) from None


def entry_of(kind: EntryKind, values: Mapping[str, Any]) -> AddedEntry:
    """Checked alone, with its defaults left out. Raises EntryRefused."""
    model = PeerEntry if kind is EntryKind.PEER else DestinationEntry
    try:
        entry = model.model_validate(values)
    except ValidationError as error:
        raise EntryRefused(_faults(error)) from None
    name = entry.ae_title if isinstance(entry, PeerEntry) else entry.name
    return AddedEntry(kind, name, json.dumps(entry.model_dump(mode="json", exclude_defaults=True), sort_keys=True))


def as_yaml(config: Config) -> str:
    """All peers and destinations of a configuration, as they may stand in the file."""
    entries = {
        name: [entry.model_dump(mode="json", exclude_defaults=True) for entry in getattr(config, name)]
        for name in ("peers", "destinations")
    }
    text: str = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True)
    return text


def _checked(config: Config, changed: Mapping[str, Any]) -> Config:
    """As if the file said so: every check of the whole configuration is made again. Raises ValidationError."""
    return Config(**{**{name: getattr(config, name) for name in Config.model_fields}, **changed})


def _faults(error: ValidationError) -> dict[str, str]:
    return {".".join(map(str, one["loc"])): one["msg"].removeprefix("Value error, ") for one in error.errors()}
