"""Who gets in, who does not, and what the refused one is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.addresses import canonical_host
from dicom_node.domain import USUAL_RIGHTS, Peer, Right
from dicom_node.receive.authorisation import (
    Allowed,
    Caller,
    Policy,
    Refusal,
    RefusalReason,
    authorise,
    decode_ae_title,
)

OUR_AE = "FETALHC"
PEERS = (
    Peer("VOLUSON1", ("10.0.0.0/24", "192.168.7.9")),
    Peer("ANYWHERE", ()),
    Peer("SIX", ("2001:db8::/32",)),
)


POLICY = Policy((OUR_AE, "FETALHC2"), PEERS)
CALLING_NOT_RECOGNISED, CALLED_NOT_RECOGNISED = (1, 1, 3), (1, 1, 7)


def decide(calling: str, host: str = "10.0.0.5", called: str = OUR_AE) -> Allowed | Refusal:
    return authorise(Caller(calling, called, host), POLICY)


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
    decision = decide(calling, host)
    assert isinstance(decision, Allowed)
    assert decision.peer is not None
    assert (decision.peer.ae_title, decision.may) == (calling, USUAL_RIGHTS)


def test_a_known_title_from_elsewhere_is_told_from_where_it_is_known() -> None:
    refused = refusal("VOLUSON1", "10.0.1.5")

    assert refused.reason is RefusalReason.ADDRESS_NOT_ALLOWED
    assert refused.reason.rejection == CALLING_NOT_RECOGNISED
    assert refused.advice == "AE title 'VOLUSON1' is known, but from 10.0.0.0/24, 192.168.7.9; this came from 10.0.1.5."


@pytest.mark.parametrize("host", ["10.0.0.5", "::1"])
def test_an_ipv6_block_and_an_ipv4_block_never_match_each_other(host: str) -> None:
    assert refusal("SIX", host).reason is RefusalReason.ADDRESS_NOT_ALLOWED


def test_an_unknown_title_is_told_the_line_that_would_let_it_in() -> None:
    refused = refusal("NEWSCAN", "::ffff:10.0.0.8")

    assert refused.reason is RefusalReason.CALLING_AE_UNKNOWN
    assert refused.reason.rejection == CALLING_NOT_RECOGNISED
    assert 'peers: {ae_title: "NEWSCAN", hosts: ["10.0.0.8"]}' in refused.advice


def test_case_counts_and_the_advice_says_so() -> None:
    assert "'VOLUSON1' is known, upper and lower case count" in refusal("Voluson1").advice
    assert "upper and lower case count" in refusal("VOLUSON1", called="FetalHC").advice


def test_a_wrong_called_title_has_its_own_diagnostic() -> None:
    refused = refusal("VOLUSON1", called="PACS")

    assert refused.reason is RefusalReason.CALLED_AE_UNKNOWN
    assert refused.reason.rejection == CALLED_NOT_RECOGNISED
    assert "'PACS'" in refused.advice
    assert "'FETALHC'" in refused.advice


def test_a_blank_calling_title_is_told_to_get_one() -> None:
    refused = refusal("")

    assert refused.reason is RefusalReason.CALLING_AE_BLANK
    assert refused.reason.rejection == CALLING_NOT_RECOGNISED


def test_without_peers_nobody_gets_in() -> None:
    decision = authorise(Caller("VOLUSON1", OUR_AE, "10.0.0.5"), Policy((OUR_AE,), ()))

    assert isinstance(decision, Refusal)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_the_health_check_of_this_machine_may_echo_only(host: str) -> None:
    assert decide(OUR_AE, host) == Allowed(None, (Right.ECHO,))


def test_our_title_from_another_machine_is_a_stranger() -> None:
    assert refusal(OUR_AE, "10.0.0.5").reason is RefusalReason.CALLING_AE_UNKNOWN


@pytest.mark.parametrize(
    ("field", "title"),
    [
        (b"VOLUSON1        ", "VOLUSON1"),
        (b"VOLUSON1\0\0\0\0\0\0\0\0", "VOLUSON1"),
        (b"  VOLUSON1 \0 \0    ", "VOLUSON1"),
        (b"VOLUSON1\0\x7f\x11M!z\xff", "VOLUSON1"),
        (b"\0\0VOLUSON1      ", "VOLUSON1"),
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
    decision = authorise(Caller(title, OUR_AE, str(host)), Policy((OUR_AE,), (Peer("VOLUSON1", ()),)))

    sent = field.lstrip(b" \0").partition(b"\0")[0].rstrip(b" ")
    assert isinstance(decision, Allowed) == (sent == b"VOLUSON1")


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_the_ipv4_address(address: object) -> None:
    assert canonical_host(f"::ffff:{address}") == str(address)


def test_each_of_our_titles_is_ours_and_the_advice_names_them_all() -> None:
    assert isinstance(decide("VOLUSON1", called="FETALHC2"), Allowed)
    assert "'FETALHC' or 'FETALHC2'" in refusal("VOLUSON1", called="FETALHC3").advice
    assert decide("FETALHC2", "127.0.0.1") == Allowed(None, (Right.ECHO,))


def test_of_two_entries_with_one_title_the_one_at_the_address_speaks() -> None:
    here = Peer("TWIN", ("10.0.0.0/24",), may=(Right.ECHO,))
    there = Peer("TWIN", ("10.0.1.0/24",))
    policy = Policy((OUR_AE,), (here, there))

    assert authorise(Caller("TWIN", OUR_AE, "10.0.0.1"), policy) == Allowed(here, (Right.ECHO,))
    assert authorise(Caller("TWIN", OUR_AE, "10.0.1.1"), policy) == Allowed(there, USUAL_RIGHTS)


def test_a_host_name_is_where_it_points_to_now() -> None:
    policy = Policy((OUR_AE,), (Peer("NAMED", ("us-room-1.example.org",)),))
    names = {"us-room-1.example.org": ["10.0.0.7", "2001:db8::7"]}

    def decided(host: str) -> Allowed | Refusal:
        return authorise(Caller("NAMED", OUR_AE, host), policy, lambda name: names.get(name, ()))

    assert isinstance(decided("10.0.0.7"), Allowed)
    assert isinstance(decided("2001:db8::7"), Allowed)
    refused = decided("10.0.0.8")
    assert isinstance(refused, Refusal)
    assert "is known, but from us-room-1.example.org" in refused.advice
    names.clear()
    assert isinstance(decided("10.0.0.7"), Refusal)


SECURE = Policy((OUR_AE,), (Peer("SAFE", (), secure=True), Peer("NAMED", (), (), True, "us1.example.org")), 32, 2762)


def test_who_has_to_come_over_tls_is_told_the_port() -> None:
    refused = authorise(Caller("SAFE", OUR_AE, "10.0.0.1"), SECURE)

    assert isinstance(refused, Refusal)
    assert refused.reason is RefusalReason.TLS_REQUIRED
    assert refused.advice == "AE title 'SAFE' may come over TLS only: port 2762."
    assert isinstance(authorise(Caller("SAFE", OUR_AE, "10.0.0.1", secure=True), SECURE), Allowed)


@pytest.mark.parametrize(
    ("names", "admitted"),
    [(("US1.example.org",), True), (("other", "us1.example.org"), True), (("us2.example.org",), False), ((), False)],
)
def test_a_title_may_be_bound_to_the_name_in_a_certificate(names: tuple[str, ...], admitted: bool) -> None:
    decision = authorise(Caller("NAMED", OUR_AE, "10.0.0.1", True, names), SECURE)

    assert isinstance(decision, Allowed) == admitted
    if isinstance(decision, Refusal):
        assert decision.reason is RefusalReason.CERTIFICATE_MISMATCH
        assert decision.advice.endswith(f"this one is for {', '.join(names) or 'no name'}.")
