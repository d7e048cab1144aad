"""How long the console takes for each of its pages and lists over a full database on PostgreSQL; see console.py."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.console import rows_of
from benchmarks.receive import DURABLE
from benchmarks.record import Record
from tests.peers import use_outside_path
from tests.postgresql import running_server


def run() -> Iterator[Record]:
    use_outside_path()
    with tempfile.TemporaryDirectory() as name, running_server(DURABLE) as server:
        yield from rows_of("PostgreSQL", Path(name), server.create_database())
