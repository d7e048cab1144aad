"""Who gets in, who does not, and what a stolen or planted cookie is worth."""

from __future__ import annotations

import stat

import pytest

from dicom_node.storage.trail import Wanted
from dicom_node.users import ApiToken, UserRole, new_secret
from dicom_node.web import first_admin
from dicom_node.web.console import Console
from tests.unit.dicom_node.web.browser import PASSWORD, Browser, Clock

SESSION = "fetalhc"
WRONG = "not this one"


def first_link(console: Console) -> str:
    first_admin.welcome(console)
    return "/welcome/" + (console.data_dir / first_admin.LINK_FILE).read_text().strip().rpartition("/")[2]


def token(console: Console, owner: str, role: UserRole, **changes: object) -> str:
    secret = "fhc_" + new_secret()
    wanted = ApiToken(0, owner, "script", role, console.now(), None, changes.get("expires_at"))  # type: ignore[arg-type]
    console.repository.accounts.add_token(owner, wanted, secret, console.now())
    return secret


def test_without_a_session_every_page_leads_to_the_sign_in(browser: Browser) -> None:
    for path in ("/", "/studies", "/no/such/page"):
        answer = browser.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in")


def test_a_program_without_a_token_is_told_so(browser: Browser) -> None:
    answer = browser.get("/api/v1/openapi.json")
    assert (answer.status_code, answer.json()["error"]) == (401, "NotSignedIn")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_the_first_administrator_comes_by_a_link_that_works_once(console: Console, browser: Browser) -> None:
    link = first_link(console)
    file = console.data_dir / first_admin.LINK_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    answer = browser.post(link, page=link, password=PASSWORD, again=PASSWORD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert browser.get("/").status_code == 200
    assert not file.exists()
    assert Browser(console).get(link).status_code == 404
    first_admin.welcome(console)
    assert not file.exists()


def test_a_link_ends_by_itself(console: Console, browser: Browser, clock: Clock) -> None:
    link = first_link(console)
    clock.forward(hours=25)
    assert browser.get(link).status_code == 404


@pytest.mark.parametrize(("password", "again"), [("short", "short"), ("x" * 300, "x" * 300), (PASSWORD, "another one")])
def test_a_bad_first_password_is_refused_and_the_link_stays(
    console: Console, browser: Browser, password: str, again: str
) -> None:
    link = first_link(console)
    assert browser.post(link, page=link, password=password, again=again).status_code == 422
    assert browser.get(link).status_code == 200


def test_a_wrong_password_and_an_unknown_name_are_told_alike(admin: Browser, console: Console) -> None:
    wrong = Browser(console).post("/sign-in", name="ada", password=WRONG)
    unknown = Browser(console).post("/sign-in", name="nobody", password=WRONG)
    assert wrong.status_code == unknown.status_code == 403
    assert "do not belong together" in wrong.text
    assert "do not belong together" in unknown.text


def test_wrong_passwords_lock_the_user_and_the_right_one_does_not_help(
    admin: Browser, console: Console, clock: Clock
) -> None:
    guesser = Browser(console)
    for _ in range(console.config.web.failed_logins):
        guesser.post("/sign-in", name="ada", password=WRONG)
    assert Browser(console).post("/sign-in", name="ada", password=PASSWORD).status_code == 403
    clock.forward(seconds=61)
    assert Browser(console).post("/sign-in", name="ada", password=PASSWORD).status_code == 303


def test_one_address_may_not_try_for_ever(admin: Browser, console: Console) -> None:
    """10,000 wrong passwords from one address: all but twenty a minute cost no computing."""
    guesser, told = Browser(console), []
    for number in range(40):
        told.append(guesser.post("/sign-in", name=f"user{number}", password=WRONG).status_code)
    assert told[-1] == 429
    assert told.count(403) <= 20


def test_signing_in_gives_a_new_session_whatever_cookie_was_planted(admin: Browser, console: Console) -> None:
    victim, planted = Browser(console), new_secret()
    victim.client.cookies.set(SESSION, planted)
    answer = victim.post("/sign-in", name="ada", password=PASSWORD)
    assert answer.cookies[SESSION] != planted
    thief = Browser(console)
    thief.client.cookies.set(SESSION, planted)
    assert thief.get("/").status_code == 303


def test_the_cookie_is_for_the_browser_alone(admin: Browser, console: Console) -> None:
    answer = Browser(console).post("/sign-in", name="ada", password=PASSWORD)
    said = answer.headers.get_list("set-cookie")[0]
    assert "HttpOnly" in said
    assert "SameSite=lax" in said


def test_signing_out_ends_the_session_itself(admin: Browser, console: Console) -> None:
    copied = admin.client.cookies[SESSION]
    assert admin.post("/sign-out", page="/").status_code == 303
    thief = Browser(console)
    thief.client.cookies.set(SESSION, copied)
    assert thief.get("/").status_code == 303


@pytest.mark.parametrize("by", [{"minutes": 61.0}, {"hours": 13.0}])
def test_a_session_ends_by_itself(admin: Browser, clock: Clock, by: dict[str, float]) -> None:
    clock.forward(**by)
    assert admin.get("/").status_code == 303


def test_a_session_in_use_goes_on_until_its_longest(admin: Browser, clock: Clock) -> None:
    for _ in range(13):
        clock.forward(minutes=50)
        assert admin.get("/").status_code == 200
    clock.forward(hours=2)
    assert admin.get("/").status_code == 303


def test_what_is_sent_without_the_token_of_the_page_is_refused(admin: Browser) -> None:
    assert admin.client.post("/sign-out", follow_redirects=False).status_code == 403
    assert admin.client.post("/sign-out", data={"csrf": "guess"}, follow_redirects=False).status_code == 403
    assert admin.get("/").status_code == 200


def test_the_token_of_another_session_is_refused(admin: Browser, viewer: Browser) -> None:
    answer = admin.client.post("/sign-out", data={"csrf": viewer.token("/")}, follow_redirects=False)
    assert answer.status_code == 403


@pytest.mark.parametrize("headers", [{"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}])
def test_what_another_site_sends_is_refused(admin: Browser, headers: dict[str, str]) -> None:
    data = {"csrf": admin.token("/")}
    answer = admin.client.post("/sign-out", data=data, headers=headers, follow_redirects=False)
    assert answer.status_code == 403
    assert admin.get("/").status_code == 200


@pytest.mark.parametrize("after", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/\r\nX: y"])
def test_the_sign_in_sends_nobody_elsewhere(admin: Browser, console: Console, after: str) -> None:
    answer = Browser(console).post("/sign-in", name="ada", password=PASSWORD, next=after)
    assert answer.headers["location"] == "/"


def test_every_answer_carries_the_policy(browser: Browser) -> None:
    for path in ("/sign-in", "/", "/static/console.css", "/api/v1/openapi.json"):
        headers = browser.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    assert browser.get("/sign-in").headers["cache-control"] == "no-store"


def test_a_token_opens_the_interface_with_its_scope_and_no_more_than_its_owners(
    console: Console, viewer: Browser
) -> None:
    secret = token(console, "vera", UserRole.ADMIN)
    caller = console.repository.accounts.token_caller(secret, console.now())
    assert caller is not None
    assert (caller.role, caller.token) == (UserRole.VIEWER, "script")
    headers = {"authorization": f"Bearer {secret}"}
    assert Browser(console).get("/api/v1/openapi.json", headers=headers).status_code == 200
    assert Browser(console).get("/api/v1/openapi.json", headers={"authorization": "Bearer fhc_no"}).status_code == 401


def test_a_token_ends_with_its_time_and_with_its_owner(console: Console, viewer: Browser, clock: Clock) -> None:
    accounts = console.repository.accounts
    short = token(console, "vera", UserRole.VIEWER, expires_at=clock.at.replace(hour=9))
    endless = token(console, "vera", UserRole.VIEWER)
    clock.forward(hours=2)
    assert accounts.token_caller(short, clock.at) is None
    assert accounts.token_caller(endless, clock.at) is not None
    accounts.change_user("vera", UserRole.VIEWER, False, clock.at)
    assert accounts.token_caller(endless, clock.at) is None
    assert viewer.get("/").status_code == 303


def test_who_signs_in_and_who_fails_is_in_the_trail_and_no_password_is(admin: Browser, console: Console) -> None:
    Browser(console).post("/sign-in", name="ada", password=WRONG)
    told = [(r.entry.event, r.entry.actor) for r in console.repository.audit_trail(Wanted(), 10)]
    assert ("user.refused", "ada") in told
    assert ("user.signed_in", "ada") in told
    assert WRONG not in str(console.repository.audit_trail(Wanted(), 10))


def test_the_pages_speak_german(browser: Browser) -> None:
    browser.get("/language/de?next=/sign-in")
    answer = browser.get("/sign-in")
    assert '<html lang="de">' in answer.text
    assert "Anmelden" in answer.text
    assert "Anmelden" in Browser(browser.console).get("/sign-in", headers={"accept-language": "de-AT,en;q=0.5"}).text
