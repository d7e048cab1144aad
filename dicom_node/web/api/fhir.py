"""What a FHIR server is told, and what an operator may do about what it would not take."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from dicom_node.storage.fhir_posts import FhirPost
from dicom_node.storage.rows import PostState
from dicom_node.web.access import Operator, User
from dicom_node.web.api.parameters import Paged, RowId, Shared, next_before, or_missing, refusals

router = APIRouter(prefix="/api/v1", tags=["fhir"], responses=refusals())

RETRIED_AT_ONCE = 1000


class FhirPostDocument(BaseModel):
    """A report of a study on its way to the configured FHIR server."""

    id: int
    study_instance_uid: str
    version: int
    state: PostState = Field(description="`nothing`: there is no number to tell, or it no longer stands")
    attempts: int
    available_at: datetime
    waiting_since: datetime
    comment: str | None

    @classmethod
    def of(cls, found: FhirPost) -> FhirPostDocument:
        return cls(**{name: getattr(found, name) for name in cls.model_fields})


class FhirPosts(BaseModel):
    items: list[FhirPostDocument]
    next_before: int | None


class Told(BaseModel):
    retried: int


@router.get("/fhir-posts", summary="What a FHIR server is told, newest first")
def fhir_posts(
    _caller: User,
    console: Shared,
    page: Paged,
    state: Annotated[PostState | None, Query(description="none: all")] = None,
) -> FhirPosts:
    found = console.repository.fhir_posts.listed(state, page.limit, page.before)
    following = next_before([post.id for post in found], page)
    return FhirPosts(items=[FhirPostDocument.of(post) for post in found], next_before=following)


@router.post("/fhir-posts/{post_id}/retry", summary="Send what was given up afresh", responses=refusals(404))
def retry_fhir_post(caller: Operator, console: Shared, post_id: RowId) -> Told:
    with or_missing():
        console.acting_as(caller).fhir_posts.retry(post_id, console.now())
    return Told(retried=1)


@router.post("/fhir-posts/retry-dead", summary="Send all that was given up afresh, at most 1000 at once")
def retry_dead_fhir_posts(caller: Operator, console: Shared) -> Told:
    posts = console.acting_as(caller).fhir_posts
    dead = posts.listed(PostState.DEAD, RETRIED_AT_ONCE)
    for post in dead:
        posts.retry(post.id, console.now())
    return Told(retried=len(dead))
