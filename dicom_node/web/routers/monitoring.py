"""What watches over the node asks: is the process alive, can the node take an object, how does it do.

The first two are for everybody and say nothing about anybody. The numbers are for whoever may look at the console, by
token, and for programs on this machine: a Prometheus beside the node needs no secret. What a proxy passes on is not
from this machine.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from dicom_node import __version__
from dicom_node.readiness import Probe, probes
from dicom_node.web.console import Console, console_of
from dicom_node.web.metrics import NodeCollector
from dicom_node.web.pages import NotAllowed

router = APIRouter(tags=["monitoring"])

KEPT_S = 1.0
"""Anybody may ask, and each answer costs a query and a connection to the receiver: no more often than this."""

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")

Shared = Annotated[Console, Depends(console_of)]


class Readiness:
    """The last look at the node, kept for a moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: tuple[float, tuple[Probe, ...]] | None = None

    def look(self, console: Console) -> tuple[Probe, ...]:
        with self._lock:
            if self._seen is None or time.monotonic() - self._seen[0] >= KEPT_S:
                found = tuple(probes(console.config.node, console.repository.has_instances))
                self._seen = (time.monotonic(), found)
            return self._seen[1]


@router.get("/healthz", summary="Whether the process is alive; which version, to those who may look at the console")
def health(request: Request) -> dict[str, str]:
    known = request.state.caller is not None
    return {"status": "alive"} | ({"version": __version__} if known else {})


@router.get("/readyz", summary="Whether the node can take an object", responses={503: {"description": "It cannot"}})
def readiness(request: Request, console: Shared) -> Response:
    if not hasattr(request.app.state, "readiness"):
        request.app.state.readiness = Readiness()
    found = request.app.state.readiness.look(console)
    ready = all(probe.ok for probe in found)
    document: dict[str, Any] = {"ready": ready, "checks": [asdict(probe) for probe in found]}
    return JSONResponse(document, 200 if ready else 503)


@router.get(
    "/metrics",
    summary="Numbers for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, 403: {"description": "Neither a token nor this machine"}},
)
def metrics(request: Request, console: Shared) -> Response:
    if request.state.caller is None and not is_from_here(request):
        raise NotAllowed("Numbers are for programs on this machine; from elsewhere give a token.")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(NodeCollector(console))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def is_from_here(request: Request) -> bool:
    """Whether a program of this machine asks for itself; never where a proxy of this machine may ask for others."""
    if console_of(request).config.web.behind_proxy:
        return False
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:  # as the name of a Unix socket
        return False
