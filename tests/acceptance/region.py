"""A region on several hosts: two receivers, three workers, a courier, PostgreSQL and the PACS, and what befalls them.

Each host is a network namespace (hosts.py). Scanners reach the receivers, and couriers the PACS, through proxies on a
host between them, which slow, stall, cut and reset what they carry; every second host reaches the database there too.
A cable that is pulled may be plugged in again, or never: then the host, which still runs, is on its own, and others do
its work. The data folder is what a shared file system would be.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from itertools import count
from pathlib import Path

from dicom_node.domain import DeliveryState, JobState
from tests.acceptance.hosts import NETWORK, Host, Lan, lan
from tests.acceptance.node import ROOT, Node, coarse_weights, wait_for
from tests.acceptance.orthanc_pacs import Kept, OrthancPacs
from tests.acceptance.scanner import Scanner
from tests.acceptance.siege import PATIENCE_S, SENDERS, Rounds, Tally
from tests.background import InBackground
from tests.fault_proxy import End, Fault, FaultProxy, fault_proxy
from tests.integration.orthanc import OrthancServer, orthanc_server
from tests.postgresql import FAST, SUPERUSER, Server, running_server

RECEIVERS = ("receiver1", "receiver2")
STATIONS = (*RECEIVERS, "worker1", "worker2", "worker3", "courier1")
DATABASE, ARCHIVE, WARD, WAY = "database", "archive", "ward", "way"
"""Hosts that run no role of the node; WARD is where the machines stand, WAY where the proxies are."""

DICOM_PORT = 11112
SQL_PORT = 5432
DATABASE_NAME = "node0"
SECTIONS = {
    "node": {"host": "0.0.0.0", "port": DICOM_PORT},  # noqa: S104  inside its namespace
    "database": {"url": f"postgresql+psycopg://{SUPERUSER}@/{DATABASE_NAME}"},
    "queue": {"poll_s": 0.25},
    "delivery": {"connect_timeout_s": 5.0, "response_timeout_s": 8.0},
}
"""The same for all. Where the database is says PGHOST to the driver (PostgreSQL manual, libpq environment)."""

_AWAY_S = (8.0, 8.0, 8.0, 45.0)
"""At most; the longest is beyond the half minute after which either end of a connection gives up the other."""

_ANSWER_S = 8.0
_GOODBYE_S = 600.0
_AGAIN_S = 0.2
_CLAIMS = {
    "worker": ("job", "worker", JobState.RUNNING.value),
    "courier": ("delivery", "courier", DeliveryState.SENDING.value),
}
"""Of a role: its table, the column with the process that claimed a row, and the state in which it works on it."""


class Fate(StrEnum):
    """PULLED, OFF: the cable or the host's card, for a while. LOST: the cable, for good. KILLED: -9, all processes.

    RESET: all connections that the proxies carry end at once.
    """

    PULLED = "pulled"
    OFF = "off"
    LOST = "lost"
    KILLED = "killed"
    RESET = "reset"


@dataclass(frozen=True)
class Blow:
    """What befalls whom, how long after the round began, and how long they are away."""

    fate: Fate
    whom: str
    after_s: float
    away_s: float = 0.0


def blows_of(rng: random.Random, within_s: float) -> tuple[Blow, ...]:
    """One role's host is killed or never comes back; two others, whoever they are, have something that passes."""
    first = rng.choice(STATIONS)
    second, third = rng.sample([one for one in (*STATIONS, DATABASE, ARCHIVE, WARD, WAY) if one != first], 2)
    fates = (
        (first, (Fate.LOST, Fate.LOST, Fate.KILLED)),
        (second, (Fate.PULLED, Fate.OFF)),
        (third, (Fate.RESET,) if third == WAY else (Fate.PULLED,) if third == WARD else (Fate.PULLED, Fate.KILLED)),
    )
    return tuple(
        Blow(rng.choice(of_these), whom, rng.uniform(0.0, within_s), rng.uniform(0.5, rng.choice(_AWAY_S)))
        for whom, of_these in fates
    )


def faults_of(rng: random.Random) -> tuple[Fault, ...]:
    """Of the next connections of a proxy."""
    drawn = [rng.choice((*End, None)) for _ in range(3)]
    return tuple(
        Fault(bytes_per_s=rng.uniform(50_000.0, 400_000.0))
        if end is None
        else Fault(end, after_bytes=rng.randrange(1, 100_000))
        for end in drawn
    )


@dataclass
class Station:
    """A host that runs one role, and what it needs to do so."""

    role: str
    host: Host
    config: Path
    database: str
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def start(self) -> None:
        """Until it is ready; again as long as it gives up, as whoever keeps a service running does."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._started():
            assert time.monotonic() < deadline, f"{self.host.name} does not start"
            time.sleep(_AGAIN_S)

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ended(self) -> int:
        """Waits for its exit status."""
        assert self.process is not None
        return self.process.wait(_GOODBYE_S)

    def kill(self) -> None:
        self.host.kill()
        self.ended()

    def _started(self) -> bool:
        self.starts += 1
        log = self.config.with_name(f"{self.host.name}-{self.starts}.log")
        command = [sys.executable, "-m", "dicom_node", self.role, "--config", str(self.config)]
        more = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "PGHOST": self.database}
        self.process = self.host.start(command, log, more)
        ready = f"{self.role}.ready"
        wait_for(
            lambda: ready in log.read_text(encoding="utf-8") or not self.is_running(),
            f"{self.host.name} is not ready",
            PATIENCE_S,
        )
        return self.is_running()


class Archive(OrthancPacs):
    """An Orthanc on a host of its own; `host` and `port` are where the node finds it."""

    def __init__(self, server: OrthancServer, at: Host, way: Host) -> None:
        super().__init__(server)
        self._at = at
        self.host = way.address

    def up(self) -> None:
        self._at.call(super().up)

    def holds(self) -> dict[str, Kept]:
        return self._at.call(super().holds)


class DistributedNode(Node):
    """Configuration, folder and database; the processes are elsewhere."""

    def tail(self, lines: int = 40) -> str:
        logs = sorted(self.folder.glob("*.log"))
        ends = (log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:] for log in logs)
        return "\n".join(f"\n{log.name}\n" + "\n".join(end) for log, end in zip(logs, ends, strict=True))


@dataclass(frozen=True)
class Site:
    """Where everything is. `doors`: the proxies before the receivers, in their order."""

    network: Lan
    around: dict[str, Host]
    server: Server
    doors: Sequence[FaultProxy]
    to_archive: FaultProxy
    to_database: FaultProxy

    @property
    def proxies(self) -> tuple[FaultProxy, ...]:
        return (*self.doors, self.to_archive, self.to_database)

    def suffered(self) -> Counter[str]:
        return sum((proxy.suffered() for proxy in self.proxies), Counter[str]())


@dataclass
class _Slots:
    """Who plays which part now, and who has lost the cable for good."""

    now: dict[str, Station] = field(default_factory=dict)
    lost: list[Station] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))


class Region(Rounds):
    """Rounds on it; `befallen` counts what befell whom."""

    def __init__(self, node: Node, pacs: Archive, site: Site) -> None:
        super().__init__(node, pacs)
        self.site = site
        self.befallen: Counter[str] = Counter()
        self._slots = _Slots()
        self._fill()

    @property
    def stations(self) -> dict[str, Station]:
        """Those that can be reached, by slot: "worker1" is the first of the workers, on whatever host it is."""
        return self._slots.now

    @property
    def lost(self) -> Sequence[Station]:
        """Whose cable will not be plugged in again."""
        return tuple(self._slots.lost)

    def machines(self) -> Sequence[Scanner]:
        """Half of them knock at the one receiver first."""
        way = self.site.around[WAY].address
        doors = [(way, door.port) for door in self.site.doors]
        return [
            Scanner(doors[number % 2][1], host=way, patience_s=_ANSWER_S, others=[doors[1 - number % 2]])
            for number in range(SENDERS)
        ]

    def push(self, machine: Scanner, files: Sequence[Path], pause_s: float) -> None:
        self.site.around[WARD].call(partial(super().push, machine, files, pause_s))

    def play(self, files: Sequence[Path], blows: Sequence[Blow], rng: random.Random, pause_s: float) -> Tally:
        """One round with blows, and with faults on the next connections. `pause_s`: of a machine between two images."""
        for proxy in self.site.proxies:
            proxy.plan(faults_of(rng))
        before = self.site.suffered()
        tally = self.round(files, [partial(self.strike, blow) for blow in blows], pause_s)
        self.befallen += Counter(f"{blow.fate} {blow.whom.rstrip('123')}" for blow in blows)
        self.befallen += Counter({f"connection {what}": n for what, n in (self.site.suffered() - before).items()})
        self.switch_off_lost()
        self._fill()
        ended = sum(blow.fate in (Fate.LOST, Fate.KILLED) for blow in blows)
        return replace(tally, kills=ended, outages=len(blows) - ended)

    def switch_off_lost(self) -> None:
        """Until now they ran, on their own. All others must be running."""
        while self._slots.lost:
            station = self._slots.lost.pop()
            station.kill()
            self.site.network.remove(station.host)
        stopped = [slot for slot, station in self.stations.items() if not station.is_running()]
        assert not stopped, f"{stopped} ended by themselves{self.node.tail()}"

    def settle(self, slot: str) -> None:
        """A fresh host with the role of the slot. Every second one reaches the database through the proxy."""
        role = slot.rstrip("123")
        host = self.site.network.host(f"{role}-{next(self._slots.numbers)}")
        database = self.site.around[WAY if slot.endswith("2") else DATABASE]
        station = Station(role, host, self.node.config, database.address)
        station.start()
        self.stations[slot] = station
        if slot in RECEIVERS:
            self.site.doors[RECEIVERS.index(slot)].target = (host.address, DICOM_PORT)

    def lose_while_busy(self, role: str) -> int:
        """Pull, for good, the cable of a host of this role in the middle of its work; the row it had claimed."""
        table, column, state = _CLAIMS[role]
        held = f"SELECT id, token, {column} FROM {table} WHERE state = '{state}' ORDER BY id"  # noqa: S608

        def caught() -> tuple[int, str] | None:
            slots = {station.host.name: slot for slot, station in self.stations.items()}
            for row in self.site.server.sql(held, DATABASE_NAME):
                if (slot := slots.get(row[2].partition("/")[0])) is None:  # lost already, or just starting
                    continue
                self.stations[slot].host.tell(signal.SIGSTOP)
                if row in self.site.server.sql(held, DATABASE_NAME):
                    return row[0], slot
                self.stations[slot].host.tell(signal.SIGCONT)
            return None

        row, slot = wait_for(caught, f"no {role} had anything to do", PATIENCE_S, self.node, every_s=0.005)
        self._lose(slot)
        self.lost[-1].host.tell(signal.SIGCONT)
        return row

    def holder(self, role: str, row: int) -> str:
        """The host that claimed it last."""
        table, column, _ = _CLAIMS[role]
        ((process,),) = self.site.server.sql(f"SELECT {column} FROM {table} WHERE id = {row}", DATABASE_NAME)  # noqa: S608
        return str(process).partition("/")[0]

    def _fill(self) -> None:
        """The slots in which nobody is."""
        for thread in [InBackground(partial(self.settle, slot)) for slot in STATIONS if slot not in self.stations]:
            thread.join()

    def stop(self) -> None:
        """All of it, in peace."""
        for station in self.stations.values():
            station.host.tell(signal.SIGTERM)
        statuses = {station.host.name: station.ended() for station in self.stations.values()}
        assert set(statuses.values()) == {0}, f"{statuses}{self.node.tail()}"

    def strike(self, blow: Blow) -> None:
        """Wait for its moment, and for its end if it has one."""
        time.sleep(blow.after_s)
        if blow.fate is Fate.RESET:
            for proxy in self.site.proxies:
                proxy.end_all(End.RESET)
        elif blow.fate is Fate.LOST:
            self._lose(blow.whom)
            if blow.whom.startswith("courier"):  # there is one only: whoever looks after it starts another
                time.sleep(blow.away_s)
                self.settle(blow.whom)
        elif blow.fate is Fate.KILLED:
            self._kill(blow)
        else:
            self._cut_off(blow)

    def _cut_off(self, blow: Blow) -> None:
        host = self.stations[blow.whom].host if blow.whom in self.stations else self.site.around[blow.whom]
        (host.pull if blow.fate is Fate.PULLED else host.card_off)()
        time.sleep(blow.away_s)
        (host.plug if blow.fate is Fate.PULLED else host.card_on)()

    def _kill(self, blow: Blow) -> None:
        if blow.whom == DATABASE:
            host, server = self.site.around[DATABASE], self.site.server
            server.kill()
            time.sleep(blow.away_s)
            host.call(server.start)
        elif blow.whom == ARCHIVE:
            self.pacs.kill()
            time.sleep(blow.away_s)
            self.pacs.up()
        else:
            station = self.stations[blow.whom]
            station.kill()
            time.sleep(blow.away_s)
            station.start()

    def _lose(self, slot: str) -> None:
        station = self.stations.pop(slot)
        station.host.pull()
        self._slots.lost.append(station)


@contextmanager
def running_region(folder: Path) -> Iterator[Region]:
    """All hosts up and every role ready; gone with whatever they ran when the block ends."""
    inference = {"weights_dir": str(coarse_weights(folder / "weights")), "threads": 1}
    with lan() as network, ExitStack() as held:
        around = {name: network.host(name) for name in (DATABASE, ARCHIVE, WARD, WAY)}
        server = _server(around[DATABASE], held)
        pacs = _archive(folder / "orthanc", around, held)
        doors = [_proxy(around[WAY], around[WARD], DICOM_PORT, held, at=0) for _ in RECEIVERS]
        to_archive = _proxy(around[WAY], around[ARCHIVE], pacs.port, held, at=pacs.port)
        to_database = _proxy(around[WAY], around[DATABASE], SQL_PORT, held, at=SQL_PORT)
        sections = {**SECTIONS, "inference": inference}
        node = DistributedNode(folder / "node", {"pacs": pacs}, sections, asked_at=server.create_database())
        held.callback(node.kill_all)
        region = Region(node, pacs, Site(network, around, server, doors, to_archive, to_database))
        yield region
        region.stop()


def _server(host: Host, held: ExitStack) -> Server:
    """That lets in whoever is on the network."""
    settings = (*FAST, "listen_addresses=*")
    server = host.call(lambda: held.enter_context(running_server(settings, port=SQL_PORT)))
    with (server.folder / "cluster" / "pg_hba.conf").open("a", encoding="utf-8") as rules:
        rules.write(f"host all all {NETWORK} trust\n")
    server.sql("SELECT pg_reload_conf()")
    return server


def _archive(folder: Path, around: Mapping[str, Host], held: ExitStack) -> Archive:
    orthanc = orthanc_server(folder)
    held.callback(orthanc.stop)
    pacs = Archive(orthanc, around[ARCHIVE], around[WAY])
    pacs.up()
    return pacs


def _proxy(way: Host, before: Host, port: int, held: ExitStack, at: int) -> FaultProxy:
    """At port `at` of the host `way`; 0: any. A receiver tells it later who it is."""
    everywhere = ("0.0.0.0", at)  # noqa: S104  inside its namespace
    return way.call(lambda: held.enter_context(fault_proxy(port, host=before.address, at=everywhere)))
