"""Who was refused is remembered, and nobody can flood the list."""

from __future__ import annotations

import logging

import pytest

from dicom_node.errors import DatabaseUnavailable
from dicom_node.receive.authorisation import Caller, Refusal, RefusalReason
from dicom_node.receive.pace import BURST_S
from dicom_node.receive.refusals import ROWS_PER_MINUTE, RefusalBook
from tests.fakes import FakeRepository

REFUSAL = Refusal(RefusalReason.CALLING_AE_UNKNOWN, "add it under peers")
BURST = int(BURST_S * ROWS_PER_MINUTE / 60)


def test_one_machine_that_knocks_without_pause_leaves_room_for_others(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="dicom_node")
    rows, now = FakeRepository(), 1000.0
    book = RefusalBook(rows, lambda: now)
    for number in range(1000):
        book.note(Caller(f"NOISE{number}", "FETALHC", "10.0.0.66"), REFUSAL)
    book.note(Caller("VOLUSON1", "FETALHC", "10.0.0.5"), REFUSAL)

    assert len(rows.refused) <= BURST + 2
    assert (rows.refused[-1].calling_ae, rows.refused[-1].advice) == ("VOLUSON1", "add it under peers")
    assert len(caplog.records) == 1001  # the log has them all

    now += 60.0
    book.note(Caller("NOISE", "FETALHC", "10.0.0.66"), REFUSAL)
    assert rows.refused[-1].calling_ae == "NOISE"


def test_many_addresses_do_not_fill_the_memory() -> None:
    book = RefusalBook(FakeRepository())
    for number in range(1500):
        book.note(Caller("X", "Y", f"10.0.{number // 256}.{number % 256}"), REFUSAL)

    assert len(book._paces) <= 1000


def test_a_database_that_is_away_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    class Away(FakeRepository):
        def record_refusal(self, *_: object) -> None:
            raise DatabaseUnavailable

    RefusalBook(Away()).note(Caller("X", "Y", "10.0.0.1"), REFUSAL)

    assert [record.message for record in caplog.records] == ["receive.refused", "receive.refusal_not_recorded"]
