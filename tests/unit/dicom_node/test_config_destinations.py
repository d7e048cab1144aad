"""How destinations are reached, as the configuration says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dicom_node.config import Config
from dicom_node.domain import CallerTls, Destination, Peer, Right

PACS = {"name": "pacs", "ae_title": "PACS", "host": "pacs", "port": 104}


def only(**keys: Any) -> Destination:
    (destination,) = Config.model_validate({"destinations": [{"name": "pacs", **keys}]}).destination_list()
    return destination


def test_tls_is_off_unless_asked_for() -> None:
    assert only(ae_title="PACS", host="pacs", port=104).tls is None


def test_tls_names_its_files() -> None:
    tls = {"authorities": "ca.pem", "certificate": "node.pem", "private_key": "node.key", "check_host_name": False}
    made = only(ae_title="PACS", host="pacs", port=2762, tls=tls)
    assert made.tls == CallerTls(Path("ca.pem"), Path("node.pem"), Path("node.key"), False)
    assert only(ae_title="PACS", host="pacs", port=2762, tls={}).tls == CallerTls()


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://pacs.example.org/dicom-web", "pacs.example.org", 443),
        ("https://pacs.example.org:8443/dicom-web/", "pacs.example.org", 8443),
        ("http://127.0.0.1/dicom-web", "127.0.0.1", 80),
    ],
)
def test_a_service_has_an_address(url: str, host: str, port: int) -> None:
    made = only(url=url)
    assert (made.url, made.host, made.port, made.ae_title) == (url, host, port, "")


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({}, "give ae_title, host and port, or url"),
        ({"ae_title": "PACS", "host": "pacs"}, "give ae_title, host and port, or url"),
        ({**PACS, "url": "https://pacs/dicom-web"}, "give ae_title, host and port, or url"),
        ({**PACS, "authorization_file": "token"}, "authorization_file goes with url"),
        ({"url": "ftp://pacs"}, "not an http or https address"),
        ({"url": "https://user:secret@pacs"}, "not an http or https address"),
        ({"url": "https://pacs/?token=secret"}, "not an http or https address"),
        ({"url": "http://pacs/dicom-web", "authorization_file": "token"}, "needs https"),
        ({**PACS, "tls": {"certificate": "node.pem"}}, "go together"),
        ({"url": "https://pacs/dicom-web", "commitment": True}, "no service of DICOMweb"),
        ({**PACS, "alternate": "other"}, "alternate of pacs"),
        ({**PACS, "alternate": "pacs"}, "alternate of pacs"),
        ({**PACS, "ae_title": "A TITLE THAT IS TOO LONG"}, "1 to 16 characters"),
    ],
)
def test_what_cannot_be_meant_is_refused(entry: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        only(**entry)


def test_an_alternate_is_another_destination() -> None:
    entries = [{**PACS, "alternate": "spare"}, {**PACS, "name": "spare"}]
    first, _ = Config.model_validate({"destinations": entries}).destination_list()
    assert first.alternate == "spare"


def test_who_is_asked_for_commitment_may_report() -> None:
    peers = [{"ae_title": "PACS", "hosts": ["192.0.2.1"]}, {"ae_title": "SCANNER"}]
    config = Config.model_validate({"peers": peers, "destinations": [{**PACS, "commitment": True}]})
    listed, scanner, reporter = config.caller_list()
    assert listed.may == (Right.STORE, Right.ECHO, Right.COMMITMENT)
    assert scanner.may == (Right.STORE, Right.ECHO)
    assert reporter == Peer("PACS", ("pacs",), (Right.ECHO, Right.COMMITMENT))


def test_who_is_not_asked_may_not() -> None:
    assert Config.model_validate({"destinations": [PACS]}).caller_list() == ()
