"""Reports of storage commitment: what they say, and when Success is the answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pydicom import Dataset

from dicom_node.commitment import Malformed, report_of, report_taker, request_dataset
from dicom_node.domain import CommitmentOutcome, CommitmentReport, CommitmentRequest
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

    def commitment_answered(self, report: CommitmentReport, _now: object) -> CommitmentOutcome | None:
        self.reports.append(report)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def said(ledger: Ledger, dataset: Dataset, event_type: int = 1) -> int:
    event: Any = SimpleNamespace(event_type=event_type, event_information=dataset)
    status, reply = report_taker(ledger, lambda: START)(event)
    assert reply is None
    return status


def test_success_is_said_for_what_was_kept() -> None:
    ledger = Ledger(CommitmentOutcome("pacs", 1, 0, 0))
    assert said(ledger, information(("2.25.7",))) == 0x0000
    assert [report.committed for report in ledger.reports] == [("2.25.7",)]


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
