"""Users, for administrators; and everybody's own password and tokens."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response
from pydantic import AfterValidator

from dicom_node.errors import Refused
from dicom_node.passwords import LONGEST, SHORTEST, hashed, matches
from dicom_node.users import NAME, TOKEN_PREFIX, ApiToken, Caller, UserRole, new_secret
from dicom_node.web.access import Admin, Person, User, person, session_secret
from dicom_node.web.api.parameters import RowId
from dicom_node.web.console import Console, console_of
from dicom_node.web.first_admin import LINK_LASTS, link_address
from dicom_node.web.pages import NotAllowed, go, render
from dicom_node.web.routers.sign_in import NOT_THE_SAME, TOO_MANY, WRONG_LENGTH, host_of
from dicom_node.web.texts import message
from dicom_node.web.throttle import network_of

router = APIRouter(include_in_schema=False)

ONLY_PEOPLE = (Depends(person),)
BAD_NAME = message("A name has 1 to 64 letters, digits, dots, hyphens or underscores.")
OLD_IS_WRONG = message("The old password is not that.")
PASSWORD_SET = message("The password was changed. All other sessions have ended.")

Shared = Annotated[Console, Depends(console_of)]
Text = Annotated[str, Form(max_length=1000)]


def printable(text: str) -> str:
    """It is shown on terminals too, which obey some characters."""
    if not text.isprintable():
        raise ValueError("only characters that can be seen")
    return text


@router.get("/users", dependencies=ONLY_PEOPLE)
def users(request: Request, console: Shared, caller: Admin) -> Response:
    return _users(request, console, caller)


@router.post("/users", dependencies=ONLY_PEOPLE)
def add_user(
    request: Request, console: Shared, caller: Admin, name: Text, role: Annotated[UserRole, Form()]
) -> Response:
    """Somebody new; the page shows the link with which they set their password, once."""
    if not re.fullmatch(NAME, name):
        return _users(request, console, caller, wrong=BAD_NAME, status=422)
    console.acting_as(caller).accounts.add_user(name, role, console.now())
    return _with_link(request, console, caller, name)


@router.post("/users/{name}/role", dependencies=ONLY_PEOPLE)
def change_user(  # noqa: PLR0913, PLR0917  parts of the request
    request: Request,
    console: Shared,
    caller: Admin,
    name: str,
    role: Annotated[UserRole, Form()],
    active: Annotated[bool, Form()] = False,
) -> Response:
    if name == caller.name:
        raise Refused(message("Ask another administrator to change your own role."))
    console.acting_as(caller).accounts.change_user(name, role, active, console.now())
    return go(request, "/users")


@router.post("/users/{name}/link", dependencies=ONLY_PEOPLE)
def new_link(request: Request, console: Shared, caller: Admin, name: str) -> Response:
    """A one-time link for somebody who has no password, or forgot it."""
    return _with_link(request, console, caller, name)


def _with_link(request: Request, console: Console, caller: Caller, name: str) -> Response:
    secret, now = new_secret(), console.now()
    console.acting_as(caller).accounts.add_link(name, secret, now + LINK_LASTS, now)
    return _users(request, console, caller, link=(name, link_address(console.config, secret)))


def _users(  # noqa: PLR0913, PLR0917  what the page may show
    request: Request,
    console: Console,
    caller: Caller,
    link: tuple[str, str] | None = None,
    wrong: str = "",
    status: int = 200,
) -> Response:
    accounts = console.repository.accounts
    return render(
        request,
        "users.html",
        status,
        users=accounts.users(),
        tokens=accounts.tokens(),
        roles=tuple(UserRole),
        link=link,
        wrong=wrong,
        now=console.now(),
    )


@router.post("/tokens/{token_id}/remove")
def remove_token(request: Request, console: Shared, caller: Person, token_id: RowId) -> Response:
    """One's own; an administrator's reach is everybody's."""
    admin = caller.role.covers(UserRole.ADMIN)
    console.acting_as(caller).accounts.remove_token(token_id, None if admin else caller.name, console.now())
    return go(request, "/me")


@router.get("/me")
def me(request: Request, console: Shared, caller: User) -> Response:
    return _me(request, console, caller)


@router.post("/me/password")
def change_password(  # noqa: PLR0913, PLR0917  fields of the form
    request: Request, console: Shared, caller: Person, old: Text, password: Text, again: Text
) -> Response:
    accounts, now = console.acting_as(caller).accounts, console.now()
    if not console.doors.addresses.allows(network_of(host_of(request))):
        return _me(request, console, caller, wrong=TOO_MANY, status=429)
    found = accounts.credentials(caller.name)
    with console.doors.places.one():
        right = found is not None and matches(found.password_hash, old)
    if not right:
        accounts.sign_in_refused(caller.name, host_of(request), "wrong old password", now)
        return _me(request, console, caller, wrong=OLD_IS_WRONG, status=403)
    if password != again or not SHORTEST <= len(password) <= LONGEST:
        wrong = NOT_THE_SAME if password != again else WRONG_LENGTH
        return _me(request, console, caller, wrong=wrong, status=422)
    with console.doors.places.one():
        password_hash = hashed(password)
    accounts.set_password(caller.name, password_hash, now, keep=session_secret(request))
    return _me(request, console, caller, done=PASSWORD_SET)


@router.post("/me/tokens")
def add_token(  # noqa: PLR0913, PLR0917  fields of the form
    request: Request,
    console: Shared,
    caller: Person,
    label: Annotated[str, Form(min_length=1, max_length=64), AfterValidator(printable)],
    role: Annotated[UserRole, Form()],
    days: Annotated[int, Form(ge=0, le=3650)] = 365,
) -> Response:
    """For a program; shown once. None may more than its owner."""
    if not caller.role.covers(role):
        raise NotAllowed
    now, secret = console.now(), TOKEN_PREFIX + new_secret()
    wanted = ApiToken(0, caller.name, label, role, now, None, now + timedelta(days=days) if days else None)
    console.acting_as(caller).accounts.add_token(caller.name, wanted, secret, now)
    return _me(request, console, caller, secret=secret)


def _me(  # noqa: PLR0913  what the page may show
    request: Request,
    console: Console,
    caller: Caller,
    *,
    wrong: str = "",
    done: str = "",
    secret: str = "",
    status: int = 200,
) -> Response:
    found = console.repository.accounts.credentials(caller.name)
    own = [token for token in console.repository.accounts.tokens() if token.user == caller.name]
    roles = [role for role in UserRole if caller.role.covers(role)]
    return render(
        request,
        "me.html",
        status,
        tokens=own,
        external=found is not None and found.user.external,
        roles=roles,
        wrong=wrong,
        done=done,
        secret=secret,
        shortest=SHORTEST,
        longest=LONGEST,
    )
