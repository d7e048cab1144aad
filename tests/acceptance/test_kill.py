"""kill -9 of receiver, worker, courier, supervisor and database server: what was acknowledged is answered, once.

A round pushes images as machines do (what was not acknowledged is sent again) while a seeded hand kills random roles
and takes the PACS off the network, and ends when the node has settled. Then every acknowledged image must have one SR,
one PDF and one overlay in the PACS: nothing lost, nothing twice under two UIDs, nothing under one UID with other bytes,
and at no moment anything that the node calls sent and the PACS does not hold.

The network runs on a coarse grid here: these tests are about durability.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dicom_node.domain import DeliveryState, ResultKind
from dicom_node.errors import DatabaseUnavailable
from dicom_node.storage.files import OBJECTS, PART_SUFFIX, RESULTS, SPOOL, sweep_orphans
from tests.acceptance.node import ROLES, Node, coarse_weights, gone, running_node, wait_for
from tests.acceptance.pacs import StandInPacs, stand_in_pacs
from tests.acceptance.scanner import Scanner, exam
from tests.objects import IMAGE_OBJECTS
from tests.postgresql import Server, running_server

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "30"))
OBJECTS_PER_ROUND = int(os.environ.get("SOAK_OBJECTS", "200"))
KILLS_PER_ROUND = 6
SENDERS = 4
DATABASE = "database"
WATCH_EVERY_S = 0.03
NEWEST, EVERYTHING = 60, 1_000_000
SUPERVISOR_EVERY = 5
"""In every fifth round one of the kills takes the supervisor itself."""


@dataclass(frozen=True)
class Plan:
    """What happens in a round. `pause_s`: of a machine between two images. `within_s`: of the kills after another.

    `server`: the PostgreSQL to use in place of SQLite. `senders` machines push at once, each its share of the files.
    `outages`: so many times the PACS is off the network for a moment.
    """

    files: Sequence[Path]
    kills: int
    seed: int
    pause_s: float
    within_s: tuple[float, float]
    supervisor: bool = False
    server: Server | None = None
    senders: int = 1
    outages: int = 0

    @property
    def victims(self) -> Sequence[str]:
        """With PostgreSQL the server is one of them."""
        return ROLES if self.server is None else (*ROLES, DATABASE)


@dataclass(frozen=True)
class Tally:
    """What a round, or all of them, came to; the last three must be 0."""

    rounds: int = 0
    kills: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    falsely_sent: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


def test_every_acknowledged_image_is_answered_once_whoever_is_killed(tmp_path: Path) -> None:
    files = exam(tmp_path / "exam", 12)
    tally = play(tmp_path / "round", Plan(files, kills=4, seed=20260102, pause_s=0.1, within_s=(0.3, 1.5)))
    assert tally == Tally(rounds=1, kills=4, acknowledged=12)


def test_a_killed_supervisor_leaves_no_process_and_the_next_one_goes_on(tmp_path: Path) -> None:
    files = exam(tmp_path / "exam", 4)
    plan = Plan(files, kills=1, seed=3, pause_s=0.05, within_s=(0.4, 0.8), supervisor=True)
    assert play(tmp_path / "round", plan) == Tally(rounds=1, kills=1, acknowledged=4)


@pytest.mark.peer("postgres")
def test_on_postgresql_the_server_is_killed_too_while_four_machines_push_and_the_pacs_comes_and_goes(
    tmp_path: Path,
) -> None:
    files = exam(tmp_path / "exam", 8)
    with running_server() as server:
        plan = Plan(files, 4, 20260103, pause_s=0.1, within_s=(0.3, 1.0), server=server, senders=4, outages=2)
        assert play(tmp_path / "round", plan) == Tally(rounds=1, kills=4, acknowledged=8)
        assert server.kills >= 1


SOAKED = ("sqlite", pytest.param("postgresql", marks=pytest.mark.peer("postgres")))


@pytest.mark.slow
@pytest.mark.parametrize("engine", SOAKED)
def test_soak(engine: str, tmp_path: Path) -> None:
    with running_server() if engine == "postgresql" else nullcontext() as server:
        _soak(tmp_path, engine, server)


def _soak(tmp_path: Path, engine: str, server: Server | None) -> None:
    files = exam(tmp_path / "exam", OBJECTS_PER_ROUND)
    total = Tally()
    began = time.monotonic()
    for number in range(1, ROUNDS + 1):
        plan = Plan(
            files,
            KILLS_PER_ROUND,
            seed=number,
            pause_s=0.05,
            within_s=(0.5, 8.0),
            supervisor=number % SUPERVISOR_EVERY == 0,
            server=server,
            senders=SENDERS,
            outages=2,
        )
        folder = tmp_path / "round"
        total += play(folder, plan)
        write_tally(engine, total)
        print(f"round {number} of {ROUNDS}: {asdict(total)} after {time.monotonic() - began:.0f} s", flush=True)
        shutil.rmtree(folder)
    assert total == Tally(ROUNDS, total.kills, ROUNDS * OBJECTS_PER_ROUND)
    assert total.kills == ROUNDS * KILLS_PER_ROUND


def play(folder: Path, plan: Plan) -> Tally:
    """One round on a fresh node."""
    sections: dict[str, dict[str, Any]] = {
        "inference": {"weights_dir": str(coarse_weights(folder / "weights")), "threads": 1},
        **({} if plan.server is None else {"database": {"url": plan.server.create_database()}}),
    }
    with stand_in_pacs(folder / "pacs") as pacs, running_node(folder / "node", {"pacs": pacs}, **sections) as node:
        scanner = Scanner(node.port)
        patience_s = 120.0 + 10.0 * len(plan.files)
        pushes = [
            InBackground(partial(scanner.push, share, seconds=patience_s, pause_s=plan.pause_s))
            for share in (plan.files[number :: plan.senders] for number in range(plan.senders))
        ]
        with watched(node, pacs) as falsely_sent:
            _kill(node, plan, pacs)
            for push in pushes:
                push.join()
            node.wait_settled(len(plan.files), patience_s)
        falsely_sent |= said_but_not_held(node, pacs, EVERYTHING)
        results = pacs.results()
        lost = [uid for uid in scanner.acknowledged if set(results[uid]) != set(IMAGE_OBJECTS)]
        doubled = _doubled(results, pacs.held())
        _nothing_is_left_over(node, pacs)
        assert node.stop() == 0
    return Tally(1, plan.kills, len(scanner.acknowledged), len(lost), doubled, len(falsely_sent))


class InBackground(threading.Thread):
    """A thread that is running; `join` raises what it raised."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001  raised again by join
            self._error = error

    def join(self, timeout: float | None = None) -> None:
        super().join(timeout)
        if self._error is not None:
            raise self._error


@contextmanager
def watched(node: Node, pacs: StandInPacs) -> Iterator[set[str]]:
    """Ask all the time whether something is called sent that the PACS does not hold; yields what was found."""
    found: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(WATCH_EVERY_S):
            with suppress(DatabaseUnavailable):  # its server is being killed
                found.update(said_but_not_held(node, pacs, NEWEST))

    watcher = InBackground(watch)
    try:
        yield found
    finally:
        done.set()
        watcher.join()


def _kill(node: Node, plan: Plan, pacs: StandInPacs) -> None:
    rng = random.Random(plan.seed)
    outages = set(rng.sample(range(plan.kills), plan.outages))
    victims = [rng.choice(plan.victims) for _ in range(plan.kills)]
    if plan.server is not None and DATABASE not in victims:
        victims[plan.kills // 3] = DATABASE
    for number, victim in enumerate(victims):
        time.sleep(rng.uniform(*plan.within_s))
        if number in outages:
            pacs.down()
        if plan.supervisor and number == plan.kills // 2:
            _kill_supervisor(node)
        elif victim == DATABASE and plan.server is not None:
            plan.server.kill()
            time.sleep(rng.uniform(0.0, 1.0))
            plan.server.start()
        else:
            node.kill(victim)
        if number in outages:
            time.sleep(rng.uniform(0.0, 1.0))
            pacs.up()


def _kill_supervisor(node: Node) -> None:
    left = node.kill_supervisor()
    assert len(left) >= len(ROLES)
    wait_for(lambda: all(map(gone, left)), f"still there: {left}", 20, node)
    node.start()


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


def write_tally(engine: str, tally: Tally) -> None:
    """Where `make soak` wants it: the sums of both engines, and each."""
    told = os.environ.get("SOAK_JSON")
    if not told:
        return
    path = Path(told)
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    engines = {**known.get("engines", {}), engine: asdict(tally)}
    total = sum((Tally(**one) for one in engines.values()), Tally())
    path.write_text(json.dumps({**asdict(total), "engines": engines}, indent=2) + "\n", encoding="utf-8")
