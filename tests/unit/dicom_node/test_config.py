"""Which objects are made of an image, and which of them a destination gets."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from dicom_node.config import Config
from dicom_node.domain import STUDY_OBJECTS, USUAL_OBJECTS, PeerLimits, ResultKind, Right

PACS = {"name": "pacs", "ae_title": "PACS", "host": "pacs.example.org", "port": 104}
REPORTING = {"name": "reporting", "ae_title": "OBSYSTEM", "host": "ob.example.org", "port": 104}


def config(*destinations: dict[str, Any], **results: Any) -> Config:
    return Config.model_validate({"destinations": destinations, "results": results})


def test_a_destination_gets_the_usual_objects() -> None:
    assert config(PACS).destination_list()[0].objects == USUAL_OBJECTS
    assert config(PACS).wanted_objects() == set(USUAL_OBJECTS)


def test_the_ob_gyn_report_of_each_image_is_made_on_request_only() -> None:
    assert ResultKind.TID5000 not in Config().wanted_objects()


def test_the_number_of_an_image_does_not_wait_for_its_study() -> None:
    at_once = set(Config().results.objects) - STUDY_OBJECTS
    assert at_once == {ResultKind.TID1500}


def test_what_every_destination_gets_is_said_once() -> None:
    made = config(PACS, REPORTING, objects=["tid5000", "pdf"])
    assert [d.objects for d in made.destination_list()] == [(ResultKind.TID5000, ResultKind.PDF)] * 2
    assert made.wanted_objects() == {ResultKind.TID5000, ResultKind.PDF}


def test_a_destination_may_list_its_own_and_what_it_lists_is_made() -> None:
    made = config(PACS, {**REPORTING, "objects": ["tid5000"]})
    assert [d.objects for d in made.destination_list()] == [USUAL_OBJECTS, (ResultKind.TID5000,)]
    assert made.wanted_objects() == {*USUAL_OBJECTS, ResultKind.TID5000}


def test_without_a_destination_the_objects_are_made_all_the_same() -> None:
    assert config(objects=["pdf"]).wanted_objects() == {ResultKind.PDF}


def test_nothing_may_be_wanted() -> None:
    made = config({**PACS, "objects": []}, objects=[])
    assert made.destination_list()[0].objects == ()
    assert made.wanted_objects() == set()


def test_an_unknown_object_is_refused() -> None:
    with pytest.raises(ValidationError, match="tid1500"):
        config(PACS, objects=["tid9000"])


SCANNER = {"ae_title": "VOLUSON1"}
TLS = {"port": 2762, "certificate": "node.pem", "private_key": "node.key"}


@pytest.mark.parametrize("host", ["10.0.0.1", "10.0.0.0/24", "2001:db8::/32", "us1", "us-1.example.org", "1a.example"])
def test_a_peer_is_bound_to_addresses_blocks_or_names(host: str) -> None:
    (peer,) = Config.model_validate({"peers": [{**SCANNER, "hosts": [host]}]}).peer_list()
    assert peer.hosts == (host,)


@pytest.mark.parametrize("host", ["10.0.0", "10.0.0.300", "10.0.0.0/33", "a b", "-x", "x-", "a..b", "", "é", "x" * 64])
def test_a_mistyped_address_is_no_name(host: str) -> None:
    with pytest.raises(ValidationError, match="neither an address"):
        Config.model_validate({"peers": [{**SCANNER, "hosts": [host]}]})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"peers": [{**SCANNER, "tls": "required"}]}, "node.tls.port is not given"),
        (
            {"peers": [{**SCANNER, "certificate_name": "us1"}], "node": {"tls": TLS}},
            "node.tls.authorities is not given",
        ),
        ({"node": {"tls": {"port": 2762}}}, "needs `certificate` and `private_key`"),
        ({"node": {"port": None}}, "one of `port` and `tls.port`"),
        ({"node": {"port": 2762, "tls": TLS}}, "must differ"),
        ({"node": {"other_ae_titles": ["SEVENTEEN_LETTERS"]}}, "1 to 16 characters"),
        ({"peers": [{**SCANNER, "may": ["fly"]}]}, "store"),
    ],
)
def test_rules_that_contradict_each_other_are_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Config.model_validate(content)


def test_limits_have_units() -> None:
    entry = {**SCANNER, "maximum_associations": 2, "objects_per_minute": 60, "maximum_object_mb": 3}
    (peer,) = Config.model_validate({"peers": [entry]}).peer_list()
    assert peer.limits == PeerLimits(associations=2, objects_per_minute=60, object_bytes=3 * 1024 * 1024)
    assert peer.may == (Right.STORE, Right.ECHO)
