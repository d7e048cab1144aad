"""Several hosts, each a network namespace: cables are pulled, hosts vanish for good, connections slow, stall and break.

The laws are those of the kill test: every acknowledged image has its results in the PACS, each once, and at no moment
anything is called sent that the PACS does not hold. The long form is played by `make soak`, which adds to
benchmarks/hosts.json; HOSTS_ROUNDS rounds at a time, in pieces on a fresh region each.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.hosts import need_hosts
from tests.acceptance.region import Blow, Fate, Region, blows_of, running_region
from tests.acceptance.scanner import exam
from tests.acceptance.siege import Ledger, Tally, failures_in
from tests.fault_proxy import End, Fault
from tests.objects import IMAGE_OBJECTS

ROUNDS = int(os.environ.get("HOSTS_ROUNDS", "40"))
PIECE = 10
IMAGES = 12
WITHIN_S = 4.0
"""The blows of a round fall so long after the first image at the latest."""

pytestmark = pytest.mark.peer("ip", "postgres", "Orthanc")


@pytest.fixture(autouse=True)
def hosts() -> None:
    need_hosts()


@pytest.mark.timeout(900)
def test_a_worker_and_the_courier_that_vanish_for_good_are_replaced_by_others(tmp_path: Path) -> None:
    """The short form: links are cut and come back meanwhile, and connections are slow and break."""
    files = exam(tmp_path / "exam", 10)
    with running_region(tmp_path) as region:
        region.site.doors[0].plan([Fault(End.RESET, after_bytes=30_011), Fault(bytes_per_s=200_000.0)])
        region.site.doors[1].plan([Fault(End.CUT, before_answer=1)])
        region.site.to_archive.plan([Fault(bytes_per_s=100_000.0), Fault(End.RESET, after_bytes=60_000)])
        region.site.to_database.plan([Fault(End.RESET, after_bytes=20_000)] * 3)
        taken: dict[str, int] = {}

        def lose(role: str, slot: str | None = None) -> None:
            taken[role] = region.lose_while_busy(role)
            if slot is not None:
                region.settle(slot)

        passing = Blow(Fate.PULLED, "receiver1", after_s=0.4, away_s=2.0)
        sufferings = [partial(lose, "worker"), partial(lose, "courier", "courier1"), partial(region.strike, passing)]
        tally = region.round(files, sufferings, pause_s=0.1)
        lost = {station.role: station.host.name for station in region.lost}
        holders = {role: region.holder(role, row) for role, row in taken.items()}
        region.switch_off_lost()
        region.check_leftovers()
    assert tally == Tally(rounds=1, acknowledged=10, results=10 * len(IMAGE_OBJECTS))
    assert set(lost) == set(holders) == {"worker", "courier"}
    assert not set(lost.values()) & set(holders.values())


@pytest.mark.slow
def test_region(tmp_path: Path) -> None:
    told = os.environ.get("SOAK_JSON")
    ledger = Ledger(Path(told).with_name("hosts.json") if told else None, "hosts")
    for rounds in _pieces(ROUNDS):
        piece = tmp_path / "piece"
        with running_region(piece) as region, failures_in(ledger):
            for _ in range(rounds):
                _play(region, piece, ledger)
            region.check_leftovers()
        shutil.rmtree(piece)


def _pieces(rounds: int) -> Iterator[int]:
    while rounds > 0:
        yield min(rounds, PIECE)
        rounds -= PIECE


def _play(region: Region, folder: Path, ledger: Ledger) -> None:
    """One round."""
    began = time.monotonic()
    rng = random.Random(f"hosts {ledger.played()}")
    blows = blows_of(rng, WITHIN_S)
    tally = region.play(exam(folder / "exam", IMAGES), blows, rng, pause_s=0.2)
    ledger.add(tally, region.befallen)
    print(f"{blows}: {asdict(tally)}, {dict(region.befallen)} in {time.monotonic() - began:.1f} s", flush=True)
    region.befallen.clear()
    expected = Tally(1, tally.kills, tally.outages, IMAGES, IMAGES * len(IMAGE_OBJECTS))
    assert tally == expected, region.node.tail()
