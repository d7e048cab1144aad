"""Delivery and reception over connections that are slow, stall, are cut or reset: see tests/fault_proxy.py.

The laws: what was not answered is sent again under the same UID, nothing is called sent that the other side does not
hold, nothing is there twice, and what the node acknowledged it holds.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset

from dicom_node.domain import AttemptOutcome, DeliveryState, Relation
from dicom_node.storage.files import OBJECTS, PART_SUFFIX
from dicom_node.storage.repository import Repository
from tests.acceptance.scanner import Scanner, exam, uid_of
from tests.fault_proxy import End, Fault, FaultProxy, fault_proxy
from tests.outbox import Node, node, wait_until
from tests.receiving import eventually, free_port, receiver_config, receiver_thread
from tests.scripted_scp import ScriptedScp, scripted_scp

SENT = DeliveryState.SENT
ROWS, COLUMNS = 200, 300
IN_THE_PIXELS = 30_011
"""Bytes from the caller: beyond the association request and the first PDUs, in the middle of one."""

ENDS = list(End)
SHORT_S, LONG_S = 1.0, 60.0
"""How long an answer is waited for: where it is held back, and where it comes if the machine is busy too."""


def larger(dataset: FileDataset) -> None:
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.PixelData = np.zeros((ROWS, COLUMNS), np.uint8).tobytes()


@contextmanager
def courier_behind(folder: Path, *faults: Fault, results: int = 1) -> Iterator[tuple[Node, ScriptedScp, FaultProxy]]:
    """Results that wait, and a courier that has the proxy between itself and the PACS."""
    patience = {"response_timeout_s": _patience_s(faults), "connect_timeout_s": LONG_S}
    with (
        scripted_scp() as scp,
        fault_proxy(scp.port, *faults) as proxy,
        node(folder, pacs=proxy.port, delivery=patience) as made,
    ):
        for _ in range(results):
            made.add_result(larger)
        with made.courier():
            yield made, scp, proxy


def _patience_s(faults: Sequence[Fault]) -> float:
    return SHORT_S if any(fault.end is End.STALL for fault in faults) else LONG_S


def outcomes(made: Node) -> list[AttemptOutcome]:
    return [one.outcome for one in made.repository.attempts(made.deliveries()[0].id)]


@pytest.mark.parametrize("end", ENDS)
def test_an_object_that_was_cut_short_is_sent_again(tmp_path: Path, end: End) -> None:
    with courier_behind(tmp_path, Fault(end, after_bytes=IN_THE_PIXELS)) as (made, scp, proxy):
        (delivery,) = made.wait_for([SENT])
        first, *_, last = outcomes(made)
    assert (first, last, proxy.met) == (AttemptOutcome.UNKNOWN, AttemptOutcome.SENT, 1)
    assert set(scp.received) == {delivery.sop_instance_uid}


@pytest.mark.parametrize("end", ENDS)
def test_an_object_whose_answer_was_lost_is_sent_again_under_the_same_uid(tmp_path: Path, end: End) -> None:
    with courier_behind(tmp_path, Fault(end, before_answer=1)) as (made, scp, proxy):
        (delivery,) = made.wait_for([SENT])
        first, *_, last = outcomes(made)
    assert (first, last, proxy.met) == (AttemptOutcome.UNKNOWN, AttemptOutcome.SENT, 1)
    assert len(scp.received) >= 2
    assert set(scp.received) == {delivery.sop_instance_uid}


def test_a_slow_way_is_no_failure(tmp_path: Path) -> None:
    with courier_behind(tmp_path, Fault(bytes_per_s=60_000.0)) as (made, scp, _):
        (delivery,) = made.wait_for([SENT])
    assert (delivery.attempts, len(scp.received)) == (1, 1)


def some_faults(seed: int, count: int) -> list[Fault]:
    """Each connection ends within its first two objects."""
    rng = random.Random(seed)
    places = [
        {"after_bytes": rng.randrange(1, 100_000)} if rng.random() < 0.5 else {"before_answer": rng.randrange(1, 3)}
        for _ in range(count)
    ]
    return [Fault(rng.choice(ENDS), **place) for place in places]


def test_over_a_bad_network_all_arrives_and_nothing_is_called_sent_too_soon(tmp_path: Path) -> None:
    count = 12
    with courier_behind(tmp_path, *some_faults(20261122, 10), results=count) as (made, scp, proxy):

        def settled() -> bool:
            sent = {d.sop_instance_uid for d in made.deliveries() if d.state is SENT}
            assert sent <= set(scp.received)  # asked in this order
            return len(sent) == count

        wait_until(settled, made.deliveries)
        assert proxy.met >= 3
    assert set(scp.received) == {d.sop_instance_uid for d in made.deliveries()}


# --- the receiver --------------------------------------------------------------------------------------------------


@contextmanager
def receiver_behind(folder: Path, *faults: Fault) -> Iterator[tuple[Scanner, Repository, FaultProxy]]:
    config = receiver_config(folder / "data", free_port())
    repository = Repository.open(config.database_url)
    try:
        repository.migrate()
        with receiver_thread(config, repository), fault_proxy(config.node.port or 0, *faults) as proxy:
            yield Scanner(proxy.port, patience_s=_patience_s(faults)), repository, proxy
    finally:
        repository.close()


def parts_below(folder: Path) -> list[Path]:
    """Objects that came in part."""
    return [path for path in folder.rglob("*") if path.suffix == PART_SUFFIX]


def check_store(folder: Path, repository: Repository, images: list[Path]) -> None:
    """Each image is there once, whole, and nothing besides."""
    data = folder / "data"
    for image in images:
        (stored,) = repository.versions(uid_of(image))
        assert stored.relation is Relation.FIRST
        assert stored.size_bytes == (data / stored.path).stat().st_size >= ROWS
    assert sum(path.is_file() for path in (data / OBJECTS).rglob("*")) == len(images)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("place", [{"after_bytes": IN_THE_PIXELS}, {"before_answer": 1}], ids=["data", "answer"])
def test_an_image_that_was_not_acknowledged_comes_again_and_is_kept_once(
    tmp_path: Path, place: dict[str, int], end: End
) -> None:
    images = exam(tmp_path / "exam", 2)
    with receiver_behind(tmp_path, Fault(end, **place)) as (scanner, repository, proxy):
        scanner.push(images, seconds=120)
        assert proxy.met == 1
        proxy.close()  # whoever is stalled is cut off now
        eventually(lambda: not parts_below(tmp_path / "data"), seconds=60)
        check_store(tmp_path, repository, images)


def test_over_a_bad_network_everything_acknowledged_is_there(tmp_path: Path) -> None:
    images = exam(tmp_path / "exam", 8)
    with receiver_behind(tmp_path, *some_faults(20261123, 10), Fault(bytes_per_s=200_000.0)) as (
        scanner,
        repository,
        proxy,
    ):
        scanner.push(images, seconds=240)
        assert scanner.acknowledged == {uid_of(image) for image in images}
        assert proxy.met >= 3
        proxy.close()
        eventually(lambda: not parts_below(tmp_path / "data"), seconds=60)
        check_store(tmp_path, repository, images)
