"""Thousands of broken files through `dicom-node measure`: one answer each, and nothing but an answer.

A file fails that kills the process, takes more than 10 seconds or 1 GB (torch and network included), has no answer or
one outside the vocabulary, that nobody foresaw ("unexpected"), that prints where the answers go, or that brings a stack
or anything of the patient into answer or log. CI looks at as many as go into a minute, from a fixed seed; `make
soak` at 20,000 and more, and writes benchmarks/fuzz.json.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz import corpus, faults
from tests.fuzz.bombs import BOMBS
from tests.fuzz.hunt import CONFIRMED, HANG_S, KINDS, OVER_MB, Hunt, Tally, Worker, check_answer, run

SEED = 20261121
CI_SECONDS = 60.0
SOAK_FILES = int(os.environ.get("SOAK_FILES", "20000"))
SOAK_SEED = int(os.environ.get("SOAK_SEED", "1"))
BOMBS_OF_CI = (
    "deflated_to_120_mb",
    "deflated_sparse",
    "items_deflated",
    "frame_times",
    "rle_colour_16_bits",
    "jpeg_2000",
)

whole_corpus = pytest.mark.peer(*corpus.programs())


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> tuple[corpus.Seed, ...]:
    return corpus.build(tmp_path_factory.mktemp("seeds"))


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    made = Worker(tmp_path_factory.mktemp("worker"), "tests.fuzz.worker:measuring")
    yield made
    made.stop()


@whole_corpus
def test_every_phantom_is_measured_before_it_is_broken(
    seeds: tuple[corpus.Seed, ...], worker: Worker, tmp_path: Path
) -> None:
    """Else the hunt would break what is refused anyway."""
    path = tmp_path / "whole.dcm"
    refused = {}
    for seed in seeds:
        path.write_bytes(seed.content)
        answer = json.loads(worker.look(path, real=False, seconds=30)["answer"])
        if not seed.is_real and answer["status"] != "measured":
            refused[seed.name] = answer["reason"]
    deep_jpeg = {"deep_jpeg_extended", "deep_jpeg_lossless"}  # 12 bits in a JPEG: refused by name
    assert refused == dict.fromkeys(deep_jpeg, "unsupported_transfer_syntax")


@whole_corpus
def test_a_minute(seeds: tuple[corpus.Seed, ...], tmp_path: Path) -> None:
    tally = run(Hunt(seeds, tmp_path, SEED, files=1_000_000, seconds=CI_SECONDS))
    assert tally.failures == [], f"the files lie in {tmp_path / 'failures'}"
    assert tally.files > 3 * CI_SECONDS


@whole_corpus
@pytest.mark.slow
def test_soak(seeds: tuple[corpus.Seed, ...], tmp_path: Path) -> None:
    tally = run(Hunt(seeds, tmp_path, SOAK_SEED, files=SOAK_FILES, seconds=float("inf")))
    write_tally(tally)
    print(json.dumps(tally.row(), indent=2), flush=True)
    assert tally.failures == [], f"the files lie in {tmp_path / 'failures'}"
    assert tally.files == SOAK_FILES


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in BOMBS_OF_CI else pytest.mark.slow) for n in BOMBS])
@pytest.mark.peer("ojph_compress", "dcmcjpeg", "dcmcjpls")
def test_small_files_that_want_to_become_large(name: str, worker: Worker, tmp_path: Path) -> None:
    said = worker.look(BOMBS[name](tmp_path / "bomb.dcm"), real=False, seconds=60)
    assert check_answer(said, (), str(tmp_path / "bomb.dcm")) == []
    assert said["peak_mb"] < OVER_MB
    assert said["seconds"] < HANG_S


class TestTheHunt:
    """It must find what it is there to find."""

    @pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in CONFIRMED])
    def test_finds_every_kind_of_failure_and_goes_on(self, kind: str, tmp_path: Path) -> None:
        tally = self.hunt(tmp_path, kind, files=2 * faults.EVERY)
        assert {failure[0] for failure in tally.failures} == {kind}
        assert tally.row()[kind] >= 1
        assert tally.files == 2 * faults.EVERY
        assert list((tmp_path / "failures").glob("*.dcm"))

    @pytest.mark.parametrize("kind", CONFIRMED)
    def test_finds_what_happens_again_in_a_fresh_process(self, kind: str, tmp_path: Path) -> None:
        tally = self.hunt(tmp_path, kind, files=1)
        assert [failure[0] for failure in tally.failures] == [kind]

    @staticmethod
    def hunt(folder: Path, kind: str, files: int) -> Tally:
        seed = corpus.Seed("made up", b"\0" * 128 + b"DICM" + bytes(range(256)) * 4, ("Tweety",))
        subject = f"tests.fuzz.faults:{kind}"
        patience_s = 2.0 if kind == "hangs" else 60.0  # the other faults may be slow on a busy machine
        return run(Hunt((seed,), folder, SEED, files, seconds=60, workers=1, subject=subject, hang_s=patience_s))


def write_tally(tally: Tally) -> None:
    """Beside the figures of the kill test, where `make soak` wants those."""
    path = os.environ.get("SOAK_JSON")
    if path:
        row = json.dumps(tally.row(), indent=2)
        Path(path).with_name("fuzz.json").write_text(row + "\n", encoding="utf-8")
