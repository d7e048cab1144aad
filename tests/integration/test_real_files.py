"""Every file of pydicom and pydicom-data through `measure`: all answered, none with a number, and the page is true."""

from __future__ import annotations

import pytest

from dicom_node.answers import Answer
from dicom_node.decode import read_instance
from tests.real_files import HEARTS, PAGE, all_files, measure_all, page, ultrasound_objects


@pytest.fixture(scope="module")
def answers() -> dict[str, Answer]:
    return measure_all()


def test_none_shows_a_fetal_head_and_none_yields_a_number(answers: dict[str, Answer]) -> None:
    assert len(answers) == len(all_files()) > 250
    assert [name for name, answer in answers.items() if answer["status"] == "measured"] == []
    numbers = ("hc_mm", "bpd_mm", "ofd_mm", "ga_days")
    findings = [finding for answer in answers.values() for finding in (answer, *answer["measurements"])]
    assert [finding for finding in findings if any(finding[number] is not None for number in numbers)] == []


def test_every_refusal_was_foreseen(answers: dict[str, Answer]) -> None:
    assert [name for name, answer in answers.items() if "unexpected" in str(answer["reason_text"])] == []
    assert [name for name, answer in answers.items() if not answer["reason"]] == []


def test_every_ultrasound_object_decodes(answers: dict[str, Answer]) -> None:
    """None of them is damaged, so none may be refused; those that are not looked at could be."""
    assert {answers[name]["status"] for name, _, _ in ultrasound_objects()} == {"abstained"}
    for _, path, _ in ultrasound_objects():
        decoded = read_instance(path)
        for number in {1, decoded.frame_count}:
            assert decoded.display(number).shape == (decoded.rows, decoded.columns, 3)
            assert decoded.display(number).std() > 10


def test_the_page_tells_what_is_answered(answers: dict[str, Answer]) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(answers), "python -m tests.real_files writes it again"
    reasons = {name.rpartition("/")[2]: answer["reason"] for name, answer in answers.items()}
    assert {reasons[heart] for heart in HEARTS} == {"other_examination"}
