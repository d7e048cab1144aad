"""One signed document by HTTP POST. Only the configured address is asked: redirects are not followed."""

from __future__ import annotations

import hashlib
import hmac
import http.client
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from dicom_node.errors import ConfigError
from dicom_node.mail import NotSent
from dicom_node.tls import TlsFiles, calling_context

TIMEOUT_S = 20.0
TIME_HEADER = "X-FetalHC-Time"
SIGNATURE_HEADER = "X-FetalHC-Signature"


@dataclass(frozen=True, slots=True)
class Hook:
    """Where documents go. `secret`: what they are signed with; None: they are not."""

    url: str
    secret: SecretStr | None = field(default=None, repr=False)
    authorities: Path | None = None


def post(hook: Hook, body: bytes, at_s: int) -> None:
    """Raises NotSent: nobody took it with a status of 200 to 299. `at_s`: seconds since 1970, signed too."""
    parts = urlsplit(hook.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Content-Type": "application/json", TIME_HEADER: str(at_s)}
    if hook.secret is not None:
        headers[SIGNATURE_HEADER] = f"sha256={signature(hook.secret, body, at_s)}"
    try:
        with closing(_connection(hook)) as connection:
            connection.request("POST", target, body, headers)
            status = connection.getresponse().status
    except (OSError, http.client.HTTPException, ConfigError, ValueError) as error:
        raise NotSent(f"the address of the webhook was not reached ({type(error).__name__})") from error
    if not 200 <= status < 300:
        raise NotSent(f"the address of the webhook answered {status}")


def signature(secret: SecretStr, body: bytes, at_s: int) -> str:
    """HMAC-SHA-256 (RFC 2104) in hexadecimal of the time, a full stop and the body: an old one cannot be used again."""
    return hmac.new(secret.get_secret_value().encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()


def _connection(hook: Hook) -> http.client.HTTPConnection:
    parts = urlsplit(hook.url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        context = calling_context(TlsFiles(authorities=hook.authorities))
        return http.client.HTTPSConnection(host, parts.port, timeout=TIMEOUT_S, context=context)
    return http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT_S)
