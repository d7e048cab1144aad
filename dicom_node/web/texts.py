"""The languages of the console: its own catalogues and, behind them, that of the PDF."""

from __future__ import annotations

import gettext
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from fastapi import Request

from sr_templates.language import DATE, DECIMAL_MARK, Language, message
from sr_templates.language import DOMAIN as PAGE_DOMAIN
from sr_templates.language import FOLDER as PAGE_FOLDER

__all__ = ["ConsoleWords", "language_of", "message", "request_words"]

FOLDER = Path(__file__).parent / "locale"
LANGUAGE_COOKIE = "fetalhc-language"


@dataclass(frozen=True, slots=True)
class ConsoleWords:
    """Says things in one language, as sr_templates.language.Words does for the page."""

    language: Language

    def __call__(self, sentence: str, /, **values: object) -> str:
        """The sentence in this language, with its `{placeholders}` filled where there are `values`."""
        said = _catalogue(self.language).gettext(sentence) if sentence else ""
        return said.format(**values) if values else said

    def fixed(self, value: float | None, decimals: int) -> str:
        """`176.4` or `176,4`; a dash for None."""
        return "–" if value is None else f"{value:.{decimals}f}".replace(".", DECIMAL_MARK[self.language])

    def date(self, da: str) -> str:
        """`2026-11-21` or `21.11.2026` for 20261121 (VR DA, PS3.5 6.2); what is none, as it is; a dash for nothing."""
        if len(da) != 8 or not da.isdigit():
            return da or "–"
        return DATE[self.language].format(da[:4], da[4:6], da[6:])

    def time(self, at: datetime | None) -> str:
        """Date and time of this machine's time zone, to the minute."""
        if at is None:
            return "–"
        local = at.astimezone()
        return f"{DATE[self.language].format(*local.strftime('%Y %m %d').split())} {local:%H:%M}"


@cache
def _catalogue(language: Language) -> gettext.NullTranslations:
    """English needs none: there every sentence says itself."""
    if language is Language.ENGLISH:
        return gettext.NullTranslations()
    whole = gettext.translation(PAGE_DOMAIN, PAGE_FOLDER, [language.value])
    for file in sorted((FOLDER / language.value / "LC_MESSAGES").glob("*.mo")):
        part = gettext.translation(file.stem, FOLDER, [language.value])
        part.add_fallback(whole)
        whole = part
    return whole


def language_of(request: Request, usual: Language) -> Language:
    """What was chosen in the console, else what the browser asks for first, else `usual`."""
    asked = request.headers.get("accept-language", "")
    for word in (request.cookies.get(LANGUAGE_COOKIE, ""), *(part.split(";")[0] for part in asked.split(","))):
        if word.strip()[:2].lower() in set(Language):
            return Language(word.strip()[:2].lower())
    return usual


def request_words(request: Request) -> ConsoleWords:
    """The words of whoever asks."""
    return ConsoleWords(language_of(request, request.app.state.console.config.results.language))
