"""What answers to a store request mean for the object."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dicom_node.deliver import stow
from dicom_node.deliver.scu import Cause, Outcome, Outgoing, PermanentFailure, Sent, TransientFailure, Unknown
from dicom_node.deliver.stow import classify_answer

UID = "2.25.7"


def listing(sequence: str, uid: str = UID, **numbers: int) -> bytes:
    item = {"00081155": {"vr": "UI", "Value": [uid]}}
    item |= {tag.removeprefix("t"): {"vr": "US", "Value": [number]} for tag, number in numbers.items()}  # type: ignore[dict-item]
    return json.dumps({sequence: {"vr": "SQ", "Value": [item]}}).encode()


STORED, FAILED = "00081199", "00081198"


@pytest.mark.parametrize(
    ("status", "content", "kind", "word"),
    [
        (200, listing(STORED), Sent, 0x0000),
        (202, listing(STORED, t00081196=0xB000), Sent, 0xB000),
        (200, b"", Sent, 0x0000),
        (200, listing(FAILED, t00081197=0xA700), TransientFailure, 0xA700),
        (409, listing(FAILED, t00081197=0xA900), PermanentFailure, 0xA900),
        (409, listing(FAILED, t00081197=0x0122), PermanentFailure, 0x0122),
        (409, listing(FAILED, t00081197=0x0000), PermanentFailure, 0x0000),
        (409, listing(FAILED), PermanentFailure, None),
        (409, b"", PermanentFailure, None),
        (200, listing(STORED, uid="2.25.8"), Unknown, None),
        (202, b"", Unknown, None),
        (200, b"<html>welcome</html>", Unknown, None),
        (200, b"[]", Unknown, None),
        (200, b'{"00081199": {"Value": [null]}}', Unknown, None),
        (200, listing(STORED, t00081196=7).replace(b"[7]", b"[1e999]"), Unknown, None),
        (200, b"[" * 200_000, Unknown, None),
        (204, b"", Unknown, None),
        (400, b"", PermanentFailure, None),
        (413, b"", PermanentFailure, None),
        (415, b"", PermanentFailure, None),
        (429, b"", TransientFailure, None),
        (500, b"", TransientFailure, None),
        (507, b"", TransientFailure, None),
    ],
)
def test_answer(status: int, content: bytes, kind: type[Outcome], word: int | None) -> None:
    outcome = classify_answer(status, content, UID)
    assert type(outcome) is kind
    assert outcome.status_word == word


BOMBS = {
    "lists in lists": b"[" * 500_000,
    "objects in objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a number without end": b'{"Value": ' + b"9" * 500_000 + b"}",
    "an infinite reason": listing(STORED).replace(b'"]}}]', b'"]}, "00081196": {"Value": [1e999]}}]'),
    "a reason in words": listing(STORED).replace(b'"]}}]', b'"]}, "00081196": {"Value": ["much"]}}]'),
}


@pytest.mark.parametrize("name", BOMBS)
def test_an_answer_that_cannot_be_read_settles_nothing_and_breaks_nothing(name: str) -> None:
    assert type(classify_answer(200, BOMBS[name], UID)) is Unknown


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (301, Cause.SERVICE_REFUSED),
        (401, Cause.SERVICE_REFUSED),
        (403, Cause.SERVICE_REFUSED),
        (404, Cause.SERVICE_REFUSED),
        (502, Cause.SERVICE_DOWN),
        (503, Cause.SERVICE_DOWN),
    ],
)
def test_what_is_about_the_service_waits(status: int, cause: Cause) -> None:
    outcome = classify_answer(status, b"", UID)
    assert isinstance(outcome, TransientFailure)
    assert outcome.cause is cause


def test_an_answer_with_both_lists_believes_the_failure() -> None:
    both = json.loads(listing(STORED)) | json.loads(listing(FAILED, t00081197=0xC000))
    assert isinstance(classify_answer(202, json.dumps(both).encode(), UID), PermanentFailure)


@pytest.fixture
def dripping() -> Iterator[str]:
    """Base address of a service that takes a request and answers a byte at a time, without end."""
    gone = threading.Event()

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(1 << 20)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                    while not gone.wait(0.02):
                        connection.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=[listener])
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/dicom-web"
        gone.set()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.timeout(60)
def test_an_answer_that_drips_ends_in_time(dripping: str, tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"object")
    outgoing = Outgoing(tmp_path / "a.dcm", "1.2.840.10008.5.1.4.1.1.6.1", UID, "1.2.840.10008.1.2.1")
    service = stow.Service(dripping, connect_s=5.0, response_s=0.3)
    ((item, outcome),) = stow.send([outgoing], service)
    assert item is outgoing
    assert isinstance(outcome, Unknown)
    assert outcome.cause is Cause.NO_ANSWER
    asked = stow.ask(service)
    assert asked is not None
    assert asked.cause is Cause.SERVICE_DOWN
