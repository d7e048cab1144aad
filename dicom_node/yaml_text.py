"""YAML that cannot grow: a page of it may stand for billions of values by aliases, or nest until a reader gives up."""

from __future__ import annotations

from math import inf
from typing import Any

import yaml

MOST_CHARACTERS = 4_000_000
MOST_VALUES = 100_000
"""With every alias written out. Ten thousand peers are half of it."""


class TooMuch(ValueError):
    """The text is longer, holds more, or nests deeper than any configuration."""


def parse(text: str) -> Any:
    """What the text says, of plain types only.

    Raises:
        TooMuch: see there; an alias that contains itself too.
        yaml.YAMLError: it is no YAML.
    """
    if len(text) > MOST_CHARACTERS:
        raise TooMuch(f"has more than {MOST_CHARACTERS} characters")
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        if _values(root, {}) > MOST_VALUES:
            raise TooMuch(f"stands for more than {MOST_VALUES} values")
        return loader.construct_document(root)
    except RecursionError:
        raise TooMuch("is nested too deeply") from None
    finally:
        loader.dispose()


def _values(node: yaml.Node, known: dict[int, float]) -> float:
    """How many the node stands for; infinitely many where it contains itself."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = inf
        pairs = node.value if isinstance(node, yaml.MappingNode) else [(part,) for part in node.value]
        known[id(node)] = 1 + sum(_values(part, known) for pair in pairs for part in pair)
    return known[id(node)]
