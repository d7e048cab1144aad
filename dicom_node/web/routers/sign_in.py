"""Signing in and out, one-time links, and the choice of a language."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from dicom_node.passwords import LONGEST, SHORTEST, hashed, matches
from dicom_node.users import locked_for, new_secret
from dicom_node.web import access
from dicom_node.web.console import Console, console_of
from dicom_node.web.first_admin import FIRST_ADMIN, LINK_FILE
from dicom_node.web.pages import Missing, go, render
from dicom_node.web.texts import LANGUAGE_COOKIE, message
from sr_templates.language import Language

router = APIRouter(include_in_schema=False)

_YEAR_S = 31_536_000
_LONGEST_NAME = 64
NOT_KNOWN = message("Name and password do not belong together, or the user is locked for some time.")
TOO_MANY = message("Too many tries from this address. Wait a minute.")
NOT_THE_SAME = message("The two passwords differ.")
WRONG_LENGTH = message("A password has 10 to 200 characters.")

Shared = Annotated[Console, Depends(console_of)]
Text = Annotated[str, Form(max_length=1000)]


@router.get("/sign-in")
def show_sign_in(request: Request, console: Shared, next: str = "/") -> Response:  # noqa: A002  name of the field
    if request.state.caller is not None:
        return RedirectResponse(inside(next), status_code=303)
    return _form(request, console, inside(next))


@router.post("/sign-in")
def sign_in(
    request: Request,
    console: Shared,
    name: Text = "",
    password: Text = "",
    next: Text = "/",  # noqa: A002  name of the field
) -> Response:
    """The same answer for a wrong name, a wrong password and a locked user: nobody learns which names exist."""
    host, now, accounts = host_of(request), console.now(), console.repository.accounts
    if not console.throttle.allows(host):
        return _form(request, console, inside(next), TOO_MANY, 429)
    found = accounts.credentials(name[:_LONGEST_NAME])
    locked = found is not None and found.user.locked_until is not None and found.user.locked_until > now
    right = matches(None if found is None or locked else found.password_hash, password)
    if found is not None and found.user.active and right and not locked:
        secret = new_secret()
        accounts.open_session(found.user.name, secret, host, now)
        old = access.session_secret(request)
        if old:
            accounts.close_session(old)
        return _signed_in(request, secret, inside(next))
    if found is not None and not locked and found.password_hash is not None:
        lock = locked_for(found.failures + 1, console.config.web.failed_logins)
        accounts.sign_in_failed(found.user.name, host, None if lock is None else now + lock, now)
    return _form(request, console, inside(next), NOT_KNOWN, 403)


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
    if not console.throttle.allows(host_of(request)):
        return _welcome_form(request, console, secret, TOO_MANY, 429)
    if password != again:
        return _welcome_form(request, console, secret, NOT_THE_SAME, 422)
    if not SHORTEST <= len(password) <= LONGEST:
        return _welcome_form(request, console, secret, WRONG_LENGTH, 422)
    accounts, now = console.repository.accounts, console.now()
    user = accounts.use_link(secret, hashed(password), now)
    if user is None:
        raise Missing(message("This link was used already, or is too old. An administrator can make a new one."))
    if user.name == FIRST_ADMIN:
        with suppress(OSError):  # it leads nowhere any more in either case
            (console.data_dir / LINK_FILE).unlink(missing_ok=True)
    session = new_secret()
    accounts.open_session(user.name, session, host_of(request), now)
    return _signed_in(request, session, "/")


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


def _form(request: Request, console: Console, after: str, wrong: str = "", status: int = 200) -> Response:
    new = not console.repository.accounts.any_admin()
    return render(request, "sign_in.html", status, after=after, wrong=wrong, new=new, link_file=LINK_FILE)


def _welcome_form(request: Request, console: Console, secret: str, wrong: str = "", status: int = 200) -> Response:
    user = console.repository.accounts.link_owner(secret, console.now())
    if user is None:
        raise Missing(message("This link was used already, or is too old. An administrator can make a new one."))
    return render(request, "welcome.html", status, user=user, wrong=wrong, shortest=SHORTEST, longest=LONGEST)


def _signed_in(request: Request, secret: str, address: str) -> Response:
    """A new session has a new secret, whatever cookie the browser came with."""
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
