"""Sign-in by an OpenID provider (OpenID Connect Core 1.0, 3.1): where it is asked, and what its answers prove.

Only the configured issuer is asked: what its discovery document names elsewhere is refused, redirects are not followed,
and a proxy of the environment is not used. Codes, tokens and words of the provider are never kept, shown or logged.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from dicom_node.config import WebOidcSection
from dicom_node.errors import ConfigError, Refused
from dicom_node.tls import TlsFiles, calling_context
from dicom_node.users import ExternalUser, UserRole, name_from, new_secret
from dicom_node.web.texts import message

BACK = "/sign-in/oidc/back"
"""Where the provider sends people back to; it has to know this address."""

ALGORITHMS = ("RS256", "PS256", "ES256")
"""Of signatures: with the provider's own key, so neither `none` nor one that is made with our secret."""

TIMEOUT_S = 10.0
LARGEST_ANSWER_BYTES = 1 << 20
REMEMBERED_S = 3600.0
KEYS_AGAIN_S = 60.0
"""A key that is not known has the keys asked for again, so often and no more."""

LEEWAY_S = 60
"""How much the clocks of provider and node may differ."""

_MOST_VALUES = 1000


class Fault(StrEnum):
    """Why somebody was not let in; the words of the log and of the audit trail."""

    AWAY = "provider away"
    NOT_ITSELF = "provider misdescribed"
    OTHER_BROWSER = "other browser"
    DENIED = "denied by provider"
    CODE_REFUSED = "code refused"
    BAD_TOKEN = "token not valid"  # noqa: S105  a word
    NO_NAME = "no name"
    NO_ROLE = "no role"
    NAME_TAKEN = "name taken"
    CLOSED = "may not sign in"


SENTENCES = {
    Fault.AWAY: message("The sign-in service does not answer. Try again later, or use a password."),
    Fault.NOT_ITSELF: message("The sign-in service does not describe itself as it must. Tell an administrator."),
    Fault.OTHER_BROWSER: message("This sign-in was not begun in this browser, or is too old. Begin it again."),
    Fault.DENIED: message("The sign-in service did not let you in."),
    Fault.CODE_REFUSED: message("The sign-in service did not confirm this sign-in. Begin it again."),
    Fault.BAD_TOKEN: message("What the sign-in service said about you is not valid. Tell an administrator."),
    Fault.NO_NAME: message("The sign-in service does not say what you are called. Tell an administrator."),
    Fault.NO_ROLE: message("You have no role in this console. Ask an administrator for one."),
    Fault.NAME_TAKEN: message("Somebody else has your name in this console. Tell an administrator."),
    Fault.CLOSED: message("You may not sign in here any more. Ask an administrator."),
}


class NotSignedIn(Refused):
    """The provider, or its answer, lets nobody in. `cause`: one word for the log."""

    def __init__(self, fault: Fault, cause: str = "") -> None:
        super().__init__(SENTENCES[fault])
        self.fault, self.cause = fault, cause


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way there and back. All that ties it to its browser is computed from the secret in that browser's cookie."""

    secret: str

    @classmethod
    def new(cls) -> Attempt:
        return cls(new_secret())

    @property
    def state(self) -> str:
        return self._derived("state")

    @property
    def nonce(self) -> str:
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """43 characters (RFC 7636, 4.1)."""
        return self._derived("verifier")

    def is_of(self, state: str) -> bool:
        return hmac.compare_digest(self.state.encode(), state.encode())

    def _derived(self, what: str) -> str:
        mac = hmac.digest(self.secret.encode(), f"oidc {what}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(mac).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Vouched:
    """Of whom the provider vouches. `role` None: none of their groups stands for one."""

    user: ExternalUser
    role: UserRole | None


@dataclass(frozen=True, slots=True)
class _Addresses:
    authorization: str
    token: str
    keys: str
    secret_in_body: bool


class Provider:
    """The configured one. What it says of itself is remembered for an hour."""

    def __init__(self, settings: WebOidcSection, console_address: str) -> None:
        self._settings, self.console_address = settings, console_address
        self._addresses: tuple[_Addresses, float] | None = None
        self._keys: tuple[KeySet, float] | None = None
        self._lock = threading.Lock()

    @property
    def back(self) -> str:
        return f"{self.console_address}{BACK}"

    def way_there(self, attempt: Attempt) -> str:
        """Where the browser is sent. Raises NotSignedIn."""
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self.back,
            "scope": " ".join(self._settings.scopes),
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": create_s256_code_challenge(attempt.verifier),
            "code_challenge_method": "S256",
        }
        return f"{self._described().authorization}?{urlencode(asked)}"

    def vouched(self, code: str, attempt: Attempt, now: datetime) -> Vouched:
        """Exchange the code that came back, and read who it was. Raises NotSignedIn."""
        claims = self._claims(self._id_token(code, attempt), attempt, now)
        name, subject = claims.get(self._settings.name_claim), claims["sub"]
        if not isinstance(name, str) or not name or not isinstance(subject, str) or not subject:
            raise NotSignedIn(Fault.NO_NAME)
        role = self._settings.roles.role_of(values_at(claims, self._settings.role_claim))
        return Vouched(ExternalUser(f"oidc {self._issuer} {subject}", name_from(name)), role)

    @property
    def _issuer(self) -> str:
        return self._settings.issuer or ""

    @property
    def _client_id(self) -> str:
        return self._settings.client_id or ""

    def is_from(self, issuer: str | None) -> bool:
        """Whether an answer that names its issuer names ours (RFC 9207, 2.4)."""
        return issuer is None or issuer == self._issuer

    def _described(self) -> _Addresses:
        """OpenID Connect Discovery 1.0, 4."""
        with self._lock:
            if self._addresses is None or time.monotonic() - self._addresses[1] > REMEMBERED_S:
                found = self._read(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
                self._addresses = self._own(found), time.monotonic()
            return self._addresses[0]

    def _own(self, found: Mapping[str, Any]) -> _Addresses:
        named = [found.get(key) for key in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
        if found.get("issuer") != self._issuer:
            raise NotSignedIn(Fault.NOT_ITSELF, "issuer")
        if not all(isinstance(url, str) and self._is_there(url) for url in named):
            raise NotSignedIn(Fault.NOT_ITSELF, "addresses")
        methods = found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        in_body = isinstance(methods, list) and "client_secret_basic" not in methods and "client_secret_post" in methods
        authorization, token, keys = map(str, named)
        return _Addresses(authorization, token, keys, in_body)

    def _is_there(self, url: str) -> bool:
        """Of the issuer's scheme, host and port."""
        try:
            ours, theirs = urlsplit(self._issuer), urlsplit(url)
            same = (ours.scheme, ours.hostname, ours.port) == (theirs.scheme, theirs.hostname, theirs.port)
        except ValueError:
            return False
        return same and theirs.username is None and not theirs.query and not theirs.fragment and url.isprintable()

    def _id_token(self, code: str, attempt: Attempt) -> str:
        """OpenID Connect Core 1.0, 3.1.3; RFC 7636, 4.5."""
        addresses, secret = self._described(), self._settings.secret()
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.back,
            "client_id": self._client_id,
            "code_verifier": attempt.verifier,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if secret is not None and addresses.secret_in_body:
            fields["client_secret"] = secret.get_secret_value()
        elif secret is not None:  # RFC 6749, 2.3.1: both are form-encoded before they are joined
            pair = f"{quote(self._client_id, safe='')}:{quote(secret.get_secret_value(), safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        status, body = self._ask("POST", addresses.token, urlencode(fields).encode(), headers)
        if status != 200:
            raise NotSignedIn(Fault.AWAY if status >= 500 else Fault.CODE_REFUSED, f"HTTP_{status}")
        token = _object(body).get("id_token")
        if not isinstance(token, str):
            raise NotSignedIn(Fault.BAD_TOKEN, "no_id_token")
        return token

    def _claims(self, token: str, attempt: Attempt, now: datetime) -> Mapping[str, Any]:
        """OpenID Connect Core 1.0, 3.1.3.7: signature, issuer, audience, times, nonce."""
        try:
            try:
                signed = jwt.decode(token, self._known_keys(), algorithms=ALGORITHMS)
            except InvalidKeyIdError:
                signed = jwt.decode(token, self._known_keys(again=True), algorithms=ALGORITHMS)
            wanted = {
                "iss": {"essential": True, "value": self._issuer},
                "aud": {"essential": True, "value": self._client_id},
            }
            params = {"nonce": attempt.nonce, "client_id": self._client_id}
            claims = CodeIDToken(signed.claims, signed.header, wanted, params)
            claims.validate(now=int(now.timestamp()), leeway=LEEWAY_S)
        except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise NotSignedIn(Fault.BAD_TOKEN, type(error).__name__) from None
        return dict(claims)

    def _known_keys(self, *, again: bool = False) -> KeySet:
        """Raises NotSignedIn; JoseError, ValueError, TypeError, KeyError: they cannot be read."""
        url = self._described().keys
        with self._lock:
            age_s = None if self._keys is None else time.monotonic() - self._keys[1]
            if self._keys is None or age_s is None or age_s > (KEYS_AGAIN_S if again else REMEMBERED_S):
                self._keys = _public_keys(self._read(url)), time.monotonic()
            return self._keys[0]

    def _read(self, url: str) -> dict[str, Any]:
        status, body = self._ask("GET", url, None, {})
        if status != 200:
            raise NotSignedIn(Fault.AWAY if status >= 500 else Fault.NOT_ITSELF, f"HTTP_{status}")
        return _object(body)

    def _ask(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        parts = urlsplit(url)
        try:
            with closing(self._connection(url)) as connection:
                connection.request(method, parts.path or "/", body, {"Accept": "application/json", **headers})
                answer = connection.getresponse()
                return answer.status, answer.read(LARGEST_ANSWER_BYTES)
        except (OSError, http.client.HTTPException, ConfigError, ValueError) as error:
            raise NotSignedIn(Fault.AWAY, type(error).__name__) from None

    def _connection(self, url: str) -> http.client.HTTPConnection:
        """Raises ConfigError."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme == "https":
            context = calling_context(TlsFiles(authorities=self._settings.authorities))
            return http.client.HTTPSConnection(host, parts.port, timeout=TIMEOUT_S, context=context)
        return http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT_S)


def values_at(claims: Mapping[str, Any], place: str) -> frozenset[str]:
    """The words of a claim: a list of them or one alone. `place` is its name, or leads by dots into objects."""
    found: Any = claims.get(place)
    if found is None:
        found = claims
        for part in place.split("."):
            found = found.get(part) if isinstance(found, dict) else None
    words = found if isinstance(found, list) else [found]
    return frozenset(word for word in words[:_MOST_VALUES] if isinstance(word, str) and word)


def _public_keys(document: Mapping[str, Any]) -> KeySet:
    """Those for signatures, of the two kinds that ALGORITHMS use."""
    listed = [key for key in document["keys"] if key.get("kty") in ("RSA", "EC") and key.get("use", "sig") == "sig"]
    return KeySet.import_key_set({"keys": listed})


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise NotSignedIn(Fault.NOT_ITSELF, "no_json")
    return found
