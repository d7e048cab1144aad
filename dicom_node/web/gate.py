"""What stands in front of every route: who asks, from which site, and what every answer carries."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import PlainTextResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicom_node.config import LOOPBACK, WebSection
from dicom_node.errors import NodeError
from dicom_node.users import Caller
from dicom_node.web.access import SAFE, recognised
from dicom_node.web.console import Console
from dicom_node.web.pages import NotAllowed, fail, go, is_for_programs, path_of, sign_in_address
from dicom_node.web.texts import message

_log = logging.getLogger(__name__)

PUBLIC = (
    "/static/",
    "/sign-in",
    "/sign-in/oidc",
    "/sign-in/oidc/back",
    "/welcome/",
    "/language/",
    "/healthz",
    "/readyz",
    "/metrics",
)
"""What is answered without knowing who asks; the last one looks for itself where the question comes from."""

UNFORESEEN = message("The log says where. Nothing was changed.")

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_YEAR_S = 31_536_000


class Gate:
    """ASGI middleware. Nothing of a request's body has been read when it decides.

    It is also the edge at which an unforeseen error ends: behind it no answer could carry its headers any more.
    """

    def __init__(self, app: ASGIApp, console: Console) -> None:
        self._app, self._console = app, console

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        request.state.caller = None
        answering = _Answering(request, self._console.config.web, send)
        try:
            await (await self._refusal(request) or self._app)(scope, receive, answering)
        except Exception as error:  # noqa: BLE001  whatever it is, it says its type and place to the log alone
            _log.error("web.failed", exc_info=error)
            if not answering.begun:
                await fail(request, 500, UNFORESEEN, "Unexpected")(scope, receive, answering)

    async def _refusal(self, request: Request) -> ASGIApp | None:
        """What is answered instead of the route; None: go on."""
        if not is_ours(request, self._console.config.web):
            return PlainTextResponse("This is not the console's address; see web.names.\n", 421)
        if "\x00" in path_of(request):
            return fail(request, 404, "There is no such page, or what it was about is gone.", "Missing")
        if b"%00" in request.scope["query_string"]:
            return fail(request, 422, "A parameter has a character that no database takes.", "Invalid")
        try:
            request.state.caller = await run_in_threadpool(self._caller, request)
        except NotAllowed as error:
            return fail(request, 403, str(error), "NotAllowed")
        except NodeError as error:
            return fail(request, 503, str(error), type(error).__name__)
        if is_foreign(request):
            return fail(request, 403, "Another site sent this request.", "NotAllowed")
        if request.state.caller is None and not is_public(path_of(request)):
            return self._unknown(request)
        return None

    def _caller(self, request: Request) -> Caller | None:
        """Static files are for everybody and cost no look-up; a page that renews itself is no click."""
        path = path_of(request)
        if path.startswith("/static/"):
            return None
        return recognised(request, self._console, noting=not is_by_itself(request))

    def _unknown(self, request: Request) -> ASGIApp:
        if is_for_programs(path_of(request)) or request.headers.get("authorization"):
            answer = fail(request, 401, "Give a valid token in the Authorization header, or sign in.", "NotSignedIn")
            answer.headers["WWW-Authenticate"] = "Bearer"
            return answer
        return go(request, sign_in_address(request))


class _Answering:
    """Sends on, with the headers that every answer has; knows whether an answer has begun."""

    def __init__(self, request: Request, web: WebSection, send: Send) -> None:
        self._static, self._secure, self._send = path_of(request).startswith("/static/"), web.secure, send
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            self._complete(message)
        await self._send(message)

    def _complete(self, message: MutableMapping[str, Any]) -> None:
        headers = MutableHeaders(scope=message)
        for name, value in _HEADERS.items():
            headers[name] = value
        headers["Cache-Control"] = "max-age=86400" if self._static else "no-store"
        if self._secure:
            headers["Strict-Transport-Security"] = f"max-age={_YEAR_S}"


def is_ours(request: Request, web: WebSection) -> bool:
    """Whether the request names the console, and not some name that somebody made lead here (DNS rebinding).

    A page of another site whose name suddenly means this machine would be of our origin to the browser that shows it.
    Where browsers speak https the certificate's name stands against that, unless `web.names` says which ones are meant.
    """
    name = name_of(request.headers.get("host", ""))
    if web.secure and not web.names:
        return True
    return name in {known.lower() for known in (*LOOPBACK, web.host, *web.names)}


def name_of(host: str) -> str:
    """The host of a Host header without its port; of an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def is_public(path: str) -> bool:
    return any(path == known or (known.endswith("/") and path.startswith(known)) for known in PUBLIC)


def is_by_itself(request: Request) -> bool:
    """Whether an open page asks, without anybody's click: a stream of events, and what htmx fetches when one comes."""
    return path_of(request) == "/events" or (request.method == "GET" and "hx-request" in request.headers)


def is_foreign(request: Request) -> bool:
    """Whether a page of another site makes this browser change something here.

    By Sec-Fetch-Site (W3C Fetch Metadata), which every browser of today sends to https and to this machine, else by
    Origin. A program sends neither.
    """
    if request.method in SAFE:
        return False
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")
