"""The long form of the kill test: `make soak` plays its rounds and adds them to benchmarks/soak.json.

A piece is a fresh node, database and Orthanc that live for PIECE rounds. SOAK_ROUNDS rounds are played on each engine
at a time; what is in the file already counts too, so five hundred may be played in many sittings.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.acceptance.scanner import exam
from tests.acceptance.siege import Ledger, Tally, besieged, blows_of, failures_in
from tests.objects import IMAGE_OBJECTS
from tests.postgresql import BOTH_ENGINES

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "250"))
PIECE = 25
IMAGES = 8
"""Of a round; two for each machine."""

WITHIN_S = 2.5
"""The kills come so long after the first image at the latest."""


@pytest.fixture(params=BOTH_ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.slow
@pytest.mark.peer("Orthanc")
def test_soak(engine: str, tmp_path: Path) -> None:
    told = os.environ.get("SOAK_JSON")
    ledger = Ledger(Path(told) if told else None, engine)
    for rounds in _pieces(ROUNDS):
        _play(tmp_path / "piece", engine, rounds, ledger)
        shutil.rmtree(tmp_path / "piece")


def _pieces(rounds: int) -> Iterator[int]:
    while rounds > 0:
        yield min(rounds, PIECE)
        rounds -= PIECE


def _play(folder: Path, engine: str, rounds: int, ledger: Ledger) -> None:
    """One piece."""
    folder.mkdir()
    with besieged(folder, engine) as siege, failures_in(ledger):
        for _ in range(rounds):
            began = time.monotonic()
            rng = random.Random(f"{engine} {ledger.played()}")
            blows = blows_of(rng, database=engine == "postgresql", within_s=WITHIN_S)
            tally = siege.play(exam(folder / "exam", IMAGES), blows, pause_s=0.1)
            ledger.add(tally, siege.killed)
            siege.killed.clear()
            print(f"{engine} {blows}: {asdict(tally)} in {time.monotonic() - began:.1f} s", flush=True)
            expected = Tally(1, tally.kills, tally.outages, IMAGES, IMAGES * len(IMAGE_OBJECTS))
            assert tally == expected, siege.node.tail()
        siege.check_leftovers()
