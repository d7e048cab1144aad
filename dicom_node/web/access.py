"""Who asks, whether they may, and whether it was they who asked: dependencies of the routes."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from dicom_node.users import TOKEN_PREFIX, Caller, UserRole, new_secret
from dicom_node.web import proxy_user
from dicom_node.web.console import Console, console_of
from dicom_node.web.pages import NotAllowed
from dicom_node.web.texts import message

CSRF_FIELD = "csrf"
CSRF_HEADER = "x-csrf-token"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def session_cookie(request: Request) -> str:
    """Name of the cookie. Over https its prefix keeps others of this domain from setting it (RFC 6265bis, 4.1.3)."""
    return "__Host-fetalhc" if console_of(request).config.web.secure else "fetalhc"


def visit_cookie(request: Request) -> str:
    """Name of the cookie that ties the forms of somebody who is not signed in to their browser."""
    return "__Host-fetalhc-visit" if console_of(request).config.web.secure else "fetalhc-visit"


def recognised(request: Request, console: Console, *, noting: bool) -> Caller | None:
    """Who asks: by token where one is given, else as the proxy says, else by session. `noting`: the session is in use.

    Raises:
        NotAllowed: a proxy that is believed names somebody who may not come in.
        NodeError: the database does not answer.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    accounts = console.repository.accounts
    if scheme.lower() == "bearer":
        known = token.startswith(TOKEN_PREFIX)
        return accounts.token_caller(token.strip(), console.now()) if known else None
    vouched = proxy_user.vouched(request, console)
    if vouched is not None:
        return vouched
    secret = session_secret(request)
    return None if not secret else accounts.session_caller(secret, console.lifetime, console.now(), noting=noting)


def session_secret(request: Request) -> str | None:
    return request.cookies.get(session_cookie(request))


def csrf_token(request: Request) -> str:
    """Of this browser: computed from its cookie, so nothing is stored, and another session has another one.

    Whom a proxy vouches for has no session's cookie; theirs comes from that of the visit, or anybody could compute it.
    """
    caller = _caller(request)
    secret = session_secret(request) if caller is not None and not caller.by_proxy else visit_secret(request)
    mac = hmac.digest((secret or "").encode(), b"csrf", hashlib.sha256)
    return base64.urlsafe_b64encode(mac).decode().rstrip("=")


def visit_secret(request: Request) -> str:
    """That of the visitor's cookie, or the one it is going to get; see pages.render."""
    if not hasattr(request.state, "visit"):
        request.state.visit = request.cookies.get(visit_cookie(request)) or new_secret()
    return str(request.state.visit)


async def check_csrf(request: Request) -> None:
    """Of all routes: raises NotAllowed where an unsafe request does not carry the token of its browser."""
    caller = _caller(request)
    if request.method in SAFE:
        return
    given: str | UploadFile | None = request.headers.get(CSRF_HEADER)
    if request.headers.get("content-type", "").lower().startswith(_FORMS):
        form = await request.form()
        if any("\x00" in text for pair in form.multi_items() for text in pair if isinstance(text, str)):
            raise HTTPException(422, "A field has a character that no database takes.")
        given = form.get(CSRF_FIELD) if given is None else given
    if caller is not None and caller.token is not None:
        return
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), csrf_token(request).encode()):
        raise NotAllowed("This form is too old. Load the page again and repeat it.")


def _caller(request: Request) -> Caller | None:
    caller: Caller | None = request.state.caller
    return caller


def current_user(request: Request) -> Caller:
    """Who asks; the gate has let nobody else through."""
    caller = _caller(request)
    if caller is None:
        raise NotAllowed("Sign in first.")
    return caller


User = Annotated[Caller, Depends(current_user)]


def require(role: UserRole) -> Any:
    """A dependency that gives the caller; NotAllowed unless their role covers `role`."""

    def check(caller: User) -> Caller:
        if not caller.role.covers(role):
            raise NotAllowed("Your role does not allow that.")
        return caller

    return Depends(check)


def person(caller: User) -> Caller:
    """Somebody at a browser: a program that may make passwords and tokens could make itself some, and stay."""
    if caller.token is not None:
        raise NotAllowed(message("A token cannot do that."))
    return caller


Operator = Annotated[Caller, require(UserRole.OPERATOR)]
Admin = Annotated[Caller, require(UserRole.ADMIN)]
Person = Annotated[Caller, Depends(person)]
