"""Studies: the list, one study with everything about it, its frames, and its objects to take away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.decode import read_header
from dicom_node.domain import InstanceRef, ResultKind
from dicom_node.errors import InstanceRefused, Refused
from dicom_node.storage.study_account import ImageAccount, StudyAccount
from dicom_node.storage.study_list import Page, Standing, StudyWish
from dicom_node.web import seen
from dicom_node.web.access import User
from dicom_node.web.api.parameters import RowId, RowNumber
from dicom_node.web.console import Console, console_of
from dicom_node.web.growth_picture import growth_picture
from dicom_node.web.overview import remark_of, sentence_of
from dicom_node.web.pages import Missing, render
from dicom_node.web.routers.sign_in import host_of
from dicom_node.web.texts import message
from dicom_node.web.timeline import timeline

router = APIRouter(include_in_schema=False)

PAGE = 50
STANDINGS = {
    Standing.MEASURED: message("Measured"),
    Standing.ABSTAINED: message("Abstained"),
    Standing.REFUSED: message("Refused"),
    Standing.WAITING: message("Under way"),
    Standing.FAILED: message("Given up"),
    Standing.HELD: message("Held"),
}

PDFS = frozenset({ResultKind.PDF, ResultKind.STUDY_PDF})

Shared = Annotated[Console, Depends(console_of)]
Word = Annotated[str, Query(max_length=64)]
Day = Annotated[date, Query(gt=date(1900, 12, 31), lt=date(2200, 1, 1))]
"""Near the ends of the calendar another time zone has no such day."""


@dataclass(frozen=True, slots=True)
class Person:
    """Whom the study says it is about; as the header has it, for the page alone."""

    name: str
    patient_id: str
    birth_date: str
    study_date: str
    description: str


@router.get("/studies")
def studies(  # noqa: PLR0913, PLR0917  what the list can be narrowed by
    request: Request,
    console: Shared,
    _caller: User,
    ae: Word = "",
    is_: Annotated[Standing | None, Query(alias="is")] = None,
    since: Day | None = None,
    until: Day | None = None,
    behind: Annotated[RowNumber | None, Query()] = None,
) -> Response:
    """The list. What is looked for by Patient ID comes by POST: it must not stand in an address."""
    return _list(request, console, _Asked(ae=ae, standing=is_, since=since, until=until, behind=behind))


@dataclass(frozen=True, slots=True)
class _Asked:
    text: str = ""
    ae: str = ""
    standing: Standing | None = None
    since: date | None = None
    until: date | None = None
    behind: int | None = None

    def wish(self) -> StudyWish:
        since = None if self.since is None else _begin(self.since)
        until = None if self.until is None else _begin(self.until + timedelta(days=1))
        return StudyWish(self.text, self.ae, self.standing, since, until)

    def address(self, behind: int) -> str:
        parts = {"ae": self.ae, "is": self.standing, "since": self.since, "until": self.until, "behind": behind}
        return "/studies?" + urlencode({name: str(value) for name, value in parts.items() if value})


def _begin(day: date) -> datetime:
    """Of a day of this machine's time zone."""
    return datetime.combine(day, time()).astimezone().astimezone(UTC)


@router.post("/studies")
def find(request: Request, console: Shared, _caller: User, text: Annotated[str, Form(max_length=128)] = "") -> Response:
    """By Patient ID or UID, which the form carries."""
    return _list(request, console, _Asked(text=text))


def _list(request: Request, console: Console, asked: _Asked) -> Response:
    browsing = console.repository.browsing
    found = browsing.studies(asked.wish(), Page(PAGE + 1, asked.behind))
    more = asked.address(found[PAGE - 1].last_id) if len(found) > PAGE and not asked.text else None
    return render(
        request,
        "studies.html",
        lines=found[:PAGE],
        live=None if asked.text else request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        narrowed=asked != _Asked(),
        asked=asked,
        more=more,
        standings=STANDINGS,
        senders=browsing.senders(),
        sentence_of=sentence_of,
    )


@router.get("/studies/{study_instance_uid}")
def study(request: Request, console: Shared, caller: User, study_instance_uid: str) -> Response:
    account = _account(console, study_instance_uid)
    seen.note_study(console, caller, host_of(request), account.study_instance_uid, every_time=True)
    answers = {image.instance.id: image.answer for image in account.images}
    shown = [image for image in account.images if image.result is not None and _has_frames(image)]
    top = _top(account, answers)
    return render(
        request,
        "study.html",
        account=account,
        answers=answers,
        shown=shown,
        others=[image for image in account.images if image not in shown],
        top=top,
        growth=growth_picture(top),
        steps=timeline(account),
        person=_person(console, account.images[0].instance),
        sentence_of=sentence_of,
        remark_of=remark_of,
        pdfs=PDFS,
    )


@router.get("/studies/{study_instance_uid}/now")
def study_now(request: Request, console: Shared, _caller: User, study_instance_uid: str) -> Response:
    """What changes while a study's page is open: its objects and its way. Nothing of it tells who it is about."""
    account = _account(console, study_instance_uid)
    return render(request, "study_now.html", account=account, steps=timeline(account), pdfs=PDFS)


def _account(console: Console, study_instance_uid: str) -> StudyAccount:
    """Raises Missing."""
    try:
        return console.repository.browsing.study(study_instance_uid)
    except Refused as error:
        raise Missing(str(error)) from error


def _has_frames(image: ImageAccount) -> bool:
    answer = image.answer
    return answer is not None and bool(answer.get("measurements") or answer.get("ellipse"))


def _top(account: StudyAccount, answers: Mapping[int, dict[str, Any] | None]) -> dict[str, Any] | None:
    """The answer that speaks for the study: of the image that its newest report selected, else the only measured."""
    by_uid = {image.instance.sop_instance_uid: answers[image.instance.id] for image in account.images}
    if account.reports:
        selected = account.reports[0].answer.get("selected")
        return None if selected is None else by_uid.get(selected["sop_instance_uid"])
    measured = [answer for answer in answers.values() if answer is not None and answer["status"] == "measured"]
    return measured[0] if len(measured) == 1 else None


def _person(console: Console, instance: InstanceRef) -> Person | None:
    """None where the file cannot be read."""
    try:
        header: Dataset = read_header(console.data_dir / instance.path)
    except (InstanceRefused, OSError):
        return None
    fields = ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "StudyDescription")
    name, *others = (str(header.get(field, "") or "")[:200] for field in fields)
    return Person(", ".join(part for part in name.partition("=")[0].split("^") if part.strip()), *others)


@router.get("/instances/{instance_id}/frames")
def frames(console: Shared, _caller: User, instance_id: RowId) -> Response:
    """How many frames an object has."""
    path = console.data_dir / _instance(console, instance_id).path
    try:
        return JSONResponse({"count": console.frames.count(path)})
    except OSError as error:
        raise Missing(message("The file of this object cannot be read.")) from error


@router.get("/instances/{instance_id}/frames/{number}.png")
def frame(request: Request, console: Shared, caller: User, instance_id: RowId, number: int) -> Response:
    instance = _instance(console, instance_id)
    seen.note_study(console, caller, host_of(request), instance.study_instance_uid)
    path = console.data_dir / instance.path
    try:
        return Response(console.frames.png(path, number), media_type="image/png")
    except OSError as error:
        raise Missing(message("The file of this object cannot be read.")) from error
    except ValueError as error:
        raise Missing(message("There is no such frame.")) from error


def _instance(console: Console, instance_id: int) -> InstanceRef:
    try:
        return console.repository.instance(instance_id)
    except Refused as error:
        raise Missing(str(error)) from error


@router.get("/instances/{instance_id}/file")
def original(request: Request, console: Shared, caller: User, instance_id: RowId) -> Response:
    """A received object as it came."""
    instance = _instance(console, instance_id)
    seen.note_object(console, caller, host_of(request), instance.sop_instance_uid)
    return _file(console, instance.path, f"{instance.sop_instance_uid}.dcm")


@router.get("/objects/{object_id}/file")
def stored_object(request: Request, console: Shared, caller: User, object_id: RowId) -> Response:
    """An object of ours, as it is sent."""
    try:
        stored = console.repository.browsing.stored_object(object_id)
    except Refused as error:
        raise Missing(str(error)) from error
    seen.note_object(console, caller, host_of(request), stored.sop_instance_uid)
    return _file(console, stored.path, f"{stored.kind}-{stored.sop_instance_uid}.dcm")


@router.get("/objects/{object_id}/pdf")
def pdf(request: Request, console: Shared, caller: User, object_id: RowId) -> Response:
    """The document inside an Encapsulated PDF (PS3.3 C.24.2), without the padding that DICOM may add."""
    try:
        stored = console.repository.browsing.stored_object(object_id)
        if stored.kind not in PDFS:
            raise Missing(message("This object is no PDF."))
        dataset = dcmread(console.data_dir / stored.path)
    except (Refused, OSError) as error:
        raise Missing(str(error) if isinstance(error, Refused) else None) from error
    seen.note_object(console, caller, host_of(request), stored.sop_instance_uid)
    document = bytes(dataset.EncapsulatedDocument)[: dataset.get("EncapsulatedDocumentLength")]
    headers = {"Content-Disposition": f'attachment; filename="{stored.kind}-{stored.id}.pdf"'}
    return Response(document, media_type="application/pdf", headers=headers)


def _file(console: Console, path: str, name: str) -> Response:
    file = console.data_dir / path
    if not file.is_file():
        raise Missing(message("The file of this object cannot be read."))
    return FileResponse(file, media_type="application/dicom", filename=name)
