"""Who may talk to the node and where results go, changed by programs as by people in the console; and who may do so.

Entries of the configuration file are changed there. What needs a file of this machine (certificates, credentials) needs
an entry in the configuration file, too: nobody may name such files from afar.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import Response
from pydantic import BaseModel, Field

from dicom_node.additions import EntryKind, EntryRefused, as_yaml, entry_of, standing, with_entry
from dicom_node.config import PeerEntry, Port
from dicom_node.deliver import scu
from dicom_node.deliver.ways import DicomWay, way_to
from dicom_node.domain import ResultKind
from dicom_node.section import Section
from dicom_node.users import NAME, Caller, User, UserRole, new_secret
from dicom_node.web.access import Admin
from dicom_node.web.api.parameters import RowId, Shared, or_missing, refusals
from dicom_node.web.console import Console
from dicom_node.web.first_admin import LINK_LASTS, link_address
from dicom_node.web.pages import Missing, NotAllowed, problem

router = APIRouter(prefix="/api/v1", tags=["set-up"], responses=refusals(422))

AeTitle = Annotated[str, Path(pattern=r"^[\x20-\x5b\x5d-\x7e]{1,16}$")]
Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
UserName = Annotated[str, Path(pattern=f"^{NAME}$")]
YAML = "application/yaml"


class NewDestination(Section):
    """A PACS by DICOM's own protocol, or a DICOMweb service by its `url`. `objects` null: the usual ones."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")
    ae_title: str | None = None
    host: str | None = None
    port: Port | None = None
    url: str | None = None
    objects: list[ResultKind] | None = None
    tls: bool = Field(
        default=False, description="the certificate has to be signed by an authority that this machine knows"
    )


class Entered(BaseModel):
    """It holds within a second or two."""

    kind: EntryKind
    name: str


class Asked(BaseModel):
    """Whether somebody is there who would listen to us, and why not."""

    answers: bool
    cause: str | None
    text: str


class NewUser(Section):
    name: str = Field(pattern=f"^{NAME}$")
    role: UserRole


class ChangedUser(Section):
    role: UserRole
    active: bool


class Link(BaseModel):
    """Works once: with it the person sets a password."""

    name: str
    link: str


class UserDocument(BaseModel):
    name: str
    role: UserRole
    active: bool

    @classmethod
    def of(cls, found: User) -> UserDocument:
        return cls(name=found.name, role=found.role, active=found.active)


class Users(BaseModel):
    items: list[UserDocument]


@router.post("/peers", summary="Let somebody in", status_code=201, response_model=Entered)
def add_peer(caller: Admin, console: Shared, peer: PeerEntry) -> Any:
    return _entered(console, caller, EntryKind.PEER, peer.model_dump(mode="json", exclude_defaults=True))


@router.delete("/peers/{ae_title}", summary="Take a peer out that was added", responses=refusals(404))
def remove_peer(caller: Admin, console: Shared, ae_title: AeTitle) -> Entered:
    return _removed(console, caller, EntryKind.PEER, ae_title)


@router.post(
    "/refusals/{refusal_id}/allow",
    summary="Let in who was refused: that AE title, from that address",
    status_code=201,
    response_model=Entered,
    responses=refusals(404),
)
def allow(caller: Admin, console: Shared, refusal_id: RowId) -> Any:
    with or_missing():
        refusal = console.repository.refusal(refusal_id)
    values = {"ae_title": refusal.calling_ae, "hosts": [refusal.host]}
    return _entered(console, caller, EntryKind.PEER, values)


@router.post("/destinations", summary="Send results somewhere", status_code=201, response_model=Entered)
def add_destination(caller: Admin, console: Shared, destination: NewDestination) -> Any:
    values = destination.model_dump(mode="json", exclude_none=True, exclude={"tls"})
    return _entered(console, caller, EntryKind.DESTINATION, {**values, **({"tls": {}} if destination.tls else {})})


@router.delete("/destinations/{name}", summary="Take a destination out that was added", responses=refusals(404))
def remove_destination(caller: Admin, console: Shared, name: Name) -> Entered:
    return _removed(console, caller, EntryKind.DESTINATION, name)


@router.post("/destinations/{name}/echo", summary="Ask a destination whether it is there", responses=refusals(404))
def echo(_caller: Admin, console: Shared, name: Name) -> Asked:
    found = next((one for one in console.standing.destination_list() if one.name == name), None)
    if found is None:
        raise Missing(f"There is no destination {name}.")
    way = way_to(console.standing, found)
    if isinstance(way, DicomWay):
        answer = scu.echo(way.link)
        cause, text = answer.cause, answer.text
    else:
        failure = way.ask()
        cause, text = (None, "") if failure is None else (failure.cause, failure.text)
    return Asked(answers=cause is None, cause=None if cause is None else cause.value, text=text)


@router.get(
    "/entries",
    summary="All peers and destinations, as they may stand in the configuration file",
    response_class=Response,
    responses={200: {"content": {YAML: {}}, "description": "YAML"}},
)
def export(_caller: Admin, console: Shared) -> Response:
    return Response(as_yaml(console.standing), media_type=YAML)


@router.get("/users", summary="Who may use the console")
def users(_caller: Admin, console: Shared) -> Users:
    return Users(items=[UserDocument.of(user) for user in console.repository.accounts.users()])


@router.post("/users", summary="Somebody new", status_code=201, responses=refusals(409))
def add_user(caller: Admin, console: Shared, user: NewUser) -> Link:
    console.acting_as(caller).accounts.add_user(user.name, user.role, console.now())
    return _link(console, caller, user.name)


@router.post("/users/{name}/link", summary="A new one-time link", status_code=201, responses=refusals(404))
def new_link(caller: Admin, console: Shared, name: UserName) -> Link:
    with or_missing():
        return _link(console, caller, name)


@router.put("/users/{name}", summary="Another role, or no access any more", responses=refusals(404, 409))
def change_user(caller: Admin, console: Shared, name: UserName, user: ChangedUser) -> UserDocument:
    if name == caller.name:
        raise NotAllowed("Ask another administrator to change your own role.")
    accounts = console.acting_as(caller).accounts
    if name not in {known.name for known in accounts.users()}:
        raise Missing(f"There is no user {name}.")
    accounts.change_user(name, user.role, user.active, console.now())
    return UserDocument(name=name, role=user.role, active=user.active)


def _entered(console: Console, caller: Caller, kind: EntryKind, values: Mapping[str, Any]) -> Any:
    """Checked as the configuration is, beside all that stands already."""
    additions = console.acting_as(caller).additions
    try:
        with_entry(standing(console.config, additions()), kind, values)
        entry = entry_of(kind, values)
    except EntryRefused as error:
        return problem(422, str(error), "Invalid")
    additions.put(entry, console.now())
    return Entered(kind=kind, name=entry.name)


def _removed(console: Console, caller: Caller, kind: EntryKind, name: str) -> Entered:
    with or_missing():
        console.acting_as(caller).additions.remove(kind, name, console.now())
    return Entered(kind=kind, name=name)


def _link(console: Console, caller: Caller, name: str) -> Link:
    secret, now = new_secret(), console.now()
    console.acting_as(caller).accounts.add_link(name, secret, now + LINK_LASTS, now)
    return Link(name=name, link=link_address(console.config, secret))
