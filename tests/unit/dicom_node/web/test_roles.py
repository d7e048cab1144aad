"""Who may ask what: every route of the application, by every kind of caller. A new route is in here by itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from dicom_node.users import UserRole
from dicom_node.web import access
from dicom_node.web.application import build_app
from dicom_node.web.console import Console
from dicom_node.web.gate import is_public
from tests.unit.dicom_node.web.behind import by_proxy
from tests.unit.dicom_node.web.browser import Browser
from tests.unit.dicom_node.web.filled import Program, measured, program

ADMIN, OPERATOR, VIEWER = UserRole.ADMIN, UserRole.OPERATOR, UserRole.VIEWER
EVERYBODY = frozenset(
    {
        ("GET", "/sign-in"),
        ("POST", "/sign-in"),
        ("GET", "/sign-in/oidc"),
        ("GET", "/sign-in/oidc/back"),
        ("POST", "/sign-out"),
        ("GET", "/welcome/{secret}"),
        ("POST", "/welcome/{secret}"),
        ("GET", "/language/{language}"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/api/v1/openapi.json"),
    }
)
"""Routes without a role of their own; the gate decides about the last and about signing out."""

RULES = (
    ("", "/setup", ADMIN),
    ("", "/users", ADMIN),
    ("", "/api/v1/audit", ADMIN),
    ("", "/api/v1/users", ADMIN),
    ("", "/api/v1/entries", ADMIN),
    ("POST", "/api/v1/peers", ADMIN),
    ("DELETE", "/api/v1/peers", ADMIN),
    ("POST", "/api/v1/destinations", ADMIN),
    ("DELETE", "/api/v1/destinations", ADMIN),
    ("POST", "/api/v1/refusals", ADMIN),
    ("POST", "/api/v1/fhir-posts", OPERATOR),
    ("POST", "/work", OPERATOR),
    ("POST", "/api/v1/jobs", OPERATOR),
    ("POST", "/api/v1/deliveries", OPERATOR),
    ("POST", "/api/v1/measure", VIEWER),
    ("POST", "/try", VIEWER),
    ("POST", "/me", VIEWER),
    ("POST", "/tokens", VIEWER),
    ("POST", "/studies", VIEWER),
    ("POST", "/instances", VIEWER),
    ("GET", "/", VIEWER),
)
"""The first that fits, by the beginning of the address. What changes something fits none by itself."""

FOR_PEOPLE = ("/users", "/me/password", "/me/tokens", "/tokens")
"""Where passwords and tokens are made: no program, whatever its token's scope."""


@dataclass(frozen=True)
class Asked:
    method: str
    path: str

    @property
    def address(self) -> str:
        """With ids that are in no database."""
        known = {"language": "de", "kind": "peer", "what": "retry", "study": "1.9", "series": "1.9", "instance": "1.9"}
        known |= {"study_instance_uid": "1.9", "frames": "1", "tag": "00420011", "number": "1", "name": "nobody"}
        return re.sub(r"\{(\w+)(:path)?\}", lambda found: known.get(found[1], "2147483000"), self.path)

    @property
    def role(self) -> UserRole:
        for method, beginning, role in RULES:
            if method in ("", self.method) and self.path.startswith(beginning):
                return role
        raise AssertionError(f"{self.method} {self.path}: RULES does not say who may")


def routes_of(app: FastAPI) -> Iterator[tuple[Asked, Dependant]]:
    for part in app.routes:
        router = getattr(part, "original_router", None)  # what include_router leaves
        for route in [part] if router is None else router.routes:
            if isinstance(route, APIRoute):
                for method in sorted(route.methods - {"HEAD"}):
                    yield Asked(method, route.path), route.dependant
            else:
                assert route.path in ("/static", "/api/v1/openapi.json"), "a route of a kind that is not looked at here"


def asks_who(dependant: Dependant) -> bool:
    return dependant.call is access.current_user or any(map(asks_who, dependant.dependencies))


def signed_in(console: Console, role: UserRole) -> Program:
    """A browser with its CSRF token at hand."""
    browser = Browser(console).sign_in(role)
    return Program(browser, {"X-CSRF-Token": browser.token("/me")})


def proxied(console: Console, role: UserRole) -> Program:
    """A browser of whom a proxy says who it is, without any session."""
    browser = by_proxy(console, f"proxied-{role}", f"hc-{role}")
    return Program(browser, {"X-CSRF-Token": browser.token("/me")})


def status_of(who: Program, asked: Asked) -> int:
    client = who.browser.client
    return client.request(asked.method, asked.address, headers=who.headers, follow_redirects=False).status_code


@pytest.fixture
def filled(console: Console) -> Console:
    measured(console)
    console.stop.set()  # streams of events end at once
    return console


def test_every_route_asks_who(console: Console) -> None:
    """By itself, behind the gate: should the gate ever be led astray, nobody gets further."""
    found = list(routes_of(build_app(console)))
    assert len(found) > 70
    without = {(asked.method, asked.path) for asked, dependant in found if not asks_who(dependant)}
    assert without <= EVERYBODY


def test_every_route_answers_those_who_may_and_no_others(filled: Console) -> None:
    callers = [(role, True, signed_in(filled, role)) for role in UserRole]
    callers += [(role, False, program(filled, role)) for role in UserRole]
    callers += [(role, True, proxied(filled, role)) for role in UserRole]
    wrong = []
    for asked, dependant in routes_of(build_app(filled)):
        for role, is_person, who in callers if asks_who(dependant) else ():
            may = role.covers(asked.role) and (is_person or not asked.path.startswith(FOR_PEOPLE))
            status = status_of(who, asked)
            if (status in (401, 403)) is may or status >= 500:
                wrong.append((asked, role, is_person, status))
    assert wrong == []


def test_nobody_gets_anything_but_the_sign_in(filled: Console) -> None:
    nobody = Browser(filled)
    for asked, _dependant in routes_of(build_app(filled)):
        if is_public(asked.path.partition("{")[0]) or is_public(asked.path):
            continue
        answer = nobody.client.request(asked.method, asked.address, follow_redirects=False)
        assert answer.status_code in (303, 401), asked
        assert len(answer.content) < 300
    for path in ("/docs", "/redoc", "/openapi.json", "/no/such/page", "/static/../studies", "//studies"):
        assert nobody.get(path).status_code in (303, 404), path


def test_nothing_changes_without_the_token_of_the_page(filled: Console) -> None:
    """CSRF: every route that is not only read, without a token and with that of somebody else."""
    victim, other = Browser(filled).sign_in(ADMIN), Browser(filled).sign_in(VIEWER).token("/me")
    asked_for = [asked for asked, _ in routes_of(build_app(filled)) if asked.method != "GET"]
    assert len(asked_for) > 25
    vouched_for = proxied(filled, ADMIN).browser
    nothing = base64.urlsafe_b64encode(hmac.digest(b"", b"csrf", hashlib.sha256)).decode().rstrip("=")
    for asked in asked_for:
        for headers in ({}, {"X-CSRF-Token": other}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": nothing}):
            for client in (victim.client, vouched_for.client):
                answer = client.request(asked.method, asked.address, headers=headers, follow_redirects=False)
                assert answer.status_code == 403, asked
    assert victim.get("/").status_code == vouched_for.get("/").status_code == 200


def test_what_belongs_to_one_is_not_anothers(filled: Console) -> None:
    """Ids of tokens are counted up: whoever guesses one can do nothing with it."""
    owner, other = Browser(filled).sign_in(ADMIN), Browser(filled).sign_in(OPERATOR)
    assert owner.post("/me/tokens", page="/me", label="mine", role="admin", days="1").status_code == 200
    (token,) = filled.repository.accounts.tokens()
    assert other.post(f"/tokens/{token.id}/remove", page="/me").status_code == 409
    assert len(filled.repository.accounts.tokens()) == 1


def test_no_program_makes_itself_a_user(filled: Console) -> None:
    """A token that was stolen ends with the token."""
    thief = program(filled, ADMIN)
    for path, form in (
        ("/users", {"name": "eve", "role": "admin"}),
        ("/users/ada/link", {}),
        ("/users/ada/role", {"role": "admin", "active": "true"}),
        ("/me/password", {"old": "x", "password": "y" * 12, "again": "y" * 12}),
        ("/me/tokens", {"label": "more", "role": "admin"}),
    ):
        assert thief.post(path, data=form).status_code == 403, path
    assert "eve" not in {user.name for user in filled.repository.accounts.users()}
