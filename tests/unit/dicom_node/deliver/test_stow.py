"""What answers to a store request mean for the object."""

from __future__ import annotations

import json

import pytest

from dicom_node.deliver.scu import Cause, Outcome, PermanentFailure, Sent, TransientFailure, Unknown
from dicom_node.deliver.stow import classify_answer

UID = "2.25.7"


def listing(sequence: str, uid: str = UID, **numbers: int) -> bytes:
    item = {"00081155": {"vr": "UI", "Value": [uid]}}
    item |= {tag.removeprefix("t"): {"vr": "US", "Value": [number]} for tag, number in numbers.items()}  # type: ignore[dict-item]
    return json.dumps({sequence: {"vr": "SQ", "Value": [item]}}).encode()


STORED, FAILED = "00081199", "00081198"


@pytest.mark.parametrize(
    ("status", "content", "kind", "word"),
    [
        (200, listing(STORED), Sent, 0x0000),
        (202, listing(STORED, t00081196=0xB000), Sent, 0xB000),
        (200, b"", Sent, 0x0000),
        (200, listing(FAILED, t00081197=0xA700), TransientFailure, 0xA700),
        (409, listing(FAILED, t00081197=0xA900), PermanentFailure, 0xA900),
        (409, listing(FAILED, t00081197=0x0122), PermanentFailure, 0x0122),
        (409, listing(FAILED, t00081197=0x0000), PermanentFailure, 0x0000),
        (409, listing(FAILED), PermanentFailure, None),
        (409, b"", PermanentFailure, None),
        (200, listing(STORED, uid="2.25.8"), Unknown, None),
        (202, b"", Unknown, None),
        (200, b"<html>welcome</html>", Unknown, None),
        (200, b"[]", Unknown, None),
        (200, b'{"00081199": {"Value": [null]}}', Unknown, None),
        (204, b"", Unknown, None),
        (400, b"", PermanentFailure, None),
        (413, b"", PermanentFailure, None),
        (415, b"", PermanentFailure, None),
        (429, b"", TransientFailure, None),
        (500, b"", TransientFailure, None),
        (507, b"", TransientFailure, None),
    ],
)
def test_answer(status: int, content: bytes, kind: type[Outcome], word: int | None) -> None:
    outcome = classify_answer(status, content, UID)
    assert type(outcome) is kind
    assert outcome.status_word == word


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (301, Cause.SERVICE_REFUSED),
        (401, Cause.SERVICE_REFUSED),
        (403, Cause.SERVICE_REFUSED),
        (404, Cause.SERVICE_REFUSED),
        (502, Cause.SERVICE_DOWN),
        (503, Cause.SERVICE_DOWN),
    ],
)
def test_what_is_about_the_service_waits(status: int, cause: Cause) -> None:
    outcome = classify_answer(status, b"", UID)
    assert isinstance(outcome, TransientFailure)
    assert outcome.cause is cause


def test_an_answer_with_both_lists_believes_the_failure() -> None:
    both = json.loads(listing(STORED)) | json.loads(listing(FAILED, t00081197=0xC000))
    assert isinstance(classify_answer(202, json.dumps(both).encode(), UID), PermanentFailure)
