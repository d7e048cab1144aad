"""The files that a command line names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path


def files_below(paths: Sequence[Path]) -> Iterator[Path]:
    """The files named, and every regular file below the folders named, in name order."""
    for path in paths:
        yield from sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
