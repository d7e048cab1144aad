"""Who gets in, who does not, and what the refused one is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.domain import Peer
from dicom_node.receive.authorisation import (
    Allowed,
    Caller,
    Refusal,
    RefusalReason,
    authorise,
    canonical_host,
    decode_ae_title,
)

OUR_AE = "FETALHC"
PEERS = (
    Peer("VOLUSON1", ("10.0.0.0/24", "192.168.7.9")),
    Peer("ANYWHERE", ()),
    Peer("SIX", ("2001:db8::/32",)),
)


def decide(calling: str, host: str = "10.0.0.5", called: str = OUR_AE) -> Allowed | Refusal:
    return authorise(Caller(calling, called, host), OUR_AE, PEERS)


def refusal(calling: str, host: str = "10.0.0.5", called: str = OUR_AE) -> Refusal:
    decision = decide(calling, host, called)
    assert isinstance(decision, Refusal)
    return decision


@pytest.mark.parametrize(
    ("calling", "host"),
    [
        ("VOLUSON1", "10.0.0.5"),
        ("VOLUSON1", "::ffff:10.0.0.5"),
        ("VOLUSON1", "192.168.7.9"),
        ("ANYWHERE", "203.0.113.1"),
        ("ANYWHERE", "fe80::1%eth0"),
        ("SIX", "2001:db8::7"),
    ],
)
def test_a_known_title_from_its_address_is_let_in(calling: str, host: str) -> None:
    assert decide(calling, host) == Allowed(storage=True)


def test_a_known_title_from_elsewhere_is_told_from_where_it_is_known() -> None:
    refused = refusal("VOLUSON1", "10.0.1.5")

    assert refused.reason is RefusalReason.ADDRESS_NOT_ALLOWED
    assert refused.reason.diagnostic == 0x03
    assert refused.advice == "AE title 'VOLUSON1' is known, but from 10.0.0.0/24, 192.168.7.9; this came from 10.0.1.5."


@pytest.mark.parametrize("host", ["10.0.0.5", "::1"])
def test_an_ipv6_block_and_an_ipv4_block_never_match_each_other(host: str) -> None:
    assert refusal("SIX", host).reason is RefusalReason.ADDRESS_NOT_ALLOWED


def test_an_unknown_title_is_told_the_line_that_would_let_it_in() -> None:
    refused = refusal("NEWSCAN", "::ffff:10.0.0.8")

    assert refused.reason is RefusalReason.CALLING_AE_UNKNOWN
    assert refused.reason.diagnostic == 0x03
    assert 'peers: {ae_title: "NEWSCAN", hosts: ["10.0.0.8"]}' in refused.advice


def test_case_counts_and_the_advice_says_so() -> None:
    assert "'VOLUSON1' is known, upper and lower case count" in refusal("Voluson1").advice
    assert "upper and lower case count" in refusal("VOLUSON1", called="FetalHC").advice


def test_a_wrong_called_title_has_its_own_diagnostic() -> None:
    refused = refusal("VOLUSON1", called="PACS")

    assert refused.reason is RefusalReason.CALLED_AE_UNKNOWN
    assert refused.reason.diagnostic == 0x07
    assert "'PACS'" in refused.advice
    assert "'FETALHC'" in refused.advice


def test_a_blank_calling_title_is_told_to_get_one() -> None:
    refused = refusal("")

    assert refused.reason is RefusalReason.CALLING_AE_BLANK
    assert refused.reason.diagnostic == 0x03


def test_without_peers_nobody_gets_in() -> None:
    decision = authorise(Caller("VOLUSON1", OUR_AE, "10.0.0.5"), OUR_AE, ())

    assert isinstance(decision, Refusal)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_the_health_check_of_this_machine_may_echo_only(host: str) -> None:
    assert decide(OUR_AE, host) == Allowed(storage=False)


def test_our_title_from_another_machine_is_a_stranger() -> None:
    assert refusal(OUR_AE, "10.0.0.5").reason is RefusalReason.CALLING_AE_UNKNOWN


@pytest.mark.parametrize(
    ("field", "title"),
    [
        (b"VOLUSON1        ", "VOLUSON1"),
        (b"VOLUSON1\0\0\0\0\0\0\0\0", "VOLUSON1"),
        (b"  VOLUSON1 \0 \0    ", "VOLUSON1"),
        (b"US ROOM 1       ", "US ROOM 1"),
        (b"                ", ""),
        (b"\0" * 16, ""),
        (b"PR\xdcFUNG          ", "PR\\xdcFUNG"),
        (b"A\nB             ", "A\\x0aB"),
    ],
)
def test_ae_titles_are_decoded_leniently(field: bytes, title: str) -> None:
    assert decode_ae_title(field) == title


@given(st.binary(max_size=16))
def test_no_field_breaks_decoding_and_the_title_is_printable(field: bytes) -> None:
    title = decode_ae_title(field)

    assert title.isascii()
    assert title == "" or title.isprintable()
    assert title == title.strip(" ")


@given(st.binary(min_size=1, max_size=16), st.ip_addresses())
def test_only_the_configured_title_gets_in(field: bytes, host: object) -> None:
    title = decode_ae_title(field)
    decision = authorise(Caller(title, OUR_AE, str(host)), OUR_AE, (Peer("VOLUSON1", ()),))

    assert (decision == Allowed(storage=True)) == (field.strip(b" \0") == b"VOLUSON1")


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_the_ipv4_address(address: object) -> None:
    assert canonical_host(f"::ffff:{address}") == str(address)
