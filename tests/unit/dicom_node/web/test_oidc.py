"""Who gets in by an OpenID provider, and what tampered answers of one are worth."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from httpx import Response
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from pydantic import ValidationError

from dicom_node.checks import Verdict, check
from dicom_node.config import Config, NodeSection, RoleValues, WebOidcSection, WebSection
from dicom_node.errors import Refused
from dicom_node.storage.trail import Wanted
from dicom_node.users import ApiToken, UserRole
from dicom_node.web import oidc
from dicom_node.web.console import Console
from dicom_node.web.oidc import Fault, values_at
from tests.unit.dicom_node.web.browser import Browser
from tests.unit.dicom_node.web.provider import CLIENT, SECRET, StandIn, running, signed, unsigned

SESSION, ATTEMPT = "fetalhc", "fetalhc-oidc"
ROLES = RoleValues(viewer=("hc-viewers",), operator=("hc-operators",), admin=("hc-admins",))


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setenv("DICOM_NODE_OIDC_SECRET", SECRET)
    with running() as stand_in:
        yield stand_in


@pytest.fixture
def site(console: Console, provider: StandIn) -> Console:
    """The console with that provider."""
    section = WebOidcSection(issuer=provider.address, client_id=CLIENT, roles=ROLES)
    config = console.config.model_copy(update={"web": WebSection(oidc=section)})
    return Console(config, console.repository, None, console.now)


def begin(browser: Browser, provider: StandIn, after: str = "/") -> str:
    """To the provider and back: the address there."""
    there = browser.get("/sign-in/oidc", params={"next": after})
    assert there.status_code == 303
    return provider.approve(there.headers["location"])


def enter(browser: Browser, provider: StandIn, after: str = "/") -> Response:
    return browser.get(begin(browser, provider, after))


def refusals(console: Console) -> list[tuple[str, str | None]]:
    told = console.repository.audit_trail(Wanted(), 50)
    return [(r.entry.actor, r.entry.outcome) for r in told if r.entry.event == "user.refused"]


def assert_outside(browser: Browser, answer: Response, fault: Fault) -> None:
    assert answer.status_code in (403, 503)
    assert oidc.SENTENCES[fault] in answer.text
    assert SESSION not in answer.cookies
    assert browser.get("/").status_code == 303
    assert fault in {outcome for _, outcome in refusals(browser.console)}


def test_without_a_provider_there_is_no_such_way(browser: Browser) -> None:
    assert "organisation" not in browser.get("/sign-in").text
    assert browser.get("/sign-in/oidc").status_code == 404
    assert browser.get("/sign-in/oidc/back?code=x&state=y").status_code == 404


def test_somebody_with_a_role_gets_in_as_what_the_provider_says(site: Console, provider: StandIn) -> None:
    browser = Browser(site)
    there = 'href="http://127.0.0.1:8080/sign-in/oidc?next=%2Fstudies"'
    assert there in browser.get("/sign-in?next=/studies").text
    answer = enter(browser, provider, "/studies")
    assert (answer.status_code, answer.headers["location"]) == (303, "/studies")
    assert ATTEMPT not in browser.client.cookies
    (user,) = [user for user in site.repository.accounts.users() if user.external]
    assert (user.name, user.role, user.has_password) == ("jane_example.org", UserRole.OPERATOR, False)
    assert "jane_example.org" in browser.get("/").text
    assert "no password here" in browser.get("/me").text
    told = site.repository.audit_trail(Wanted(), 10)
    assert ("user.signed_in", "jane_example.org") in [(r.entry.event, r.entry.actor) for r in told]


def test_a_planted_session_is_not_the_one_that_is_opened(site: Console, provider: StandIn) -> None:
    browser = Browser(site)
    browser.client.cookies.set(SESSION, "planted")
    answer = enter(browser, provider)
    assert answer.cookies[SESSION] != "planted"
    first = answer.cookies[SESSION]
    assert enter(browser, provider).cookies[SESSION] != first
    thief = Browser(site)
    thief.client.cookies.set(SESSION, first)
    assert thief.get("/").status_code == 303


def test_signing_out_ends_the_session_here(site: Console, provider: StandIn) -> None:
    browser = Browser(site)
    enter(browser, provider)
    copied = browser.client.cookies[SESSION]
    assert browser.post("/sign-out", page="/").status_code == 303
    browser.client.cookies.set(SESSION, copied)
    assert browser.get("/").status_code == 303


@pytest.mark.parametrize("after", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/x" * 400])
def test_the_way_back_leads_nowhere_else(site: Console, provider: StandIn, after: str) -> None:
    answer = enter(Browser(site), provider, after)
    assert (answer.status_code, answer.headers["location"][:1]) == (303, "/")
    assert "evil" not in answer.headers["location"]


def lies(**changes: Any) -> Any:
    return lambda claims: claims.update(changes)


@pytest.mark.parametrize(
    "lie",
    [
        lies(nonce="of another"),
        lambda claims: claims.pop("nonce"),
        lies(aud="another client"),
        lies(aud=[CLIENT, "another"]),
        lies(azp="another client"),
        lies(iss="https://evil.example"),
        lies(exp=1),
        lies(iat=1 << 40),
        lies(exp="soon"),
        lambda claims: claims.pop("exp"),
        lambda claims: claims.pop("sub"),
    ],
    ids=["nonce", "no nonce", "aud", "two aud", "azp", "iss", "exp", "iat", "word for exp", "no exp", "no sub"],
)
def test_a_token_that_says_something_else_is_refused(site: Console, provider: StandIn, lie: Any) -> None:
    browser, provider.lie = Browser(site), lie
    assert_outside(browser, enter(browser, provider), Fault.BAD_TOKEN)


def by_another(claims: dict[str, Any]) -> str:
    return signed(claims, "one", RSAKey.generate_key(2048))


def by_our_secret(claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "HS256", "kid": "one"}, claims, OctKey.import_key(SECRET * 2), algorithms=["HS256"])


def cut(claims: dict[str, Any]) -> str:
    return signed(claims, "one").rpartition(".")[0] + "."


@pytest.mark.parametrize("sign", [by_another, by_our_secret, unsigned, cut, lambda _claims: "no token"])
def test_a_token_that_the_provider_did_not_sign_is_refused(site: Console, provider: StandIn, sign: Any) -> None:
    browser, provider.sign = Browser(site), sign
    assert_outside(browser, enter(browser, provider), Fault.BAD_TOKEN)


def test_what_another_browser_began_is_refused(site: Console, provider: StandIn) -> None:
    victim, attacker = Browser(site), Browser(site)
    back = begin(attacker, provider)
    assert_outside(victim, victim.get(back), Fault.OTHER_BROWSER)
    begin(victim, provider)
    assert_outside(victim, victim.get(back), Fault.OTHER_BROWSER)
    assert "/token" not in provider.asked


def test_a_code_works_once(site: Console, provider: StandIn) -> None:
    browser = Browser(site)
    back = begin(browser, provider)
    kept = browser.client.cookies[ATTEMPT]
    assert browser.get(back).status_code == 303
    again = Browser(site)
    assert_outside(again, again.get(back), Fault.OTHER_BROWSER)
    again.client.cookies.set(ATTEMPT, kept)
    assert_outside(again, again.get(back), Fault.CODE_REFUSED)


def test_the_code_of_another_is_worth_nothing_here(site: Console, provider: StandIn) -> None:
    """Injected with a right state: PKCE, and behind it the nonce, tie it to the browser that asked for it."""
    thief, victim = Browser(site), Browser(site)
    stolen = parse_qs(urlsplit(begin(victim, provider)).query)["code"][0]
    back = begin(thief, provider)
    own = parse_qs(urlsplit(back).query)["code"][0]
    assert_outside(thief, thief.get(back.replace(own, stolen)), Fault.CODE_REFUSED)


def test_nobody_without_a_role_gets_in(site: Console, provider: StandIn) -> None:
    browser, provider.groups = Browser(site), ("everybody",)
    assert_outside(browser, enter(browser, provider), Fault.NO_ROLE)
    assert site.repository.accounts.users() == ()
    assert ("jane_example.org", Fault.NO_ROLE) in refusals(site)


def test_the_role_is_taken_anew_and_with_it_everything_ends(site: Console, provider: StandIn) -> None:
    first, second = Browser(site), Browser(site)
    provider.groups = ("hc-viewers", "hc-admins")
    enter(first, provider)
    assert first.get("/users").status_code == 200
    provider.groups, accounts = ("hc-viewers",), site.repository.accounts
    enter(second, provider)
    assert second.get("/users").status_code == 403
    assert first.get("/users").status_code == 303
    accounts.add_token(
        "jane_example.org", ApiToken(0, "", "script", UserRole.VIEWER, site.now(), None, None), "fhc_x", site.now()
    )
    provider.groups = ()
    assert_outside(first, enter(first, provider), Fault.NO_ROLE)
    assert second.get("/").status_code == 303
    assert accounts.tokens() == ()


def test_nobody_takes_the_name_of_a_user(site: Console, provider: StandIn) -> None:
    site.repository.accounts.add_user("ada", UserRole.ADMIN, site.now())
    browser, provider.person = Browser(site), "ada"
    assert_outside(browser, enter(browser, provider), Fault.NAME_TAKEN)
    provider.person = "jane"
    assert enter(browser, provider).status_code == 303
    provider.subject, other = "4712", Browser(site)
    assert_outside(other, enter(other, provider), Fault.NAME_TAKEN)


def test_who_may_not_sign_in_any_more_does_not(site: Console, provider: StandIn) -> None:
    browser, accounts = Browser(site), site.repository.accounts
    enter(browser, provider)
    accounts.change_user("jane_example.org", UserRole.OPERATOR, False, site.now())
    assert_outside(browser, enter(browser, provider), Fault.CLOSED)


def test_they_get_no_password_here(site: Console, provider: StandIn) -> None:
    enter(Browser(site), provider)
    accounts, now = site.repository.accounts, site.now()
    with pytest.raises(Refused, match="another service"):
        accounts.add_link("jane_example.org", "secret", now, now)
    with pytest.raises(Refused, match="another service"):
        accounts.set_password("jane_example.org", "hash", now)
    page = Browser(site).sign_in_admin().get("/users").text
    assert "signed in elsewhere" in page
    assert "/users/jane_example.org/link" not in page


def test_a_provider_that_says_no_is_named(site: Console, provider: StandIn) -> None:
    browser = Browser(site)
    state = parse_qs(urlsplit(begin(browser, provider)).query)["state"][0]
    answer = browser.get(f"/sign-in/oidc/back?error=access_denied&error_description=SECRET&state={state}")
    assert_outside(browser, answer, Fault.DENIED)
    assert "SECRET" not in answer.text
    mixed_up = begin(browser, provider) + "&iss=https://evil.example"
    assert_outside(browser, browser.get(mixed_up), Fault.DENIED)


def test_a_provider_that_is_away_or_broken_is_named(site: Console, provider: StandIn) -> None:
    browser, provider.broken = Browser(site), True
    assert_outside(browser, browser.get("/sign-in/oidc"), Fault.AWAY)
    provider.broken = False
    back, provider.broken = begin(browser, provider), True
    assert_outside(browser, browser.get(back), Fault.AWAY)


@pytest.mark.parametrize(
    "description",
    [
        {"issuer": "https://evil.example"},
        {"jwks_uri": "https://evil.example/keys"},
        {"token_endpoint": "http://127.0.0.1:1/token"},
        {"authorization_endpoint": None},
    ],
)
def test_only_the_issuer_is_asked(site: Console, provider: StandIn, description: dict[str, Any]) -> None:
    browser, provider.description = Browser(site), description
    assert_outside(browser, browser.get("/sign-in/oidc"), Fault.NOT_ITSELF)
    assert provider.asked == ["/.well-known/openid-configuration"]


def test_a_new_key_is_asked_for_but_not_with_every_token(
    site: Console, provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(Browser(site), provider)
    provider.kid, browser = "two", Browser(site)
    assert_outside(browser, enter(browser, provider), Fault.BAD_TOKEN)
    assert provider.asked.count("/keys") == 1
    monkeypatch.setattr(oidc, "KEYS_AGAIN_S", -1.0)
    assert enter(browser, provider).status_code == 303
    assert provider.asked.count("/keys") == 2


def test_no_code_token_or_name_is_in_a_log(site: Console, provider: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "dicom_node")
    provider.groups = ()
    enter(Browser(site), provider)
    provider.sign = unsigned
    enter(Browser(site), provider)
    told = [vars(record) for record in caplog.records if record.name.startswith("dicom_node")]
    assert {record["reason"] for record in told} == {"no_role", "bad_token"}
    for secret in ("code0", "code1", "jane", SECRET, "eyJ", "4711"):
        assert secret not in str([(r["msg"], r.get("reason"), r.get("cause"), r.get("exc_info")) for r in told])


def test_one_address_may_not_begin_for_ever(site: Console, provider: StandIn) -> None:
    browser = Browser(site)
    assert {browser.get("/sign-in/oidc").status_code for _ in range(25)} == {303, 429}


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "http://sign-in.example.org"},
        {"issuer": "https://user@sign-in.example.org"},
        {"issuer": "https://sign-in.example.org?x=1"},
        {"issuer": "https://sign-in.example.org:x"},
        {"client_id": None},
        {"roles": {}},
        {"scopes": ["profile"]},
        {"scopes": ["openid", "a b"]},
        {"address": "http://console.example.org"},
        {"address": "https://console.example.org/hc"},
    ],
)
def test_a_wrong_setting_is_refused(changes: dict[str, Any]) -> None:
    right = {"issuer": "https://sign-in.example.org", "client_id": "x", "roles": {"viewer": ["a"]}}
    assert WebSection.model_validate({"oidc": right}).oidc.roles.role_of(["b", "a"]) is UserRole.VIEWER
    with pytest.raises(ValidationError):
        WebSection.model_validate({"oidc": right | changes})


def test_behind_a_proxy_the_way_back_has_to_be_said() -> None:
    right = {"issuer": "https://sign-in.example.org", "client_id": "x", "roles": {"viewer": ["a"]}}
    with pytest.raises(ValidationError, match="address"):
        WebSection.model_validate({"behind_proxy": True, "oidc": right})
    named = right | {"address": "https://console.example.org"}
    assert WebSection.model_validate({"behind_proxy": True, "oidc": named}).secure


def test_groups_may_lie_deeper_and_alone() -> None:
    assert values_at({"realm": {"roles": ["a", 7, ""]}}, "realm.roles") == {"a"}
    assert values_at({"a.b": "c", "a": {"b": "d"}}, "a.b") == {"c"}
    assert values_at({"realm": "x"}, "realm.roles") == frozenset()


def test_the_check_of_the_configuration_says_whether_there_is_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DICOM_NODE_OIDC_SECRET", raising=False)
    file = tmp_path / "oidc-secret"

    def told(**changes: Any) -> Verdict:
        section = WebOidcSection(issuer="https://sign-in.example.org", client_id="x", roles=ROLES, **changes)
        config = Config(node=NodeSection(data_dir=tmp_path), web=WebSection(oidc=section))
        return next(one.verdict for one in check(config) if one.name == "web.oidc")

    assert told() is Verdict.WARNING
    assert told(client_secret_file=file) is Verdict.FAILED
    file.write_text(SECRET)
    assert told(client_secret_file=file) is Verdict.OK
