"""Set-up: scanners that may send, destinations of results, who was refused, and whether the others answer."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response
from pydicom.uid import generate_uid

from dicom_node.additions import EntryKind, EntryRefused, as_yaml, entry_of, standing, with_entry
from dicom_node.audit import AuditEntry, AuditEvent
from dicom_node.config import Config
from dicom_node.deliver import scu
from dicom_node.deliver.scu import Sent, outgoing
from dicom_node.deliver.ways import DicomWay, way_to
from dicom_node.domain import Destination, ResultKind
from dicom_node.errors import NodeError
from dicom_node.users import Caller
from dicom_node.web.access import Admin
from dicom_node.web.console import Console, console_of
from dicom_node.web.pages import Missing, go, render
from dicom_node.web.texts import message

router = APIRouter(include_in_schema=False)

REFUSALS = 200
OBJECTS = tuple(kind for kind in ResultKind if kind is not ResultKind.ORIGINAL)

Shared = Annotated[Console, Depends(console_of)]
Text = Annotated[str, Form(max_length=300)]
Kinds = Annotated[list[ResultKind], Form(default_factory=list)]


@dataclass(frozen=True, slots=True)
class Try:
    """What came of an attempt. `text` is what the network or the peer said."""

    name: str
    good: bool
    heading: str
    text: str


@router.get("/setup")
def show(request: Request, console: Shared, _caller: Admin) -> Response:
    return _page(request, console)


@router.post("/setup/peers")
def add_peer(  # noqa: PLR0913, PLR0917  fields of the form
    request: Request,
    console: Shared,
    caller: Admin,
    ae_title: Text,
    hosts: Text = "",
    tls: Annotated[bool, Form()] = False,
) -> Response:
    """A scanner. `hosts`: addresses or names, apart from each other by commas or spaces."""
    values: dict[str, Any] = {"ae_title": ae_title, "hosts": hosts.replace(",", " ").split()}
    if tls:
        values["tls"] = "required"
    return _add(request, console, caller, EntryKind.PEER, values)


@router.post("/setup/destinations")
def add_destination(  # noqa: PLR0913, PLR0917  fields of the form
    request: Request,
    console: Shared,
    caller: Admin,
    name: Text,
    ae_title: Text,
    host: Text,
    port: Annotated[int, Form()],
    objects: Kinds,
    tls: Annotated[bool, Form()] = False,
    authorities: Text = "",
) -> Response:
    """A PACS. Without `objects` it gets the usual ones; `authorities`: a PEM file of this machine."""
    values: dict[str, Any] = {"name": name, "ae_title": ae_title, "host": host, "port": port}
    if objects:
        values["objects"] = [kind.value for kind in objects]
    if tls:
        values["tls"] = {"authorities": authorities} if authorities.strip() else {}
    return _add(request, console, caller, EntryKind.DESTINATION, values)


@router.post("/setup/{kind}/{name:path}/remove")
def remove(request: Request, console: Shared, caller: Admin, kind: EntryKind, name: str) -> Response:
    console.acting_as(caller).additions.remove(kind, name, console.now())
    return go(request, "/setup")


@router.post("/setup/refusals/{refusal_id}/allow")
def allow(request: Request, console: Shared, caller: Admin, refusal_id: int) -> Response:
    """Let in who was refused: their AE title, from their address."""
    refusal = console.repository.refusal(refusal_id)
    values = {"ae_title": refusal.calling_ae, "hosts": [refusal.host]}
    return _add(request, console, caller, EntryKind.PEER, values)


@router.post("/setup/destinations/{name}/echo")
def echo(request: Request, console: Shared, _caller: Admin, name: str) -> Response:
    """Whether the destination answers us, and the true cause if it does not."""
    way = way_to(console.standing, _destination(console, name))
    if isinstance(way, DicomWay):
        answer = scu.echo(way.link)
        text, cause = answer.text, answer.cause
        if answer.answered:
            text = f"{answer.seconds * 1000:.0f} ms"
    else:
        failure = way.ask()
        text, cause = ("", None) if failure is None else (failure.text, failure.cause)
    heading = message("It answers and knows us.") if cause is None else message("It does not answer as it should.")
    told = text if cause is None else f"{text} [{cause.value}]"
    return _page(request, console, tried=Try(name, cause is None, heading, told))


@router.post("/setup/destinations/{name}/test")
def send_test(request: Request, console: Shared, caller: Admin, name: str) -> Response:
    """Send one made-up image of a made-up patient, as results are sent."""
    way = way_to(console.standing, _destination(console, name))
    with tempfile.TemporaryDirectory(dir=console.data_dir) as folder:
        ((_item, outcome),) = way.send([outgoing(_test_object(Path(folder)))])
    good = isinstance(outcome, Sent)
    word = "" if outcome.status_word is None else f"0x{outcome.status_word:04X}"
    entry = AuditEntry(
        AuditEvent.ADMIN_SETTING, caller.actor, outcome="destination.tested", detail={"name": name, "status": word}
    )
    console.repository.record(entry, console.now())
    heading = message("The test object has arrived.") if good else message("The test object has not arrived.")
    told = f"{outcome.comment or ''} {word}".strip() if good else f"{outcome.comment} {word} [{outcome.cause.value}]"
    return _page(request, console, tried=Try(name, good, heading, told))


def _test_object(folder: Path) -> Path:
    from dicom_node.demo.study import SCENES, us_object  # noqa: PLC0415  brings drawing and fonts

    dataset = us_object(SCENES[0])
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.InstanceNumber = 1
    path = folder / "test.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


@router.get("/setup/export")
def export(console: Shared, _caller: Admin) -> Response:
    """All peers and destinations, to be put into the configuration file."""
    headers = {"Content-Disposition": 'attachment; filename="peers-and-destinations.yaml"'}
    return Response(as_yaml(console.standing), media_type="application/yaml", headers=headers)


def _destination(console: Console, name: str) -> Destination:
    for one in console.standing.destination_list():
        if one.name == name:
            return one
    raise Missing(message("There is no such destination."))


def _add(request: Request, console: Console, caller: Caller, kind: EntryKind, values: Mapping[str, Any]) -> Response:
    """Validated as the configuration is, beside all that stands already; in use within a second or two."""
    additions = console.acting_as(caller).additions
    try:
        with_entry(standing(console.config, additions()), kind, values)
        entry = entry_of(kind, values)
    except EntryRefused as error:
        return _page(request, console, faults=error.faults, given=values, status=422)
    additions.put(entry, console.now())
    return go(request, "/setup")


def _page(  # noqa: PLR0913  what the page may show
    request: Request,
    console: Console,
    *,
    faults: Mapping[str, str] | None = None,
    given: Mapping[str, Any] | None = None,
    tried: Try | None = None,
    status: int = 200,
) -> Response:
    config, whole = console.config, console.standing
    return render(
        request,
        "setup.html",
        status,
        node=config.node,
        whole=whole,
        managed_peers=[entry.ae_title for entry in config.peers],
        managed_destinations=[entry.name for entry in config.destinations],
        unused=_unused(console, whole),
        refusals=console.repository.refusals(REFUSALS),
        objects=OBJECTS,
        usual=config.results.objects,
        states=console.repository.destination_states(),
        faults=faults or {},
        given=given or {},
        tried=tried,
    )


def _unused(console: Console, whole: Config) -> list[tuple[EntryKind, str]]:
    """Entries of the database that are not in use, since the file names them too or leaves no room for them."""
    try:
        entries = console.repository.additions()
    except NodeError:
        return []
    file = {(EntryKind.PEER, one.ae_title) for one in console.config.peers}
    file |= {(EntryKind.DESTINATION, one.name) for one in console.config.destinations}
    used = {(EntryKind.PEER, one.ae_title) for one in whole.peers}
    used |= {(EntryKind.DESTINATION, one.name) for one in whole.destinations}
    return [(e.kind, e.name) for e in entries if (e.kind, e.name) in file or (e.kind, e.name) not in used]
