"""The words of storage commitment (PS3.4 J): requests and reports as data sets, and how a report is taken."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from pydicom import Dataset
from pynetdicom import evt

from dicom_node.domain import CommitmentOutcome, CommitmentReport, CommitmentRequest
from dicom_node.errors import NodeError

_log = logging.getLogger(__name__)

PUSH_MODEL = "1.2.840.10008.1.20.1"
PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"
REQUEST_ACTION = 1
ALL_COMMITTED, SOME_FAILED = 1, 2  # event types, PS3.4 J.3.3

SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
NO_SUCH_EVENT_TYPE = 0x0113
NO_SUCH_ACTION = 0x0123
INVALID_ARGUMENT = 0x0115
_NO_REASON = 0x0110


class Malformed(Exception):
    """The report does not say what a report must say."""


class Ledger(Protocol):
    """The end of the repository that reports go into; may raise DatabaseUnavailable."""

    def commitment_answered(self, report: CommitmentReport, now: datetime) -> CommitmentOutcome | None: ...


def request_dataset(request: CommitmentRequest) -> Dataset:
    """The Action Information of the N-ACTION (PS3.4 Table J.3-1)."""
    dataset = Dataset()
    dataset.TransactionUID = request.transaction_uid
    dataset.ReferencedSOPSequence = [_reference(*pair) for pair in request.objects]
    return dataset


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item


def report_of(information: Dataset) -> CommitmentReport:
    """The Event Information of an N-EVENT-REPORT (PS3.4 Table J.3-2). What is named as failed is not committed.

    Raises:
        Malformed: it has no transaction UID, or an item without a SOP Instance UID.
    """
    try:
        failed = tuple(
            (str(item.ReferencedSOPInstanceUID), int(item.get("FailureReason") or _NO_REASON))
            for item in information.get("FailedSOPSequence") or ()
        )
        named = [str(item.ReferencedSOPInstanceUID) for item in information.get("ReferencedSOPSequence") or ()]
        not_committed = {uid for uid, _ in failed}
        committed = tuple(uid for uid in named if uid not in not_committed)
        return CommitmentReport(str(information.TransactionUID), committed, failed)
    except (AttributeError, ValueError, TypeError) as error:
        raise Malformed from error


def report_taker(ledger: Ledger, now: Callable[[], datetime]) -> Callable[[evt.Event], tuple[int, None]]:
    """EVT_N_EVENT_REPORT: Success is said after the commit, so that a destination tells again what we did not keep."""

    def take(event: evt.Event) -> tuple[int, None]:
        if event.event_type not in (ALL_COMMITTED, SOME_FAILED):
            return NO_SUCH_EVENT_TYPE, None
        try:
            report = report_of(event.event_information)
        except Malformed:
            _log.warning("commitment.malformed")
            return INVALID_ARGUMENT, None
        try:
            outcome = ledger.commitment_answered(report, now())
        except NodeError as error:
            _log.warning("commitment.not_kept", extra={"error": type(error).__name__})
            return PROCESSING_FAILURE, None
        if outcome is None:
            _log.warning("commitment.unknown", extra={"transaction_uid": report.transaction_uid})
            return INVALID_ARGUMENT, None
        _tell(report, outcome)
        return SUCCESS, None

    return take


def refuse_request(_event: evt.Event) -> tuple[int, None]:
    """EVT_N_ACTION: this node asks for storage commitment and does not give it, and says so."""
    _log.warning("commitment.request_refused")
    return NO_SUCH_ACTION, None


def _tell(report: CommitmentReport, outcome: CommitmentOutcome) -> None:
    level = logging.ERROR if outcome.given_up else logging.WARNING if outcome.resent else logging.INFO
    facts = {
        "transaction_uid": report.transaction_uid,
        "destination": outcome.destination,
        "committed": outcome.committed,
        "resent": outcome.resent,
        "given_up": outcome.given_up,
    }
    _log.log(level, "commitment.report", extra=facts)
