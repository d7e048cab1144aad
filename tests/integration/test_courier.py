"""The courier with a real database, against PACS that obey, refuse, break off, are dead, and come up again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from dicom_node.config import Config, DeliverySection
from dicom_node.deliver import courier
from dicom_node.domain import Delivery, DeliveryState, NewInstance, NewObject, NewResult, ResultKind
from dicom_node.queue import utc_now
from dicom_node.storage.repository import Repository
from tests.scripted_scp import Answer, free_port, scripted_scp
from tests.ultrasound import save, us_image

PENDING, SENDING, SENT, DEAD = DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.SENT, DeliveryState.DEAD


class Node:
    """A data folder with a database, and as many results as wanted, each one object."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        self.config = Config.model_validate(
            {
                "node": {"data_dir": folder},
                "destinations": [
                    {"name": name, "ae_title": "PACS", "host": "127.0.0.1", "port": port, "objects": ["tid1500"]}
                    for name, port in ports.items()
                ],
                "queue": {"backoff_first_s": 0.05, "backoff_cap_s": 0.1, "poll_s": 0.02, "lease_s": 2.0},
                "delivery": {"connect_timeout_s": 2.0, "response_timeout_s": 5.0},
            }
        )
        self.repository = Repository.open(self.config.database_url)
        self.repository.migrate()

    def add_result(self) -> None:
        number = self.repository.counts(utc_now())["instances"]
        (results := self.config.node.data_dir / "results").mkdir(exist_ok=True)
        dataset = us_image(np.full((4, 4), number, np.uint8))
        save(dataset, results / f"{number}.dcm")
        uid, sop_class = str(dataset.SOPInstanceUID), str(dataset.SOPClassUID)
        source = NewInstance(
            f"1.2.{number}", sop_class, "1.2", "1.3", "1.2.840.10008.1.2.1", f"o{number}", 1, uid, "US", "N", "h", True
        )
        self.repository.register(source, utc_now())
        job = self.repository.claim_job("worker", 60.0, utc_now())
        assert job is not None
        made = NewObject(ResultKind.TID1500, sop_class, uid, f"results/{number}.dcm", uid)
        result = NewResult(uid, "measured", None, "{}", (made,))
        self.repository.commit_result(job, result, self.config.destination_list(), utc_now())

    def deliveries(self, destination: str = "pacs") -> tuple[Delivery, ...]:
        """Oldest first."""
        found = self.repository.deliveries((), 1000)
        return tuple(sorted((d for d in found if d.destination == destination), key=lambda d: d.id))

    def wait_for(self, states: Sequence[DeliveryState], destination: str = "pacs") -> tuple[Delivery, ...]:
        def reached() -> bool:
            return [d.state for d in self.deliveries(destination)] == list(states)

        wait_until(reached, lambda: [d.state for d in self.deliveries(destination)])
        return self.deliveries(destination)

    @contextmanager
    def courier(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=courier.run, args=(self.config, self.repository, stop))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(20)
            assert not thread.is_alive()


def wait_until(reached: Callable[[], bool], told: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            pytest.fail(f"not reached: {told()}")
        time.sleep(0.02)


@contextmanager
def node(folder: Path, **ports: int) -> Iterator[Node]:
    made = Node(folder, ports)
    try:
        yield made
    finally:
        made.repository.close()


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
