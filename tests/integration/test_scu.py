"""C-STORE and C-ECHO against peers that obey, refuse, break off, fall silent or are not there."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit
from pynetdicom.association import Association

from dicom_node.deliver.scu import (
    Cause,
    Link,
    Outcome,
    Outgoing,
    PeerAddress,
    PermanentFailure,
    Sent,
    TransientFailure,
    Unknown,
    echo,
    outgoing,
    send,
)
from tests.scripted_scp import Answer, free_port, scripted_scp
from tests.ultrasound import save, us_image


def link(port: int, *, ae_title: str = "PACS", response_s: float = 5.0) -> Link:
    return Link("FETALHC", PeerAddress(ae_title, "127.0.0.1", port), connect_s=3.0, response_s=response_s)


def files(folder: Path, count: int, size: int = 8) -> list[Outgoing]:
    pixels = np.random.default_rng(1).integers(0, 256, (size, size), dtype=np.uint8)
    return [outgoing(save(us_image(pixels), folder / f"{n}.dcm")) for n in range(count)]


def outcomes(items: list[Outgoing], to: Link) -> list[Outcome]:
    return [outcome for _item, outcome in send(items, to)]


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[int]:
    port = free_port()
    command = ["storescp", "--fork", "-aet", "PACS", "-od", str(folder), *options, str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            _wait_for(port)
            yield port
        finally:
            os.killpg(process.pid, signal.SIGCONT)
            os.killpg(process.pid, signal.SIGKILL)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    pytest.fail("the peer did not start")


@pytest.mark.peer("storescp")
def test_dcmtk_gets_the_stored_bytes_over_one_association(tmp_path: Path) -> None:
    items = files(tmp_path, 3)
    (arrived := tmp_path / "pacs").mkdir()
    with storescp(arrived, "--bit-preserving", "+xa") as port:
        assert outcomes(items, link(port)) == [Sent(0, "")] * 3
    sent_bytes = {dataset_bytes(item.path) for item in items}
    assert {dataset_bytes(path) for path in arrived.iterdir()} == sent_bytes


def dataset_bytes(path: Path) -> bytes:
    """The object without preamble and file meta information, which every receiver writes anew."""
    content = path.read_bytes()
    group_length = int.from_bytes(content[140:144], "little")
    return content[144 + group_length :]


def test_frozen_peer_does_not_block_for_ever(tmp_path: Path) -> None:
    items = files(tmp_path, 2, size=5000)  # 25 MB: more than the socket buffers take
    started = time.monotonic()
    with scripted_scp() as scp, stalling_relay(scp.port, after_bytes=1_000_000) as port:
        first, second = outcomes(items, link(port, response_s=1.0))
    assert time.monotonic() - started < 20
    assert isinstance(first, Unknown)
    assert isinstance(second, TransientFailure)
    assert scp.associations == 1


def test_a_peer_that_stops_in_the_middle_of_its_answer_is_left(tmp_path: Path) -> None:
    items = files(tmp_path, 1)
    known = set(threading.enumerate())
    with scripted_scp() as scp, cutting_relay(scp.port, of_second_answer=8) as port:
        (outcome,) = outcomes(items, link(port, response_s=1.0))
        deadline = time.monotonic() + 30
        while (left := _senders(known)) and time.monotonic() < deadline:
            time.sleep(0.1)
    assert isinstance(outcome, Unknown)
    assert not left


def _senders(known: set[threading.Thread]) -> list[threading.Thread]:
    """Threads of our end of an association: those of the peer serve a listener."""
    return [t for t in set(threading.enumerate()) - known if getattr(getattr(t, "assoc", t), "is_requestor", False)]


@contextmanager
def cutting_relay(target: int, of_second_answer: int) -> Iterator[int]:
    """Pass everything to the peer, its first PDU back, and so many bytes of its second; then nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def answer(server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError), server.makefile("rb") as stream:
            head = stream.read(6)
            client.sendall(head + stream.read(int.from_bytes(head[2:])))
            client.sendall(stream.read(of_second_answer))
            stop.wait()

    def accept() -> None:
        with suppress(OSError):
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", target))
            threading.Thread(target=answer, args=(server, client), daemon=True).start()
            with suppress(OSError):
                while data := client.recv(65536):
                    server.sendall(data)
            stop.wait()
            for end in (client, server):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        stop.set()
        listener.close()
        thread.join(5)


@contextmanager
def stalling_relay(target: int, after_bytes: int) -> Iterator[int]:
    """Pass bytes both ways, but stop reading from the client after `after_bytes`; the connection stays open."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def pump(source: socket.socket, sink: socket.socket, budget: float) -> None:
        with suppress(OSError):
            while budget > 0 and (data := source.recv(65536)):
                sink.sendall(data)
                budget -= len(data)
            stop.wait()

    def accept() -> None:
        with suppress(OSError):
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", target))
            back = threading.Thread(target=pump, args=(server, client, float("inf")), daemon=True)
            back.start()
            pump(client, server, after_bytes)
            for end in (client, server):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)  # a mere close is not felt while another thread reads
                end.close()
            back.join(5)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        stop.set()
        listener.close()
        thread.join(5)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (0xA700, TransientFailure),
        (0xB000, Sent),
        (0xC000, PermanentFailure),
        (0x0110, TransientFailure),
        ("abort", Unknown),
        ("hang_up", Unknown),
    ],
)
def test_answer_of_the_peer(tmp_path: Path, answer: Answer, kind: type[Outcome]) -> None:
    with scripted_scp([answer, 0x0000]) as scp:
        first, second = outcomes(files(tmp_path, 2), link(scp.port))
    assert isinstance(first, kind)
    assert second == Sent(0, ""), "one object that upsets the peer must not hold up the next"
    assert len(scp.received) == 2


def test_error_comment_of_the_peer_is_kept(tmp_path: Path) -> None:
    with scripted_scp([0xC001]) as scp:
        (outcome,) = outcomes(files(tmp_path, 1), link(scp.port))
    assert outcome == PermanentFailure(Cause.STATUS, 0xC001, "Error: cannot understand: as told")


def test_refused_transfer_syntax_fails_that_object_only(tmp_path: Path) -> None:
    plain, other = files(tmp_path, 2)
    dataset = dcmread(other.path)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    dataset["PixelData"].VR = "OB"
    dataset.save_as(other.path, enforce_file_format=True)
    with scripted_scp(syntaxes=[plain.transfer_syntax_uid]) as scp:
        results = outcomes([outgoing(other.path), plain], link(scp.port))
    assert isinstance(results[0], PermanentFailure)
    assert results[0].cause is Cause.CONTEXT_REFUSED
    assert results[1] == Sent(0, "")


def test_no_context_at_all(tmp_path: Path) -> None:
    with scripted_scp(syntaxes=[JPEGBaseline8Bit]) as scp:
        (outcome,) = outcomes(files(tmp_path, 1), link(scp.port))
    assert isinstance(outcome, PermanentFailure)
    assert outcome.cause is Cause.CONTEXT_REFUSED


def test_nobody_listens(tmp_path: Path) -> None:
    first, second = outcomes(files(tmp_path, 2), link(free_port()))
    assert isinstance(first, TransientFailure)
    assert first.cause is Cause.CONNECTION_REFUSED
    assert second == first


def test_file_that_went_away(tmp_path: Path) -> None:
    gone, there = files(tmp_path, 2)
    gone.path.unlink()
    with scripted_scp() as scp:
        first, second = outcomes([gone, there], link(scp.port))
    assert isinstance(first, TransientFailure)
    assert first.cause is Cause.FILE_UNREADABLE
    assert second == Sent(0, "")


def test_sending_socket_has_no_nagle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    store = Association.send_c_store

    def look(self: Association, path: Path) -> Dataset:
        seen.append(self.dul.socket.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        return store(self, path)

    monkeypatch.setattr(Association, "send_c_store", look)
    with scripted_scp() as scp:
        outcomes(files(tmp_path, 1), link(scp.port))
    assert seen == [1]


@pytest.mark.parametrize(
    ("ae_title", "calling", "cause"),
    [("OTHER", (), Cause.CALLED_AE_REFUSED), ("PACS", ("SCANNER",), Cause.CALLING_AE_REFUSED)],
)
def test_echo_names_the_rejection(ae_title: str, calling: tuple[str, ...], cause: Cause) -> None:
    with scripted_scp(calling=calling) as scp:
        answer = echo(link(scp.port, ae_title=ae_title))
    assert answer.cause is cause
    assert "AE title not recognised" in answer.text
    assert not answer.answered


def test_echo_is_answered() -> None:
    with scripted_scp() as scp:
        answer = echo(link(scp.port))
    assert answer.answered
    assert answer.status_word == 0


def test_echo_of_something_that_is_not_dicom() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        mute = Link("FETALHC", PeerAddress("PACS", "127.0.0.1", listener.getsockname()[1]), 0.5, 1.0)
        assert echo(mute).cause is Cause.ASSOCIATION_TIMEOUT


def test_echo_of_an_unknown_host() -> None:
    nowhere = Link("FETALHC", PeerAddress("PACS", "no-such-host.invalid", 104), 1.0, 1.0)
    assert echo(nowhere).cause is Cause.NAME_UNKNOWN
