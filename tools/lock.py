"""Write requirements.lock from what is installed in this environment: `make lock`.

Only what the project and its extras need (walked from pyproject.toml), so that a package tried out by hand does not
slip in. Local version labels (torch 2.13.0+cpu) are dropped: which build of torch a machine gets is its own affair.
"""

from __future__ import annotations

import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
PROJECT = "fetal-hc-node"
BUILD = "setuptools"
HEADER = """\
# Exact versions of everything the project needs, written by `make lock`; tools/bootstrap holds pip to them.
# To change one: .venv/bin/python -m pip install --upgrade NAME, make lock, make test.
"""


def project_requirements(extras: frozenset[str]) -> list[str]:
    """From pyproject.toml itself: what the environment knows of the project dates from its installation."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    chosen: list[str] = list(project["dependencies"])
    for extra in extras:
        chosen += project["optional-dependencies"][extra]
    return chosen


def needed_by(name: str, extras: frozenset[str]) -> list[Requirement]:
    """Requirements of an installed distribution that hold on this machine with these extras."""
    if name == PROJECT:
        return [Requirement(line) for line in project_requirements(extras)]
    parsed = [Requirement(line) for line in metadata.requires(name) or []]
    environments = [{"extra": extra} for extra in sorted(extras | {""})]
    return [r for r in parsed if r.marker is None or any(r.marker.evaluate(e) for e in environments)]


def closure() -> dict[str, str]:
    """Name to version of everything reachable from the project with all its extras."""
    versions: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    pending = [(PROJECT, frozenset({"dev"})), (BUILD, frozenset())]
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        name, extras = node
        if name != PROJECT:
            versions[name] = Version(metadata.version(name)).public
        pending += [(canonicalize_name(r.name), frozenset(r.extras)) for r in needed_by(name, extras)]
    return versions


def main() -> int:
    lines = [f"{name}=={version}\n" for name, version in sorted(closure().items())]
    LOCK.write_text(HEADER + "".join(lines), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
