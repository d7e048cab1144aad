"""Text finds a font that has its letters, fits its column, and keeps every letter when it is wrapped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sr_templates.typeface import BOLD, FALLBACKS, REGULAR, Run, fit, page_font, runs, text_width, wrap

words = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=30)


def test_each_script_gets_a_font_that_has_it() -> None:
    made = runs("Яna 山田 é", REGULAR)
    assert [(r.font, r.text) for r in made] == [(REGULAR, "Яna "), (FALLBACKS[0], "山田"), (REGULAR, " é")]


@pytest.mark.parametrize(
    "text", ["Ξένη Παπά", "Юлия", "Žofia Łęcka", "Nguyễn Thị", "やまだ", "김희중", "王小东", "שרה", "سارة"]
)
def test_common_scripts_are_covered(text: str) -> None:
    for run in runs(text, REGULAR):
        assert all(ord(c) in page_font(run.font).face.charToGlyph for c in run.text)


def test_right_to_left_letters_are_drawn_in_visual_order() -> None:
    assert "".join(r.text for r in runs("ID 12 אבג דה 34 x", REGULAR)) == "ID 12 הד גבא 34 x"
    assert "".join(r.text for r in runs("אב 12 גד", REGULAR)) == "דג 12 בא"


@given(st.lists(words, max_size=8), st.floats(20, 300))
def test_wrapping_keeps_every_letter_and_the_width(parts: list[str], width: float) -> None:
    text = " ".join(parts)
    lines = wrap(text, REGULAR, 9, width)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    for line in lines:
        assert text_width(line, REGULAR, 9) <= width + 1e-6 or len(line) == 1


@given(words, st.floats(15, 200))
def test_fitting_cuts_with_an_ellipsis(text: str, width: float) -> None:
    fitted = fit(text, REGULAR, 9, width)
    assert fitted == text or fitted.endswith("…")
    assert text_width(fitted, REGULAR, 9) <= width


@pytest.mark.parametrize("font", [REGULAR, BOLD])
def test_printable_ascii_needs_no_other_font(font: str) -> None:
    """Hence a text of it is one run, without a look at each letter."""
    text = "".join(map(chr, range(0x20, 0x7F)))
    assert set(map(ord, text)) <= set(page_font(font).face.charToGlyph)
    assert runs(text, font) == (Run(font, text),)
    assert runs("", font) == ()
