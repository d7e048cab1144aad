"""Forms of the set-up page: what a person filled in, as the entry that would stand in the configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, StringConstraints

Field = Annotated[str, StringConstraints(max_length=300, strip_whitespace=True)]
Values = dict[str, Any]


class PeerForm(BaseModel):
    """A scanner. `was`: the AE title of the entry that it takes the place of; `hosts`: apart by commas or spaces."""

    ae_title: Field
    hosts: Field = ""
    tls: bool = False
    listens_host: Field = ""
    listens_port: Field = ""
    was: Field = ""

    def values(self, before: Mapping[str, Any]) -> Values:
        """Of the entry; what the form does not ask for stays as it was `before`."""
        listens = {**(before.get("listens") or {}), **_given(host=self.listens_host, port=self.listens_port)}
        return _with(
            before,
            ae_title=self.ae_title,
            hosts=self.hosts.replace(",", " ").split(),
            tls="required" if self.tls else None,
            listens=listens if self.listens_host or self.listens_port else None,
        )


class DestinationForm(BaseModel):
    """A PACS. Without `objects` it gets the usual ones; files are PEM files of the node's machine."""

    name: Field
    ae_title: Field
    host: Field
    port: Field
    objects: list[Field] = []
    tls: bool = False
    authorities: Field = ""
    certificate: Field = ""
    private_key: Field = ""
    was: Field = ""

    def values(self, before: Mapping[str, Any]) -> Values:
        """As of a scanner."""
        files = _given(authorities=self.authorities, certificate=self.certificate, private_key=self.private_key)
        kept = {key: value for key, value in (before.get("tls") or {}).items() if key == "check_host_name"}
        return _with(
            before,
            name=self.name,
            ae_title=self.ae_title,
            host=self.host,
            port=self.port,
            objects=self.objects or None,
            tls={**kept, **files} if self.tls else None,
        )


def _given(**fields: str) -> Values:
    return {name: text for name, text in fields.items() if text}


def _with(before: Mapping[str, Any], **fields: Any) -> Values:
    """`before` with these; None takes a key away."""
    return {name: value for name, value in {**before, **fields}.items() if value is not None}
