"""Both ways of a C-STORE through the receiver, the short one and the library's, and where they meet."""

from __future__ import annotations

import errno
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA

from dicom_node.audit import AuditEntry, AuditEvent
from tests.receiving import ReceivingNode as Node
from tests.receiving import eventually, receiving_node, send
from tests.scu import Answer, Request, association, messages, store
from tests.ultrasound import US_IMAGE, save, us_image

COMMAND, LAST = 0x01, 0x02
Fragment = tuple[int, bytes]
"""Message control header and what follows it (PS3.8 E.2)."""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with receiving_node(tmp_path / "data") as node:
        yield node


def request() -> Request:
    return Request.of(us_image(np.arange(40_000, dtype=np.uint8).reshape(200, 200)))


def fragments(sent: Request) -> list[Fragment]:
    """As an ordinary sender cuts them, each in a presentation data value of its own."""
    (values,) = zip(*(pdata.presentation_data_value_list for pdata in messages(sent, 1)), strict=True)
    return [(value[0], value[1:]) for _, value in values]


def answer_to(assoc: Association, pdus: Sequence[Sequence[Fragment]]) -> Answer | None:
    """Send these values, each inner sequence in one PDU; None where there is no answer."""
    context_id = assoc.accepted_contexts[0].context_id
    assert context_id is not None
    assoc._reactor_checkpoint.clear()
    try:
        for values in pdus:
            pdata = P_DATA()
            for control, data in values:
                pdata.presentation_data_value_list.append((context_id, bytes([control]) + data))
            assoc.dul.send_pdu(pdata)
        _, response = assoc.dimse.get_msg(block=True)
    finally:
        assoc._reactor_checkpoint.set()
    return Answer(int(response.Status or 0), "") if isinstance(response, C_STORE) else None


def one_by_one(values: Sequence[Fragment]) -> list[list[Fragment]]:
    return [[value] for value in values]


def all_in_one(values: Sequence[Fragment]) -> list[list[Fragment]]:
    return [list(values)]


def with_the_command_in_two(values: Sequence[Fragment]) -> list[list[Fragment]]:
    (_, command), *others = values
    return [[(COMMAND, command[:20])], [(COMMAND | LAST, command[20:])], *([value] for value in others)]


def byte_by_byte_at_first(values: Sequence[Fragment]) -> list[list[Fragment]]:
    command, (control, data), *others = values
    return [[command], *([(0, data[n : n + 1])] for n in range(20)), [(control, data[20:])], *([o] for o in others)]


def with_an_empty_end(values: Sequence[Fragment]) -> list[list[Fragment]]:
    *others, (_, data) = values
    return [*([value] for value in others), [(0, data)], [(LAST, b"")]]


@pytest.mark.parametrize(
    "cut", [one_by_one, all_in_one, with_the_command_in_two, byte_by_byte_at_first, with_an_empty_end]
)
def test_however_it_is_cut_the_same_file_is_stored(
    node: Node, cut: Callable[[Sequence[Fragment]], list[list[Fragment]]]
) -> None:
    sent = request()
    with association(node.port, [US_IMAGE]) as assoc:
        assert answer_to(assoc, cut(fragments(sent))) == Answer(0x0000, "")
        assert store(assoc, sent) == Answer(0x0000, "")

    assert len({instance.sha256 for instance in node.repository.instances}) == 1
    (instance,) = node.repository.instances
    stored = (node.data_dir / instance.path).read_bytes()
    assert sent.data is not None
    assert stored.endswith(sent.data)
    assert len(stored) == instance.size_bytes


@pytest.mark.parametrize("place", [1, 2])
def test_a_command_in_the_middle_of_a_data_set_ends_the_association_and_leaves_nothing(node: Node, place: int) -> None:
    values = fragments(request())
    with association(node.port, [US_IMAGE]) as assoc:
        assert answer_to(assoc, one_by_one([*values[:place], values[0], *values[place:]])) is None
    eventually(lambda: node.files() == [])
    assert node.repository.instances == []
    with association(node.port, [US_IMAGE]) as assoc:
        assert store(assoc, request()) == Answer(0x0000, "")


def test_nothing_is_done_for_a_peer_before_it_is_let_in_to_the_end(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender may send as soon as it reads that it is accepted, while we still write that down."""
    writing, go_on = threading.Event(), threading.Event()
    real = node.repository.record

    def record(entry: AuditEntry, now: datetime) -> None:
        if entry.event is AuditEvent.ASSOCIATION_ACCEPTED:
            writing.set()
            assert go_on.wait(30)
        real(entry, now)

    monkeypatch.setattr(node.repository, "record", record)
    outcome: list[Any] = []

    def send() -> None:
        with association(node.port, [US_IMAGE]) as assoc:
            outcome.append(store(assoc, request()))

    sender = threading.Thread(target=send)
    sender.start()
    assert writing.wait(30)
    go_on.wait(0.5)  # long enough for the object to come; that it is not taken is what the next line says
    assert node.files() == []
    go_on.set()
    sender.join(30)
    assert outcome == [Answer(0x0000, "")]


@pytest.mark.peer("storescu")
def test_descriptors_have_no_largest_number(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor while an admission is written to the trail, when there is only the bell to wait for."""
    monkeypatch.setattr(node.repository, "record", lambda *_: time.sleep(0.2))
    image = save(us_image(np.zeros((8, 8), np.uint8)), tmp_path / "image.dcm")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1100):
            stack.enter_context(Path(os.devnull).open("rb"))
        assert send("storescu", node.port, image)[0] == 0


def test_one_for_which_there_is_no_descriptor_ends_and_leaves_nothing(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(threading.enumerate())

    def none_left() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as broken:
        broken.setattr(os, "pipe", none_left)
        with socket.create_connection(("127.0.0.1", node.port), timeout=30) as connection:
            assert connection.recv(1 << 10)[:1] in {b"", b"\x07"}  # A-ABORT, or just the end
    eventually(lambda: set(threading.enumerate()) <= before)
    with association(node.port, [US_IMAGE]) as assoc:
        assert store(assoc, request()).status == 0x0000


def test_a_peer_that_takes_only_short_pdus_is_answered_in_such(node: Node) -> None:
    with association(node.port, [US_IMAGE], maximum_pdu=64) as assoc:
        lengths: list[int] = []
        assoc.bind(evt.EVT_DATA_RECV, lambda event: lengths.append(len(event.data) - 6))
        assert store(assoc, request()) == Answer(0x0000, "")
    assert lengths
    assert max(lengths) <= 64


def test_a_handler_that_fails_while_it_refuses_costs_the_object_and_not_the_association(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    with association(node.port, [US_IMAGE]) as assoc:
        with monkeypatch.context() as failing:
            failing.setattr(node.repository, "register", broken)
            failing.setattr(node.repository, "record", broken)
            assert store(assoc, request()).status == 0x0110
        assert store(assoc, request()).status == 0x0000
