"""What a person reads about patient and study, from well-formed and odd values alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from sr_templates import identity


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Müller^Žofia", "Müller, Žofia"),
        ("Doe^Jane^Q^Dr.^MD", "Dr. Doe, Jane Q, MD"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou (山田 太郎; やまだ たろう)"),
        ("=王^小东", "王 小东"),
        ("Single", "Single"),
        ("^Given", "Given"),
        ("", ""),
        ("A^B^C^D^E^F^G", "D A, B C, E"),
    ],
)
def test_names(value: str, text: str) -> None:
    header = Dataset()
    header.PatientName = value
    assert identity.name_of(header) == text


def test_absent_values_are_empty() -> None:
    for reader in (
        identity.name_of,
        lambda h: identity.date_of(h, "StudyDate"),
        lambda h: identity.time_of(h, "StudyTime"),
    ):
        assert reader(Dataset()) == ""


@pytest.mark.parametrize(
    ("value", "text"), [("19950415", "1995-04-15"), ("1995.04.15", "1995-04-15"), ("1995", "1995")]
)
def test_dates(value: str, text: str) -> None:
    header = Dataset()
    header.add_new("PatientBirthDate", "LO", value)
    assert identity.date_of(header, "PatientBirthDate") == text


@pytest.mark.parametrize(
    ("value", "date"),
    [("20250815", "20250815"), ("2025.08.15", "20250815"), ("2025-08-15", None), ("2025", None), ("", None)],
)
def test_dates_as_dicom_writes_them(value: str, date: str | None) -> None:
    header = Dataset()
    header.add_new("LastMenstrualDate", "LO", value)
    assert identity.da_of(header, "LastMenstrualDate") == date


def test_several_values_stand_side_by_side() -> None:
    header = Dataset()
    header.ManufacturerModelName = ["One", "Two"]
    assert identity.text_of(header, "ManufacturerModelName") == "One, Two"


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom says what is too long; that is its job
@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientName", "W" * 100_000),
        ("PatientName", "W" * 200 + "^" + "W" * 200),
        ("PatientName", "Doe^Jane=" + "山" * 100_000),
        ("Manufacturer", "Word " * 20_000),
        ("ManufacturerModelName", ["1"] * 20_000),
    ],
)
def test_what_is_far_longer_than_dicom_allows_is_cut(keyword: str, value: str | list[str]) -> None:
    """No page has room for it, and laying it out would hold a worker."""
    header = Dataset()
    setattr(header, keyword, value)
    text = identity.name_of(header, keyword)
    assert len(text) <= identity.MOST_CHARACTERS
    assert text.endswith(identity.CUT)
    assert len(identity.whole_text_of(header, keyword)) > identity.MOST_CHARACTERS


@pytest.mark.parametrize("value", ["W" * 64, "\\".join(["W" * 62] * 5)])
def test_what_dicom_allows_is_kept(value: str) -> None:
    header = Dataset()
    header.add_new("StudyDescription", "LO", value.split("\\"))
    assert identity.text_of(header, "StudyDescription") == value.replace("\\", ", ")


@given(st.text(max_size=80))
def test_any_text_becomes_one_line(text: str) -> None:
    line = identity.one_line(text)
    assert line == line.strip()
    assert line.isprintable()
