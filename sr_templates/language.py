"""The languages of the page: sentences from a catalogue, numbers and dates as that language writes them.

The English sentence is its own key (gettext). `locale/<language>/LC_MESSAGES/report.po` is what a translator edits, and
`tools/catalogue.py` makes the `.mo` beside it that is read here; docs/decisions/0024-page-in-words.md has the reasons.
"""

from __future__ import annotations

import gettext
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "locale"
DOMAIN = "report"


class Language(StrEnum):
    """ISO 639-1."""

    ENGLISH = "en"
    GERMAN = "de"


DECIMAL_MARK = {Language.ENGLISH: ".", Language.GERMAN: ","}
"""Thousands are never set apart: in one mark or the other there is only one thing that it can mean."""

DATE = {Language.ENGLISH: "{0}-{1}-{2}", Language.GERMAN: "{2}.{1}.{0}"}
"""Year, month and day. English is written with the day or the month first, depending on the country: hence ISO 8601."""


def message(sentence: str) -> str:
    """The sentence itself; `tools/catalogue.py` finds what is marked so and said elsewhere."""
    return sentence


@dataclass(frozen=True, slots=True)
class Words:
    """Says things in one language."""

    language: Language

    def __call__(self, sentence: str, /, **values: object) -> str:
        """The sentence in this language, with its `{placeholders}` filled where there are `values`."""
        said = _catalogue(self.language).gettext(sentence)
        return said.format(**values) if values else said

    def fixed(self, value: float, decimals: int) -> str:
        """`176.4` or `176,4`."""
        return self._marked(f"{value:.{decimals}f}")

    def shortest(self, value: float) -> str:
        """`96.8`, `360`: as many digits as it needs."""
        return self._marked(f"{value:g}")

    def date(self, da: str) -> str:
        """`2026-11-21` or `21.11.2026` for 20261121 (VR DA, PS3.5 6.2)."""
        return DATE[self.language].format(da[:4], da[4:6], da[6:])

    def _marked(self, number: str) -> str:
        return number.replace(".", DECIMAL_MARK[self.language])


@cache
def _catalogue(language: Language) -> gettext.NullTranslations:
    """English needs none: there every sentence says itself."""
    if language is Language.ENGLISH:
        return gettext.NullTranslations()
    return gettext.translation(DOMAIN, FOLDER, [language.value])


ENGLISH = Words(Language.ENGLISH)
