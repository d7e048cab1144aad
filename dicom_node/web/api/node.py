"""Who may talk to the node, where results go, who was refused, who did what, and which models there are."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from dicom_node.audit import AuditEntry, AuditEvent
from dicom_node.config import PeerEntry
from dicom_node.domain import ResultKind
from dicom_node.errors import ModelRefused
from dicom_node.storage.trail import Wanted
from dicom_node.web.access import Admin, User
from dicom_node.web.api.documents import AuditDocument
from dicom_node.web.api.parameters import MOST_ROWS, Shared, Time, UidFilter, refusals
from inference.domain import ModelError

router = APIRouter(prefix="/api/v1", tags=["node"], responses=refusals())

Limit = Annotated[int, Query(ge=1, le=MOST_ROWS)]


MANAGED = "written in the configuration file; else it was added in the console"


class PeerDocument(PeerEntry):
    """Who may talk to the node."""

    managed: bool = Field(description=MANAGED)


class Peers(BaseModel):
    items: list[PeerDocument]


class DestinationDocument(BaseModel):
    """Where results go and, as far as the courier knows, whether anybody answers there; no secret and no key."""

    name: str
    managed: bool = Field(description=MANAGED)
    ae_title: str
    host: str
    port: int
    url: str | None
    tls: bool
    objects: list[ResultKind]
    alternate: str | None
    commitment: bool
    answers: bool | None = Field(description="null: it was never asked")
    since: datetime | None
    checked_at: datetime | None
    cause: str | None
    remark: str | None


class Destinations(BaseModel):
    items: list[DestinationDocument]


class RefusalDocument(BaseModel):
    """An association that was refused, and what would let it in."""

    id: int
    calling_ae: str
    called_ae: str
    host: str
    reason: str
    advice: str
    refused_at: datetime


class Refusals(BaseModel):
    items: list[RefusalDocument]


class AuditTrail(BaseModel):
    items: list[AuditDocument]


class ModelDocument(BaseModel):
    """A weight file of the manifest; `figures` name their split and n."""

    name: str
    architecture: str
    parameters: int
    sha256: str
    in_use: bool
    trained_on: str
    data: str
    figures: dict[str, Any]


class Models(BaseModel):
    items: list[ModelDocument]


@router.get("/peers", summary="Who may talk to this node")
def peers(_caller: User, console: Shared) -> Peers:
    managed = {peer.ae_title for peer in console.config.peers}
    found = console.standing.peers
    return Peers(items=[PeerDocument(**peer.model_dump(), managed=peer.ae_title in managed) for peer in found])


@router.get("/destinations", summary="Where results go, and whether anybody answers there")
def destinations(_caller: User, console: Shared) -> Destinations:
    states = console.repository.destination_states()
    managed = {destination.name for destination in console.config.destinations}
    items = []
    for destination in console.standing.destination_list():
        state = states.get(destination.name)
        known = {name: getattr(destination, name) for name in ("name", "ae_title", "host", "port", "url")}
        items.append(
            DestinationDocument(
                **known,
                managed=destination.name in managed,
                tls=destination.tls is not None or (destination.url or "").startswith("https:"),
                objects=[*destination.objects],
                alternate=destination.alternate,
                commitment=destination.commitment,
                answers=None if state is None else state.reachable,
                since=None if state is None else state.since,
                checked_at=None if state is None else state.checked_at,
                cause=None if state is None else state.cause,
                remark=None if state is None else state.comment,
            )
        )
    return Destinations(items=items)


@router.get("/refusals", summary="Who was refused lately, why, and what would let them in")
def refused(_caller: User, console: Shared, limit: Limit = 50) -> Refusals:
    found = console.repository.refusals(limit)
    return Refusals(items=[RefusalDocument(**asdict(record)) for record in found])


@router.get("/audit", summary="Who did what, newest first; to have read it is an act too")
def audit(  # noqa: PLR0913, PLR0917  what may be asked for
    caller: Admin,
    console: Shared,
    event: Annotated[list[AuditEvent] | None, Query(description="may be repeated; none: all")] = None,
    since: Time | None = None,
    until: Time | None = None,
    study_instance_uid: UidFilter | None = None,
    limit: Limit = 50,
) -> AuditTrail:
    found = console.repository.audit_trail(Wanted(event or (), since, until, study_instance_uid), limit)
    entry = AuditEntry(AuditEvent.TRAIL_READ, caller.actor, outcome="list", detail={"records": len(found)})
    console.repository.record(entry, console.now())
    return AuditTrail(items=[AuditDocument.of(record) for record in found])


@router.get("/models", summary="Every model of the manifest, with its figures")
def models(_caller: User, console: Shared) -> Models:
    from inference.models import read_manifest  # noqa: PLC0415  brings OpenCV

    try:
        entries = read_manifest(console.config.weights)
    except ModelError as error:
        raise ModelRefused(str(error)) from error
    return Models(
        items=[
            ModelDocument(
                name=entry.name,
                architecture=entry.architecture,
                parameters=entry.parameters,
                sha256=entry.sha256,
                in_use=entry.name == console.config.inference.model,
                trained_on=entry.trained_on,
                data=entry.data,
                figures=entry.figures,
            )
            for entry in entries
        ]
    )
