"""What statuses, rejections and network errors mean, and what a file must have to be sent."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.deliver.scu import (
    Cause,
    Outcome,
    PermanentFailure,
    Sent,
    TransientFailure,
    Unknown,
    classify_connection_error,
    classify_rejection,
    classify_status,
    outgoing,
    unreadable,
)
from dicom_node.errors import InstanceRefused
from tests.ultrasound import US_IMAGE, save, us_image


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        (0x0000, Sent),
        (0xB000, Sent),
        (0xB006, Sent),
        (0xB007, Sent),
        (0xB123, Sent),
        (0x0107, Sent),
        (0xA700, TransientFailure),
        (0xA7FF, TransientFailure),
        (0x0110, TransientFailure),
        (0x0213, TransientFailure),
        (0xA900, PermanentFailure),
        (0xA9FF, PermanentFailure),
        (0xC000, PermanentFailure),
        (0xC211, PermanentFailure),
        (0x0111, PermanentFailure),
        (0x0117, PermanentFailure),
        (0x0122, PermanentFailure),
        (0x0124, PermanentFailure),
        (0xFE00, Unknown),
        (0xFF00, Unknown),
        (0x0777, Unknown),
        (None, Unknown),
    ],
)
def test_classify_status(word: int | None, kind: type[Outcome]) -> None:
    outcome = classify_status(word)
    assert isinstance(outcome, kind)
    assert outcome.status_word == word


def test_warning_keeps_the_remark_and_the_peer_comment() -> None:
    outcome = classify_status(0xB000, "patient name trimmed")
    assert outcome.comment == "Coercion of data elements: patient name trimmed"


@given(st.integers(0, 0xFFFF))
def test_only_success_and_warnings_are_sent(word: int) -> None:
    sent = isinstance(classify_status(word), Sent)
    assert sent == (word in (0x0000, 0x0001, 0x0107, 0x0116) or 0xB000 <= word <= 0xBFFF)


@pytest.mark.parametrize(
    ("result", "source", "reason", "cause", "words"),
    [
        (1, 1, 3, Cause.CALLING_AE_REFUSED, "permanently: calling AE title"),
        (1, 1, 7, Cause.CALLED_AE_REFUSED, "permanently: called AE title"),
        (2, 1, 7, Cause.CALLED_AE_REFUSED, "for now: called AE title"),
        (1, 1, 1, Cause.ASSOCIATION_REJECTED, "no reason"),
        (2, 3, 2, Cause.ASSOCIATION_REJECTED, "limit"),
        (1, 9, 9, Cause.ASSOCIATION_REJECTED, "source 9"),
    ],
)
def test_rejection_is_named_and_tried_again(result: int, source: int, reason: int, cause: Cause, words: str) -> None:
    failure = classify_rejection(result, source, reason)
    assert failure.cause is cause
    assert words in failure.text
    assert isinstance(failure.outcome(), TransientFailure)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), Cause.CONNECTION_REFUSED),
        (TimeoutError(), Cause.CONNECTION_TIMEOUT),
        (OSError(errno.EHOSTUNREACH, "x"), Cause.NO_ROUTE),
        (socket.gaierror(socket.EAI_NONAME, "x"), Cause.NAME_UNKNOWN),
    ],
)
def test_connection_errors_are_transient_and_named(error: OSError, cause: Cause) -> None:
    failure = classify_connection_error(error)
    assert failure.cause is cause
    assert isinstance(failure.outcome(), TransientFailure)


def test_outgoing_reads_the_file_meta_information(tmp_path: Path) -> None:
    path = save(us_image(np.zeros((4, 4), np.uint8)), tmp_path / "a.dcm")
    item = outgoing(path)
    assert item.syntax == (str(US_IMAGE), "1.2.840.10008.1.2.1")
    assert item.sop_instance_uid.startswith("1.2.826.0.1.3680043.8.498.")


@pytest.mark.parametrize("content", [b"", b"not a DICOM file", b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM\2\0"])
def test_outgoing_refuses_what_is_not_dicom(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(content)
    with pytest.raises(InstanceRefused):
        outgoing(path)


def test_outgoing_does_not_take_a_fault_of_the_disk_for_one_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        outgoing(tmp_path / "nothing.dcm")


def test_fault_of_the_disk_is_transient_and_named() -> None:
    outcome = unreadable(OSError(errno.EIO, "Input/output error", "/somewhere/secret"))
    assert isinstance(outcome, TransientFailure)
    assert outcome.comment == "the stored file cannot be read (Input/output error)"


def test_duplicate_instance_is_named() -> None:
    assert "already has this UID" in classify_status(0x0111).comment
