"""What receivers at the same ports know of each other."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dicom_node.receive.pace import LONGEST_WAIT_S, Paces
from dicom_node.receive.tally import SharedTally, Tally

ANOTHER = """
import sys
from dicom_node.receive.tally import SharedTally
tally = SharedTally(2, int(sys.argv[1]))
with tally.alone():
    tally.note_inside(["SCANNER", "SCANNER", "OTHER"])
print("noted", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def descriptor() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


@contextmanager
def another_receiver(descriptor: int) -> Iterator[subprocess.Popen[str]]:
    """With two associations of one peer and one of another."""
    command = [sys.executable, "-c", ANOTHER, str(descriptor)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, pass_fds=(descriptor,), **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "noted\n"
        try:
            yield process
        finally:
            process.kill()


def inside_others(tally: Tally) -> list[str]:
    with tally.alone():
        return list(tally.others())


def test_associations_of_another_receiver_count_for_as_long_as_it_lives(descriptor: int) -> None:
    tally = SharedTally(1, descriptor)
    with tally.alone():
        tally.note_inside(["SCANNER"])
    with another_receiver(descriptor) as process:
        assert sorted(inside_others(tally)) == ["OTHER", "SCANNER", "SCANNER"]
        process.kill()
        process.wait(30)
        assert inside_others(tally) == []
    with another_receiver(descriptor):
        assert len(inside_others(tally)) == 3


def test_a_pace_is_one_for_all_receivers_and_outlives_them(descriptor: int) -> None:
    first, second = (Paces(SharedTally(number, descriptor)) for number in (1, 2))
    waits = [paces.turn("SCANNER", 60, 1000.0) for _ in range(20) for paces in (first, second)]
    expected = [Paces().turn("SCANNER", 60, 1000.0)] * 11
    assert waits[:11] == expected  # the burst
    assert [wait for wait in waits if wait is not None][-1] == LONGEST_WAIT_S
    assert waits[-1] is None
    after = Paces(SharedTally(2, descriptor))  # the second was killed and started again
    assert after.turn("SCANNER", 60, 1000.0) is None
    assert after.turn("OTHER", 60, 1000.0) == 0.0
    assert after.turn("SCANNER", 30, 1000.0) == 0.0  # a new limit begins afresh


def test_a_part_that_was_not_written_to_its_end_is_none(descriptor: int) -> None:
    with another_receiver(descriptor):
        os.pwrite(descriptor, b"[half", (2 << 20) + 4)
        assert inside_others(SharedTally(1, descriptor)) == []
