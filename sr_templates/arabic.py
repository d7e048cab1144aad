"""Arabic letters in the forms that join them: the presentation forms that Unicode keeps for fonts without shaping.

Which letter joins which is read from Unicode's own decompositions (blocks FB50-FDFF and FE70-FEFF): a letter with an
initial form joins the next one, a letter with a final form the one before it. Vowel signs stand on their letter and
interrupt nothing; lam and alef become their one obligatory ligature.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from functools import cache

TATWEEL = "\u0640"
LAM = "\u0644"
BLOCKS = (range(0xFB50, 0xFE00), range(0xFE70, 0xFEFF))
KINDS = {"<isolated>": "isolated", "<initial>": "initial", "<medial>": "medial", "<final>": "final"}


def has_letters(text: str) -> bool:
    """Whether there is anything to join."""
    return any(character in _forms() for character in text)


def joined(text: str, drawable: Callable[[str], bool]) -> str:
    """The text, in its logical order, with every letter in the form that its neighbours ask for.

    A form that is not `drawable` is left as the letter itself.
    """
    clusters = _clusters(text)
    bases = [base for base, _ in clusters]
    said = []
    for place, (base, signs) in enumerate(clusters):
        before = place > 0 and _joins(bases[place - 1], "initial") and _joins(base, "final")
        after = place + 1 < len(bases) and _joins(base, "initial") and _joins(bases[place + 1], "final")
        kind = "medial" if before and after else "final" if before else "initial" if after else "isolated"
        form = _forms().get(base, {}).get(kind, base)
        said.append((form if all(map(drawable, form)) else base) + signs)
    return "".join(said)


def _clusters(text: str) -> list[tuple[str, str]]:
    """Letters with the signs that stand on them; lam and alef as one letter."""
    clusters: list[tuple[str, str]] = []
    for character in text:
        if clusters and unicodedata.category(character) == "Mn":
            base, signs = clusters.pop()
            clusters.append((base, signs + character))
        elif clusters and clusters[-1][0] == LAM and LAM + character in _forms():
            _, signs = clusters.pop()
            clusters.append((LAM + character, signs))
        else:
            clusters.append((character, ""))
    return clusters


def _joins(letter: str, by: str) -> bool:
    return letter == TATWEEL or by in _forms().get(letter, {})


@cache
def _forms() -> Mapping[str, Mapping[str, str]]:
    """Of each letter, and of lam with an alef, the forms that there are."""
    forms: dict[str, dict[str, str]] = {}
    for code in (code for block in BLOCKS for code in block):
        kind, *parts = unicodedata.decomposition(chr(code)).split() or [""]
        letters = "".join(chr(int(part, 16)) for part in parts)
        ligature = len(letters) == 2 and letters[0] == LAM and letters[1] in "\u0622\u0623\u0625\u0627"
        if kind in KINDS and (len(letters) == 1 or ligature):
            forms.setdefault(letters, {})[KINDS[kind]] = chr(code)
    return forms
