"""Messages to a syslog collector, byte by byte."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from dicom_node.deliver.syslog import WARNING, Header, framed, message

SUMMER = timezone(timedelta(hours=2))
AT = datetime(2026, 3, 1, 14, 0, 0, 123456, SUMMER)


def test_a_message_has_the_fields_of_rfc_5424_in_utc() -> None:
    told = message(Header(AT, "node-1"), b"<x/>")
    assert told == b"<85>1 2026-03-01T12:00:00.123Z node-1 dicom-node - DICOM+RFC3881 - \xef\xbb\xbf<x/>"


def test_a_failure_is_a_warning_and_an_odd_host_name_breaks_no_header() -> None:
    assert message(Header(AT, "n\u00f6de 1\n", WARNING), b"").startswith(
        b"<84>1 2026-03-01T12:00:00.123Z nde1 dicom-node "
    )
    assert b" - dicom-node " in message(Header(AT, "\u00f6"), b"")


def test_a_frame_counts_octets() -> None:
    assert framed("\u00e4".encode()) == b"2 \xc3\xa4"
