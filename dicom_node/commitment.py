"""The words of storage commitment (PS3.4 J): requests and reports as data sets, and how a report is taken."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Protocol

from pydicom import Dataset
from pynetdicom import evt

from dicom_node.domain import CommitmentOutcome, CommitmentReply, CommitmentReport, CommitmentRequest
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
NOT_AUTHORISED = 0x0124
DUPLICATE_TRANSACTION = 0x0131
_NO_REASON = 0x0110


class Malformed(Exception):
    """The report does not say what a report must say."""


class Ledger(Protocol):
    """The end of the repository that reports go into; may raise DatabaseUnavailable."""

    def commitment_asked_of(self, transaction_uid: str) -> str | None: ...

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


SpeaksFor = Callable[[evt.Event], Collection[str]]
"""The destinations by name that whoever sent this may report for."""


def report_taker(
    ledger: Ledger, now: Callable[[], datetime], speaks_for: SpeaksFor
) -> Callable[[evt.Event], tuple[int, None]]:
    """EVT_N_EVENT_REPORT: Success is said after the commit, so that a destination tells again what we did not keep.

    A report about what another destination was asked is one about nothing: transaction UIDs are no secrets.
    """

    def take(event: evt.Event) -> tuple[int, None]:
        if event.event_type not in (ALL_COMMITTED, SOME_FAILED):
            return NO_SUCH_EVENT_TYPE, None
        try:
            report = report_of(event.event_information)
        except Malformed:
            _log.warning("commitment.malformed")
            return INVALID_ARGUMENT, None
        try:
            asked = ledger.commitment_asked_of(report.transaction_uid)
            outcome = ledger.commitment_answered(report, now()) if asked in speaks_for(event) else None
        except NodeError as error:
            _log.warning("commitment.not_kept", extra={"error": type(error).__name__})
            return PROCESSING_FAILURE, None
        if outcome is None:
            _log.warning("commitment.unknown", extra={"transaction_uid": report.transaction_uid})
            return INVALID_ARGUMENT, None
        _tell(report, outcome)
        return SUCCESS, None

    return take


def question_of(information: Dataset) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Transaction UID and objects of the Action Information of an N-ACTION (PS3.4 Table J.3-1).

    Raises:
        Malformed: it has no transaction UID, names no object, or one without class or instance.
    """
    try:
        named = information.get("ReferencedSOPSequence") or ()
        objects = tuple((str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID)) for item in named)
        transaction_uid = str(information.TransactionUID)
    except (AttributeError, ValueError, TypeError) as error:
        raise Malformed from error
    if not transaction_uid or not objects or not all(sop_class and uid for sop_class, uid in objects):
        raise Malformed
    return transaction_uid, objects


def reply_dataset(reply: CommitmentReply) -> tuple[int, Dataset]:
    """Event type and Event Information of the N-EVENT-REPORT that answers a peer (PS3.4 Table J.3-2)."""
    dataset = Dataset()
    dataset.TransactionUID = reply.transaction_uid
    if reply.committed:
        dataset.ReferencedSOPSequence = [_reference(*pair) for pair in reply.committed]
    if not reply.failed:
        return ALL_COMMITTED, dataset
    dataset.FailedSOPSequence = [_failed(*one) for one in reply.failed]
    return SOME_FAILED, dataset


def _failed(sop_class_uid: str, sop_instance_uid: str, reason: int) -> Dataset:
    item = _reference(sop_class_uid, sop_instance_uid)
    item.FailureReason = reason
    return item


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
