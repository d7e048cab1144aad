"""A node that has results to deliver, and its courier in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import FileDataset

from dicom_node.config import Config
from dicom_node.deliver import courier
from dicom_node.domain import Delivery, DeliveryState, NewInstance, NewObject, NewResult, ResultKind
from dicom_node.queue import utc_now
from dicom_node.storage.repository import Repository
from tests.ultrasound import save, us_image


class Node:
    """A data folder with a database, and as many results as wanted, each one object."""

    def __init__(
        self, folder: Path, destinations: Sequence[dict[str, Any]], delivery: dict[str, Any], port: int | None
    ) -> None:
        self.config = Config.model_validate(
            {
                "node": {
                    "data_dir": folder,
                    "host": "127.0.0.1",
                    "minimum_free_mb": 0,
                    **({"port": port} if port else {}),
                },
                "destinations": [{"objects": ["tid1500"], **destination} for destination in destinations],
                "queue": {"backoff_first_s": 0.05, "backoff_cap_s": 0.1, "poll_s": 0.02, "lease_s": 2.0},
                "delivery": {"connect_timeout_s": 2.0, "response_timeout_s": 5.0, "ask_again_s": 0.1, **delivery},
            }
        )
        self.repository = Repository.open(self.config.database_url)
        self.repository.migrate()

    def add_result(self, change: Callable[[FileDataset], None] = lambda _: None) -> str:
        """Gives its SOP Instance UID; `change` may alter it before it is written."""
        number = self.repository.counts(utc_now())["instances"]
        (results := self.config.node.data_dir / "results").mkdir(exist_ok=True)
        dataset = us_image(np.full((4, 4), number, np.uint8))
        change(dataset)
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
        return uid

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


def wait_until(reached: Callable[[], bool], told: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            pytest.fail(f"not reached: {told()}")
        time.sleep(0.02)


def pacs(name: str, port: int, ae_title: str = "PACS", **keys: Any) -> dict[str, Any]:
    return {"name": name, "ae_title": ae_title, "host": "127.0.0.1", "port": port, **keys}


@contextmanager
def node(
    folder: Path,
    *destinations: dict[str, Any],
    delivery: dict[str, Any] | None = None,
    port: int | None = None,
    **ports: int,
) -> Iterator[Node]:
    """`ports`: of application entities called PACS on this machine, by the name of the destination.

    `port`: of our receiver.
    """
    made = Node(folder, [*destinations, *(pacs(name, port) for name, port in ports.items())], delivery or {}, port)
    try:
        yield made
    finally:
        made.repository.close()
