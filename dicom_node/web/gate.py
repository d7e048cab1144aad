"""What stands in front of every route: who asks, from which site, and what every answer carries."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicom_node.errors import NodeError
from dicom_node.users import TOKEN_PREFIX, Caller
from dicom_node.web.access import SAFE, session_secret
from dicom_node.web.console import Console
from dicom_node.web.pages import fail, go, is_for_programs, sign_in_address

PUBLIC = ("/static/", "/sign-in", "/welcome/", "/language/", "/healthz", "/readyz", "/metrics")
"""What is answered without knowing who asks; the last one looks for itself where the question comes from."""

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
    """ASGI middleware. Nothing of a request's body has been read when it decides."""

    def __init__(self, app: ASGIApp, console: Console) -> None:
        self._app, self._console = app, console

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        request.state.caller = None
        send = self._with_headers(request, send)
        refusal: ASGIApp | None = None
        try:
            request.state.caller = await run_in_threadpool(self._caller, request)
        except NodeError as error:
            refusal = fail(request, 503, str(error), type(error).__name__)
        if refusal is None and is_foreign(request):
            refusal = fail(request, 403, "Another site sent this request.", "NotAllowed")
        if refusal is None and request.state.caller is None and not is_public(request.url.path):
            refusal = self._unknown(request)
        await (refusal or self._app)(scope, receive, send)

    def _caller(self, request: Request) -> Caller | None:
        """By token where one is given, else by session; static files are for everybody and cost no look-up."""
        if request.url.path.startswith("/static/"):
            return None
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        accounts = self._console.repository.accounts
        if scheme.lower() == "bearer":
            known = token.startswith(TOKEN_PREFIX)
            return accounts.token_caller(token.strip(), self._console.now()) if known else None
        secret = session_secret(request)
        if not secret:
            return None
        return accounts.session_caller(secret, self._console.lifetime, self._console.now())

    def _unknown(self, request: Request) -> ASGIApp:
        if is_for_programs(request.url.path) or request.headers.get("authorization"):
            answer = fail(request, 401, "Give a valid token in the Authorization header, or sign in.", "NotSignedIn")
            answer.headers["WWW-Authenticate"] = "Bearer"
            return answer
        return go(request, sign_in_address(request))

    def _with_headers(self, request: Request, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._complete(request, message)
            await send(message)

        return sending

    def _complete(self, request: Request, message: MutableMapping[str, Any]) -> None:
        headers = MutableHeaders(scope=message)
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        headers["Cache-Control"] = "max-age=86400" if request.url.path.startswith("/static/") else "no-store"
        if self._console.config.web.secure:
            headers["Strict-Transport-Security"] = f"max-age={_YEAR_S}"


def is_public(path: str) -> bool:
    return any(path == known or (known.endswith("/") and path.startswith(known)) for known in PUBLIC)


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
