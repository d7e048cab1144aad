"""A configuration file that would grow or recurse without end is refused by name, as quickly as any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicom_node import yaml_text
from dicom_node.config import load_config
from dicom_node.errors import ConfigError


def laughs(levels: int) -> str:
    """A rule whose condition has nine times as many parts at each level."""
    lines = ["rules:", "  - name: bomb", "    when:", "      all:", "        - &a0 {modality: [US]}"]
    lines += [f"        - &a{n} {{all: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, levels + 1)]
    return "\n".join(lines) + "\n"


BOMBS = {
    "aliases": (laughs(9), "stands for more than"),
    "itself": ("rules: &a [*a]\n", "stands for more than"),
    "nested": ("rules: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
    "nested mappings": ("rules: " + "{a: " * 5000 + "1" + "}" * 5000, "nested too deeply"),
    "long": ("#" * (yaml_text.MOST_CHARACTERS + 1), "characters"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_a_mistake_in_the_file(tmp_path: Path, name: str) -> None:
    text, why = BOMBS[name]
    (file := tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"config\.yaml.*{why}"):
        load_config(file)


def test_few_aliases_are_taken() -> None:
    assert yaml_text.parse("a: &a [1, 2]\nb: *a\nc: {d: *a}\n") == {"a": [1, 2], "b": [1, 2], "c": {"d": [1, 2]}}


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_nothing_is_said_by_an_empty_file(text: str) -> None:
    assert yaml_text.parse(text) is None


def test_no_object_is_made(tmp_path: Path) -> None:
    (file := tmp_path / "config.yaml").write_text("node: !!python/object/apply:os.system [true]\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(file)
