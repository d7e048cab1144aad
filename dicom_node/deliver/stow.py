"""STOW-RS as user (PS3.18 10.5): files go out byte for byte over HTTP, and come to the same four outcomes as C-STORE.

One object a request, so that each has an answer of its own, over one connection for as long as it lasts. The status of
the whole request never makes an object "sent" where the answer's own list says otherwise.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
import uuid
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dicom_node.deliver.scu import (
    Cause,
    Failure,
    Outcome,
    Outgoing,
    PermanentFailure,
    Sent,
    Step,
    TransientFailure,
    Unknown,
    classify_connection_error,
    classify_status,
    unreadable,
)
from dicom_node.domain import CallerTls
from dicom_node.errors import ConfigError
from dicom_node.tls import TlsFiles, calling_context

REFERENCED_SEQUENCE, FAILED_SEQUENCE = "00081199", "00081198"  # PS3.18 10.5.3, PS3.3 I.2.2
REFERENCED_INSTANCE, FAILURE_REASON, WARNING_REASON = "00081155", "00081197", "00081196"

LARGEST_ANSWER_BYTES = 1 << 20
_PIECE_BYTES = 1 << 18
_NO_STUDY = "/studies?StudyInstanceUID=0.0&limit=1"  # a question whose answer is nobody
_ANSWERS_OF_STORE = frozenset({200, 202, 409})  # PS3.18 Table 10.5.3-1: all, some, none were stored
_LATER = frozenset({408, 425, 429, 507})
_REFUSED = frozenset({401, 403, 404, 405, 407, 410, 501})
_DOWN = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Service:
    """A DICOMweb service: its base address, how long we wait, and what we show it; waits in seconds."""

    url: str
    connect_s: float
    response_s: float
    tls: CallerTls | None = None
    authorization_file: Path | None = None


class _Unusable(Exception):
    """There is no connection; carries the reason."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


def send(objects: Sequence[Outgoing], service: Service) -> Generator[Step, None, None]:
    """Store `objects` in order; yields one outcome per object as it becomes known.

    A connection that breaks is opened again for the objects after the one that was under way; a service that is not
    there, or falls silent, is left alone.
    """
    waiting = list(objects)
    while waiting:
        try:
            connection = _connect(service)
        except _Unusable as error:
            yield from ((item, error.failure.outcome()) for item in waiting)
            return
        try:
            left_alone = yield from _send_over(connection, waiting, service)
        finally:
            connection.close()
        if left_alone is not None:
            yield from ((item, left_alone.outcome()) for item in waiting)
            return


def ask(service: Service) -> Failure | None:
    """Whether the service is there: any answer that is not about its own trouble, or ours with it, counts."""
    try:
        connection = _connect(service)
    except _Unusable as error:
        return error.failure
    try:
        connection.request("GET", _path(service, _NO_STUDY), headers=_headers(service))
        answer = connection.getresponse()
        answer.read(LARGEST_ANSWER_BYTES)
    except (OSError, http.client.HTTPException):
        return Failure(Cause.SERVICE_DOWN, "connected, but a question was not answered")
    finally:
        connection.close()
    return _failure_of(answer.status) if answer.status in _DOWN | {401, 403, 407} else None


def _connect(service: Service) -> http.client.HTTPConnection:
    """Raises _Unusable."""
    parts = urlsplit(service.url)
    host = parts.hostname or ""
    try:
        if parts.scheme == "https":
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, parts.port, timeout=service.connect_s, context=_context(service.tls or CallerTls())
            )
        else:
            connection = http.client.HTTPConnection(host, parts.port, timeout=service.connect_s)
        connection.connect()
    except OSError as error:
        raise _Unusable(classify_connection_error(error)) from error
    except ConfigError as error:
        raise _Unusable(Failure(Cause.TLS_FAILED, str(error))) from error
    connection.sock.settimeout(service.response_s)
    return connection


def _context(tls: CallerTls) -> ssl.SSLContext:
    files = TlsFiles(tls.certificate, tls.private_key, tls.authorities)
    return calling_context(files, check_host_name=tls.check_host_name)


def _send_over(
    connection: http.client.HTTPConnection, waiting: list[Outgoing], service: Service
) -> Generator[Step, None, Failure | None]:
    """Send from the front of `waiting` until it is empty or the connection ended; why the rest is not worth trying."""
    while waiting:
        item = waiting.pop(0)
        began = time.monotonic()
        outcome = _send_one(connection, item, service)
        waited_s = time.monotonic() - began
        yield item, outcome
        if outcome.cause in (Cause.SERVICE_REFUSED, Cause.SERVICE_DOWN):
            return Failure(outcome.cause, outcome.comment)
        if outcome.cause is Cause.NO_ANSWER and waited_s >= service.response_s:
            return Failure(Cause.NO_ANSWER, "not sent: the service stopped answering")
        if outcome.cause in (Cause.NO_ANSWER, Cause.FILE_UNREADABLE) or connection.sock is None:
            return None
    return None


def _send_one(connection: http.client.HTTPConnection, item: Outgoing, service: Service) -> Outcome:
    boundary = uuid.uuid4().hex
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    try:
        size = item.path.stat().st_size
        first = item.path.open("rb")
    except OSError as error:
        return unreadable(error)
    with first as file:
        headers = _headers(service) | {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Content-Length": str(len(head) + size + len(tail)),
        }
        try:
            body = _pieces(head, iter(lambda: file.read(_PIECE_BYTES), b""), tail)
            connection.request("POST", _path(service, "/studies"), body=body, headers=headers)
            answer = connection.getresponse()
            content = answer.read(LARGEST_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return Unknown(Cause.NO_ANSWER, f"the connection broke before the answer ({type(error).__name__})")
    return classify_answer(answer.status, content, item.sop_instance_uid)


def _pieces(head: bytes, pieces: Iterator[bytes], tail: bytes) -> Iterator[bytes]:
    yield head
    yield from pieces
    yield tail


def _path(service: Service, below: str) -> str:
    return urlsplit(service.url).path.rstrip("/") + below


def _headers(service: Service) -> dict[str, str]:
    headers = {"Accept": "application/dicom+json"}
    if service.authorization_file is not None:
        headers["Authorization"] = _authorization(service.authorization_file)
    return headers


def _authorization(file: Path) -> str:
    """The header's value as it stands there now; empty where it is no line of printable ASCII: the service tells."""
    try:
        text = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError):
        return ""
    return text if text.isprintable() else ""


# --- what an answer means ------------------------------------------------------------------------------------------


def classify_answer(status: int, content: bytes, sop_instance_uid: str) -> Outcome:
    """What the answer to a store request of one object means for it (PS3.18 10.5.3).

    Words of the service that are no status are not kept: they may quote the patient.
    """
    if status not in _ANSWERS_OF_STORE:
        return _other(status)
    said = _said_of(content, sop_instance_uid)
    if said is not None:
        return said
    if status == 200 and not content.strip():
        return Sent(0x0000, "HTTP 200 without a list of what was stored")
    if status == 409:
        return PermanentFailure(Cause.HTTP_STATUS, None, "HTTP 409: not stored, and the answer does not say why")
    return Unknown(Cause.HTTP_STATUS, f"HTTP {status}, and the answer does not name the object")


def _other(status: int) -> Outcome:
    if status in _REFUSED | _DOWN or 300 <= status < 400:
        return _failure_of(status).outcome()
    text = f"HTTP {status} ({http.client.responses.get(status, 'unknown')})"
    if status >= 500 or status in _LATER:
        return TransientFailure(Cause.HTTP_STATUS, None, text)
    if 400 <= status < 500:
        return PermanentFailure(Cause.HTTP_STATUS, None, text)
    return Unknown(Cause.HTTP_STATUS, f"{text} is not an answer to a store request")


def _failure_of(status: int) -> Failure:
    text = f"HTTP {status} ({http.client.responses.get(status, 'unknown')})"
    if status in _DOWN:
        return Failure(Cause.SERVICE_DOWN, f"{text}: the service cannot serve now")
    return Failure(Cause.SERVICE_REFUSED, f"{text}: check the address of the service and our credentials")


def _said_of(content: bytes, sop_instance_uid: str) -> Outcome | None:
    """What the list in the answer (DICOM JSON, PS3.18 F) says of the object; None where it does not."""
    try:
        document = json.loads(content)
        document = document[0] if isinstance(document, list) else document
        failed = _entry(document, FAILED_SEQUENCE, sop_instance_uid)
        if failed is not None:
            return _not_stored(_number(failed, FAILURE_REASON))
        stored = _entry(document, REFERENCED_SEQUENCE, sop_instance_uid)
    except (ValueError, LookupError, AttributeError, TypeError):
        return None
    return None if stored is None else classify_status(_number(stored, WARNING_REASON) or 0x0000)


def _not_stored(reason: int | None) -> Outcome:
    """A listed failure stays one, whatever its reason would mean as a status of C-STORE."""
    if reason is None:
        return PermanentFailure(Cause.HTTP_STATUS, None, "not stored, and the answer does not say why")
    outcome = classify_status(reason)
    if isinstance(outcome, TransientFailure | PermanentFailure):
        return outcome
    return PermanentFailure(Cause.STATUS, reason, f"not stored, with reason 0x{reason:04X}")


def _entry(document: Any, sequence: str, sop_instance_uid: str) -> dict[str, Any] | None:
    for item in document.get(sequence, {}).get("Value", ()):
        if sop_instance_uid in item.get(REFERENCED_INSTANCE, {}).get("Value", ()):
            return dict(item)
    return None


def _number(item: dict[str, Any], tag: str) -> int | None:
    values = item.get(tag, {}).get("Value", ())
    return int(values[0]) if values else None
