"""A node, its PACS (Orthanc) and its database under siege: rounds of pushing and killing on one and the same node.

In a round machines push images, and send again what was not acknowledged, while a process is killed (-9) at a random
moment and the PACS is killed or taken down too. The round ends when the node has settled. Then every acknowledged image
has its results in the PACS, each once, with the bytes that the node stored, and the PACS holds all that the node calls
sent. Nothing is cleared between rounds, so a later one would also see what an earlier one did.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPException
from pathlib import Path

from dicom_node.domain import DeliveryState
from dicom_node.errors import DatabaseUnavailable
from dicom_node.storage.files import OBJECTS, PART_SUFFIX, RESULTS, SPOOL, sweep_orphans
from tests.acceptance.node import ROLES, Node, coarse_weights, gone, running_node, wait_for
from tests.acceptance.orthanc_pacs import Kept, OrthancPacs, kept, orthanc_pacs
from tests.acceptance.scanner import Scanner
from tests.background import InBackground
from tests.objects import IMAGE_OBJECTS
from tests.postgresql import Server, running_server

SENDERS = 4
EVERYTHING = 1_000_000
SUPERVISOR, DATABASE, PACS = "supervisor", "database", "pacs"
REMARK = "remark"
OUTAGE = "outage"
"""The PACS is asked to leave, and comes back."""

PATIENCE_S = 900.0
"""A node that has not settled by then hangs, however busy the machine is."""

_WATCH_EVERY_S = 1.0
_LOOK_EVERY_S = 0.3
_IDLE = {"poll_s": 0.25}
"""Hundreds of rounds: who looks for work twenty times a second costs more than the work."""

_LEAVES_S = 120.0


@dataclass(frozen=True)
class Tally:
    """What a round, or all of them, came to; the last four must be 0.

    `results`: objects that the PACS holds. `broken`: rounds that did not come to their end.
    """

    rounds: int = 0
    kills: int = 0
    outages: int = 0
    acknowledged: int = 0
    results: int = 0
    lost: int = 0
    doubled: int = 0
    falsely_sent: int = 0
    broken: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


@dataclass(frozen=True)
class Blow:
    """Who is struck, how long after the round began, and how long a PACS or database then stays away."""

    victim: str
    after_s: float
    away_s: float = 0.0


def blows_of(rng: random.Random, *, database: bool, within_s: float) -> tuple[Blow, ...]:
    """One process of the node or its database server, and the PACS: killed in one round, taken down in another."""
    victims = [*ROLES, *ROLES, SUPERVISOR, *([DATABASE, DATABASE] if database else [])]
    moments = (rng.uniform(0.0, within_s) for _ in range(2))
    return tuple(
        Blow(victim, after_s, rng.uniform(0.0, 1.0))
        for victim, after_s in zip((rng.choice(victims), rng.choice((PACS, OUTAGE))), moments, strict=True)
    )


class Rounds:
    """Rounds on one node, which is running: machines push while it suffers; then its word is held against the PACS."""

    def __init__(self, node: Node, pacs: OrthancPacs) -> None:
        self.node, self.pacs = node, pacs
        self._pushed = 0

    def machines(self) -> Sequence[Scanner]:
        """Those that push in a round, fresh ones each time."""
        return [Scanner(self.node.port) for _ in range(SENDERS)]

    def push(self, machine: Scanner, files: Sequence[Path], pause_s: float) -> None:
        """All of it, again and again. `pause_s`: between two images."""
        machine.push(files, seconds=PATIENCE_S, pause_s=pause_s)

    def round(self, files: Sequence[Path], sufferings: Sequence[Callable[[], None]], pause_s: float) -> Tally:
        """What the machines push while the node suffers; ends when it has settled."""
        before = len(self.pacs.holds())
        machines = self.machines()
        self._pushed += len(files)
        with self._watched() as falsely_sent:
            pushes = [
                partial(self.push, machine, files[number :: len(machines)], pause_s)
                for number, machine in enumerate(machines)
            ]
            for thread in [InBackground(task) for task in (*sufferings, *pushes)]:
                thread.join()
            self.node.wait_settled(self._pushed, PATIENCE_S, _LOOK_EVERY_S)
        held = self.pacs.holds()
        acknowledged = {uid for machine in machines for uid in machine.acknowledged}
        return Tally(
            rounds=1,
            acknowledged=len(acknowledged),
            results=len(held) - before,
            lost=_lost(acknowledged, held),
            doubled=_doubled(held),
            falsely_sent=len(falsely_sent | self._said_but_not_held()),
        )

    def check_leftovers(self) -> None:
        """After the sweep that the node makes by the hour: one file for each row, whole, and the PACS has its content.

        Raises AssertionError.
        """
        node, held = self.node, self.pacs.holds()
        sweep_orphans(node.data_dir, node.repository.known_paths, datetime.now(UTC))
        counts = node.counts()
        assert len(node.files(OBJECTS)) == counts["instances"] == self._pushed
        assert counts["deliveries_sent"] == counts["objects"] == len(IMAGE_OBJECTS) * self._pushed, counts
        assert len(node.files(RESULTS)) == counts["objects"] == len(held)
        assert not [path for path in node.files(SPOOL, OBJECTS, RESULTS) if path.suffix == PART_SUFFIX]
        for path in node.files(RESULTS):
            ours = kept(path.read_bytes())
            assert held[ours.sop_instance_uid] == ours

    @contextmanager
    def _watched(self) -> Iterator[set[str]]:
        """Ask all the time whether something is called sent that the PACS does not hold; yields what was found."""
        found: set[str] = set()
        with looked_at(lambda: found.update(self._said_but_not_held()), _WATCH_EVERY_S):
            yield found

    def _said_but_not_held(self) -> set[str]:
        """Asked in this order, so that what is sent in between does no harm."""
        sent = {d.sop_instance_uid for d in self.node.repository.deliveries([DeliveryState.SENT], EVERYTHING)}
        return sent - set(self.pacs.holds())


class Siege(Rounds):
    """Whose processes are killed, and those of its PACS and database server."""

    def __init__(self, node: Node, pacs: OrthancPacs, server: Server | None = None) -> None:
        super().__init__(node, pacs)
        self._server = server
        self.killed: Counter[str] = Counter()

    def play(self, files: Sequence[Path], blows: Sequence[Blow], pause_s: float) -> Tally:
        """One round. `pause_s`: of a machine between two images."""
        tally = self.round(files, [partial(self._strike, blow) for blow in blows], pause_s)
        killed = Counter(blow.victim for blow in blows if blow.victim != OUTAGE)
        self.killed += killed
        return replace(tally, kills=killed.total(), outages=len(blows) - killed.total())

    def _strike(self, blow: Blow) -> None:
        time.sleep(blow.after_s)
        if blow.victim == SUPERVISOR:
            restart_supervisor(self.node)
        elif blow.victim == DATABASE:
            assert self._server is not None
            self._server.kill()
            time.sleep(blow.away_s)
            self._server.start()
        elif blow.victim in (PACS, OUTAGE):
            (self.pacs.kill if blow.victim == PACS else self.pacs.down)()
            time.sleep(blow.away_s)
            self.pacs.up()
        else:
            self.node.kill(blow.victim)


@contextmanager
def besieged(folder: Path, engine: str) -> Iterator[Siege]:
    """A fresh node on SQLite or, with a server of its own, on PostgreSQL, and a fresh Orthanc; a coarse network."""
    inference = {"weights_dir": str(coarse_weights(folder / "weights")), "threads": 1}
    with (
        running_server() if engine == "postgresql" else nullcontext() as server,
        orthanc_pacs(folder / "orthanc") as pacs,
    ):
        database = {} if server is None else {"database": {"url": server.create_database()}}
        with running_node(folder / "node", {"pacs": pacs}, inference=inference, queue=_IDLE, **database) as node:
            yield Siege(node, pacs, server)
            assert node.stop() == 0


def _lost(acknowledged: set[str], held: Mapping[str, Kept]) -> int:
    """Acknowledged images of which a result is missing."""
    return sum({one.kind for one in held.values() if one.source == uid} != set(IMAGE_OBJECTS) for uid in acknowledged)


def _doubled(held: Mapping[str, Kept]) -> int:
    """Results that are there under several UIDs."""
    return sum(count > 1 for count in Counter((one.source, one.kind) for one in held.values()).values())


def restart_supervisor(node: Node) -> None:
    """kill -9 of `serve`; what it left behind goes by itself, and then it is started again."""
    left = node.kill_supervisor()
    wait_for(lambda: all(map(gone, left)), f"still there: {left}", _LEAVES_S, node)
    node.start()


@contextmanager
def looked_at(look: Callable[[], object], every_s: float) -> Iterator[None]:
    """Call `look` again and again during the block; whom it asks may be dead at that moment."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(every_s):
            with suppress(DatabaseUnavailable, OSError, HTTPException):
                look()

    watcher = InBackground(watch)
    try:
        yield
    finally:
        done.set()
        watcher.join()


class Ledger:
    """A file with the sums of all rounds that were ever played for it, and of each bench ("sqlite", "postgresql").

    Rounds are added, never replaced: the long form is played in as many pieces as one likes. Remove the file to count
    anew. A REMARK that a person put beside the sums of a bench stays.
    """

    def __init__(self, path: Path | None, bench: str) -> None:
        self._path, self._bench = path, bench

    def played(self) -> int:
        """Rounds of this bench so far, broken ones too: the next one has the seed after theirs."""
        row = self._rows().get(self._bench, {})
        return int(row.get("rounds", 0)) + int(row.get("broken", 0))

    def add(self, tally: Tally, killed: Mapping[str, int]) -> None:
        """Nothing where no file was named."""
        if self._path is None:
            return
        rows = self._rows()
        row = rows.get(self._bench, {})
        by_victim = Counter(row.pop("killed", {})) + Counter(killed)
        said = {name: row.pop(name) for name in (REMARK,) if name in row}
        rows[self._bench] = {**asdict(Tally(**row) + tally), "killed": dict(sorted(by_victim.items())), **said}
        total = sum((Tally(**{f.name: one[f.name] for f in fields(Tally)}) for one in rows.values()), Tally())
        self._path.write_text(json.dumps({**asdict(total), "benches": rows}, indent=2) + "\n", encoding="utf-8")

    def _rows(self) -> dict[str, dict[str, object]]:
        if self._path is None or not self._path.is_file():
            return {}
        rows: dict[str, dict[str, object]] = json.loads(self._path.read_text(encoding="utf-8")).get("benches", {})
        return rows


@contextmanager
def failures_in(ledger: Ledger) -> Iterator[None]:
    """A piece that does not come to its end, or whose sums are wrong, is written down too."""
    try:
        yield
    except Exception:
        ledger.add(Tally(broken=1), {})
        raise
