"""What addresses may say, so that nothing reaches the database that it could not hold; and how a refusal is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Path, Query
from pydantic import AfterValidator, BaseModel, Field

from dicom_node.domain import IllegalTransition
from dicom_node.errors import Refused
from dicom_node.storage.browsing import Page
from dicom_node.web.console import Console, console_of
from dicom_node.web.pages import Missing

MOST_ROWS = 200
_LARGEST_ID = 2**31 - 1


class Problem(BaseModel):
    """What was wrong, after RFC 9457; `error` is a word of this program, `detail` a sentence for people."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    error: str


PROBLEM = {"application/problem+json": {"schema": Problem.model_json_schema()}}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What else a route may answer: 401 and 403 all of them."""
    told = {
        401: "No valid token",
        403: "The role of the token does not allow that",
        404: "There is none",
        409: "Its state does not allow that",
        413: "The request is too large",
        422: "A parameter is not valid",
        503: "Not now; try again in a moment",
    }
    wanted = (401, 403, 422, 503, *statuses)
    return {status: {"description": told[status], "content": PROBLEM} for status in sorted(set(wanted))}


def _reasonable(time: datetime) -> datetime:
    """Without a zone it is UTC."""
    aware = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    if not 1900 < time.year < 2200:
        raise ValueError("a year from 1901 to 2199 is needed")
    return aware


def _page(
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS, description="rows of the page")] = 50,
    before: Annotated[
        int | None, Query(ge=1, le=_LARGEST_ID, description="`next_before` of the page before; none: the newest")
    ] = None,
) -> Page:
    return Page(limit, before)


Shared = Annotated[Console, Depends(console_of)]
Paged = Annotated[Page, Depends(_page)]
RowNumber = Annotated[int, Field(ge=1, le=_LARGEST_ID)]
RowId = Annotated[int, Path(ge=1, le=_LARGEST_ID)]
Uid = Annotated[str, Path(pattern=r"^[0-9.]{1,64}$", description="PS3.5 9.1")]
Time = Annotated[datetime, AfterValidator(_reasonable)]
AeTitle = Annotated[str, Query(pattern=r"^[\x20-\x5b\x5d-\x7e]{1,16}$")]
UidFilter = Annotated[str, Query(pattern=r"^[0-9.]{1,64}$")]
Name = Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{1,32}$")]


def next_before(ids: Sequence[int], page: Page) -> int | None:
    """Where the next page begins; None: this one was the last."""
    return ids[-1] if len(ids) == page.limit else None


@contextmanager
def or_missing() -> Iterator[None]:
    """What is refused because there is none of that id is missing; what its state forbids stays refused."""
    try:
        yield
    except IllegalTransition:
        raise
    except Refused as error:
        raise Missing(str(error)) from error
