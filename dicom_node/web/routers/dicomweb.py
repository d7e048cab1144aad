"""DICOMweb to read with: QIDO-RS and WADO-RS (PS3.18 10.6, 10.4) of what the node holds, as far as a viewer needs."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse, Response

from dicom_node.audit import AuditEntry, AuditEvent
from dicom_node.errors import StorageUnavailable
from dicom_node.storage.browsing import Page, StudyWish
from dicom_node.users import Caller
from dicom_node.web import dicomweb, seen
from dicom_node.web.access import User
from dicom_node.web.console import Console, console_of
from dicom_node.web.dicomweb import Held, held
from dicom_node.web.pages import Missing
from dicom_node.web.routers.sign_in import host_of

BASE = "/dicom-web"
router = APIRouter(prefix=BASE, include_in_schema=False)

MOST_STUDIES = 200
JSON = "application/dicom+json"
_TAG = re.compile(r"[0-9a-f]{8}")

Shared = Annotated[Console, Depends(console_of)]
Uid = Annotated[str, Path(pattern=r"^[0-9.]{1,64}$")]
Frames = Annotated[str, Path(pattern=r"^[0-9]{1,6}(,[0-9]{1,6}){0,99}$")]
_UID_KEYS = ("StudyInstanceUID", "0020000D")


@router.get("/studies")
def search_studies(
    request: Request,
    caller: User,
    console: Shared,
    limit: Annotated[int, Query(ge=1, le=MOST_STUDIES)] = 20,
    offset: Annotated[int, Query(ge=0, le=10_000)] = 0,
) -> Response:
    """Newest first, by Study Instance UID or all. Names and identifiers are in no row, and never in an address here."""
    uid = next((request.query_params[key] for key in _UID_KEYS if key in request.query_params), None)
    wanted = StudyWish(study_instance_uid=uid)
    found = console.repository.browsing.studies(wanted, Page(limit + offset))[offset:]
    rows = dicomweb.listed(console.repository, console.data_dir, [study.study_instance_uid for study in found])
    for study in found:  # each of them is told with its patient's name
        seen.note_study(console, caller, host_of(request), study.study_instance_uid)
    return _json([dicomweb.study_attributes(objects, _base(request)) for objects in rows if objects])


@router.get("/studies/{study}/series")
def search_series(request: Request, caller: User, console: Shared, study: Uid) -> Response:
    found = _objects(console, study)
    seen.note_study(console, caller, host_of(request), study)
    return _json(dicomweb.series_attributes(found, _base(request)))


@router.get("/studies/{study}/instances")
def search_instances(request: Request, _caller: User, console: Shared, study: Uid) -> Response:
    return _json([dicomweb.instance_attributes(one, _base(request)) for one in _objects(console, study)])


@router.get("/studies/{study}/series/{series}/instances")
def search_instances_of_series(request: Request, _caller: User, console: Shared, study: Uid, series: Uid) -> Response:
    return _json([dicomweb.instance_attributes(one, _base(request)) for one in _objects(console, study, series)])


@router.get("/studies/{study}/metadata")
def study_metadata(request: Request, caller: User, console: Shared, study: Uid) -> Response:
    return _metadata(request, caller, console, _objects(console, study))


@router.get("/studies/{study}/series/{series}/metadata")
def series_metadata(request: Request, caller: User, console: Shared, study: Uid, series: Uid) -> Response:
    return _metadata(request, caller, console, _objects(console, study, series))


@router.get("/studies/{study}/series/{series}/instances/{instance}/metadata")
def instance_metadata(  # noqa: PLR0913, PLR0917  what the address names
    request: Request, caller: User, console: Shared, study: Uid, series: Uid, instance: Uid
) -> Response:
    return _metadata(request, caller, console, [_one(console, study, series, instance)])


@router.get("/studies/{study}/series/{series}/instances/{instance}")
def retrieve_instance(  # noqa: PLR0913, PLR0917  what the address names
    request: Request, caller: User, console: Shared, study: Uid, series: Uid, instance: Uid
) -> Response:
    """The whole object, as it is stored."""
    one = _one(console, study, series, instance)
    _note(request, caller, console, one)
    try:
        content = one.path.read_bytes()
    except OSError as error:
        raise StorageUnavailable("The file system does not let us read the object.") from error
    return _parts("application/dicom", [content])


@router.get("/studies/{study}/series/{series}/instances/{instance}/frames/{frames}")
def retrieve_frames(  # noqa: PLR0913, PLR0917  what the address names
    request: Request, caller: User, console: Shared, study: Uid, series: Uid, instance: Uid, frames: Frames
) -> Response:
    """Frames as they are stored: whoever shows them decodes them."""
    one = _one(console, study, series, instance)
    seen.note_study(console, caller, host_of(request), one.study_instance_uid)
    syntax, found = dicomweb.coded_frames(one, [int(number) for number in frames.split(",")])
    return _parts("application/octet-stream", found, f"; transfer-syntax={syntax}")


@router.get("/studies/{study}/series/{series}/instances/{instance}/bulkdata/{tag}")
def retrieve_bulk_data(  # noqa: PLR0913, PLR0917  what the address names
    request: Request, caller: User, console: Shared, study: Uid, series: Uid, instance: Uid, tag: str
) -> Response:
    one = _one(console, study, series, instance)
    value = dicomweb.bulk_data(one, int(tag, 16)) if _TAG.fullmatch(tag) else None
    if value is None:
        raise Missing
    _note(request, caller, console, one)
    return _parts("application/octet-stream", [value])


def _objects(console: Console, study: str, series: str | None = None) -> tuple[Held, ...]:
    """Raises Missing."""
    found = held(console.repository, console.data_dir, study)
    if series is not None:
        found = dicomweb.of_series(found, series)
    if not found:
        raise Missing
    return found


def _one(console: Console, study: str, series: str, instance: str) -> Held:
    """Raises Missing."""
    found = next((one for one in _objects(console, study, series) if one.sop_instance_uid == instance), None)
    if found is None:
        raise Missing
    return found


def _metadata(request: Request, caller: Caller, console: Console, objects: Sequence[Held]) -> Response:
    _note(request, caller, console, objects[0], "metadata")
    return _json([dicomweb.metadata(one, _base(request)) for one in objects])


def _base(request: Request) -> str:
    return f"{str(request.base_url).rstrip('/')}{BASE}"


def _json(document: Any) -> Response:
    return JSONResponse(document, media_type=JSON)


def _parts(kind: str, contents: Sequence[bytes], parameters: str = "") -> Response:
    """multipart/related, PS3.18 8.6.1.2."""
    boundary = uuid.uuid4().hex
    head = f"--{boundary}\r\nContent-Type: {kind}{parameters}\r\n\r\n".encode()
    body = b"".join(head + content + b"\r\n" for content in contents) + f"--{boundary}--\r\n".encode()
    return Response(body, media_type=f'multipart/related; type="{kind}"; boundary={boundary}')


def _note(request: Request, caller: Caller, console: Console, one: Held, outcome: str = "retrieve") -> None:
    entry = AuditEntry(
        event=AuditEvent.OBJECT_READ,
        actor=caller.actor,
        host=request.client.host if request.client is not None else "unknown",
        outcome=outcome,
        sop_instance_uid=one.sop_instance_uid if outcome == "retrieve" else None,
        study_instance_uid=one.study_instance_uid,
    )
    console.repository.record(entry, console.now())
