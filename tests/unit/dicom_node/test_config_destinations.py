"""How destinations are reached, as the configuration says it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dicom_node.config import Config
from dicom_node.domain import CallerTls, CommitmentTerms, Destination, Listener, Peer, Right

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
        ({**PACS, "tls": {"check_host_name": False}}, "needs authorities"),
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


def test_who_must_prove_itself_must_do_so_to_report() -> None:
    tls = {"port": 2762, "certificate": "c", "private_key": "k", "authorities": "a"}
    peer = {"ae_title": "PACS", "hosts": ["192.0.2.1"], "certificate_name": "pacs.example.org"}
    given = {"node": {"tls": tls}, "peers": [peer], "destinations": [{**PACS, "commitment": True}]}
    reporter = Config.model_validate(given).caller_list()[-1]
    assert (reporter.hosts, reporter.secure, reporter.certificate_name) == (("pacs",), True, "pacs.example.org")


def test_who_is_not_asked_may_not() -> None:
    assert Config.model_validate({"destinations": [PACS]}).caller_list() == ()


def test_storage_commitment_is_not_offered_unless_somebody_commits() -> None:
    assert Config.model_validate({"destinations": [{**PACS, "commitment": True}]}).commitment_terms() is None
    with pytest.raises(ValidationError, match="needs a destination with commitment"):
        Config.model_validate({"storage_commitment": {"offer": True}, "destinations": [PACS]})
    offering = {"storage_commitment": {"offer": True, "wait_h": 2}, "destinations": [{**PACS, "commitment": True}]}
    assert Config.model_validate(offering).commitment_terms() == CommitmentTerms(("pacs",), timedelta(hours=2))


def test_a_peer_may_be_called() -> None:
    listens = {"host": "us1", "port": 104, "tls": {"authorities": "ca.pem"}}
    (peer,) = Config.model_validate({"peers": [{"ae_title": "US1", "listens": listens}]}).peer_list()
    assert peer.listens == Listener("us1", 104, CallerTls(Path("ca.pem")))
