"""Who words the PDF: fixed sentences, or a language model whose every word and number is checked first.

Only what `told_numbers` says leaves: no name, identifier, date, UID, picture or text of the source.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from pydantic import SecretStr

from dicom_node.config import NarrativeSection
from dicom_node.language_model import Service, Silence, Unanswered, ask
from inference.domain import Measurement
from sr_templates.language import Language, Words
from sr_templates.narrative import from_template, told_numbers
from sr_templates.narrative_check import MOST_CHARACTERS, checked
from sr_templates.narrative_vocabulary import VOCABULARIES
from sr_templates.report import Narrative, ReportInput

_log = logging.getLogger(__name__)

LANGUAGES = {Language.ENGLISH: "English", Language.GERMAN: "German"}

SYSTEM = (
    "You word one automated measurement of a fetal head in an ultrasound image for a report page that clinicians read."
    " Write exactly two paragraphs of plain prose in {language}, with one empty line between them, each of at most"
    " {characters} characters; no heading, list, markup or quotation marks. First paragraph: the findings, that is HC"
    " with its interval, BPD, OFD, cephalic index, and gestational age with its range. Second paragraph: what the"
    " numbers rest on (one image, outlined by software, which nobody has checked; the equation; the growth standard"
    " where one is given), and that the examiner judges plane, fetus and meaning."
    " Use only the numbers you are given, each exactly as it is written, with its unit, and directly after its name"
    " (in German: KU for HC, FOD for OFD, Kopfindex, Gestationsalter, Intervall, Bereich); give a range right after the"
    " number that it belongs to. Do not compute, round, convert or compare numbers, and write none in words. Name"
    " nothing that you are given no number for, and equation and growth standard never in one sentence with a number"
    " that does not come from them. Do not judge whether anything is as it should be, name no disease, give"
    " no advice, mention no date. Beside names, numbers and units use only the words and sayings of these lists, in"
    " upper or lower case; a text with any other word is thrown away. In a sentence with numbers: {beside}. In a"
    " sentence without numbers also: {statements}. Word for word: {sayings}."
)


@dataclass(frozen=True, slots=True)
class LanguageModelNarrator:
    """Asks a language model; whatever is wrong with its answer, the fixed sentences are taken and the log says why."""

    service: Service
    key: Callable[[], SecretStr | None]

    def __call__(self, report: ReportInput) -> Narrative:
        measurement, coverage, words = report.measurement, report.interval_coverage, report.words
        answer = self._ask(measurement, coverage, words)
        if isinstance(answer, Unanswered):
            return _fixed(report, str(answer.silence), answer.status)
        narrative = checked(answer, measurement, coverage, words.language)
        if not isinstance(narrative, Narrative):
            return _fixed(report, str(narrative), None)
        _log.info("narrator.worded", extra={"model": self.service.model})
        return replace(narrative, author=self.service.model)

    def _ask(self, measurement: Measurement, coverage: float | None, words: Words) -> str | Unanswered:
        key = self.key()
        if key is None:
            return Unanswered(Silence.NO_KEY)
        return ask(
            self.service,
            key,
            instruction(words.language),
            json.dumps(told_numbers(measurement, coverage, words), indent=0),
        )


def instruction(language: Language) -> str:
    """What a language model is told to do, the same for every measurement."""
    vocabulary = VOCABULARIES[language]
    return SYSTEM.format(
        language=LANGUAGES[language],
        characters=MOST_CHARACTERS - 200,
        beside=" ".join(sorted(vocabulary.with_numbers)),
        statements=" ".join(sorted(vocabulary.statements - vocabulary.with_numbers)),
        sayings="; ".join(vocabulary.sayings),
    )


def narrator_of(section: NarrativeSection) -> Callable[[ReportInput], Narrative]:
    """The narrator that is configured; nothing is asked of anybody unless `mode` is llm."""
    if section.mode != "llm" or section.model is None:
        return from_template
    return LanguageModelNarrator(Service(section.endpoint, section.model, section.timeout_s), section.key)


def _fixed(report: ReportInput, reason: str, status: int | None) -> Narrative:
    _log.warning("narrator.template_taken", extra={"reason": reason, "status": status})
    return from_template(report)
