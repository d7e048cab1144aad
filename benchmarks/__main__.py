"""Run benchmarks and write results.json: `make bench`, or `python -m benchmarks NAME...` for some of them.

A benchmark is a module of this folder with `run() -> Iterable[Record]`. Each runs in a process of its own, so that
threads and caches of one do not colour the next. Rows of benchmarks that were not run stay as they were.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results.json"
NOT_BENCHMARKS = {"__init__", "__main__", "record"}

Row = dict[str, Any]


def names(folder: Path = FOLDER) -> list[str]:
    """Every benchmark of the folder; files that start with an underscore are helpers."""
    return sorted(p.stem for p in folder.glob("*.py") if p.stem not in NOT_BENCHMARKS and not p.stem.startswith("_"))


def command_of(name: str) -> str:
    return f"python -m benchmarks {name}"


def run_here(name: str, output: Path) -> None:
    """Run one benchmark in this process and write its rows."""
    records = importlib.import_module(f"benchmarks.{name}").run()
    output.write_text(json.dumps([record.row(command_of(name)) for record in records]), encoding="utf-8")


def run_apart(name: str) -> list[Row]:
    """Run one benchmark in a process of its own; raises CalledProcessError when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "benchmarks", "--child", str(output), name]
        subprocess.run(command, cwd=FOLDER.parent, check=True)
        rows: list[Row] = json.loads(output.read_text(encoding="utf-8"))
    return rows


def merged(old: list[Row], new: list[Row], ran: list[str], known: list[str]) -> list[Row]:
    """Old rows of benchmarks that still exist and were not run now, and the new ones, by command and name."""
    kept = {command_of(name) for name in known if name not in ran}
    rows = [row for row in old if row["command"] in kept] + new
    return sorted(rows, key=lambda row: (row["command"], row["name"]))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(names())}")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(names()))
    if unknown:
        parser.error(f"no benchmark called {', '.join(unknown)}")
    if options.child:
        run_here(options.names[0], options.child)
        return 0

    chosen = options.names or names()
    new: list[Row] = []
    failed: list[str] = []
    for name in chosen:
        print(f"== {name}", flush=True)
        try:
            rows = run_apart(name)
        except subprocess.CalledProcessError:
            failed.append(name)
            continue
        for row in rows:
            peer = f"   {row['peer']}: {row['peer_value']:g}" if row["peer"] else ""
            print(f"   {row['name']}: {row['value']:g} {row['unit']} (n={row['n']}){peer}", flush=True)
        new += rows
    old = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else []
    done = [name for name in chosen if name not in failed]
    RESULTS.write_text(json.dumps(merged(old, new, done, names()), indent=2) + "\n", encoding="utf-8")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
