"""Two paragraphs by template, and what a language model may write instead: no numbers but the measurement's own."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.dating import INTERGROWTH_2016
from inference.domain import Measurement, Reason
from sr_templates.language import ENGLISH, Language, Words
from sr_templates.narrative import from_template, told_numbers
from sr_templates.narrative_check import MOST_CHARACTERS, Fault, checked
from sr_templates.report import Narrative
from tests import narratives
from tests.reports import measurement, report, with_lmp

HEAD = measurement()
DATED = with_lmp(measurement(), 150)
BOTH_AGES = narratives.ENGLISH + narratives.GROWTH


def verdict(text: str, head: Measurement = HEAD, language: Language = Language.ENGLISH) -> Fault | None:
    result = checked(text, head, 0.95, language)
    return None if isinstance(result, Narrative) else result


def instead(old: str, new: str, text: str = narratives.ENGLISH) -> str:
    assert text.count(old) >= 1
    return text.replace(old, new)


def test_the_template_says_findings_and_limits() -> None:
    told = from_template(report())
    assert told.findings == (
        "The head circumference (HC) is 197.1 mm (95 % interval 194.6 to 199.6 mm). BPD is 55.0 mm and OFD 70.0 mm,"
        " both outer to outer; the cephalic index is 78.6 %. The gestational age by Hadlock 1984 (HC) is 21w 6d, range"
        " 20w 3d to 23w 3d."
    )
    assert told.interpretation.startswith("All numbers come from one image")
    assert told.author is None


def test_the_template_sets_hc_beside_an_age_of_another_source() -> None:
    assert from_template(report(measurement=DATED)).interpretation.startswith(
        "At the gestational age of 21w 3d (150 days) by last menstrual date this HC has percentile 83.3 (74.0 to 90.1),"
        " z 0.97 (0.64 to 1.29) by INTERGROWTH-21st 2014. All numbers"
    )
    assert "The two ages disagree." in from_template(report(measurement=with_lmp(HEAD, 175))).interpretation
    assert "At the" not in from_template(report(measurement=with_lmp(HEAD, 290))).interpretation


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (measurement(hc_interval=None), "is 197.1 mm; its error is not known."),
        (measurement(hc_mm=400.0), "There is no gestational age. HC lies outside 68 to 360 mm"),
        (measurement(INTERGROWTH_2016), "is 22w 1d; its range is not known."),
    ],
)
def test_the_template_names_what_there_is_not(head: Measurement, said: str) -> None:
    assert said in from_template(report(measurement=head)).findings


@pytest.mark.parametrize("head", [HEAD, measurement(hc_interval=None), measurement(hc_mm=80.0)])
@pytest.mark.parametrize("language", Language)
def test_the_templates_own_findings_would_pass(head: Measurement, language: Language) -> None:
    """The check must take what is true: the findings of the template, before a paragraph without numbers."""
    told = from_template(report(measurement=head, language=language))
    limits = {
        Language.ENGLISH: "The rest is for the examiner.",
        Language.GERMAN: "Alles andere ist die Sache der Praxis.",
    }
    assert verdict(f"{told.findings}\n\n{limits[language]}", head, language) is None


@pytest.mark.parametrize(
    ("text", "head", "language"),
    [
        (narratives.ENGLISH, HEAD, Language.ENGLISH),
        (narratives.GERMAN, HEAD, Language.GERMAN),
        (BOTH_AGES, DATED, Language.ENGLISH),
        (instead("197.1 mm", "197 mm"), HEAD, Language.ENGLISH),
        (instead("197.1 mm", "19.7 cm"), HEAD, Language.ENGLISH),
        (instead("197.1 mm", "197.1\u202fmm"), HEAD, Language.ENGLISH),
        (instead("78.6 %", "79 percent"), HEAD, Language.ENGLISH),
        (instead("95 % interval of 194.6 to", "95% interval of 194.6–"), HEAD, Language.ENGLISH),
        (instead("is 21w 6d", "is 21 weeks and 6 days"), HEAD, Language.ENGLISH),
        (instead("is 21w 6d", "is 153 days"), HEAD, Language.ENGLISH),
        (instead("is 21w 6d", "is 21+6"), HEAD, Language.ENGLISH),
        (instead("the percentile of HC is 83.3", "HC is on the 83.3rd percentile", BOTH_AGES), DATED, Language.ENGLISH),
    ],
)  # fmt: skip
def test_a_true_text_is_taken_however_it_writes_its_numbers(text: str, head: Measurement, language: Language) -> None:
    assert verdict(text, head, language) is None


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("197.1 mm", "197.2 mm", Fault.WRONG_NUMBER),
        ("197.1 mm", "179.1 mm", Fault.WRONG_NUMBER),
        ("197.1 mm", "197.1 cm", Fault.WRONG_NUMBER),
        ("197.1 mm", "197,1 mm", Fault.WRONG_NUMBER),
        ("197.1 mm", "1971 mm", Fault.WRONG_NUMBER),
        ("197.1 mm", "20 cm", Fault.WRONG_NUMBER),
        ("197.1 mm", "-197.1 mm", Fault.WRONG_NUMBER),
        ("197.1 mm", "197.1 days", Fault.WRONG_NUMBER),
        ("197.1 mm", "55.0 mm", Fault.WRONG_NUMBER),
        ("197.1 mm", "large", Fault.NUMBER_MISSING),
        ("BPD is 55.0 mm and the OFD is 70.0 mm", "BPD is 70.0 mm and the OFD is 55.0 mm", Fault.WRONG_NUMBER),
        ("194.6 to 199.6 mm", "199.6 to 194.6 mm", Fault.WRONG_NUMBER),
        ("194.6 to 199.6 mm", "194.6 mm", Fault.NUMBER_MISSING),
        ("194.6 to 199.6 mm", "195 to 200 mm", Fault.WRONG_NUMBER),
        ("95 % interval", "99 % interval", Fault.WRONG_NUMBER),
        ("78.6 %", "78 %", Fault.WRONG_NUMBER),
        ("is 21w 6d", "is 21w 5d", Fault.WRONG_NUMBER),
        ("is 21w 6d", "is 21 weeks", Fault.WRONG_NUMBER),
        ("is 21w 6d", "is 20w 13d", Fault.WRONG_NUMBER),
        ("is 21w 6d", "is 20w 3d", Fault.WRONG_NUMBER),
        ("is 21w 6d by Hadlock 1984", "is 21w 6d by Hadlock 1985", Fault.WRONG_NUMBER),
        ("second trimester", "third trimester", Fault.WRONG_TRIMESTER),
        ("one image", "three images", Fault.NUMBER_IN_WORDS),
        ("one image", "twenty-one images", Fault.NUMBER_IN_WORDS),
        ("one image", "2 images", Fault.WRONG_NUMBER),
        ("one image", "one image of a normal head", Fault.FORBIDDEN_WORD),
        ("one image", "one image without microcephaly", Fault.FORBIDDEN_WORD),
        ("one image", "one image; follow-up is recommended", Fault.FORBIDDEN_WORD),
        ("one image", "one image, the diagnosis", Fault.FORBIDDEN_WORD),
        ("one image", "one image and the last menstrual date", Fault.NOT_MEASURED),
        ("one image", "one image, z-score", Fault.NOT_MEASURED),
        ("one image", "**one image**", Fault.STRANGE_CHARACTERS),
        ("one image", "one image [1]", Fault.STRANGE_CHARACTERS),
        ("one image", "one \u0663 image", Fault.STRANGE_CHARACTERS),
        ("\n\n", " ", Fault.NOT_TWO_PARAGRAPHS),
        ("trimester.", "trimester.\n\nAnd more of the same.", Fault.NOT_TWO_PARAGRAPHS),
        ("one image", "one image " + "and so on " * 100, Fault.TOO_LONG),
    ],
)  # fmt: skip
def test_an_untrue_or_unwanted_text_is_refused(old: str, new: str, fault: Fault) -> None:
    assert verdict(instead(old, new)) is fault


@pytest.mark.parametrize("text", ["", "\n\n", "I cannot help with that.", "a\n\nb"])
def test_a_text_that_is_none_is_refused(text: str) -> None:
    assert verdict(text) in (Fault.NOT_TWO_PARAGRAPHS, Fault.OTHER_LANGUAGE)


def test_the_other_language_is_refused() -> None:
    assert verdict(narratives.GERMAN) is Fault.OTHER_LANGUAGE
    assert verdict(narratives.ENGLISH, HEAD, Language.GERMAN) is Fault.OTHER_LANGUAGE
    assert verdict(instead("197,1", "197.1", narratives.GERMAN), HEAD, Language.GERMAN) is Fault.WRONG_NUMBER


def test_ages_of_two_sources_are_not_swapped() -> None:
    text = BOTH_AGES
    assert verdict(instead("independent age is 21w 3d", "independent age is 21w 6d", text), DATED) is Fault.WRONG_NUMBER
    assert verdict(instead("by HC is 21w 6d", "by HC is 21w 3d", text), DATED) is Fault.WRONG_NUMBER
    assert verdict(instead("HC is 0.97", "HC is -0.97", text), DATED) is Fault.WRONG_NUMBER
    assert verdict(instead("HC is 0.97", "HC is –0.97", text), DATED) is Fault.WRONG_NUMBER
    assert verdict(instead("HC is 0.97", "HC is minus 0.97", text), DATED) is Fault.NUMBER_IN_WORDS
    assert verdict(text) is Fault.NOT_MEASURED


@given(st.data())
def test_no_single_changed_digit_gets_through(data: st.DataObject) -> None:
    """Every digit of a true text stands for something that was measured; another one there is a lie."""
    text = BOTH_AGES
    places = [found.start() for found in re.finditer(r"\d", text)]
    place = data.draw(st.sampled_from(places))
    digit = data.draw(st.sampled_from(sorted(set("0123456789") - {text[place]})))
    assert verdict(text[:place] + digit + text[place + 1 :], DATED) is not None


@given(st.text(max_size=MOST_CHARACTERS))
def test_whatever_comes_is_answered(text: str) -> None:
    assert isinstance(verdict(f"{text}\n\n{text}"), Fault)


def test_what_a_model_is_told_is_numbers_with_names() -> None:
    assert told_numbers(DATED, 0.95, ENGLISH) == {
        "HC": "197.1 mm",
        "HC 95 % interval": "194.6 to 199.6 mm",
        "BPD (outer to outer)": "55.0 mm",
        "OFD (outer to outer)": "70.0 mm",
        "cephalic index": "78.6 %",
        "gestational age by HC": "21w 6d",
        "equation": "Hadlock 1984",
        "range of the gestational age": "20w 3d to 23w 3d",
        "trimester": "second",
        "independent age": "21w 3d",
        "growth standard": "INTERGROWTH-21st 2014",
        "percentile of HC": "83.3",
        "z-score of HC": "0.97",
    }
    bare = told_numbers(measurement(hc_mm=400.0, hc_interval=None, growth=Reason.DATES_DISAGREE), None, ENGLISH)
    assert list(bare) == ["HC", "BPD (outer to outer)", "OFD (outer to outer)", "cephalic index"]
    assert "197,1 mm" in json.dumps(told_numbers(HEAD, 0.95, Words(Language.GERMAN)))
