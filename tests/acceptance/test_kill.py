"""kill -9 of receiver, worker, courier, supervisor, database server and PACS: what was acknowledged is answered, once.

A round pushes images as machines do (what was not acknowledged is sent again) while a seeded hand kills random roles,
and ends when the node has settled. Then every acknowledged image must have one SR, one PDF and one overlay in the PACS:
nothing lost, nothing twice under two UIDs, nothing under one UID with other bytes, and at no moment anything that the
node calls sent and the PACS does not hold.

The network runs on a coarse grid here: these tests are about durability.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from dicom_node.domain import DeliveryState, ResultKind
from dicom_node.storage.files import OBJECTS, PART_SUFFIX, RESULTS, SPOOL, sweep_orphans
from tests.acceptance.node import ROLES, Node, coarse_weights, running_node
from tests.acceptance.pacs import StandInPacs, stand_in_pacs
from tests.acceptance.scanner import Scanner, exam
from tests.acceptance.siege import (
    DATABASE,
    EVERYTHING,
    OUTAGE,
    PACS,
    PATIENCE_S,
    Blow,
    Tally,
    besieged,
    looked_at,
    restart_supervisor,
)
from tests.background import InBackground
from tests.objects import IMAGE_OBJECTS

WATCH_EVERY_S = 0.03
NEWEST = 60


@dataclass(frozen=True)
class Plan:
    """What happens in a round. `pause_s`: of a machine between two images. `within_s`: of the kills after another.

    `supervisor`: it is `serve` itself that is killed.
    """

    files: Sequence[Path]
    kills: int
    seed: int
    pause_s: float
    within_s: tuple[float, float]
    supervisor: bool = False


def test_every_acknowledged_image_is_answered_once_whoever_is_killed(tmp_path: Path) -> None:
    files = exam(tmp_path / "exam", 12)
    tally = play(tmp_path / "round", Plan(files, kills=4, seed=20260102, pause_s=0.1, within_s=(0.3, 1.5)))
    assert tally == Tally(rounds=1, kills=4, acknowledged=12)


def test_a_killed_supervisor_leaves_no_process_and_the_next_one_goes_on(tmp_path: Path) -> None:
    files = exam(tmp_path / "exam", 4)
    plan = Plan(files, kills=1, seed=3, pause_s=0.05, within_s=(0.4, 0.8), supervisor=True)
    assert play(tmp_path / "round", plan) == Tally(rounds=1, kills=1, acknowledged=4)


@pytest.mark.peer("postgres", "Orthanc")
def test_on_postgresql_its_server_and_the_pacs_are_killed_too_while_four_machines_push(tmp_path: Path) -> None:
    """The short form of test_soak.py."""
    blows = [
        (Blow(DATABASE, 0.3, 0.5), Blow(PACS, 0.6, 0.3)),
        (Blow("courier", 0.4), Blow("worker", 0.8), Blow(OUTAGE, 0.5, 0.8)),
    ]
    with besieged(tmp_path, "postgresql") as siege:
        played = [
            siege.play(exam(tmp_path / f"exam{number}", 4), round_blows, pause_s=0.3)
            for number, round_blows in enumerate(blows)
        ]
        siege.check_leftovers()
    assert sum(played, Tally()) == Tally(2, kills=4, outages=1, acknowledged=8, results=8 * len(IMAGE_OBJECTS))


def play(folder: Path, plan: Plan) -> Tally:
    """One round on a fresh node, whose PACS is the stand-in."""
    sections = {"inference": {"weights_dir": str(coarse_weights(folder / "weights")), "threads": 1}}
    with stand_in_pacs(folder / "pacs") as pacs, running_node(folder / "node", {"pacs": pacs}, **sections) as node:
        scanner = Scanner(node.port)
        push = InBackground(partial(scanner.push, plan.files, seconds=PATIENCE_S, pause_s=plan.pause_s))
        with watched(node, pacs) as falsely_sent:
            _kill(node, plan)
            push.join()
            node.wait_settled(len(plan.files), PATIENCE_S)
        falsely_sent |= said_but_not_held(node, pacs, EVERYTHING)
        results = pacs.results()
        lost = [uid for uid in scanner.acknowledged if set(results[uid]) != set(IMAGE_OBJECTS)]
        doubled = _doubled(results, pacs.held())
        _nothing_is_left_over(node, pacs)
        assert node.stop() == 0
    return Tally(
        rounds=1,
        kills=plan.kills,
        acknowledged=len(scanner.acknowledged),
        lost=len(lost),
        doubled=doubled,
        falsely_sent=len(falsely_sent),
    )


@contextmanager
def watched(node: Node, pacs: StandInPacs) -> Iterator[set[str]]:
    """Ask all the time whether something is called sent that the PACS does not hold; yields what was found."""
    found: set[str] = set()
    with looked_at(lambda: found.update(said_but_not_held(node, pacs, NEWEST)), WATCH_EVERY_S):
        yield found


def _kill(node: Node, plan: Plan) -> None:
    rng = random.Random(plan.seed)
    for _ in range(plan.kills):
        time.sleep(rng.uniform(*plan.within_s))
        if plan.supervisor:
            restart_supervisor(node)
        else:
            node.kill(rng.choice(ROLES))


def said_but_not_held(node: Node, pacs: StandInPacs, limit: int) -> set[str]:
    """Among the newest deliveries. Asked in this order, so that what is sent in between does no harm."""
    sent = {delivery.sop_instance_uid for delivery in node.repository.deliveries([DeliveryState.SENT], limit)}
    return sent - pacs.uids


def _doubled(results: dict[str, dict[ResultKind, set[str]]], held: dict[str, set[str]]) -> int:
    """Images with two results of one kind, and result UIDs that came with differing bytes."""
    by_kind = [len(uids) for kinds in results.values() for uids in kinds.values()]
    by_bytes = [len(hashes) for hashes in held.values()]
    return sum(count > 1 for count in by_kind + by_bytes)


def _nothing_is_left_over(node: Node, pacs: StandInPacs) -> None:
    """After the sweep that the node makes by the hour: one file for each row, whole, and none besides."""
    sweep_orphans(node.data_dir, node.repository.known_paths, datetime.now(UTC))
    counts, held = node.counts(), pacs.held()
    assert len(node.files(OBJECTS)) == counts["instances"]
    assert counts["deliveries_sent"] == counts["objects"] == len(IMAGE_OBJECTS) * counts["instances"], (
        f"{counts}{node.tail()}"
    )
    assert len(node.files(RESULTS)) == counts["objects"] == len(held)
    assert not [path for path in node.files(SPOOL, OBJECTS, RESULTS) if path.suffix == PART_SUFFIX]
    for source in pacs.results():
        for stored in node.repository.objects_of(node.instance(source).id):
            content = (node.data_dir / stored.path).read_bytes()
            assert hashlib.sha256(content).hexdigest() == stored.sha256
            assert held[stored.sop_instance_uid] == {hashlib.sha256(dataset_of(content)).hexdigest()}


def dataset_of(file: bytes) -> bytes:
    """What follows the file meta information, whose length stands in its first element (PS3.10 7.1)."""
    return file[144 + int.from_bytes(file[140:144], "little") :]
