"""What a courier that nobody looks at says once a day."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dicom_node.config import Config
from dicom_node.deliver.reminders import EVERY, Reminders
from dicom_node.domain import DeliveryState
from dicom_node.errors import DatabaseUnavailable
from dicom_node.queue import utc_now
from tests.certificates import make_authority

PACS = {"name": "pacs", "ae_title": "PACS", "host": "pacs", "port": 104}


class Counts:
    """A repository that says how many wait, or is away."""

    def __init__(self, counts: dict[str, dict[DeliveryState, int]] | None) -> None:
        self.counts = counts

    def delivery_counts(self) -> dict[str, dict[DeliveryState, int]]:
        if self.counts is None:
            raise DatabaseUnavailable
        return self.counts


def told(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    names = ("destination", "ae_title", "what", "count")
    said = [{"event": r.message, **{n: getattr(r, n) for n in names if hasattr(r, n)}} for r in caplog.records]
    caplog.clear()
    return said


@pytest.mark.peer("openssl")
def test_certificates_that_end_are_told_every_day(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority = make_authority(tmp_path)
    ending, lasting = authority.issue("ending", days=20), authority.issue("lasting", days=400)
    soon = {"certificate": ending.certificate, "private_key": ending.private_key, "authorities": authority.certificate}
    later = {**soon, "certificate": lasting.certificate, "private_key": lasting.private_key}
    listens = {"host": "192.0.2.1", "port": 104, "tls": soon}
    config = Config.model_validate(
        {
            "destinations": [{**PACS, "tls": soon}, {**PACS, "name": "spare", "tls": later}],
            "peers": [{"ae_title": "SCANNER", "listens": listens}, {"ae_title": "OTHER"}],
        }
    )
    reminders, now = Reminders(config, Counts({})), utc_now()
    expected = [
        {"event": "courier.certificate_ends", "destination": "pacs", "what": "certificate"},
        {"event": "courier.certificate_ends", "ae_title": "SCANNER", "what": "certificate"},
    ]
    reminders.look(now)
    assert told(caplog) == expected
    reminders.look(now + EVERY - timedelta(seconds=1))
    assert told(caplog) == []
    reminders.look(now + EVERY)
    assert told(caplog) == expected


def test_what_waits_for_a_destination_that_was_taken_away_is_told(caplog: pytest.LogCaptureFixture) -> None:
    waiting = {DeliveryState.PENDING: 3, DeliveryState.HELD: 1, DeliveryState.SENT: 7}
    counts = Counts({"pacs": waiting, "old": waiting, "older": {DeliveryState.SENT: 2}})
    with caplog.at_level(logging.WARNING):
        Reminders(Config.model_validate({"destinations": [PACS]}), counts).look(utc_now())
    assert told(caplog) == [{"event": "courier.destination_unknown", "destination": "old", "count": 4}]


def test_a_database_that_is_away_and_a_file_that_is_none_stop_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "none.pem").write_text("none")
    given = {"destinations": [{**PACS, "tls": {"authorities": tmp_path / "none.pem"}}]}
    Reminders(Config.model_validate(given), Counts(None)).look(utc_now())
    assert told(caplog) == []
