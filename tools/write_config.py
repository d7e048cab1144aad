"""Write config.yaml from dicom_node/config.py, so that keys, defaults and reasons are said once: `make config`.

With --check nothing is written; status 1 tells that the file differs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dicom_node.config import Config, DestinationEntry, PeerEntry
from dicom_node.rules import RuleEntry

FILE = Path(__file__).resolve().parents[1] / "config.yaml"
HEADER = """\
# Fetal HC Node: every key with its default. A key you leave out keeps its default; a key that is not here is an error.
# Check your changes with `dicom-node check-config`. `peers` and our AE titles are taken up at once, also new files of
# `node.tls`; anything else when the node starts again.
#
# Until you edit it the node takes nothing, on purpose: no peer is listed, so every association is refused, and no
# destination is listed, so results stay on this machine. Add your scanner under `peers` and your PACS under
# `destinations`: put entries like the commented ones in place of the `[]`.
"""
EXAMPLES: dict[str, tuple[type[BaseModel], str, dict[str, Any]]] = {
    "peers": (
        PeerEntry,
        "who may talk to this node; empty: everything is refused",
        {"ae_title": "VOLUSON1", "hosts": ["192.0.2.10", "192.0.2.64/26"]},
    ),
    "destinations": (
        DestinationEntry,
        "where results go; empty: nothing is sent",
        {
            "name": "pacs",
            "ae_title": "MAINPACS",
            "host": "pacs.example.org",
            "port": 104,
            "objects": ["tid1500", "study_sr", "study_pdf", "study_overlay"],
        },
    ),
    "rules": (
        RuleEntry,
        "what becomes of which objects (docs/routing.md); empty: images are measured, results go to every destination",
        {
            "name": "fetal",
            "when": {"calling_ae": "VOLUSON*", "not": {"body_part": ["HEART", "NECK"]}},
            "action": "measure",
            "send": {"pacs": ["tid1500", "study_sr", "original"]},
        },
    ),
}


def scalar(value: Any) -> str:
    """A default as YAML on one line."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Path):
        value = str(value) if value.is_absolute() else f"./{value}"
    if isinstance(value, tuple):
        value = [item.value if isinstance(item, Enum) else item for item in value]
    text = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("\n").removesuffix("\n...")


def reason(name: str, field: FieldInfo) -> str:
    """Why the key is there; a key without a reason does not get into the file."""
    if not field.description:
        raise SystemExit(f"config.py: {name} has no description")
    return field.description


def section_lines(section: BaseModel, indent: str = "  ") -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield f"{indent}{name}:"
            yield from section_lines(value, indent + "  ")
        else:
            yield f"{indent}# {reason(name, field)}"
            yield f"{indent}{name}: {scalar(value)}"


def example_lines(name: str) -> Iterator[str]:
    """An empty list, and one entry to copy with the reason of each key."""
    entry, why, example = EXAMPLES[name]
    entry.model_validate(example)
    yield f"# {why}"
    yield f"{name}: []"
    for number, (key, field) in enumerate(entry.model_fields.items()):
        lead = "  - " if number == 0 else "    "
        if key in example:
            yield f"#{lead}{key}: {scalar(example[key])}  # {reason(key, field)}"
        else:
            yield f"#{lead}{key}: {scalar(field.get_default(call_default_factory=True))}  # {reason(key, field)}"


def text() -> str:
    config = Config()
    lines = [HEADER.rstrip("\n")]
    for name in type(config).model_fields:
        value = getattr(config, name)
        lines.append("")
        if isinstance(value, BaseModel):
            lines.append(f"{name}:")
            lines += section_lines(value)
        else:
            lines += example_lines(name)
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        return 0 if FILE.is_file() and FILE.read_text(encoding="utf-8") == text() else 1
    FILE.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
