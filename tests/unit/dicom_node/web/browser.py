"""A browser of the tests: cookies, forms with their CSRF token, and users to sign in as."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from html import unescape

from fastapi.testclient import TestClient
from httpx import Response

from dicom_node.passwords import hashed
from dicom_node.users import UserRole
from dicom_node.web.application import build_app
from dicom_node.web.console import Console

START = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
PASSWORD = "three words here"  # noqa: S105  of every user of the tests
NAMES = {UserRole.VIEWER: "vera", UserRole.OPERATOR: "oskar", UserRole.ADMIN: "ada"}


@cache
def password_hash() -> str:
    """Made once: argon2 is slow on purpose."""
    return hashed(PASSWORD)


@dataclass
class Clock:
    """A clock that a test moves."""

    at: datetime = field(default=START)

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **by: float) -> None:
        self.at += timedelta(**by)


class Browser:
    """One browser at a console."""

    def __init__(self, console: Console, address: str = "http://127.0.0.1:8080") -> None:
        self.console = console
        self.client = TestClient(build_app(console), base_url=address, raise_server_exceptions=False)

    def get(self, path: str, **kwargs: object) -> Response:
        return self.client.get(path, follow_redirects=False, **kwargs)  # type: ignore[arg-type]

    def token(self, path: str = "/sign-in") -> str:
        """The CSRF token that a page of this browser carries."""
        found = re.search(r'"X-CSRF-Token": "([^"]+)"', unescape(self.client.get(path).text))
        assert found is not None
        return found[1]

    def post(self, path: str, page: str = "/sign-in", **fields: object) -> Response:
        """Send a form as the page `page` of this browser would."""
        data = {"csrf": self.token(page), **fields}
        return self.client.post(path, data=data, follow_redirects=False)  # type: ignore[arg-type]

    def sign_in(self, role: UserRole) -> Browser:
        """As a user of that role, who is made if need be."""
        accounts, name = self.console.repository.accounts, NAMES[role]
        if accounts.credentials(name) is None:
            accounts.add_user(name, role, self.console.now())
            accounts.set_password(name, password_hash(), self.console.now())
        assert self.post("/sign-in", name=name, password=PASSWORD).status_code == 303
        return self

    def sign_in_admin(self) -> Browser:
        return self.sign_in(UserRole.ADMIN)
