"""Reports of storage commitment: what they say, and when Success is the answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pydicom import Dataset

from dicom_node.commitment import Malformed, question_of, reply_dataset, report_of, report_taker, request_dataset
from dicom_node.domain import CommitmentOutcome, CommitmentReply, CommitmentReport, CommitmentRequest
from dicom_node.errors import DatabaseUnavailable
from tests.unit.dicom_node.storage.rooms import START


def item(uid: str, reason: int | None = None) -> Dataset:
    made = Dataset()
    made.ReferencedSOPClassUID, made.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.33", uid
    if reason is not None:
        made.FailureReason = reason
    return made


def information(committed: tuple[str, ...] = (), failed: tuple[tuple[str, int], ...] = ()) -> Dataset:
    dataset = Dataset()
    dataset.TransactionUID = "2.25.1"
    if committed:
        dataset.ReferencedSOPSequence = [item(uid) for uid in committed]
    if failed:
        dataset.FailedSOPSequence = [item(*one) for one in failed]
    return dataset


def test_a_request_names_class_and_instance() -> None:
    dataset = request_dataset(CommitmentRequest("2.25.1", (("1.2", "2.25.7"), ("1.3", "2.25.8"))))
    assert dataset.TransactionUID == "2.25.1"
    pairs = [(i.ReferencedSOPClassUID, i.ReferencedSOPInstanceUID) for i in dataset.ReferencedSOPSequence]
    assert pairs == [("1.2", "2.25.7"), ("1.3", "2.25.8")]


def test_a_report_says_both() -> None:
    report = report_of(information(("2.25.7",), (("2.25.8", 0x0112),)))
    assert report == CommitmentReport("2.25.1", ("2.25.7",), (("2.25.8", 0x0112),))


def test_what_is_named_as_failed_too_is_not_committed() -> None:
    report = report_of(information(("2.25.7", "2.25.8"), (("2.25.8", 0x0112),)))
    assert report.committed == ("2.25.7",)


def test_a_failure_without_reason_stays_one() -> None:
    dataset = information()
    dataset.FailedSOPSequence = [item("2.25.8")]
    assert report_of(dataset).failed == (("2.25.8", 0x0110),)


@pytest.mark.parametrize("keyword", ["TransactionUID", "ReferencedSOPInstanceUID"])
def test_a_report_that_says_too_little_is_malformed(keyword: str) -> None:
    dataset = information(("2.25.7",))
    del (dataset if keyword in dataset else dataset.ReferencedSOPSequence[0])[keyword]
    with pytest.raises(Malformed):
        report_of(dataset)


class Ledger:
    def __init__(self, answer: CommitmentOutcome | Exception | None) -> None:
        self.answer = answer
        self.reports: list[CommitmentReport] = []

    def commitment_asked_of(self, _transaction_uid: str) -> str | None:
        return "pacs" if self.answer is not None else None

    def commitment_answered(self, report: CommitmentReport, _now: object) -> CommitmentOutcome | None:
        self.reports.append(report)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def said(ledger: Ledger, dataset: Dataset, event_type: int = 1, speaks_for: tuple[str, ...] = ("pacs",)) -> int:
    event: Any = SimpleNamespace(event_type=event_type, event_information=dataset)
    status, reply = report_taker(ledger, lambda: START, lambda _: speaks_for)(event)
    assert reply is None
    return status


def test_success_is_said_for_what_was_kept() -> None:
    ledger = Ledger(CommitmentOutcome("pacs", 1, 0, 0))
    assert said(ledger, information(("2.25.7",))) == 0x0000
    assert [report.committed for report in ledger.reports] == [("2.25.7",)]


def test_nobody_reports_for_another_destination() -> None:
    ledger = Ledger(CommitmentOutcome("pacs", 1, 0, 0))
    assert said(ledger, information(("2.25.7",)), speaks_for=("archive",)) == 0x0115
    assert ledger.reports == []


@pytest.mark.parametrize(
    ("answer", "dataset", "event_type", "status"),
    [
        (DatabaseUnavailable(), information(("2.25.7",)), 1, 0x0110),
        (None, information(("2.25.7",)), 1, 0x0115),
        (CommitmentOutcome("pacs", 0, 0, 0), Dataset(), 2, 0x0115),
        (CommitmentOutcome("pacs", 0, 0, 0), information(("2.25.7",)), 9, 0x0113),
    ],
)
def test_anything_else_is_told(answer: Any, dataset: Dataset, event_type: int, status: int) -> None:
    assert said(Ledger(answer), dataset, event_type) == status


def test_a_question_names_objects_by_class_and_instance() -> None:
    asked = request_dataset(CommitmentRequest("2.25.1", (("1.2", "2.25.7"), ("1.3", "2.25.8"))))
    assert question_of(asked) == ("2.25.1", (("1.2", "2.25.7"), ("1.3", "2.25.8")))


@pytest.mark.parametrize("keyword", ["TransactionUID", "ReferencedSOPSequence"])
def test_a_question_about_nothing_is_malformed(keyword: str) -> None:
    asked = request_dataset(CommitmentRequest("2.25.1", (("1.2", "2.25.7"),)))
    delattr(asked, keyword)
    with pytest.raises(Malformed):
        question_of(asked)


@pytest.mark.parametrize("keyword", ["ReferencedSOPClassUID", "ReferencedSOPInstanceUID"])
def test_a_question_names_both_uids_of_each_object(keyword: str) -> None:
    asked = request_dataset(CommitmentRequest("2.25.1", (("1.2", "2.25.7"),)))
    delattr(asked.ReferencedSOPSequence[0], keyword)
    with pytest.raises(Malformed):
        question_of(asked)


def test_a_reply_is_read_as_it_was_meant() -> None:
    reply = CommitmentReply(1, "2.25.1", "FETALHC", (("1.2", "2.25.7"),), (("1.2", "2.25.8", 0x0119),))
    event_type, told = reply_dataset(reply)
    assert (event_type, report_of(told)) == (2, CommitmentReport("2.25.1", ("2.25.7",), (("2.25.8", 0x0119),)))
    event_type, told = reply_dataset(CommitmentReply(1, "2.25.1", "FETALHC", (("1.2", "2.25.7"),), ()))
    assert (event_type, "FailedSOPSequence" in told) == (1, False)
