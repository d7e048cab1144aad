"""Fonts that travel with the package, and which of them can draw which character."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path

from PIL import ImageFont
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

from sr_templates import arabic

FOLDER = Path(__file__).parent / "fonts"
REGULAR = "DejaVuSans"
BOLD = "DejaVuSans-Bold"
FALLBACKS = ("DroidSansFallback", "HangulFallback")
"""Read only when a text needs them, in this order: Chinese and Japanese, then Korean."""

MISSING = "\ufffd"
"""Stands for a character that no font has: a mark that something is missing, and no empty box."""

CLOSING = ")]}>»"
MIRRORED = str.maketrans("()[]{}<>«»", ")(][}{><»«")
HEBREW = "\u0590"
"""The first character of a block that is written from right to left; all such blocks come after it."""

_RIGHT_TO_LEFT = frozenset({"R", "AL"})


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of text that one font can draw."""

    font: str
    text: str

    def width(self, size: float) -> float:
        """In points."""
        return float(pdfmetrics.stringWidth(self.text, self.font, size))


@lru_cache(maxsize=4)
def page_font(name: str) -> TTFont:
    """A font for reportlab, read and registered on first use."""
    font = TTFont(name, str(FOLDER / f"{name}.ttf"))
    pdfmetrics.registerFont(font)
    return font


@lru_cache(maxsize=32)
def picture_font(name: str, size_px: int) -> ImageFont.FreeTypeFont:
    """A font for Pillow, `size_px` pixels an em."""
    return ImageFont.truetype(str(FOLDER / f"{name}.ttf"), size_px)


def runs(text: str, font: str) -> tuple[Run, ...]:
    """The text in pieces, `font` where it has the glyph, a fallback elsewhere; right-to-left letters in visual order.

    Arabic letters are joined. Signs stand where their glyph puts them, and scripts that need more than that are not
    shaped; a character that no font has is drawn as U+FFFD. The DICOM attributes keep the text itself.
    """
    if text.isascii() and text.isprintable():  # most text; both fonts have all of it
        return (Run(font, text),) if text else ()
    if max(text) < HEBREW and set(map(ord, text)) <= page_font(font).face.charToGlyph.keys():  # Latin, Greek, Cyrillic
        return (Run(font, text),)
    if arabic.has_letters(text):
        text = arabic.joined(text, _drawable)
    visual = "".join(c if _drawable(c) else MISSING for c in _visual_order(text))
    return tuple(Run(name, "".join(part)) for name, part in groupby(visual, key=lambda c: _font_for(c, font)))


def text_width(text: str, font: str, size: float) -> float:
    """In points."""
    return sum(run.width(size) for run in runs(text, font))


def fit(text: str, font: str, size: float, width: float) -> str:
    """The text, cut with an ellipsis where it is wider than `width` points."""
    if text_width(text, font, size) <= width:
        return text
    keep, too_many = 0, len(text)
    while too_many - keep > 1:
        middle = (keep + too_many) // 2
        if text_width(text[:middle].rstrip() + "…", font, size) <= width:
            keep = middle
        else:
            too_many = middle
    return text[:keep].rstrip() + "…"


def wrap(text: str, font: str, size: float, width: float) -> list[str]:
    """Lines no wider than `width` points, broken at spaces and, where a word is too long or has none, inside it."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        candidate = f"{line} {word}".strip()
        if text_width(candidate, font, size) <= width:
            line = candidate
            continue
        if line:
            lines.append(line)
        *whole, line = _break_word(word, font, size, width)
        lines.extend(whole)
    return [*lines, line] if line or not lines else lines


def _break_word(word: str, font: str, size: float, width: float) -> list[str]:
    parts = [""]
    for character in word:
        if parts[-1] and text_width(parts[-1] + character, font, size) > width:
            parts.append("")
        parts[-1] += character
    return parts


@cache
def _drawable(character: str) -> bool:
    """Whether some font has the glyph; both of ours have the same ones."""
    return any(ord(character) in page_font(name).face.charToGlyph for name in (REGULAR, *FALLBACKS))


def _font_for(character: str, font: str) -> str:
    """The first that has the glyph."""
    return next((name for name in (font, *FALLBACKS) if ord(character) in page_font(name).face.charToGlyph), font)


def _visual_order(text: str) -> str:
    """Stretches from one right-to-left letter to the last before a left-to-right one, reversed; numbers inside kept."""
    kinds: list[str] = []
    for character in text:
        kind = unicodedata.bidirectional(character)
        kinds.append(kinds[-1] if kind == "NSM" and kinds else kind)  # a sign goes with its letter
    if not _RIGHT_TO_LEFT.intersection(kinds):
        return text
    out: list[str] = []
    start = 0
    while start < len(text):
        if kinds[start] not in _RIGHT_TO_LEFT:
            out.append(text[start])
            start += 1
            continue
        end = last = start
        while end < len(text) and kinds[end] != "L":
            last = end if kinds[end] in _RIGHT_TO_LEFT else last
            end += 1
        last += _closing(text[start : last + 1], text[last + 1 :])
        out.append(_reversed(text[start : last + 1]))
        start = last + 1
    return "".join(out)


def _closing(stretch: str, rest: str) -> int:
    """How many of the brackets that follow close one that was opened in the stretch."""
    count = 0
    for character in rest:
        opening = character.translate(MIRRORED)
        if character not in CLOSING or stretch.count(opening) <= stretch.count(character):
            break
        stretch, count = stretch + character, count + 1
    return count


def _reversed(text: str) -> str:
    """From right to left: numbers as they are, brackets mirrored, signs over their letters."""
    parts = ["".join(part) for _, part in groupby(text, key=str.isdigit)]
    return "".join(part if part.isdigit() else _mirrored(part) for part in reversed(parts))


def _mirrored(text: str) -> str:
    letters: list[str] = []
    for character in text:
        if letters and unicodedata.category(character) == "Mn":
            letters[-1] = character + letters[-1]  # its glyph has no width and lies over what comes next
        else:
            letters.append(character.translate(MIRRORED))
    return "".join(reversed(letters))
