"""Arabic letters join as Unicode says: the forms are compared with words written out in presentation forms."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sr_templates.arabic import has_letters, joined

LETTERS = "".join(chr(code) for code in range(0x0621, 0x064B) if unicodedata.name(chr(code), "").startswith("ARABIC L"))


def everything(_form: str) -> bool:
    return True


def names(text: str) -> list[str]:
    """`BEH INITIAL FORM` and so on."""
    return [unicodedata.name(c).removeprefix("ARABIC LETTER ").removeprefix("ARABIC ") for c in text]


@pytest.mark.parametrize(
    ("word", "forms"),
    [
        ("محمد", ["MEEM INITIAL FORM", "HAH MEDIAL FORM", "MEEM MEDIAL FORM", "DAL FINAL FORM"]),
        ("دار", ["DAL ISOLATED FORM", "ALEF ISOLATED FORM", "REH ISOLATED FORM"]),  # these join no next one
        ("ب", ["BEH ISOLATED FORM"]),
        ("سماء", ["SEEN INITIAL FORM", "MEEM MEDIAL FORM", "ALEF FINAL FORM", "HAMZA ISOLATED FORM"]),
        ("سلام", ["SEEN INITIAL FORM", "LIGATURE LAM WITH ALEF FINAL FORM", "MEEM ISOLATED FORM"]),
        ("لا", ["LIGATURE LAM WITH ALEF ISOLATED FORM"]),
        ("پری", ["PEH INITIAL FORM", "REH FINAL FORM", "FARSI YEH ISOLATED FORM"]),
    ],
)
def test_letters_take_the_form_that_their_neighbours_ask_for(word: str, forms: list[str]) -> None:
    assert names(joined(word, everything)) == forms


def test_signs_interrupt_nothing_and_words_do() -> None:
    fatha = "\u064e"
    assert joined(f"ب{fatha}ت", everything) == f"\ufe91{fatha}\ufe96"
    assert joined(f"ل{fatha}ا", everything) == f"\ufefb{fatha}"
    assert joined("ب ت", everything) == "\ufe8f \ufe95"
    assert joined("بXت", everything) == "\ufe8fX\ufe95"
    assert joined("ب\u0640", everything) == "\ufe91\u0640"  # a drawn-out stroke joins


def test_a_form_that_cannot_be_drawn_is_the_letter_itself() -> None:
    assert joined("محمد", lambda form: form == "محمد"[0]) == "محمد"
    assert joined("لا", lambda _form: False) == "لا"


@given(st.text(LETTERS + " \u064e\u0651X3", max_size=40))
def test_no_letter_is_lost_or_made_up(text: str) -> None:
    assert unicodedata.normalize("NFKC", joined(text, everything)).replace("\u064e", "").replace("\u0651", "") == (
        unicodedata.normalize("NFKC", text).replace("\u064e", "").replace("\u0651", "")
    )


def test_other_scripts_have_nothing_to_join() -> None:
    assert not has_letters("Müller 山田 שרה 12 ()")
    assert has_letters("x ب")
