"""The C library keeps what it freed in few places, however many threads there were."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from dicom_node import arenas

PROGRAM = """
import ctypes, sys, threading
from dicom_node import arenas
assert len(sys.argv) < 3 or arenas.bound_arenas()
meet = threading.Barrier(24)

def use():
    meet.wait(60)
    held = [bytes(2000) for _ in range(200)]
    meet.wait(60)

threads = [threading.Thread(target=use) for _ in range(24)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
assert libc.malloc_info(0, out) == 0
libc.fclose(out)
"""


def heaps(told: Path, *more: str) -> int:
    command = [sys.executable, "-c", PROGRAM, str(told), *more]
    subprocess.run(command, check=True, timeout=120, env={**os.environ, "MALLOC_ARENA_MAX": ""})
    return told.read_text(encoding="utf-8").count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")
def test_many_threads_share_few_arenas(tmp_path: Path) -> None:
    assert heaps(tmp_path / "usual") > arenas.MOST_ARENAS
    assert heaps(tmp_path / "bounded", "bounded") <= arenas.MOST_ARENAS


def test_another_c_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arenas.ctypes, "CDLL", lambda _name: object())
    assert arenas.bound_arenas() is False
