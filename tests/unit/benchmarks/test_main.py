"""The runner keeps rows of benchmarks that were not run, drops those of removed ones, and derives the ratio."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.__main__ import merged, names
from benchmarks.record import Record


def row(name: str, value: float) -> dict[str, object]:
    return {"name": f"{name} time", "value": value, "command": f"python -m benchmarks {name}"}


def test_rows_of_other_benchmarks_stay_and_those_of_removed_ones_go() -> None:
    old = [row("decode", 1.0), row("gone", 2.0), row("receive", 3.0)]

    rows = merged(old, [row("receive", 4.0)], ran=["receive"], known=["decode", "receive"])

    assert rows == [row("decode", 1.0), row("receive", 4.0)]


def test_helpers_are_not_benchmarks(tmp_path: Path) -> None:
    for file in ("receive.py", "_corpus.py", "record.py", "__main__.py"):
        (tmp_path / file).touch()

    assert names(tmp_path) == ["receive"]


def test_a_row_has_every_key_of_the_contract() -> None:
    assert Record("receive rate", 30.0, "objects/s", 5, "storescp", 60.0).row("x") == {
        "name": "receive rate",
        "value": 30.0,
        "unit": "objects/s",
        "peer": "storescp",
        "peer_value": 60.0,
        "ratio": 0.5,
        "n": 5,
        "command": "x",
    }


def test_a_peer_without_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match="come together"):
        Record("receive rate", 30.0, "objects/s", 5, peer="storescp")
