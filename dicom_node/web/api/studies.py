"""Studies, received objects, answers and result objects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel

from dicom_node.audit import AuditEntry, AuditEvent
from dicom_node.errors import StorageUnavailable
from dicom_node.fhir import exported
from dicom_node.storage.browsing import Page, StudyWish
from dicom_node.users import Caller
from dicom_node.web.access import User
from dicom_node.web.api.documents import Instance, Object, Result, Said, Study, WholeStudy
from dicom_node.web.api.parameters import (
    AeTitle,
    Paged,
    RowId,
    Shared,
    Time,
    Uid,
    UidFilter,
    next_before,
    or_missing,
    refusals,
)
from dicom_node.web.console import Console
from dicom_node.web.pages import Missing
from inference.domain import Status

router = APIRouter(prefix="/api/v1", tags=["studies"], responses=refusals())

DICOM = "application/dicom"
FHIR = "application/fhir+json"
_FILE = {200: {"content": {DICOM: {}}, "description": "The object as a DICOM file"}, **refusals(404)}


class Studies(BaseModel):
    items: list[Study]
    next_before: int | None


class Instances(BaseModel):
    items: list[Instance]
    next_before: int | None


class Results(BaseModel):
    items: list[Result]
    next_before: int | None


@router.get("/studies", summary="Studies, newest first")
def studies(  # noqa: PLR0913, PLR0917  what may be asked for
    _caller: User,
    console: Shared,
    page: Paged,
    since: Annotated[Time | None, Query(description="received at this time or later")] = None,
    until: Annotated[Time | None, Query(description="received before this time")] = None,
    calling_ae: AeTitle | None = None,
    study_instance_uid: UidFilter | None = None,
) -> Studies:
    wish = StudyWish(calling_ae=calling_ae or "", since=since, until=until, study_instance_uid=study_instance_uid)
    found = console.repository.browsing.studies(wish, page)
    following = next_before([study.last_id for study in found], page)
    return Studies(items=[Study.of(study) for study in found], next_before=following)


@router.get("/studies/{study_instance_uid}", summary="One study with all that came of it", responses=refusals(404))
def study(_caller: User, console: Shared, study_instance_uid: Uid) -> WholeStudy:
    repository = console.repository
    wish = StudyWish(study_instance_uid=study_instance_uid)
    found = next(iter(repository.browsing.studies(wish, Page(1))), None)
    if found is None:
        raise Missing(f"There is no study {study_instance_uid}.")
    received = repository.browsing.instances_of_study(study_instance_uid)
    answers = repository.browsing.results_of_study(study_instance_uid)
    return WholeStudy(
        **Study.of(found).model_dump(),
        received=[Instance.of(instance) for instance in received],
        results=[Result.of(answer) for answer in answers],
        objects=[Object.of(made) for made in repository.browsing.objects_of_study(study_instance_uid)],
        versions=[Said.of(said) for said in repository.study_results(study_instance_uid)],
    )


@router.get("/instances", summary="Received objects, newest first")
def instances(_caller: User, console: Shared, page: Paged) -> Instances:
    found = console.repository.browsing.instances(page)
    following = next_before([instance.id for instance in found], page)
    return Instances(items=[Instance.of(instance) for instance in found], next_before=following)


@router.get("/instances/{instance_id}", summary="One received object", responses=refusals(404))
def instance(_caller: User, console: Shared, instance_id: RowId) -> Instance:
    with or_missing():
        return Instance.of(console.repository.instance(instance_id))


@router.get("/instances/{instance_id}/result", summary="The newest answer about it", responses=refusals(404))
def result_of_instance(_caller: User, console: Shared, instance_id: RowId) -> Result:
    found = console.repository.result_of(instance_id)
    if found is None:
        raise Missing(f"Nothing was said of instance {instance_id} yet.")
    return Result.of(found)


@router.get("/instances/{instance_id}/file", summary="The object as it came", response_class=Response, responses=_FILE)
def instance_file(request: Request, caller: User, console: Shared, instance_id: RowId) -> Response:
    with or_missing():
        found = console.repository.instance(instance_id)
    _note(request, caller, console, found.sop_instance_uid, found.study_instance_uid)
    return _sent(console.data_dir / found.path, f"instance-{found.id}.dcm")


@router.get("/results", summary="Answers about images, newest first")
def results(_caller: User, console: Shared, page: Paged, status: Status | None = None) -> Results:
    found = console.repository.browsing.results(page, None if status is None else status.value)
    following = next_before([result.id for result in found], page)
    return Results(items=[Result.of(result) for result in found], next_before=following)


@router.get("/results/{result_id}", summary="One answer", responses=refusals(404))
def result(_caller: User, console: Shared, result_id: RowId) -> Result:
    with or_missing():
        return Result.of(console.repository.browsing.result(result_id))


@router.get(
    "/results/{result_id}/fhir",
    summary="The answer as FHIR R4: a Bundle of DiagnosticReport and Observations",
    response_class=Response,
    responses={200: {"content": {FHIR: {}}, "description": "The Bundle"}, **refusals(404, 409)},
)
def result_as_fhir(request: Request, caller: User, console: Shared, result_id: RowId) -> Response:
    with or_missing():
        console.repository.browsing.result(result_id)
    instance, bundle = exported(console.repository, console.data_dir, result_id)
    _note(request, caller, console, instance.sop_instance_uid, instance.study_instance_uid)
    return JSONResponse(bundle, media_type=FHIR)


@router.get("/objects/{object_id}", summary="One result object", responses=refusals(404))
def result_object(_caller: User, console: Shared, object_id: RowId) -> Object:
    with or_missing():
        return Object.of(console.repository.browsing.object(object_id))


@router.get("/objects/{object_id}/file", summary="The object itself", response_class=Response, responses=_FILE)
def object_file(request: Request, caller: User, console: Shared, object_id: RowId) -> Response:
    with or_missing():
        found = console.repository.browsing.object(object_id)
    _note(request, caller, console, found.stored.sop_instance_uid, found.study_instance_uid)
    return _sent(console.data_dir / found.stored.path, f"{found.stored.kind}-{found.stored.id}.dcm")


def _note(request: Request, caller: Caller, console: Console, sop_instance_uid: str, study_instance_uid: str) -> None:
    """Who took an object out of the node: DICOM Instances Accessed, PS3.15 A.5.3.6."""
    entry = AuditEntry(
        event=AuditEvent.OBJECT_READ,
        actor=caller.actor,
        host=request.client.host if request.client is not None else "unknown",
        outcome="download",
        sop_instance_uid=sop_instance_uid,
        study_instance_uid=study_instance_uid,
    )
    console.repository.record(entry, console.now())


def _sent(path: Path, name: str) -> Response:
    """Raises StorageUnavailable: a row knows the file, and the file system does not let us read it."""
    if not path.is_file():
        raise StorageUnavailable("The file system does not let us read the object.")
    return FileResponse(path, media_type=DICOM, filename=name)
