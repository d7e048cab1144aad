"""Whom a proxy vouches for gets in, and nobody who says the same without being that proxy."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from dicom_node.config import WebSection
from dicom_node.storage.trail import Wanted
from dicom_node.users import UserRole
from dicom_node.web.console import Console
from tests.unit.dicom_node.web.behind import PROXY, USER, by_proxy
from tests.unit.dicom_node.web.browser import Browser


def told(console: Console) -> list[tuple[str, str, str, str | None]]:
    found = [record.entry for record in console.repository.audit_trail(Wanted(), 50)]
    return [(e.event, e.actor, e.host, e.outcome) for e in found if e.event.startswith("user.")]


def test_without_the_setting_no_header_is_believed(console: Console, browser: Browser) -> None:
    assert browser.get("/", headers={USER: "jane"}).status_code == 303


def test_whom_the_proxy_names_is_in_without_a_session(console: Console) -> None:
    browser = by_proxy(console, "jane@example.org", "others, hc-operator")
    page = browser.get("/")
    assert page.status_code == 200
    assert "jane_example.org" in page.text
    assert "/sign-out" not in page.text
    assert set(browser.client.cookies) == {"__Host-fetalhc-visit"}
    browser.get("/studies")
    assert told(console) == [("user.signed_in", "jane_example.org", "198.51.100.9", None)]
    (user,) = console.repository.accounts.users()
    assert (user.external, user.has_password, user.role) == (True, False, UserRole.OPERATOR)


@pytest.mark.parametrize("peer", ["192.0.2.77", "127.0.0.1", "2001:db8::1", "198.51.100.9"])
def test_from_anywhere_else_the_header_is_nothing(console: Console, peer: str) -> None:
    browser = by_proxy(console, "jane", "hc-admin", peer)
    browser.client.headers["X-Forwarded-For"] = PROXY
    assert browser.get("/").status_code == 303
    assert console.repository.accounts.users() == ()


def test_a_visitor_cannot_call_itself_the_proxy(console: Console) -> None:
    """Whom the proxy speaks for is not who speaks."""
    browser = by_proxy(console, "", "hc-admin")
    browser.client.headers["X-Forwarded-For"] = PROXY
    assert browser.get("/").status_code == 303


def test_an_address_of_ipv4_in_ipv6_is_the_same(console: Console) -> None:
    assert by_proxy(console, "jane", "hc-viewer", f"::ffff:{PROXY}").get("/").status_code == 200


def test_who_has_no_role_is_told_so_and_loses_what_they_had(console: Console) -> None:
    browser = by_proxy(console, "jane", "hc-admin")
    assert browser.post("/me/tokens", page="/me", label="x", role="admin", days="1").status_code == 200
    refused = by_proxy(console, "jane", "others")
    answer = refused.get("/")
    assert (answer.status_code, "no role in this console" in answer.text) == (403, True)
    assert refused.get("/api/v1/studies").status_code == 403
    assert console.repository.accounts.tokens() == ()
    assert told(console).count(("user.refused", "jane", "198.51.100.9", "no role")) == 1


def test_the_role_is_taken_with_each_request(console: Console) -> None:
    browser = by_proxy(console, "jane", "hc-admin")
    assert browser.get("/users").status_code == 200
    browser.client.headers["X-Remote-Groups"] = "hc-viewer"
    assert browser.get("/users").status_code == 403


def test_nobody_takes_the_name_of_a_user_or_comes_when_closed_out(console: Console) -> None:
    accounts, now = console.repository.accounts, console.now()
    accounts.add_user("ada", UserRole.ADMIN, now)
    assert by_proxy(console, "ada", "hc-viewer").get("/").status_code == 403
    browser = by_proxy(console, "jane", "hc-viewer")
    assert browser.get("/").status_code == 200
    accounts.change_user("jane", UserRole.VIEWER, False, now)
    assert browser.get("/").status_code == 403


def test_two_names_are_none(console: Console) -> None:
    browser = by_proxy(console, "jane", "hc-viewer")
    headers = [(USER, "jane"), (USER, "ada"), ("X-Remote-Groups", "hc-viewer")]
    del browser.client.headers[USER]
    assert browser.client.get("/", headers=headers, follow_redirects=False).status_code == 403


@pytest.mark.parametrize(
    "changes",
    [
        {"behind_proxy": False},
        {"proxies": []},
        {"proxy_user": {"header": "X-User"}},
        {"proxy_user": {"header": "X-User", "groups_header": "X-Groups"}},
        {"proxy_user": {"header": "X-User", "groups_header": "X-Groups", "roles": {"admin": ["a"]}, "role": "viewer"}},
        {"proxy_user": {"header": "X-User", "roles": {"admin": ["a"]}}},
        {"proxy_user": {"header": "X_User", "role": "viewer"}},
        {"proxy_user": {"header": "Cookie", "role": "viewer"}},
        {"proxy_user": {"header": "X-U", "groups_header": "X-U", "roles": {"admin": ["a"]}}},
    ],
)
def test_a_wrong_setting_is_refused(changes: dict[str, Any]) -> None:
    right = {"behind_proxy": True, "proxy_user": {"header": "X-User", "role": "viewer"}}
    assert WebSection.model_validate(right).proxy_user.role is UserRole.VIEWER
    with pytest.raises(ValidationError):
        WebSection.model_validate(right | changes)
