"""The way of a study, from the rows: received, answered, reported, sent, committed; oldest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from dicom_node.domain import AttemptOutcome, ResultKind
from dicom_node.storage.study_account import DeliveryAccount, ImageAccount, StudyAccount
from dicom_node.web.texts import message


class Mood(StrEnum):
    """How it is shown."""

    GOOD = "good"
    BAD = "bad"
    WAIT = "wait"
    CALM = "calm"


@dataclass(frozen=True, slots=True)
class Step:
    """`what` is an English sentence of the catalogue, `about` and `detail` stand beside it as they are.

    `kind`: the object that it is about.
    """

    at: datetime
    what: str
    mood: Mood = Mood.CALM
    about: str = ""
    detail: str = ""
    kind: ResultKind | None = None


_ANSWERS = {
    "measured": (message("Measured"), Mood.GOOD),
    "abstained": (message("Abstained"), Mood.WAIT),
    "refused": (message("Refused"), Mood.WAIT),
}
_ATTEMPTS = {
    AttemptOutcome.SENT: (message("Delivered"), Mood.GOOD),
    AttemptOutcome.TRANSIENT: (message("Not delivered, tried again"), Mood.WAIT),
    AttemptOutcome.PERMANENT: (message("Refused by the destination"), Mood.BAD),
    AttemptOutcome.UNKNOWN: (message("Sent without an answer, tried again"), Mood.WAIT),
}


def timeline(study: StudyAccount) -> list[Step]:
    """Every step that left a row."""
    steps = [step for image in study.images for step in _of_image(image)]
    for said in study.reports:
        mood = Mood.GOOD if said.status == "measured" else Mood.WAIT
        steps.append(Step(said.at, message("Study reported"), mood, f"v{said.version}", said.reason or ""))
    for stored in study.objects:
        for delivery in stored.deliveries:
            steps += _of_delivery(delivery, stored.stored.kind)
    return sorted(steps, key=lambda step: step.at)


def _of_image(image: ImageAccount) -> Iterator[Step]:
    number, ref = f"#{image.instance.id}", image.instance
    yield Step(ref.received_at, message("Received"), Mood.CALM, number, f"{ref.calling_ae} ({image.peer_host})")
    if image.result is not None:
        what, mood = _ANSWERS.get(image.result.status, (message("Answered"), Mood.CALM))
        yield Step(image.result.created_at, what, mood, number, image.result.reason or "")


def _of_delivery(account: DeliveryAccount, kind: ResultKind) -> Iterator[Step]:
    for attempt in account.attempts:
        what, mood = _ATTEMPTS[attempt.outcome]
        word = "" if attempt.status_word is None else f"0x{attempt.status_word:04X}"
        cause = "" if attempt.outcome is AttemptOutcome.SENT else attempt.cause
        yield Step(attempt.began_at, what, mood, f"→ {attempt.asked}", " ".join(filter(None, (cause, word))), kind)
    about = f"→ {account.delivery.destination}"
    if account.asked_at is not None:
        yield Step(account.asked_at, message("Storage commitment asked for"), Mood.CALM, about, kind=kind)
    if account.answered_at is not None:
        committed = account.delivery.state == "committed"
        what = message("Storage committed") if committed else message("Storage commitment answered")
        yield Step(account.answered_at, what, Mood.GOOD if committed else Mood.CALM, about, kind=kind)
