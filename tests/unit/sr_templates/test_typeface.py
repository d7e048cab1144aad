"""Text finds a font that has its letters, fits its column, and keeps every letter when it is wrapped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sr_templates import typeface
from sr_templates.typeface import BOLD, FALLBACKS, MISSING, REGULAR, Run, fit, page_font, runs, text_width, wrap

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


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("محمد", "\ufeaa\ufee4\ufea4\ufee3"),  # joined, and from right to left
        ("ID محمد 34", "ID \ufeaa\ufee4\ufea4\ufee3 34"),
        ("אב (גד)", "(דג) בא"),
        ("אב (גד) x)", "(דג) בא x)"),
        ("x (אב)", "x (בא)"),
        ("אָב", "בָא"[0] + "\u05b8" + "א"),  # the sign is drawn before its letter, over which it lies
        ("אב", "בא"),
    ],
)
def test_right_to_left_text_is_what_a_reader_expects(text: str, drawn: str) -> None:
    assert "".join(r.text for r in runs(text, REGULAR)) == drawn


@pytest.mark.parametrize("text", ["नमस्ते", "ไทย", "\U00012000", "ہے"])
def test_what_no_font_has_is_marked_and_never_an_empty_box(text: str) -> None:
    drawn = runs(text, REGULAR)
    assert all(ord(c) in page_font(run.font).face.charToGlyph for run in drawn for c in run.text)
    missing = [c for c in text if not any(ord(c) in page_font(f).face.charToGlyph for f in (REGULAR, *FALLBACKS))]
    assert sum(run.text.count(MISSING) for run in drawn) == len(missing) > 0


@pytest.mark.parametrize("text", ["محمد عبد الرحمن ", "שרה לוי ", "فاطمة X (أم علي) 12 "])
@given(width=st.floats(25, 300))
def test_right_to_left_lines_keep_every_letter_and_the_width(text: str, width: float) -> None:
    whole = (text * 4).strip()
    lines = wrap(whole, REGULAR, 9, width)
    assert "".join(lines).replace(" ", "") == whole.replace(" ", "")
    assert max(text_width(line, REGULAR, 9) for line in lines) <= width + 1e-6


def test_both_weights_have_the_same_glyphs_for_names() -> None:
    """Hence what one of them cannot draw the other cannot."""
    regular, bold = (set(page_font(name).face.charToGlyph) for name in (REGULAR, BOLD))
    assert {c for c in regular ^ bold if c < 0x0700 or 0xFB1D <= c <= 0xFEFF} == set()


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


@pytest.mark.parametrize("letter", ["W", "山", "م"])
def test_fitting_measures_a_long_text_a_few_times(letter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a character would hold a worker for hours at the length that a header can have."""
    measured: list[str] = []

    def noted(text: str, font: str, size: float) -> float:
        measured.append(text)
        return text_width(text, font, size)

    monkeypatch.setattr(typeface, "text_width", noted)
    fitted = fit(letter * 5000, REGULAR, 9, 200)
    assert fitted.endswith("…")
    assert text_width(fitted, REGULAR, 9) <= 200 < text_width(letter + fitted, REGULAR, 9)
    assert len(measured) <= 20


@pytest.mark.parametrize("font", [REGULAR, BOLD])
def test_printable_ascii_needs_no_other_font(font: str) -> None:
    """Hence a text of it is one run, without a look at each letter."""
    text = "".join(map(chr, range(0x20, 0x7F)))
    assert set(map(ord, text)) <= set(page_font(font).face.charToGlyph)
    assert runs(text, font) == (Run(font, text),)
    assert runs("", font) == ()
