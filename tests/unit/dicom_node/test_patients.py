"""What is another patient, and what is the same one written differently."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom import DataElement, Dataset

from dicom_node.patients import contradictions
from tests.unit.dicom_node.test_study import source_of

JANE: dict[str, Any] = {
    "StudyInstanceUID": "1.2.3",
    "PatientID": "P-1",
    "PatientName": "Doe^Jane",
    "PatientBirthDate": "19900101",
}


def header(**attributes: Any) -> Dataset:
    return source_of({**JANE, **attributes})


@pytest.mark.parametrize(
    "same",
    [
        {"PatientName": "Doe^Jane^^"},
        {"PatientName": "DOE^JANE"},
        {"PatientName": " Doe ^ Jane"},
        {"PatientName": "Doe^Jane=山田"},
        {"PatientName": ""},
        {"PatientName": None},
        {"IssuerOfPatientID": "HOSPITAL"},
        {"PatientBirthDate": ""},
        {"PatientID": ""},
        {"StudyInstanceUID": ""},
    ],
)
def test_one_patient_written_differently(same: dict[str, Any]) -> None:
    assert contradictions([header(), header(**same)]) == ()
    assert contradictions([header(**same), header()]) == ()


@pytest.mark.parametrize(
    "other",
    [
        {"PatientID": "P-2"},
        {"PatientID": "p-1"},
        {"PatientName": "Roe^Jane"},
        {"PatientName": "Doe^Jane^M"},
        {"PatientName": "Jane^Doe"},
        {"PatientBirthDate": "19900102"},
        {"StudyInstanceUID": "1.2.4"},
    ],
)
def test_another_patient(other: dict[str, Any]) -> None:
    (keyword,) = other
    assert contradictions([header(), header(**other)]) == (keyword,)


def test_two_who_differ_are_not_reconciled_by_a_third_that_is_empty() -> None:
    headers = [header(PatientID="P-1"), header(PatientID=""), header(PatientID="P-2")]
    assert contradictions(headers) == ("PatientID",)


def test_names_are_compared_in_each_script_that_both_have() -> None:
    first, second = header(PatientName="Yamada^T=山田"), header(PatientName="Yamada^T=山本")
    assert contradictions([first, second]) == ("PatientName",)
    assert contradictions([header(PatientName="ﾔﾏﾀﾞ^ﾀﾛｳ"), header(PatientName="ヤマダ^タロウ")]) == ()
    assert contradictions([header(PatientName="Mu\u0308ller^A"), header(PatientName="Müller^A")]) == ()


def test_a_date_of_the_old_form_is_the_same_date() -> None:
    old = header()
    old.add(DataElement("PatientBirthDate", "LO", "1990.01.01"))
    assert contradictions([header(), old]) == ()


def test_nothing_contradicts_one_image_or_none() -> None:
    assert contradictions([]) == contradictions([header()]) == ()


def test_values_of_odd_form_are_compared_as_they_are() -> None:
    odd = header()
    odd["PatientName"].VR = "LO"
    odd["PatientName"].value = ["Doe^Jane", "Roe^Ann"]
    assert contradictions([header(), odd]) == ("PatientName",)


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom says what is too long; that is its job
@pytest.mark.parametrize("keyword", ["PatientID", "PatientName"])
def test_values_are_compared_to_their_last_letter(keyword: str) -> None:
    """However long: what a page cuts is not the same for that."""
    one, other = (source_of({**JANE, keyword: "1" * 5000 + end}) for end in "ab")
    assert contradictions([one, other]) == (keyword,)
