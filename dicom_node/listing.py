"""How a listing verb speaks: a table for people, one JSON document for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

Row = Mapping[str, Any]


def show(rows: Sequence[Row], columns: Sequence[str], as_json: bool, empty: str = "nothing") -> None:
    """Print `rows`: every key as JSON, or `columns` as a table; `empty` is said where there is no row."""
    if as_json:
        print(json.dumps(rows, default=_plain, indent=1))
        return
    if not rows:
        print(empty)
        return
    table = Table(header_style="bold", pad_edge=False, box=None)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(told(row.get(column))) for column in columns))
    _console().print(table)


def told(value: Any) -> str:
    """A value as a person reads it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    return str(value)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _console() -> Console:
    """Into a pipe without a width of its own, lines are not folded at 80 columns."""
    console = Console()
    return console if console.is_terminal else Console(width=240)
