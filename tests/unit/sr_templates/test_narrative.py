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
from sr_templates.narrative_vocabulary import VOCABULARIES
from sr_templates.report import Narrative
from tests import narratives
from tests.reports import measurement, report, with_lmp

HEAD = measurement()
DATED = with_lmp(measurement(), 150)
BOTH_AGES = narratives.ENGLISH + narratives.GROWTH
GERMAN_AGES = narratives.GERMAN + narratives.GERMAN_GROWTH


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


@pytest.mark.parametrize(
    "head", [HEAD, measurement(hc_interval=None), measurement(hc_mm=80.0), measurement(INTERGROWTH_2016)]
)
@pytest.mark.parametrize("language", Language)
def test_the_templates_own_text_would_pass(head: Measurement, language: Language) -> None:
    """The check must take what is true: both paragraphs of the template, where no percentile stands."""
    told = from_template(report(measurement=head, language=language))
    assert verdict(f"{told.findings}\n\n{told.interpretation}", head, language) is None


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
        (instead("is 21w 6d", "is 21w 6d (153 days)"), HEAD, Language.ENGLISH),
        (instead(", with a 95 % interval", ". The 95 % interval is"), HEAD, Language.ENGLISH),
        (instead(", with a 95 % interval", " and the HC interval is"), HEAD, Language.ENGLISH),
        (instead("interval of", "interval between").replace("194.6 to", "194.6 and"), HEAD, Language.ENGLISH),
        (instead("of the gestational age is 20w", "is 20w"), HEAD, Language.ENGLISH),
        (instead("the percentile of HC is 83.3", "HC is on the 83.3rd percentile", BOTH_AGES), DATED, Language.ENGLISH),
        (instead("percentile of HC is", "HC percentile is", BOTH_AGES), DATED, Language.ENGLISH),
        (GERMAN_AGES, DATED, Language.GERMAN),
        (instead("die Perzentile des KU 83,3", "der KU auf der 83,3. Perzentile", GERMAN_AGES), DATED, Language.GERMAN),
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
        ("197.1 mm", "large", Fault.UNKNOWN_WORD),
        ("The HC is 197.1 mm, with a 95 % interval of 194.6 to 199.6 mm. ", "", Fault.NUMBER_MISSING),
        ("BPD is 55.0 mm and the OFD is 70.0 mm", "BPD is 70.0 mm and the OFD is 55.0 mm", Fault.WRONG_NUMBER),
        ("194.6 to 199.6 mm", "199.6 to 194.6 mm", Fault.WRONG_NUMBER),
        ("194.6 to 199.6 mm", "194.6 mm", Fault.WRONG_NUMBER),
        ("194.6 to 199.6 mm", "195 to 200 mm", Fault.WRONG_NUMBER),
        ("95 % interval", "99 % interval", Fault.WRONG_NUMBER),
        ("78.6 %", "78 %", Fault.WRONG_NUMBER),
        ("is 21w 6d", "is 21w 5d", Fault.WRONG_NUMBER),
        ("is 21w 6d", "is 21 weeks", Fault.WRONG_NUMBER),
        ("is 21w 6d", "is 20w 13d", Fault.WRONG_NUMBER),
        ("is 21w 6d", "is 20w 3d", Fault.WRONG_NUMBER),
        ("is 21w 6d by Hadlock 1984", "is 21w 6d by Hadlock 1985", Fault.UNKNOWN_WORD),
        ("second trimester", "third trimester", Fault.WRONG_TRIMESTER),
        ("one image", "three images", Fault.UNKNOWN_WORD),
        ("one image", "twenty-one images", Fault.UNKNOWN_WORD),
        ("one image", "2 image", Fault.UNKNOWN_WORD),
        ("by Hadlock 1984, and", "and 1984, and", Fault.WRONG_NUMBER),
        ("one image", "one image of a normal head", Fault.UNKNOWN_WORD),
        ("one image", "one image without microcephaly", Fault.UNKNOWN_WORD),
        ("one image", "one image; follow-up is recommended", Fault.UNKNOWN_WORD),
        ("one image", "one image, the diagnosis", Fault.UNKNOWN_WORD),
        ("one image", "one image and the last menstrual date", Fault.UNKNOWN_WORD),
        ("one image", "one image and the independent age", Fault.NOT_MEASURED),
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


NOT_ONE_WORD = (
    "The HC lies on the fifth percentile.", "The HC lies on the third percentile.", "The percentile is the tenth.",
    "The HC is on the fiftieth percentile.", "The percentile is in the ninth decile.", "The z-score is zero.",
    "The percentile of HC is first.", "The HC lies on the median percentile.", "The HC is 2 SD below the mean.",
    "The HC lies below the range.", "The HC is two standard deviations below the mean.", "The HC is 197.1 inches.",
    "The HC is 197.1 m.", "The HC is 197.1m.", "The HC is 197 pixels.", "The BPD is 55.0 cubits.",
    "The gestational age is 21w 6d by last menstruation.", "The HC is not 197.1 mm.", "The independent HC is 197.1 mm.",
    "The HC is 197.1 mm below the range.", "The HC is 197.1 mm too small.", "The HC by the examiner is 197.1 mm.",
    "The head is microcephalic.", "The head is hydrocephalic.", "The head is small for the age.",
    "The microcephalic index is 78.6 %.", "This is an SGA fetus.", "IUGR is suspected.", "Growth is delayed.",
    "Twins are seen.", "One fetus.", "Two fetuses are seen.", "The fetus is dead.", "No heartbeat.",
    "A follow-up scan is advised.", "Please repeat the scan.", "Repeat it in a fortnight.", "The fetus is male.",
    "The mother has diabetes.", "Term is in March.", "The plane is right.", "The examiner has seen the image.",
    "The HC is checked.", "The measurement isn't right.", "The HC is fine.",
    "The head was outlined by the examiner.", "All numbers were assessed by the clinician.",
    "The examiner is to measure.",
    "The measurement is by the examiner.", "The trimester is given.",
)  # fmt: skip
NOT_ONE_GERMAN_WORD = (
    "Der KU liegt auf der fünften Perzentile.", "Der KU liegt auf der dritten Perzentile.", "Der z-Score ist null.",
    "Der KU liegt auf der achten Perzentile.", "Der Kopf ist klein für das Alter.", "Mikrozephaler Kopf ist es.",
    "Zwillinge sind zu sehen.", "Es sind beide Köpfe zu sehen.", "Die Mutter hat Diabetes.", "Der KU ist geprüft.",
    "Verdacht auf IUGR ist da.", "Kontrolle in vierzehn Tagen ist nötig.", "Termin ist im März.",
    "Die Kopfumfangsretardierung ist zu beurteilen.", "Der KU ist 197,1 Zoll.", "Der KU ist nicht 197,1 mm.",
    "Das Bild wurde von der untersuchenden Person umrandet.", "Die Zahlen wurden beurteilt.",
)  # fmt: skip


@pytest.mark.parametrize("sentence", NOT_ONE_WORD)
def test_a_word_that_is_not_on_the_list_is_refused(sentence: str) -> None:
    """Judgement, advice, numbers in words, strange units, negations: not by being listed, but by not being so."""
    assert verdict(f"{BOTH_AGES} {sentence}", DATED) is Fault.UNKNOWN_WORD


@pytest.mark.parametrize("sentence", NOT_ONE_GERMAN_WORD)
def test_a_german_word_that_is_not_on_the_list_is_refused(sentence: str) -> None:
    text = f"{GERMAN_AGES} {sentence}"
    assert verdict(text, DATED, Language.GERMAN) is Fault.UNKNOWN_WORD


@pytest.mark.parametrize(
    "sentence",
    [
        "BPD is 55.0 mm, interval 194.6 to 199.6 mm.",
        "BPD is 55.0 mm. The interval is 194.6 to 199.6 mm.",
        "BPD is 55.0 mm with a range of 143 to 164.",
        "BPD is 55.0 mm with a range of 143 to 164 days.",
        "OFD is 70.0 mm (range 143 to 164).",
        "The percentile of HC is 83.3, range 194.6 to 199.6.",
        "The percentile of HC is 83.3, range 194.6 to 199.6 mm.",
        "The gestational age is 21w 6d, 95 % interval 20w 3d to 23w 3d.",
        "The independent age is 21w 3d, range 20w 3d to 23w 3d.",
        "The gestational age is 21w 6d, range 143 to 164 mm.",
        "The interval of HC is 194.6 to 199.6.",
        "The HC is in the range.",
        "The HC is 197.1 mm and in the range.",
        "The HC is 197.1 mm and the BPD.",
        "The BPD and HC is 197.1 mm.",
        "The BPD is 55.0.",
        "The HC is 197.1.",
        "The HC is 197.1st mm.",
        "BPD is 55.0 mm and the percentile is 83.3.",
        "BPD is on the 83.3rd percentile.",
        "The BPD percentile is 83.3.",
        "The z-score of HC is 0.97 mm.",
        "The z-score of HC is - 0.97.",
        "The percentile of HC is 83.3 mm.",
        "The percentile of HC is 83.3 %.",
        "The percentile of HC is 83.",
        "The BPD by HC is 55.0 mm.",
        "It is 197.1 mm.",
        "The gestational age is 21 weeks.",
    ],
)
def test_a_true_number_of_something_else_or_without_its_unit_is_refused(sentence: str) -> None:
    assert verdict(f"{BOTH_AGES} {sentence}", DATED) is Fault.WRONG_NUMBER


@pytest.mark.parametrize(
    "sentence",
    [
        "The HC is 197.1 mm by INTERGROWTH-21st 2014.",
        "The gestational age is 21w 6d by INTERGROWTH-21st 2014.",
        "The gestational age rests on the growth standard INTERGROWTH-21st 2014.",
        "The percentile of HC is 83.3 by Hadlock 1984.",
        "The HC is on the 83.3rd percentile by Hadlock 1984.",
        "The z-score of HC is 0.97 by Hadlock 1984.",
        "The independent age is 21w 3d by Hadlock 1984.",
        "The BPD is 55.0 mm by Hadlock 1984.",
    ],
)
def test_a_number_is_not_put_down_to_another_source(sentence: str) -> None:
    assert verdict(f"{BOTH_AGES} {sentence}", DATED) is Fault.WRONG_SOURCE


def test_an_age_is_not_said_to_rest_on_the_other() -> None:
    sentence = "The gestational age is based on the independent age."
    assert verdict(f"{BOTH_AGES} {sentence}", DATED) is Fault.WRONG_NUMBER


def test_sources_may_be_named_alone() -> None:
    sentence = "The numbers rest on the equation Hadlock 1984 and the growth standard INTERGROWTH-21st 2014."
    assert verdict(f"{BOTH_AGES} {sentence}", DATED) is None


def test_no_range_is_told_only_where_there_is_none() -> None:
    for said in ("its error is not known.", "its range is not known."):
        assert verdict(f"{narratives.ENGLISH} The HC is 197.1 mm; {said}") is Fault.UNKNOWN_WORD


@given(st.from_regex(r"[a-z]{2,12}", fullmatch=True), st.sampled_from([*re.finditer(r"(?<=[a-z]) ", BOTH_AGES)]))
def test_any_other_word_anywhere_is_refused(word: str, place: re.Match[str]) -> None:
    vocabulary = VOCABULARIES[Language.ENGLISH]
    named = {"age", "gestational", "centile", "percentile", "interval", "intervals", "range", "prediction"}
    known = vocabulary.without_numbers | named
    text = f"{BOTH_AGES[: place.start()]} {word}{BOTH_AGES[place.start() :]}"
    assert word in known or verdict(text, DATED) is not None


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
    assert verdict(instead("HC is 0.97", "HC is minus 0.97", text), DATED) is Fault.UNKNOWN_WORD
    unknown_standard = instead("by the growth standard INTERGROWTH-21st 2014 ", "", text)
    assert verdict(unknown_standard) is Fault.NOT_MEASURED


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
