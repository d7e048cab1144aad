"""The first page: what the node is doing now, kept up to date by server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from dicom_node.errors import NodeError
from dicom_node.web.access import User
from dicom_node.web.console import Console, console_of
from dicom_node.web.pages import render

router = APIRouter(include_in_schema=False)

LOOK_EVERY_S = 1.0
EVEN_IF_NOTHING_S = 15.0
"""What no act tells of (free space, a destination that was asked) is shown after so long."""

LONGEST_S = 300.0
"""Then the browser connects again, and whether it may is asked again."""

Shared = Annotated[Console, Depends(console_of)]


@router.get("/")
def home(request: Request, console: Shared, _caller: User) -> Response:
    return render(request, "home.html", now=console.overview())


@router.get("/overview/now")
def overview(request: Request, console: Shared, _caller: User) -> Response:
    """The changing part of the first page."""
    return render(request, "overview.html", now=console.overview())


@router.get("/events")
async def events(console: Shared, _caller: User) -> Response:
    """`changed`, at most once a second, whenever something happened; what, the page then asks for."""
    return StreamingResponse(_changes(console), media_type="text/event-stream")


async def _changes(console: Console) -> AsyncIterator[str]:
    seen: tuple[int, int] | None = None
    silent_s, alive_s = 0.0, 0.0
    while alive_s < LONGEST_S and not console.stop.is_set():
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
