"""Who may use the console and its REST interface, and what they may do there: no database, no clock, no HTTP.

Secrets (sessions, one-time links, tokens of programs) are 256 random bits; the database keeps their SHA-256 alone, from
which nothing can be guessed. Passwords are words of people, see passwords.py.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

NAME = r"[A-Za-z0-9._-]{1,64}"
"""What a user may be called: it stands in addresses and in the audit trail."""

TOKEN_PREFIX = "fhc_"  # noqa: S105  what a token of a program begins with, so that scanners of code find lost ones

_LOCK_FIRST = timedelta(minutes=1)
_LOCK_LONGEST = timedelta(hours=1)


class UserRole(StrEnum):
    """What somebody may do; each may also do what those before it may."""

    VIEWER = "viewer"  # look at everything, try pictures out
    OPERATOR = "operator"  # run again, send again, cancel, confirm
    ADMIN = "admin"  # peers, destinations, users

    def covers(self, needed: UserRole) -> bool:
        order = list(UserRole)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a name. `active` False: may not sign in any more, and is kept for the audit trail's sake.

    `external`: another service signs them in; they have no password here, and get their role anew each time.
    """

    id: int
    name: str
    role: UserRole
    active: bool
    has_password: bool
    locked_until: datetime | None = None
    external: bool = False


@dataclass(frozen=True, slots=True)
class ExternalUser:
    """Somebody of whom another service vouches. `key`: who it is there, for ever; `name`: what they are called here."""

    key: str
    name: str


def name_from(text: str) -> str:
    """What somebody is called here who is called `text` elsewhere: other characters become underscores (see NAME)."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)[:64]


@dataclass(frozen=True, slots=True)
class ApiToken:
    """What a program signs in with: `role` is its scope, and never counts for more than its owner's."""

    id: int
    user: str
    label: str
    role: UserRole
    created_at: datetime
    used_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a user at a browser or, with `token`, a program of theirs.

    `by_proxy`: a proxy vouches for them with each request; there is no session, nor a cookie of one.
    """

    name: str
    role: UserRole
    token: str | None = None
    by_proxy: bool = False

    @property
    def actor(self) -> str:
        """What the audit trail calls them."""
        return self.name if self.token is None else f"{self.name} ({self.token})"


def new_secret() -> str:
    """256 random bits, safe in an address and in a cookie."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What the database keeps of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def locked_for(failures: int, most: int) -> timedelta | None:
    """How long a user is locked after so many wrong passwords in a row; None: not at all."""
    if failures < most:
        return None
    return min(_LOCK_LONGEST, _LOCK_FIRST * (1 << min(failures - most, 10)))
