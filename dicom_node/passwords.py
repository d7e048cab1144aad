"""Passwords of people: argon2id with the parameters that its library recommends (RFC 9106, 4)."""

from __future__ import annotations

import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from dicom_node.errors import Refused

SHORTEST = 10
LONGEST = 200
"""Characters; without an upper limit one request could keep a processor busy."""

_hasher = PasswordHasher()


def hashed(password: str) -> str:
    """What is stored of a password, with a salt of its own.

    Raises:
        Refused: it is too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise Refused(f"A password has {SHORTEST} to {LONGEST} characters.")
    return _hasher.hash(password)


def matches(stored: str | None, password: str) -> bool:
    """Whether the password is the one.

    Takes as long where there is none to compare with: nobody learns by waiting which names exist.
    """
    if len(password) > LONGEST:
        return False
    try:
        return _hasher.verify(_nobodys() if stored is None else stored, password) and stored is not None
    except (VerificationError, InvalidHashError):
        return False


@cache
def _nobodys() -> str:
    return _hasher.hash(secrets.token_urlsafe())
