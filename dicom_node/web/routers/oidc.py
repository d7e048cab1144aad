"""The way to the OpenID provider and back; see oidc.py for what is checked."""

from __future__ import annotations

import base64
import logging
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response

from dicom_node.storage.accounts import NameTaken
from dicom_node.users import User, new_secret
from dicom_node.web import access
from dicom_node.web.console import Console, console_of
from dicom_node.web.oidc import SENTENCES, Attempt, Fault, NotSignedIn, Provider, Vouched
from dicom_node.web.pages import Missing
from dicom_node.web.routers.sign_in import TOO_MANY, host_of, inside, sign_in_form, signed_in
from dicom_node.web.throttle import network_of

_log = logging.getLogger(__name__)

router = APIRouter(include_in_schema=False)

LASTS_S = 600
"""How long somebody may take at the provider."""

_LONGEST_ADDRESS = 500
_LONGEST_CODE = 8000

Shared = Annotated[Console, Depends(console_of)]
Parameter = Annotated[str | None, Query(max_length=_LONGEST_CODE)]


def provider(console: Shared) -> Provider:
    """Raises Missing: nobody but passwords signs people in."""
    if console.provider is None:
        raise Missing
    return console.provider


Known = Annotated[Provider, Depends(provider)]


@router.get("/sign-in/oidc")
def go_there(request: Request, console: Shared, known: Known, next: str = "/") -> Response:  # noqa: A002
    """A link and no form: a form's `form-action` would keep the browser from the provider."""
    if not console.doors.addresses.allows(network_of(host_of(request))):
        return sign_in_form(request, console, "/", TOO_MANY, 429)
    attempt, after = Attempt.new(), inside(next)
    try:
        with console.doors.places_of_others.one():
            answer = RedirectResponse(known.way_there(attempt), status_code=303)
    except NotSignedIn as error:
        return _refused(request, console, error)
    kept = base64.urlsafe_b64encode(after.encode()[:_LONGEST_ADDRESS]).decode()
    secure = console.config.web.secure
    value = f"{attempt.secret}.{kept}"  # Lax: the way back begins at another site
    answer.set_cookie(_cookie(request), value, LASTS_S, httponly=True, secure=secure, samesite="lax", path="/")
    return answer


@router.get("/sign-in/oidc/back")
def come_back(  # noqa: PLR0913, PLR0917  what a provider may say
    request: Request,
    console: Shared,
    known: Known,
    state: Parameter = None,
    code: Parameter = None,
    error: Parameter = None,
    iss: Parameter = None,
) -> Response:
    """The attempt's cookie ends here, whatever comes of it."""
    if not console.doors.addresses.allows(network_of(host_of(request))):
        return sign_in_form(request, console, "/", TOO_MANY, 429)
    attempt, after = _begun(request)
    if attempt is None or state is None or not attempt.is_of(state):
        return _refused(request, console, NotSignedIn(Fault.OTHER_BROWSER))
    try:
        if error is not None or code is None or not known.is_from(iss):
            raise NotSignedIn(Fault.DENIED)
        with console.doors.places_of_others.one():
            vouched = known.vouched(code, attempt, console.now())
        answer = _let_in(request, console, vouched, after)
    except NotSignedIn as refusal:
        answer = _refused(request, console, refusal)
    answer.delete_cookie(_cookie(request), path="/", secure=console.config.web.secure, httponly=True)
    return answer


def _let_in(request: Request, console: Console, vouched: Vouched, after: str) -> Response:
    """Raises NotSignedIn."""
    user, secret = _user(request, console, vouched), new_secret()
    accounts, old = console.repository.accounts, access.session_secret(request)
    accounts.open_session(user.name, secret, host_of(request), console.now())
    if old:
        accounts.close_session(old)
    return signed_in(request, secret, after)


def _user(request: Request, console: Console, vouched: Vouched) -> User:
    """Raises NotSignedIn, and writes down whom it was about."""
    accounts, now, host = console.repository.accounts, console.now(), host_of(request)
    if vouched.role is None:
        name = accounts.external_lost(vouched.user, now)
        accounts.sign_in_refused(name or vouched.user.name, host, Fault.NO_ROLE, now)
        raise NotSignedIn(Fault.NO_ROLE)
    try:
        user = accounts.external_user(vouched.user, vouched.role, now)
    except NameTaken:
        accounts.sign_in_refused(None, host, Fault.NAME_TAKEN, now)
        raise NotSignedIn(Fault.NAME_TAKEN) from None
    if not user.active:
        accounts.sign_in_refused(user.name, host, Fault.CLOSED, now)
        raise NotSignedIn(Fault.CLOSED)
    return user


_WRITTEN_DOWN = frozenset({Fault.NO_ROLE, Fault.NAME_TAKEN, Fault.CLOSED})
"""Already, with a name."""


def _refused(request: Request, console: Console, error: NotSignedIn) -> Response:
    _log.warning("web.oidc_refused", extra={"reason": error.fault.name.lower(), "cause": error.cause or None})
    if error.fault not in _WRITTEN_DOWN and console.doors.noted.allows(""):
        console.repository.accounts.sign_in_refused(None, host_of(request), error.fault, console.now())
    status = 503 if error.fault in (Fault.AWAY, Fault.NOT_ITSELF) else 403
    return sign_in_form(request, console, "/", SENTENCES[error.fault], status)


def _begun(request: Request) -> tuple[Attempt | None, str]:
    """What this browser began, and where it wanted to go."""
    secret, _, kept = request.cookies.get(_cookie(request), "").partition(".")
    try:
        after = base64.urlsafe_b64decode(kept).decode()
    except ValueError:
        after = "/"
    return (Attempt(secret) if secret else None), inside(after)


def _cookie(request: Request) -> str:
    return "__Host-fetalhc-oidc" if console_of(request).config.web.secure else "fetalhc-oidc"
