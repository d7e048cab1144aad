"""What a peer may do, how much of it, and that a change of the rules needs no restart."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydicom import Dataset
from pynetdicom import AE, build_context

from dicom_node.config import Config, PeerEntry, load_config
from dicom_node.domain import Right
from dicom_node.receive import server
from dicom_node.receive.contexts import VERIFICATION
from tests.fakes import FakeRepository
from tests.receiving import OUR_AE, SCANNER, eventually, free_port, receiver_config, receiver_thread
from tests.scu import (
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    Answer,
    Request,
    answer_to,
    associate_request,
    association,
    store,
)
from tests.ultrasound import US_IMAGE, us_image


@pytest.fixture
def repository() -> FakeRepository:
    return FakeRepository()


def image(size: int = 8) -> Dataset:
    return us_image(np.full((size, size), 100, np.uint8))


def config_with(tmp_path: Path, **limits: object) -> Config:
    entry = PeerEntry.model_validate({"ae_title": SCANNER, **limits})
    return receiver_config(tmp_path / "data", free_port(), [entry])


def refusals(repository: FakeRepository, count: int = 1) -> list[tuple[str, str]]:
    eventually(lambda: len(repository.refused) >= count)
    return [(refused.reason, refused.advice) for refused in repository.refused]


@pytest.mark.parametrize(
    ("may", "taken", "advice"),
    [
        ([Right.ECHO], VERIFICATION, "AE title 'SCANNER' may echo; to let it store, add that to `may` of this peer."),
        ([Right.STORE], US_IMAGE, "AE title 'SCANNER' may store; to let it echo, add that to `may` of this peer."),
    ],
)
def test_a_peer_gets_what_it_may_and_the_list_says_what_it_lacks(
    tmp_path: Path, repository: FakeRepository, may: list[Right], taken: str, advice: str
) -> None:
    config = config_with(tmp_path, may=may)
    with receiver_thread(config, repository):
        with association(config.node.port or 0, [US_IMAGE, VERIFICATION]) as assoc:
            accepted = {context.abstract_syntax for context in assoc.accepted_contexts}
        assert refusals(repository) == [("right_missing", advice)]

    assert accepted == {taken}


def test_who_proposes_nothing_that_is_taken_is_in_the_list(tmp_path: Path, repository: FakeRepository) -> None:
    config = config_with(tmp_path)
    with receiver_thread(config, repository):
        contexts = [build_context("1.2.840.10008.5.1.4.1.1.2")]
        AE(SCANNER).associate("127.0.0.1", config.node.port or 0, contexts=contexts, ae_title=OUR_AE)
        ((reason, advice),) = refusals(repository)

    assert reason == "nothing_taken"
    assert "1.2.840.10008.5.1.4.1.1.2" in advice


def test_a_peer_has_so_many_associations_and_no_more(
    tmp_path: Path, repository: FakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.receive.admission.PLACE_WAIT_S", 0.1)
    entries = [PeerEntry(ae_title=SCANNER, maximum_associations=2), PeerEntry(ae_title="OTHER")]
    config = receiver_config(tmp_path / "data", free_port(), entries)
    port = config.node.port or 0
    with receiver_thread(config, repository), ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(association(port, [US_IMAGE]))
        pdu = answer_to(port, associate_request(b"SCANNER", b"FETALHC"))
        stack.enter_context(association(port, [US_IMAGE], calling="OTHER"))
        ((reason, advice),) = refusals(repository)

    assert (pdu[0], *pdu[7:10]) == (ASSOCIATE_RJ, 2, 3, 2)
    assert (reason, advice) == (
        "too_many_associations",
        "AE title 'SCANNER' had its 2 associations; see maximum_associations of this peer.",
    )


def test_one_association_after_the_other_is_never_one_too_many(tmp_path: Path, repository: FakeRepository) -> None:
    config = config_with(tmp_path, maximum_associations=1)
    with receiver_thread(config, repository):
        for _ in range(15):
            with association(config.node.port or 0, [US_IMAGE]) as assoc:
                assert store(assoc, Request.of(image())).status == 0x0000

    assert repository.refused == []


def test_the_health_check_finds_a_place_in_a_full_node(tmp_path: Path, repository: FakeRepository) -> None:
    config = receiver_config(tmp_path / "data", free_port(), maximum_associations=1)
    port = config.node.port or 0
    with receiver_thread(config, repository), association(port, [US_IMAGE]):
        assert answer_to(port, associate_request(b"FETALHC", b"FETALHC"))[0] == ASSOCIATE_AC


def test_a_larger_object_than_allowed_is_refused_and_leaves_nothing(tmp_path: Path, repository: FakeRepository) -> None:
    config = config_with(tmp_path, maximum_object_mb=1)
    with receiver_thread(config, repository), association(config.node.port or 0, [US_IMAGE]) as assoc:
        answer = store(assoc, Request.of(image(1100)))
        assert answer == Answer(0x0124, "The object is larger than this peer may send.")
        assert store(assoc, Request.of(image(900))).status == 0x0000

    assert len(repository.instances) == 1
    assert len([path for path in (tmp_path / "data").rglob("*") if path.is_file()]) == 1


def test_who_sends_too_fast_is_told_to_come_back(tmp_path: Path, repository: FakeRepository) -> None:
    config = config_with(tmp_path, objects_per_minute=1)
    with receiver_thread(config, repository), association(config.node.port or 0, [US_IMAGE]) as assoc:
        answers = [store(assoc, Request.of(image())) for _ in range(3)]

    assert [answer.status for answer in answers] == [0x0000, 0xA700, 0xA700]
    assert answers[1].comment == "This peer sends more a minute than it may; send it later."


def test_each_of_our_titles_answers_under_its_own_name(tmp_path: Path, repository: FakeRepository) -> None:
    config = receiver_config(tmp_path / "data", free_port(), other_ae_titles=("FETALHC2",))
    port = config.node.port or 0
    with receiver_thread(config, repository):
        for title in (b"FETALHC", b"FETALHC2"):
            pdu = answer_to(port, associate_request(b"SCANNER", title))
            assert pdu[0] == ASSOCIATE_AC
            assert pdu[10:26].rstrip() == title  # PS3.8 9.3.3: as in the request
        entity = AE(SCANNER)
        assoc = entity.associate("127.0.0.1", port, contexts=[build_context(US_IMAGE)], ae_title="FETALHC2")
        assert assoc.send_c_store(image()).Status == 0x0000
        assoc.release()

    assert [instance.called_ae for instance in repository.instances] == ["FETALHC2"]


class TestWithoutRestart:
    @pytest.fixture
    def running(self, tmp_path: Path, repository: FakeRepository) -> Iterator[tuple[int, Path]]:
        file, port = tmp_path / "config.yaml", free_port()
        node = {"host": "127.0.0.1", "port": port, "data_dir": str(tmp_path / "data"), "minimum_free_mb": 0}
        file.write_text(yaml.safe_dump({"node": node, "peers": [{"ae_title": "FIRST"}]}))
        with receiver_thread(load_config(file), repository, file):
            yield port, file

    def write_peers(self, file: Path, *peers: dict[str, object]) -> None:
        content = yaml.safe_load(file.read_text())
        file.write_text(yaml.safe_dump({**content, "peers": list(peers)}))

    def answer(self, port: int, calling: bytes) -> int:
        return answer_to(port, associate_request(calling, b"FETALHC"))[0]

    def test_who_is_added_gets_in_and_who_is_taken_out_does_not(self, running: tuple[int, Path]) -> None:
        port, file = running
        assert self.answer(port, b"SECOND") == ASSOCIATE_RJ

        self.write_peers(file, {"ae_title": "SECOND"})

        eventually(lambda: self.answer(port, b"SECOND") == ASSOCIATE_AC)
        assert self.answer(port, b"FIRST") == ASSOCIATE_RJ

    def test_an_association_that_is_open_stores_no_more(
        self, running: tuple[int, Path], repository: FakeRepository
    ) -> None:
        port, file = running
        with association(port, [US_IMAGE], calling="FIRST") as assoc:
            assert store(assoc, Request.of(image())).status == 0x0000
            self.write_peers(file, {"ae_title": "FIRST", "may": ["echo"]})
            eventually(lambda: store(assoc, Request.of(image())).status == 0x0124)
            stored = len(repository.instances)
            self.write_peers(file)
            eventually(lambda: self.answer(port, b"FIRST") == ASSOCIATE_RJ)
            answer = store(assoc, Request.of(image()))

        assert answer == Answer(0x0124, "This peer may not store here any more.")
        assert len(repository.instances) == stored


def test_idle_connections_keep_nobody_out(
    tmp_path: Path, repository: FakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "WAITING_PLACES", 3)
    config = config_with(tmp_path)
    port = config.node.port or 0
    with receiver_thread(config, repository), ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30)) for _ in range(8)]
        for connection in idle[:5]:
            assert connection.recv(1) == b""  # the oldest were sent away
        with association(port, [US_IMAGE]) as assoc:
            assert store(assoc, Request.of(image())).status == 0x0000


def test_a_request_that_trickles_in_has_its_time(
    tmp_path: Path, repository: FakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.receive.toolkit.REQUEST_S", 1.0)
    config = config_with(tmp_path)
    port = config.node.port or 0
    request = associate_request(b"SCANNER", b"FETALHC")
    with receiver_thread(config, repository), socket.create_connection(("127.0.0.1", port), timeout=30) as slow:
        began = time.monotonic()
        with pytest.raises(OSError, match=r"reset|Broken pipe"):  # noqa: PT012  bytes until nobody takes them
            while time.monotonic() - began < 60:
                slow.sendall(request[:1])
                request = request[1:] or request
                time.sleep(0.05)


def test_an_association_that_is_only_held_open_ends(
    tmp_path: Path, repository: FakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "IDLE_TIMEOUT_S", 1.0)
    config = config_with(tmp_path, maximum_associations=1)
    port = config.node.port or 0
    request = associate_request(b"SCANNER", b"FETALHC")
    with receiver_thread(config, repository), socket.create_connection(("127.0.0.1", port), timeout=30) as idle:
        idle.sendall(request)
        assert idle.recv(4096)[0] == ASSOCIATE_AC
        assert idle.recv(4096)[:1] in {b"\x07", b""}  # A-ABORT
        eventually(lambda: answer_to(port, request)[0] == ASSOCIATE_AC)


def test_what_is_no_dicom_is_in_the_list(tmp_path: Path, repository: FakeRepository) -> None:
    config = config_with(tmp_path)
    with receiver_thread(config, repository):
        answer_to(config.node.port or 0, b"GET / HTTP/1.1\r\nHost: node\r\n\r\n")
        ((reason, advice),) = refusals(repository)

    assert (reason, advice) == ("not_dicom", "What came was no DICOM association request.")
