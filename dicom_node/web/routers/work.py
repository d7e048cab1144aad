"""The queue and the dead letters: jobs and deliveries by state, and what an operator does with them."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response

from dicom_node.domain import DeliveryState, JobState
from dicom_node.errors import Refused
from dicom_node.web.access import Operator, User
from dicom_node.web.api.parameters import RowId, RowNumber
from dicom_node.web.console import Console, console_of
from dicom_node.web.pages import go, render
from dicom_node.web.routers.sign_in import inside
from dicom_node.web.texts import message

router = APIRouter(include_in_schema=False)

SHOWN = 200
AT_ONCE = 1000
"""Dead letters that one click brings back; the rest stay listed."""

Shared = Annotated[Console, Depends(console_of)]
Ids = Annotated[list[RowNumber], Form(default_factory=list)]
Next = Annotated[str, Form(max_length=300)]


class Shelf(StrEnum):
    """What the page lists."""

    DEAD = "dead"
    WAITING = "waiting"
    HELD = "held"


TITLES = {Shelf.DEAD: message("Given up"), Shelf.WAITING: message("Under way"), Shelf.HELD: message("Held")}
_JOBS = {
    Shelf.DEAD: (JobState.DEAD,),
    Shelf.WAITING: (JobState.QUEUED, JobState.RUNNING),
    Shelf.HELD: (JobState.HELD,),
}
_DELIVERIES = {
    Shelf.DEAD: (DeliveryState.DEAD,),
    Shelf.WAITING: (DeliveryState.PENDING, DeliveryState.SENDING),
    Shelf.HELD: (DeliveryState.HELD,),
}


class Verb(StrEnum):
    """What may be done with a job."""

    RETRY = "retry"
    CANCEL = "cancel"
    CONFIRM = "confirm"
    RERUN = "rerun"


@router.get("/work")
def show(request: Request, console: Shared, _caller: User, shelf: Shelf = Shelf.DEAD) -> Response:
    repository = console.repository
    jobs = repository.jobs(_JOBS[shelf], SHOWN)
    deliveries = repository.deliveries(_DELIVERIES[shelf], SHOWN)
    studies = repository.browsing.studies_of([delivery.object_id for delivery in deliveries])
    of_jobs = repository.browsing.studies_of_jobs([job.id for job in jobs])
    return render(
        request,
        "work.html",
        shelf=shelf,
        shelves=TITLES,
        jobs=jobs,
        deliveries=deliveries,
        studies=studies,
        of_jobs=of_jobs,
        shown=SHOWN,
    )


@router.post("/work/jobs/{job_id}/{what}")
def change_job(  # noqa: PLR0913, PLR0917  parts of the request
    request: Request, console: Shared, caller: Operator, job_id: RowId, what: Verb, after: Next = "/work"
) -> Response:
    repository = console.acting_as(caller)
    act = {
        Verb.RETRY: repository.retry_job,
        Verb.CANCEL: repository.cancel_job,
        Verb.CONFIRM: repository.confirm_job,
        Verb.RERUN: repository.rerun_job,
    }
    act[what](job_id, console.now())
    return go(request, inside(after))


@router.post("/work/deliveries/{delivery_id}/retry")
def retry_delivery(
    request: Request, console: Shared, caller: Operator, delivery_id: RowId, after: Next = "/work"
) -> Response:
    console.acting_as(caller).retry_delivery(delivery_id, console.now())
    return go(request, inside(after))


@router.post("/work/deliveries/{delivery_id}/resend")
def resend_delivery(
    request: Request, console: Shared, caller: Operator, delivery_id: RowId, after: Next = "/work"
) -> Response:
    console.acting_as(caller).resend_delivery(delivery_id, console.now())
    return go(request, inside(after))


@router.post("/work/retry")
def retry_chosen(request: Request, console: Shared, caller: Operator, job: Ids, delivery: Ids) -> Response:
    """Those that were ticked; one that somebody else has just retried is no error."""
    repository, now = console.acting_as(caller), console.now()
    _each(lambda one: repository.retry_job(one, now), job[:AT_ONCE])
    _each(lambda one: repository.retry_delivery(one, now), delivery[:AT_ONCE])
    return go(request, "/work")


@router.post("/work/retry-all")
def retry_all(request: Request, console: Shared, caller: Operator) -> Response:
    """Everything that was given up, as far as one click goes."""
    repository, now = console.acting_as(caller), console.now()
    _each(lambda one: repository.retry_job(one, now), [job.id for job in repository.jobs([JobState.DEAD], AT_ONCE)])
    dead = repository.deliveries([DeliveryState.DEAD], AT_ONCE)
    _each(lambda one: repository.retry_delivery(one, now), [delivery.id for delivery in dead])
    return go(request, "/work")


def _each(act: Callable[[int], None], ids: list[int]) -> None:
    for one in ids:
        try:
            act(one)
        except Refused:
            continue
