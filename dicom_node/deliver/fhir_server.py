"""One request to a FHIR server (HL7 FHIR R4, 3.1.0.11): a transaction, and what its answer means.

Only the configured address is asked: redirects are not followed, and a proxy of the environment is not used. Words of
the server are not kept: they may quote the patient.
"""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from dicom_node.errors import ConfigError, DestinationRefused, DestinationUnreachable
from dicom_node.tls import TlsFiles, calling_context

KIND = "application/fhir+json"
LARGEST_ANSWER_BYTES = 1 << 20
_REFUSES_THIS = frozenset({400, 406, 409, 412, 413, 415, 422})
"""What another try would not change."""


@dataclass(frozen=True, slots=True)
class FhirServer:
    """Where, what is shown, who may have signed its certificate, and how long each answer is waited for, in seconds."""

    url: str
    authorization_file: Path | None
    authorities: Path | None
    timeout_s: float

    def post(self, transaction: Mapping[str, Any]) -> str:
        """Send a transaction; what the server said, in a few words of ours.

        Raises:
            DestinationRefused: it will never take this.
            DestinationUnreachable: it is not there, cannot now, does not know us, or its answer says nothing.
        """
        body = json.dumps(transaction).encode()
        asked = urllib.request.Request(self.url.rstrip("/"), body, self._headers(), method="POST")  # noqa: S310
        try:
            with self._opener().open(asked, timeout=self.timeout_s) as answer:
                return _taken(answer.status, answer.read(LARGEST_ANSWER_BYTES), len(transaction["entry"]))
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in _REFUSES_THIS:
                raise DestinationRefused(f"The FHIR server refused it: {_named(error.code)}.") from None
            raise DestinationUnreachable(f"The FHIR server did not take it: {_named(error.code)}.") from None
        except urllib.error.URLError as error:
            raise DestinationUnreachable(f"The FHIR server cannot be reached ({_why(error.reason)}).") from None
        except (OSError, http.client.HTTPException) as error:
            raise DestinationUnreachable(f"The FHIR server did not answer ({_why(error)}).") from None
        except ConfigError as error:
            raise DestinationUnreachable(f"The FHIR server cannot be reached ({error}).") from None

    def _headers(self) -> dict[str, str]:
        """Raises ConfigError."""
        headers = {"Content-Type": KIND, "Accept": KIND, "Prefer": "return=minimal"}
        if self.authorization_file is not None:
            headers["Authorization"] = _authorization(self.authorization_file)
        return headers

    def _opener(self) -> urllib.request.OpenerDirector:
        """Raises ConfigError."""
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({}), _NoRedirect()]
        if self.url.startswith("https:"):
            context = calling_context(TlsFiles(None, None, self.authorities))
            handlers.append(urllib.request.HTTPSHandler(context=context))
        return urllib.request.build_opener(*handlers)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Numbers of a patient go to the address that was configured, or nowhere."""


def _taken(status: int, content: bytes, count: int) -> str:
    """A transaction is taken as a whole: the answer has an entry for each resource, and each of them is there."""
    try:
        answer = json.loads(content)
        words = [str(entry["response"]["status"]) for entry in answer["entry"]]
        complete = answer["type"] == "transaction-response" and len(words) == count
    except (ValueError, RecursionError, LookupError, TypeError):
        raise DestinationUnreachable(f"{_named(status)}, but the answer is none to a transaction.") from None
    if not complete or not all(word.startswith("2") for word in words):
        raise DestinationUnreachable(f"{_named(status)}, but not every resource was taken.")
    return _named(status)


def _named(status: int) -> str:
    known = status in {one.value for one in HTTPStatus}
    return f"HTTP {status} ({HTTPStatus(status).phrase})" if known else f"HTTP {status}"


def _why(error: object) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(getattr(error, "strerror", None) or type(error).__name__)


def _authorization(file: Path) -> str:
    """Raises ConfigError: there is no line of printable ASCII in the file."""
    try:
        text = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError):
        text = ""
    if not text or not text.isprintable():
        raise ConfigError("fhir.authorization_file holds no value for the Authorization header")
    return text
