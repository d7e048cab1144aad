"""Attempts to deliver, as tests of the outbox tell them."""

from __future__ import annotations

from datetime import UTC, datetime

from dicom_node.domain import Attempt, AttemptOutcome

WHEN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def taken(status_word: int = 0x0000, comment: str | None = None, asked: str = "pacs") -> Attempt:
    return Attempt(asked, AttemptOutcome.SENT, "status", status_word, comment, WHEN, 0.25)


def failed(status_word: int | None = None, comment: str | None = None, asked: str = "pacs") -> Attempt:
    outcome = AttemptOutcome.UNKNOWN if status_word is None else AttemptOutcome.TRANSIENT
    return Attempt(asked, outcome, "status", status_word, comment, WHEN, 0.5)
