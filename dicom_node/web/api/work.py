"""The queue, deliveries and the dead letter, and what an operator may do about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from dicom_node.domain import DeliveryState, JobState
from dicom_node.storage.browsing import Page
from dicom_node.web.access import Operator, User
from dicom_node.web.api.documents import AttemptDocument, DeliveryDocument, JobDocument
from dicom_node.web.api.parameters import Name, Paged, RowId, Shared, next_before, or_missing, refusals
from dicom_node.web.console import Console

router = APIRouter(prefix="/api/v1", tags=["work"], responses=refusals())

RETRIED_AT_ONCE = 1000


class Jobs(BaseModel):
    items: list[JobDocument]
    next_before: int | None


class Deliveries(BaseModel):
    items: list[DeliveryDocument]
    next_before: int | None


class Attempts(BaseModel):
    items: list[AttemptDocument]


class Done(BaseModel):
    done: bool = True


class Retried(BaseModel):
    retried: int
    more: bool


class Queue(BaseModel):
    """`counts`: as the command line's; `deliveries`: by destination and state."""

    counts: dict[str, int]
    deliveries: dict[str, dict[DeliveryState, int]]


@router.get("/queue", summary="How much waits, runs, is done and is dead")
def queue(_caller: User, console: Shared) -> Queue:
    repository = console.repository
    return Queue(counts=repository.counts(console.now()), deliveries=repository.delivery_counts())


@router.get("/jobs", summary="Jobs, newest first")
def jobs(
    _caller: User,
    console: Shared,
    page: Paged,
    state: Annotated[list[JobState] | None, Query(description="may be repeated; none: all")] = None,
) -> Jobs:
    found = console.repository.browsing.jobs(page, state or ())
    return Jobs(items=[JobDocument.of(job) for job in found], next_before=next_before([job.id for job in found], page))


@router.post("/jobs/{job_id}/retry", summary="Start a dead or cancelled job afresh", responses=refusals(404, 409))
def retry_job(caller: Operator, console: Shared, job_id: RowId) -> Done:
    return _done(console, lambda: console.acting_as(caller).retry_job(job_id, console.now()))


@router.post("/jobs/{job_id}/rerun", summary="Look at the image of a done job once more", responses=refusals(404, 409))
def rerun_job(caller: Operator, console: Shared, job_id: RowId) -> Done:
    return _done(console, lambda: console.acting_as(caller).rerun_job(job_id, console.now()))


@router.post("/jobs/{job_id}/cancel", summary="Cancel a job that is not running", responses=refusals(404, 409))
def cancel_job(caller: Operator, console: Shared, job_id: RowId) -> Done:
    return _done(console, lambda: console.acting_as(caller).cancel_job(job_id, console.now()))


@router.post("/jobs/{job_id}/confirm", summary="Accept a held correction of identity", responses=refusals(404, 409))
def confirm_job(caller: Operator, console: Shared, job_id: RowId) -> Done:
    return _done(console, lambda: console.acting_as(caller).confirm_job(job_id, console.now()))


@router.get("/deliveries", summary="Deliveries, newest first; the dead letter is state=dead")
def deliveries(
    _caller: User,
    console: Shared,
    page: Paged,
    state: Annotated[list[DeliveryState] | None, Query(description="may be repeated; none: all")] = None,
    destination: Name | None = None,
) -> Deliveries:
    found = console.repository.browsing.deliveries(page, state or (), destination)
    following = next_before([delivery.id for delivery in found], page)
    return Deliveries(items=[DeliveryDocument.of(delivery) for delivery in found], next_before=following)


@router.get("/deliveries/{delivery_id}/attempts", summary="All attempts of a delivery, first one first")
def attempts(_caller: User, console: Shared, delivery_id: RowId) -> Attempts:
    return Attempts(items=[AttemptDocument.of(made) for made in console.repository.attempts(delivery_id)])


@router.post(
    "/deliveries/{delivery_id}/retry", summary="Send a dead one afresh, a waiting one now", responses=refusals(404, 409)
)
def retry_delivery(caller: Operator, console: Shared, delivery_id: RowId) -> Done:
    return _done(console, lambda: console.acting_as(caller).retry_delivery(delivery_id, console.now()))


@router.post("/deliveries/{delivery_id}/resend", summary="Send once more what was sent", responses=refusals(404, 409))
def resend_delivery(caller: Operator, console: Shared, delivery_id: RowId) -> Done:
    return _done(console, lambda: console.acting_as(caller).resend_delivery(delivery_id, console.now()))


@router.post("/deliveries/retry-dead", summary="Send what is dead afresh, at most 1000 at once")
def retry_dead(caller: Operator, console: Shared, destination: Name | None = None) -> Retried:
    acting, dead = console.acting_as(caller), [DeliveryState.DEAD]
    found = console.repository.browsing.deliveries(Page(RETRIED_AT_ONCE), dead, destination)
    for delivery in found:
        acting.retry_delivery(delivery.id, console.now())
    return Retried(retried=len(found), more=len(found) == RETRIED_AT_ONCE)


def _done(_console: Console, act: Callable[[], None]) -> Done:
    with or_missing():
        act()
    return Done()
