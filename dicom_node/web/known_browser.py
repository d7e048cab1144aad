"""Which browser somebody has signed in with before: wrong passwords from elsewhere never shut that one out.

Without this whoever guesses passwords for a name keeps its owner locked out. The cookie has a random number of the
browser and, for each user who signed in with it, a code that is computed from their stored password: nothing more is
kept anywhere, another password ends it, and it opens nothing. Whoever steals it may guess as slowly as its owner.
(Device cookies, as OWASP describes them.)
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import Response

from dicom_node.storage.accounts import Credentials
from dicom_node.users import new_secret
from dicom_node.web.console import console_of

MOST_USERS = 8
"""Of a browser that several people share; the longest silent one is forgotten first."""

_YEAR_S = 31_536_000
_NUMBER = 43
_SEPARATOR = "."


@dataclass(frozen=True, slots=True)
class KnownBrowser:
    """`number`: 256 random bits of this browser; `codes`: of those who signed in with it, the last one first."""

    number: str
    codes: tuple[str, ...] = ()

    def knows(self, user: Credentials | None) -> bool:
        if user is None or user.password_hash is None:
            return False
        wanted = self._code(user)
        return any(hmac.compare_digest(code.encode(), wanted.encode()) for code in self.codes)

    def having(self, user: Credentials) -> KnownBrowser:
        """After this user has signed in."""
        code = self._code(user)
        others = [known for known in self.codes if known != code]
        return KnownBrowser(self.number, (code, *others)[:MOST_USERS])

    def _code(self, user: Credentials) -> str:
        key = hashlib.sha256((user.password_hash or "").encode()).digest()
        mac = hmac.digest(key, f"known browser {user.user.id} {self.number}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(mac).decode().rstrip("=")


def of_request(request: Request) -> KnownBrowser:
    """What its cookie says; without a proper one it is a browser that knows nobody."""
    number, *codes = request.cookies.get(_cookie(request), "").split(_SEPARATOR)
    if len(number) != _NUMBER or not number.isascii():
        return KnownBrowser(new_secret())
    return KnownBrowser(number, tuple(codes[:MOST_USERS]))


def remember(request: Request, answer: Response, browser: KnownBrowser) -> None:
    value = _SEPARATOR.join((browser.number, *browser.codes))
    secure = console_of(request).config.web.secure
    answer.set_cookie(_cookie(request), value, _YEAR_S, httponly=True, secure=secure, samesite="strict", path="/")


def _cookie(request: Request) -> str:
    return "__Host-fetalhc-known" if console_of(request).config.web.secure else "fetalhc-known"
