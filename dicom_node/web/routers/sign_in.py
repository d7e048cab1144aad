"""Signing in and out, one-time links, and the choice of a language."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from dicom_node.passwords import LONGEST, SHORTEST, hashed, matches
from dicom_node.storage.accounts import Credentials
from dicom_node.users import User, locked_for, new_secret
from dicom_node.web import access, known_browser
from dicom_node.web.console import Console, console_of
from dicom_node.web.first_admin import FIRST_ADMIN, LINK_FILE
from dicom_node.web.pages import Missing, go, render
from dicom_node.web.texts import LANGUAGE_COOKIE, message
from dicom_node.web.throttle import network_of
from sr_templates.language import Language

router = APIRouter(include_in_schema=False)

_YEAR_S = 31_536_000
_LONGEST_NAME = 64
NOT_KNOWN = message("Name and password do not belong together, or the user is locked for some time.")
TOO_MANY = message("Too many tries from this address. Wait a minute.")
NOT_THE_SAME = message("The two passwords differ.")
WRONG_LENGTH = message("A password has 10 to 200 characters.")
LINK_GONE = message("This link was used already, or is too old. An administrator can make a new one.")

Shared = Annotated[Console, Depends(console_of)]
Text = Annotated[str, Form(max_length=1000)]


@router.get("/sign-in")
def show_sign_in(request: Request, console: Shared, next: str = "/") -> Response:  # noqa: A002  name of the field
    if request.state.caller is not None:
        return RedirectResponse(inside(next), status_code=303)
    return sign_in_form(request, console, inside(next))


@router.post("/sign-in")
def sign_in(
    request: Request,
    console: Shared,
    name: Text = "",
    password: Text = "",
    next: Text = "/",  # noqa: A002  name of the field
) -> Response:
    """The same answer for a wrong name, a wrong password and a locked user: nobody learns which names exist."""
    host, now, accounts, doors = host_of(request), console.now(), console.repository.accounts, console.doors
    browser, found = known_browser.of_request(request), accounts.credentials(name[:_LONGEST_NAME])
    known = browser.knows(found)
    if not (doors.known.allows(f"{browser.number} {name}") if known else doors.lets_stranger_try(host, name)):
        return sign_in_form(request, console, inside(next), TOO_MANY, 429)
    locked = found is not None and not known and _is_locked(found.user, now)
    with (doors.places_of_known if known else doors.places).one():
        right = matches(None if found is None or locked else found.password_hash, password)
    if found is not None and found.user.active and right and not locked:
        return _enter(request, console, found, inside(next))
    if found is not None and not known and not locked and found.password_hash is not None:
        lock = locked_for(found.failures + 1, console.config.web.failed_logins)
        accounts.sign_in_failed(found.user.name, host, None if lock is None else now + lock, now)
    elif doors.noted.allows(""):  # also so that all refusals take the same time
        accounts.sign_in_refused(None if found is None else found.user.name, host, "refused", now)
    return sign_in_form(request, console, inside(next), NOT_KNOWN, 403)


def _is_locked(user: User, now: datetime) -> bool:
    return user.locked_until is not None and user.locked_until > now


def _enter(request: Request, console: Console, user: Credentials, address: str) -> Response:
    """A new session has a new secret, whatever cookie the browser came with; the old session ends."""
    accounts, secret = console.repository.accounts, new_secret()
    accounts.open_session(user.user.name, secret, host_of(request), console.now())
    old = access.session_secret(request)
    if old:
        accounts.close_session(old)
    answer = signed_in(request, secret, address)
    known_browser.remember(request, answer, known_browser.of_request(request).having(user))
    return answer


@router.post("/sign-out")
def sign_out(request: Request, console: Shared) -> Response:
    secret = access.session_secret(request)
    if secret:
        console.repository.accounts.close_session(secret)
    answer = go(request, "/sign-in")
    answer.delete_cookie(access.session_cookie(request), path="/", secure=console.config.web.secure, httponly=True)
    return answer


@router.get("/welcome/{secret}")
def show_welcome(request: Request, console: Shared, secret: str) -> Response:
    return _welcome_form(request, console, secret)


@router.post("/welcome/{secret}")
def welcome(request: Request, console: Shared, secret: str, password: Text = "", again: Text = "") -> Response:
    """Set a password by a one-time link, and be signed in."""
    accounts, now = console.repository.accounts, console.now()
    if not console.doors.addresses.allows(network_of(host_of(request))):
        return _welcome_form(request, console, secret, TOO_MANY, 429)
    if accounts.link_owner(secret, now) is None:  # before anything is computed for it
        raise Missing(LINK_GONE)
    if password != again:
        return _welcome_form(request, console, secret, NOT_THE_SAME, 422)
    if not SHORTEST <= len(password) <= LONGEST:
        return _welcome_form(request, console, secret, WRONG_LENGTH, 422)
    with console.doors.places.one():
        password_hash = hashed(password)
    user = accounts.use_link(secret, password_hash, now)
    found = None if user is None else accounts.credentials(user.name)
    if user is None or found is None:
        raise Missing(LINK_GONE)
    if user.name == FIRST_ADMIN:
        with suppress(OSError):  # it leads nowhere any more in either case
            (console.data_dir / LINK_FILE).unlink(missing_ok=True)
    return _enter(request, console, found, "/")


@router.get("/language/{language}")
def choose_language(request: Request, console: Shared, language: Language, next: str = "/") -> Response:  # noqa: A002
    answer = RedirectResponse(inside(next), status_code=303)
    secure = console.config.web.secure
    answer.set_cookie(LANGUAGE_COOKIE, language.value, _YEAR_S, httponly=True, secure=secure, samesite="lax", path="/")
    return answer


def inside(address: str) -> str:
    """The address if it leads to this console, else its first page: no link to us may send people elsewhere."""
    plain = address.startswith("/") and not address.startswith("//")
    return address if plain and "\\" not in address and address.isprintable() else "/"


def host_of(request: Request) -> str:
    return request.client.host if request.client is not None else "unknown"


def sign_in_form(request: Request, console: Console, after: str, wrong: str = "", status: int = 200) -> Response:
    new = not console.repository.accounts.any_admin()
    known = console.provider
    there = None if known is None else f"{known.console_address}/sign-in/oidc?{urlencode({'next': after})}"
    return render(request, "sign_in.html", status, after=after, wrong=wrong, new=new, there=there, link_file=LINK_FILE)


def _welcome_form(request: Request, console: Console, secret: str, wrong: str = "", status: int = 200) -> Response:
    user = console.repository.accounts.link_owner(secret, console.now())
    if user is None:
        raise Missing(LINK_GONE)
    return render(request, "welcome.html", status, user=user, wrong=wrong, shortest=SHORTEST, longest=LONGEST)


def signed_in(request: Request, secret: str, address: str) -> Response:
    console = console_of(request)
    answer = RedirectResponse(address, status_code=303)
    answer.set_cookie(
        access.session_cookie(request),
        secret,
        int(console.lifetime.longest.total_seconds()),
        httponly=True,
        secure=console.config.web.secure,
        samesite="lax",
        path="/",
    )
    answer.delete_cookie(access.visit_cookie(request), path="/", secure=console.config.web.secure, httponly=True)
    return answer
