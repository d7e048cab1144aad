"""Set-up: scanners that may send, destinations of results, who was refused, and whether the others answer."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response
from pydicom.uid import generate_uid

from dicom_node.additions import EntryKind, EntryRefused, as_yaml, entry_of, standing, with_entry
from dicom_node.audit import AuditEntry, AuditEvent
from dicom_node.config import Config
from dicom_node.deliver import scu
from dicom_node.deliver.peers import address_of
from dicom_node.deliver.scu import Sent, outgoing
from dicom_node.deliver.ways import DicomWay, StowWay, link_to, way_to
from dicom_node.domain import Destination, ResultKind
from dicom_node.errors import NodeError
from dicom_node.receive.authorisation import RefusalReason
from dicom_node.users import Caller
from dicom_node.web.access import Admin
from dicom_node.web.api.parameters import RowId
from dicom_node.web.console import Console, console_of
from dicom_node.web.entry_forms import DestinationForm, PeerForm
from dicom_node.web.pages import Missing, go, render
from dicom_node.web.texts import message

router = APIRouter(include_in_schema=False)

REFUSALS = 200
OBJECTS = tuple(kind for kind in ResultKind if kind is not ResultKind.ORIGINAL)

ALLOWABLE = (RefusalReason.CALLING_AE_UNKNOWN, RefusalReason.ADDRESS_NOT_ALLOWED)
"""What one click can mend; of the others the advice tells what to do."""

Shared = Annotated[Console, Depends(console_of)]


@dataclass(frozen=True, slots=True)
class Filled:
    """What stands in a form. `was`: the name of the entry that is being changed; empty: a new one."""

    kind: EntryKind
    values: Mapping[str, Any] = field(default_factory=dict)
    was: str = ""


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


@router.get("/setup/{kind}/{name:path}/change")
def show_change(request: Request, console: Shared, _caller: Admin, kind: EntryKind, name: str) -> Response:
    """The page with an entry in its form."""
    return _page(request, console, filled=Filled(kind, _document(console, kind, name), name))


@router.post("/setup/peers")
def put_peer(request: Request, console: Shared, caller: Admin, form: Annotated[PeerForm, Form()]) -> Response:
    """A scanner, new or changed."""
    return _put(request, console, caller, EntryKind.PEER, form)


@router.post("/setup/destinations")
def put_destination(
    request: Request, console: Shared, caller: Admin, form: Annotated[DestinationForm, Form()]
) -> Response:
    """A PACS, new or changed."""
    return _put(request, console, caller, EntryKind.DESTINATION, form)


@router.post("/setup/{kind}/{name:path}/remove")
def remove(request: Request, console: Shared, caller: Admin, kind: EntryKind, name: str) -> Response:
    console.acting_as(caller).additions.remove(kind, name, console.now())
    return go(request, "/setup")


@router.post("/setup/refusals/{refusal_id}/allow")
def allow(request: Request, console: Shared, caller: Admin, refusal_id: RowId) -> Response:
    """Let in who was refused: their AE title, from their address, beside those from which it may come already."""
    refusal = console.repository.refusal(refusal_id)
    name, was = refusal.calling_ae, ""
    values: dict[str, Any] = {"ae_title": name, "hosts": [refusal.host]}
    if refusal.reason == RefusalReason.ADDRESS_NOT_ALLOWED:
        before, was = _document(console, EntryKind.PEER, name), name
        values = {**before, "hosts": [*before.get("hosts", ()), refusal.host]}
    return _store(request, console, caller, Filled(EntryKind.PEER, values, was))


@router.post("/setup/peers/{name:path}/echo")
def echo_peer(request: Request, console: Shared, _caller: Admin, name: str) -> Response:
    """Whether a scanner that listens answers us."""
    config = console.standing
    listening = [peer for entry in config.peers if (peer := entry.peer()).listens and peer.ae_title == name]
    if not listening or (address := address_of(listening[0])) is None:
        raise Missing(message("There is no such scanner, or nobody said where it listens."))
    tls = None if listening[0].listens is None else listening[0].listens.tls
    return _told_echo(request, console, name, DicomWay(link_to(config, address, tls)))


@router.post("/setup/destinations/{name}/echo")
def echo(request: Request, console: Shared, _caller: Admin, name: str) -> Response:
    """Whether the destination answers us, and the true cause if it does not."""
    return _told_echo(request, console, name, way_to(console.standing, _destination(console, name)))


def _told_echo(request: Request, console: Console, name: str, way: DicomWay | StowWay) -> Response:
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


def _document(console: Console, kind: EntryKind, name: str) -> dict[str, Any]:
    """Of an entry that was added. Raises Missing."""
    for entry in console.repository.additions():
        if (entry.kind, entry.name) == (kind, name):
            return dict(json.loads(entry.document))
    raise Missing(message("There is no such entry in the database: those of the configuration file are changed there."))


def _put(
    request: Request, console: Console, caller: Caller, kind: EntryKind, form: PeerForm | DestinationForm
) -> Response:
    before = _document(console, kind, form.was) if form.was else {}
    return _store(request, console, caller, Filled(kind, form.values(before), form.was))


def _store(request: Request, console: Console, caller: Caller, filled: Filled) -> Response:
    """Validated as the configuration is, beside all that stands already; in use within a second or two.

    A destination keeps its name: what waits for it is listed under that.
    """
    additions, kind, was = console.acting_as(caller).additions, filled.kind, filled.was
    beside = [entry for entry in additions() if (entry.kind, entry.name) != (kind, was)]
    try:
        with_entry(standing(console.config, beside), kind, filled.values)
        entry = entry_of(kind, filled.values)
        if was and kind is EntryKind.DESTINATION and entry.name != was:
            raise EntryRefused({"name": message("A destination keeps its name: remove it and add another one.")})
    except EntryRefused as error:
        return _page(request, console, faults=error.faults, filled=filled, status=422)
    if was:
        additions.replace(was, entry, console.now())
    else:
        additions.put(entry, console.now())
    return go(request, "/setup")


def _page(  # noqa: PLR0913  what the page may show
    request: Request,
    console: Console,
    *,
    faults: Mapping[str, str] | None = None,
    filled: Filled | None = None,
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
        heard=console.repository.browsing.heard(),
        allowable=ALLOWABLE,
        objects=OBJECTS,
        usual=config.results.objects,
        faults=faults or {},
        peer=filled if filled is not None and filled.kind is EntryKind.PEER else Filled(EntryKind.PEER),
        destination=filled
        if filled is not None and filled.kind is EntryKind.DESTINATION
        else Filled(EntryKind.DESTINATION),
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
