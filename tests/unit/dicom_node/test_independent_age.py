"""An age besides HC's own: read at the date of the image, and refused by name where a date cannot be believed."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom_node.config import Config, DatingSection, InferenceSection
from dicom_node.decode import read_instance
from dicom_node.independent_age import READERS, SOURCES, acquisition_date, independent_age
from dicom_node.looking import look
from dicom_node.operator_values import OperatorValues
from inference.dating import EQUATIONS
from inference.domain import (
    AgeSource,
    Examination,
    Growth,
    IndependentAge,
    Measurement,
    ModelIdentity,
    OperatorHc,
    Reason,
)
from tests.reports import measurement
from tests.ultrasound import save, us_phantom

WEEKS_20 = IndependentAge(140, AgeSource.LAST_MENSTRUAL_DATE)


def header(**attributes: Any) -> Dataset:
    """An image of 2 January 2026 whose last menstrual date is 20 weeks earlier; None takes an attribute away."""
    values = {
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "AcquisitionDate": "20260102",
        "StudyDate": "20260102",
        "LastMenstrualDate": "20250815",
        **attributes,
    }
    made = Dataset()
    for keyword, value in values.items():
        if value is not None:
            setattr(made, keyword, value)
    return made


def unconverted(keyword: str, value: bytes) -> Dataset:
    """With a value that the library could not convert and left as bytes."""
    made = header()
    element = DataElement(made[keyword].tag, "UN", value, already_converted=True)
    element.VR = "UN"
    made[keyword] = element
    return made


def test_days_since_the_last_menstrual_date_at_acquisition() -> None:
    assert independent_age(header(), SOURCES) == WEEKS_20


@given(st.integers(28, 315))
def test_every_plausible_age_is_the_count_of_days(days: int) -> None:
    began = date.fromordinal(date(2026, 1, 2).toordinal() - days)
    found = independent_age(header(LastMenstrualDate=f"{began:%Y%m%d}"), SOURCES)
    assert found == IndependentAge(days, AgeSource.LAST_MENSTRUAL_DATE)


@pytest.mark.parametrize(
    ("last_menstrual_date", "reason"),
    [
        (None, Reason.NO_INDEPENDENT_AGE),
        ("", Reason.NO_INDEPENDENT_AGE),
        ("  ", Reason.NO_INDEPENDENT_AGE),
        ("20250815x", Reason.UNREADABLE_INDEPENDENT_AGE),
        ("20250231", Reason.UNREADABLE_INDEPENDENT_AGE),
        ("00000000", Reason.UNREADABLE_INDEPENDENT_AGE),
        ("202508", Reason.UNREADABLE_INDEPENDENT_AGE),
        ("unknown", Reason.UNREADABLE_INDEPENDENT_AGE),
        (["20250815", "20250816"], Reason.UNREADABLE_INDEPENDENT_AGE),
        ("20260103", Reason.IMPLAUSIBLE_INDEPENDENT_AGE),  # after the image
        ("20260102", Reason.IMPLAUSIBLE_INDEPENDENT_AGE),  # blanked to the same day
        ("20251206", Reason.IMPLAUSIBLE_INDEPENDENT_AGE),  # 27 days
        ("20250220", Reason.IMPLAUSIBLE_INDEPENDENT_AGE),  # 316 days: an earlier pregnancy's
        ("19000101", Reason.IMPLAUSIBLE_INDEPENDENT_AGE),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR DA:UserWarning")
def test_a_date_that_cannot_be_believed_is_a_reason_and_no_age(last_menstrual_date: Any, reason: Reason) -> None:
    assert independent_age(header(LastMenstrualDate=last_menstrual_date), SOURCES) is reason


@pytest.mark.filterwarnings("ignore:Invalid value for VR DA:UserWarning")
def test_dates_as_old_equipment_writes_them() -> None:
    assert independent_age(header(LastMenstrualDate="2025.08.15"), SOURCES) == WEEKS_20


def test_bytes_that_are_no_text_are_no_date() -> None:
    assert independent_age(unconverted("LastMenstrualDate", b"\xff\xfe"), SOURCES) is Reason.UNREADABLE_INDEPENDENT_AGE
    assert independent_age(unconverted("LastMenstrualDate", b""), SOURCES) is Reason.NO_INDEPENDENT_AGE


@pytest.mark.parametrize(("vr", "value"), [("FD", b"abc"), ("US", b"1"), ("SQ", b"\0\1"), ("ZZ", b"20250815")])
def test_bytes_that_do_not_fit_their_representation_are_no_date(vr: str, value: bytes) -> None:
    for keyword, reason in (
        ("LastMenstrualDate", Reason.UNREADABLE_INDEPENDENT_AGE),
        ("AcquisitionDate", Reason.NO_ACQUISITION_DATE),
        ("ImageType", WEEKS_20),  # then the study date is asked
    ):
        made = header(AcquisitionDate=None if keyword == "ImageType" else "20260102")
        tag = Tag(keyword)
        made._dict[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
        assert independent_age(made, SOURCES) == reason


def test_without_a_source_there_is_no_age() -> None:
    assert independent_age(header(), ()) is Reason.NO_INDEPENDENT_AGE


@pytest.mark.parametrize(
    ("attributes", "day"),
    [
        ({"AcquisitionDate": "20260102", "ContentDate": "20260103"}, 2),
        ({"AcquisitionDate": "20260102", "AcquisitionDateTime": "20260103003000+0100"}, 2),
        ({"AcquisitionDate": None, "AcquisitionDateTime": "20260103003000.000000"}, 3),
        ({"AcquisitionDate": None, "ContentDate": "20260103"}, 3),
        ({"AcquisitionDate": None, "ContentDate": "20260103", "ImageType": ["DERIVED", "PRIMARY"]}, 2),
        ({"AcquisitionDate": None, "ContentDate": "20260103", "ImageType": "ORIGINAL"}, 3),
        ({"AcquisitionDate": None, "ContentDate": "20260103", "ImageType": None}, 2),
        ({"AcquisitionDate": "", "ContentDate": ""}, 2),
        ({"AcquisitionDate": None}, 2),
        ({"StudyDate": None}, 2),
        ({"StudyDate": "not a date"}, 2),
        ({"StudyDate": "20260101"}, 2),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR DA:UserWarning")
def test_the_day_the_picture_was_taken(attributes: dict[str, Any], day: int) -> None:
    assert acquisition_date(header(**attributes)) == date(2026, 1, day)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"AcquisitionDate": None, "StudyDate": None}, Reason.NO_ACQUISITION_DATE),
        ({"AcquisitionDate": "99999999"}, Reason.NO_ACQUISITION_DATE),
        ({"AcquisitionDate": None, "AcquisitionDateTime": "2026"}, Reason.NO_ACQUISITION_DATE),
        ({"StudyDate": "20251231"}, Reason.DATES_DISAGREE),
        ({"AcquisitionDate": "20000101"}, Reason.DATES_DISAGREE),  # a clock that was reset
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR DA:UserWarning")
def test_an_unknown_day_gives_no_age(attributes: dict[str, Any], reason: Reason) -> None:
    assert acquisition_date(header(**attributes)) is reason
    assert independent_age(header(**attributes), SOURCES) is reason


ANYTHING = st.one_of(st.none(), st.text(max_size=12), st.lists(st.text(max_size=9), max_size=3), st.binary(max_size=9))


@given(st.fixed_dictionaries(dict.fromkeys(("LastMenstrualDate", "AcquisitionDate", "StudyDate"), ANYTHING)))
def test_whatever_the_header_says_there_is_an_answer(values: dict[str, Any]) -> None:
    found = independent_age(values, SOURCES)  # type: ignore[arg-type]  a mapping, so that any value can be had
    assert isinstance(found, Reason)  # nobody writes two dates that agree by chance


def test_every_source_can_be_configured_and_read() -> None:
    assert set(READERS) == set(AgeSource)
    assert DatingSection.model_validate({"independent_ages": [source.value for source in AgeSource]})
    assert Config().dating.independent_ages == SOURCES
    assert Config.model_validate({"dating": {"independent_ages": []}}).dating.independent_ages == ()


def test_every_equation_can_be_configured() -> None:
    assert set(get_args(InferenceSection.model_fields["equation"].annotation)) == set(EQUATIONS)


class OneHead:
    """An examiner that always measures the same head."""

    def examine(self, frames: Any) -> Examination:
        numbers = tuple(frame.number for frame in frames)
        return Examination((measurement(),), 0, numbers, ModelIdentity("m", "ab" * 32), 0.0)


@pytest.mark.parametrize(
    ("attributes", "sources", "expected"),
    [
        ({"LastMenstrualDate": "20250815"}, SOURCES, WEEKS_20),
        ({"LastMenstrualDate": "20250815"}, (), Reason.NO_INDEPENDENT_AGE),
        ({}, SOURCES, Reason.NO_INDEPENDENT_AGE),
        ({"LastMenstrualDate": "20250815", "StudyDate": "20260302"}, SOURCES, Reason.DATES_DISAGREE),
    ],
)
def test_a_stored_object_is_compared_with_what_its_own_header_says(
    attributes: dict[str, Any], sources: tuple[AgeSource, ...], expected: IndependentAge | Reason, tmp_path: Path
) -> None:
    examiner: Any = OneHead()
    finding = look(read_instance(save(us_phantom(1, **attributes), tmp_path / "a.dcm")), examiner, 16, sources).finding
    assert isinstance(finding, Measurement)
    found = finding.growth.independent if isinstance(finding.growth, Growth) else finding.growth
    assert found == expected


@pytest.mark.parametrize(
    ("said", "days", "stated"),
    [
        (OperatorValues(lmp=date(2025, 8, 15)), 140, date(2025, 8, 15)),
        (OperatorValues(edd_from_lmp=date(2026, 5, 22)), 140, None),
        (OperatorValues(age_by_lmp_days=139, exam_date=date(2026, 1, 1)), 140, None),
        (
            OperatorValues(lmp=date(2025, 8, 15), edd_from_lmp=date(2026, 1, 1), age_by_lmp_days=1),
            140,
            date(2025, 8, 15),
        ),
    ],
)
def test_an_age_by_the_machine_s_report(said: OperatorValues, days: int, stated: date | None) -> None:
    found = independent_age(header(LastMenstrualDate=None), SOURCES, said)
    assert found == IndependentAge(days, AgeSource.REPORTED_LMP, stated)


def test_a_reported_date_of_delivery_counts_only_where_it_is_listed() -> None:
    said = OperatorValues(edd=date(2026, 5, 22))
    assert independent_age(header(LastMenstrualDate=None), SOURCES, said) is Reason.NO_INDEPENDENT_AGE
    found = independent_age(header(LastMenstrualDate=None), [AgeSource.REPORTED_EDD], said)
    assert found == IndependentAge(140, AgeSource.REPORTED_EDD, date(2026, 5, 22))


def test_the_header_goes_before_the_report_unless_the_list_says_otherwise() -> None:
    said = OperatorValues(lmp=date(2025, 8, 1))
    assert independent_age(header(), SOURCES, said) == WEEKS_20
    turned = independent_age(header(), SOURCES[::-1], said)
    assert isinstance(turned, IndependentAge)
    assert (turned.days, turned.source) == (154, AgeSource.REPORTED_LMP)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (OperatorValues(lmp=Reason.UNREADABLE_INDEPENDENT_AGE), Reason.UNREADABLE_INDEPENDENT_AGE),
        (
            OperatorValues(age_by_lmp_days=Reason.UNREADABLE_INDEPENDENT_AGE, exam_date=date(2026, 1, 2)),
            Reason.UNREADABLE_INDEPENDENT_AGE,
        ),
        (OperatorValues(edd=Reason.UNREADABLE_INDEPENDENT_AGE), Reason.UNREADABLE_INDEPENDENT_AGE),
        (OperatorValues(edd=date(1, 1, 2)), Reason.IMPLAUSIBLE_INDEPENDENT_AGE),
        (OperatorValues(lmp=date(2026, 1, 2)), Reason.IMPLAUSIBLE_INDEPENDENT_AGE),
        (OperatorValues(age_by_lmp_days=140), Reason.NO_INDEPENDENT_AGE),  # of which day?
    ],
)
def test_what_a_report_says_is_no_more_believed_than_a_header(said: OperatorValues, reason: Reason) -> None:
    assert independent_age(header(LastMenstrualDate=None), [*AgeSource], said) is reason


def test_the_operator_s_hc_stands_beside_what_was_measured(tmp_path: Path) -> None:
    examiner: Any = OneHead()
    decoded = read_instance(save(us_phantom(1), tmp_path / "a.dcm"))
    operator = OperatorHc(195.0, "1.2.3")
    finding = look(decoded, examiner, 16, SOURCES, OperatorValues(hc=operator)).finding
    assert isinstance(finding, Measurement)
    assert (finding.operator, finding.difference_mm, finding.difference_percent) == (operator, 2.1, 1.1)
