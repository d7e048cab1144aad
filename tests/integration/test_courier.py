"""The courier with a real database, against PACS that obey, refuse, break off, are dead, and come up again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicom_node.config import DeliverySection
from dicom_node.domain import DeliveryState
from dicom_node.queue import utc_now
from tests.outbox import node, pacs, wait_until
from tests.scripted_scp import Answer, free_port, scripted_scp

PENDING, SENDING, SENT, DEAD = DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.SENT, DeliveryState.DEAD


@pytest.mark.parametrize(
    ("answer", "state", "word"),
    [(0x0000, SENT, 0x0000), (0xB000, SENT, 0xB000), (0xC000, DEAD, 0xC000), (0xA900, DEAD, 0xA900)],
)
def test_final_answer_is_written_down(tmp_path: Path, answer: Answer, state: DeliveryState, word: int) -> None:
    with scripted_scp([answer]) as scp, node(tmp_path, pacs=scp.port) as made:
        made.add_result()
        with made.courier():
            (delivery,) = made.wait_for([state])
    assert delivery.status_word == word
    assert delivery.attempts == 1
    assert len(scp.received) == 1


@pytest.mark.parametrize("answer", [0xA700, 0x0110, "abort", "hang_up"])
def test_what_may_pass_is_sent_again_under_the_same_uid(tmp_path: Path, answer: Answer) -> None:
    with scripted_scp([answer, 0x0000]) as scp, node(tmp_path, pacs=scp.port) as made:
        made.add_result()
        with made.courier():
            (delivery,) = made.wait_for([SENT])
    assert delivery.attempts == 2
    assert scp.received == [delivery.sop_instance_uid] * 2


@pytest.mark.parametrize("answer", ["abort", "hang_up"])
def test_what_is_there_already_after_a_lost_answer_is_settled_by_storage_commitment(
    tmp_path: Path, answer: Answer
) -> None:
    """It stored the object, the answer was lost, and it takes no UID twice: that became a dead letter."""
    with scripted_scp([answer, 0x0111]) as scp, node(tmp_path, pacs("pacs", scp.port, commitment=True)) as made:
        made.add_result()
        with made.courier():
            (delivery,) = made.wait_for([SENT])
    assert (delivery.status_word, delivery.attempts) == (0x0111, 2)
    assert "storage commitment has the last word" in str(delivery.comment)


def test_what_is_there_already_after_a_lost_answer_says_so_where_nobody_answers_for_it(tmp_path: Path) -> None:
    with scripted_scp(["abort", 0x0111]) as scp, node(tmp_path, pacs=scp.port) as made:
        made.add_result()
        with made.courier():
            (delivery,) = made.wait_for([DEAD])
    assert "probably this object" in str(delivery.comment)


def test_what_is_there_already_though_we_never_sent_it_is_for_a_person(tmp_path: Path) -> None:
    with scripted_scp([0xA700, 0x0111]) as scp, node(tmp_path, pacs("pacs", scp.port, commitment=True)) as made:
        made.add_result()
        with made.courier():
            (delivery,) = made.wait_for([DEAD])
    assert delivery.status_word == 0x0111


def test_object_that_makes_the_peer_abort_does_not_hold_up_the_others(tmp_path: Path) -> None:
    with scripted_scp(["abort", 0x0000]) as scp, node(tmp_path, pacs=scp.port) as made:
        for _ in range(4):
            made.add_result()
        with made.courier():
            deliveries = made.wait_for([SENT] * 4)
    assert [d.attempts for d in deliveries] == [2, 1, 1, 1]


def test_dead_then_up(tmp_path: Path) -> None:
    port = free_port()
    with node(tmp_path, pacs=port) as made:
        made.add_result()
        with made.courier():
            wait_until(lambda: made.deliveries()[0].attempts >= 2, made.deliveries)
            assert made.deliveries()[0].state in (PENDING, SENDING)
            assert "connection refused" in str(made.deliveries()[0].comment)
            with scripted_scp(port=port):
                (delivery,) = made.wait_for([SENT])
    assert delivery.status_word == 0


def test_dead_destination_does_not_slow_another(tmp_path: Path) -> None:
    with silent_peer() as silent, scripted_scp() as scp, node(tmp_path, dead=silent, pacs=scp.port) as made:
        for _ in range(3):
            made.add_result()
        started = time.monotonic()
        with made.courier():
            made.wait_for([SENT] * 3)
            assert time.monotonic() - started < made.config.delivery.connect_timeout_s
    assert SENT not in {d.state for d in made.deliveries("dead")}


@contextmanager
def silent_peer() -> Iterator[int]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def test_results_wait_until_the_pacs_is_told_our_ae_title(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    with node(tmp_path, pacs=port) as made:
        made.add_result()
        with made.courier():
            with scripted_scp(port=port, calling=["SOMEONE"]):
                wait_until(lambda: "calling AE title" in str(made.deliveries()[0].comment), made.deliveries)
                assert made.deliveries()[0].state in (PENDING, SENDING)
            with scripted_scp(port=port):
                made.wait_for([SENT])
    (cause,) = {vars(r)["cause"] for r in caplog.records if r.msg == "deliver.failed" and r.levelname == "ERROR"}
    assert cause == "calling_ae_refused"


def test_results_wait_for_a_file_system_that_went_away(tmp_path: Path) -> None:
    with scripted_scp() as scp, node(tmp_path, pacs=scp.port) as made:
        made.add_result()
        made.add_result()
        path = tmp_path / made.deliveries()[0].path
        path.rename(away := tmp_path / "away.dcm")
        with made.courier():
            wait_until(lambda: made.deliveries()[0].attempts >= 2, made.deliveries)
            first, second = made.deliveries()
            assert first.state in (PENDING, SENDING)
            assert second.state is SENT
            away.rename(path)
            made.wait_for([SENT] * 2)


def test_unreadable_file_is_put_aside_after_the_deadline(tmp_path: Path) -> None:
    with scripted_scp() as scp, node(tmp_path, pacs=scp.port) as made:
        made.config = made.config.model_copy(update={"delivery": DeliverySection(deadline_h=1e-4)})
        made.add_result()
        (tmp_path / made.deliveries()[0].path).unlink()
        with made.courier():
            made.wait_for([DEAD])


def test_file_that_is_no_longer_dicom_is_put_aside_at_once_and_the_others_go_on(tmp_path: Path) -> None:
    with scripted_scp() as scp, node(tmp_path, pacs=scp.port) as made:
        made.add_result()
        made.add_result()
        (tmp_path / made.deliveries()[0].path).write_bytes(b"something else")
        with made.courier():
            damaged, _ = made.wait_for([DEAD, SENT])
    assert damaged.attempts == 1


def test_delivery_of_a_courier_that_died_is_sent_by_the_next(tmp_path: Path) -> None:
    with scripted_scp() as scp, node(tmp_path, pacs=scp.port) as made:
        made.add_result()
        assert made.repository.claim_deliveries("dead courier", 0.5, 10, utc_now(), "pacs")
        assert made.deliveries()[0].state is SENDING
        with made.courier():
            (delivery,) = made.wait_for([SENT])
    assert delivery.attempts == 2


def test_two_couriers_share_the_objects_of_a_destination(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each object goes once, whoever takes it."""
    monkeypatch.setattr("dicom_node.deliver.courier.BATCH", 3)
    with scripted_scp() as scp, node(tmp_path, pacs=scp.port) as made:
        uids = [made.add_result() for _ in range(24)]
        with made.courier(), made.courier():
            deliveries = made.wait_for([SENT] * len(uids))
    assert sorted(scp.received) == sorted(uids)
    assert {delivery.attempts for delivery in deliveries} == {1}


def test_leases_are_renewed_while_a_slow_object_is_under_way(tmp_path: Path) -> None:
    with scripted_scp() as scp, node(tmp_path, pacs=scp.port) as made:
        made.add_result()
        scp.think_s = 3.0  # longer than the lease of 2 s
        with made.courier():
            wait_until(lambda: made.deliveries()[0].state is SENDING, made.deliveries)
            time.sleep(2.4)
            assert made.repository.claim_deliveries("rival", 5.0, 10, utc_now(), "pacs") == ()
            (delivery,) = made.wait_for([SENT])
    assert delivery.attempts == 1


@pytest.mark.peer("storescp")
def test_dcmtk_receives_every_object(tmp_path: Path) -> None:
    (arrived := tmp_path / "pacs").mkdir()
    (data := tmp_path / "data").mkdir()
    port = free_port()
    command = ["storescp", "--fork", "-aet", "PACS", "-od", str(arrived), str(port)]
    with node(data, pacs=port) as made, subprocess.Popen(command, start_new_session=True) as process:
        try:
            for _ in range(5):
                made.add_result()
            with made.courier():
                deliveries = made.wait_for([SENT] * 5)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    names = {path.name for path in arrived.iterdir()}
    assert all(any(d.sop_instance_uid in name for name in names) for d in deliveries)
