"""The first page: what the node is doing now, kept up to date by server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from dicom_node.errors import NodeError
from dicom_node.web.access import User, recognised
from dicom_node.web.console import Console, console_of
from dicom_node.web.pages import NotAllowed, render

router = APIRouter(include_in_schema=False)

LOOK_EVERY_S = 1.0
EVEN_IF_NOTHING_S = 15.0
"""What no act tells of (free space, a destination that was asked) is shown after so long."""

LONGEST_S = 300.0
"""Then the browser connects again, and whether it may is asked again."""

WHO_EVERY_S = 5.0
"""How long a stream may outlive its session."""

Shared = Annotated[Console, Depends(console_of)]


@router.get("/")
def home(request: Request, console: Shared, _caller: User) -> Response:
    return render(request, "home.html", now=console.overview())


@router.get("/overview/now")
def overview(request: Request, console: Shared, _caller: User) -> Response:
    """The changing part of the first page."""
    return render(request, "overview.html", now=console.overview())


@router.get("/events")
async def events(request: Request, console: Shared, _caller: User) -> Response:
    """`changed`, at most once a second, whenever something happened; what, the page then asks for."""
    stream = _changes(console, lambda: recognised(request, console, noting=False) is not None)
    return StreamingResponse(stream, media_type="text/event-stream")


async def _changes(console: Console, still_known: Callable[[], bool]) -> AsyncIterator[str]:
    """Where the session has ended the page is told once more: what it then asks for sends it to the sign-in."""
    seen: tuple[int, int] | None = None
    silent_s, alive_s = 0.0, 0.0
    while alive_s < LONGEST_S and not console.stop.is_set():
        if alive_s and alive_s % WHO_EVERY_S == 0 and not await run_in_threadpool(_or_yes, still_known):
            yield "event: changed\ndata: \n\n"
            return
        try:
            pulse: tuple[int, int] | None = await run_in_threadpool(console.pulse)
        except NodeError:
            pulse = seen  # the database is away for a moment: there is nothing new to tell
        if seen is not None and (pulse != seen or silent_s >= EVEN_IF_NOTHING_S):
            silent_s = 0.0
            yield "event: changed\ndata: \n\n"
        seen = pulse
        await asyncio.sleep(LOOK_EVERY_S)
        silent_s, alive_s = silent_s + LOOK_EVERY_S, alive_s + LOOK_EVERY_S


def _or_yes(still_known: Callable[[], bool]) -> bool:
    """While the database is away for a moment nobody is sent away."""
    try:
        return still_known()
    except NotAllowed:
        return False
    except NodeError:
        return True
