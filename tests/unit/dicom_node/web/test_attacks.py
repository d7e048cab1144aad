"""What somebody tries who wants in, wants more, or wants others kept out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from fastapi.testclient import TestClient

from dicom_node.audit import AuditEvent
from dicom_node.config import WebSection
from dicom_node.storage.trail import Wanted
from dicom_node.users import UserRole, new_secret
from dicom_node.web import limits, throttle
from dicom_node.web.application import build_app
from dicom_node.web.console import Console
from dicom_node.web.gate import name_of
from dicom_node.web.routers.home import WHO_EVERY_S
from dicom_node.web.server import _app, _settings
from dicom_node.web.throttle import Places, Throttle, TooManyAtOnce, network_of
from tests.unit.dicom_node.web.browser import PASSWORD, Browser, Clock
from tests.unit.dicom_node.web.filled import STUDY, measured, program

WRONG = "not this one"
HUGE = 10**25


def configured(console: Console, **web: object) -> Console:
    config = console.config.model_copy(update={"web": WebSection(**web)})  # type: ignore[arg-type]
    return Console(config, console.repository, None, console.now)


def guess(console: Console, name: str, host: str) -> int:
    guesser = Browser(console)
    guesser.client = TestClient(guesser.client.app, base_url="http://127.0.0.1:8080", client=(host, 50000))
    return guesser.post("/sign-in", name=name, password=WRONG).status_code


def lock(console: Console, name: str = "ada") -> None:
    """As somebody does who guesses from everywhere."""
    now = console.now()
    for number in range(console.config.web.failed_logins + 3):
        console.repository.accounts.sign_in_failed(name, f"192.0.2.{number}", now + timedelta(hours=1), now)


# Signing in


def test_who_guesses_cannot_keep_the_owner_out(admin: Browser, console: Console, clock: Clock) -> None:
    """The browser in which somebody has signed in before is let in while their name is locked for all others."""
    admin.post("/sign-out", page="/")
    lock(console)
    stranger = Browser(console).post("/sign-in", name="ada", password=PASSWORD)
    assert stranger.status_code == 403
    assert admin.post("/sign-in", name="ada", password=PASSWORD).status_code == 303


def test_a_browser_that_is_known_guesses_slowly_too(admin: Browser) -> None:
    admin.post("/sign-out", page="/")
    told = [admin.post("/sign-in", name="ada", password=WRONG).status_code for _ in range(15)]
    assert told.count(403) == 10
    assert told[-1] == 429


def test_a_browser_is_known_to_those_who_signed_in_with_it_alone(
    admin: Browser, viewer: Browser, console: Console
) -> None:
    viewer.post("/sign-out", page="/")
    lock(console)
    assert viewer.post("/sign-in", name="ada", password=PASSWORD).status_code in (403, 429)
    assert viewer.post("/sign-in", name="vera", password=PASSWORD).status_code == 303


@pytest.mark.parametrize("cookie", ["", "x", "." * 50, f"{'a' * 43}.{'b' * 43}", "é" * 43])
def test_a_made_up_cookie_is_known_to_nobody(admin: Browser, console: Console, cookie: str) -> None:
    lock(console)
    headers = {"cookie": f"fetalhc-known={cookie}".encode("latin-1")}
    stranger = Browser(console)
    answer = stranger.client.post("/sign-in", data={"name": "ada", "password": PASSWORD}, headers=headers)
    assert answer.status_code in (403, 429)


def test_another_password_makes_all_browsers_strangers(admin: Browser, console: Console) -> None:
    from dicom_node.passwords import hashed

    admin.post("/sign-out", page="/")
    console.repository.accounts.set_password("ada", hashed("another password"), console.now())
    lock(console)
    assert admin.post("/sign-in", name="ada", password="another password").status_code in (403, 429)  # noqa: S106


def test_a_name_that_nobody_has_costs_what_a_wrong_password_costs(
    admin: Browser, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One computation of argon2 and one transaction that writes, in either case: waiting tells no name."""
    computed, written = [], []
    real = console.repository.accounts._write
    monkeypatch.setattr("dicom_node.web.routers.sign_in.matches", lambda *_: computed.append(1) and False)
    monkeypatch.setattr(
        type(console.repository), "_write", lambda repository: written.append(1) or real.__func__(repository)
    )
    for name in ("ada", "nobody"):
        computed.clear()
        written.clear()
        assert guess(console, name, "192.0.2.1") == 403
        assert (len(computed), len(written)) == (1, 1), name


def test_what_was_typed_as_a_name_is_not_written_down(console: Console) -> None:
    """It may have been the password."""
    guess(console, "my secret password", "192.0.2.1")
    (record,) = console.repository.audit_trail(Wanted(), 10)
    assert (record.entry.event, record.entry.actor) == ("user.refused", "unknown")


def test_few_passwords_are_computed_at_a_time() -> None:
    places = Places(at_once=1, most_waiting=0)
    with places.one(), pytest.raises(TooManyAtOnce), places.one():
        pass
    with places.one():
        pass


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("unknown", "unknown"),
    ],
)
def test_one_household_is_one_address(host: str, network: str) -> None:
    assert network_of(host) == network


def wrong_passwords(console: Console, count: int) -> tuple[list[int], int]:
    """So many, from many addresses for many names; what was answered, and how often a password was computed."""
    from dicom_node.web.routers import sign_in

    computed, real, told = [], sign_in.matches, []
    app = build_app(console)
    page = TestClient(app, base_url="http://127.0.0.1:8080").get("/sign-in")
    token = page.text.partition("X-CSRF-Token&#34;: &#34;")[2] or page.text.partition('"X-CSRF-Token": "')[2]
    headers = {"X-CSRF-Token": token[:43]}
    sign_in.matches = lambda *given: computed.append(1) or real(*given)  # type: ignore[assignment]
    try:
        clients = [
            TestClient(app, base_url="http://127.0.0.1:8080", client=(f"192.0.2.{n}", 1), cookies=page.cookies)
            for n in range(5)
        ]
        for number in range(count):
            form = {"name": f"user{number % 3}" if number % 2 else "ada", "password": WRONG}
            told.append(clients[number % 5].post("/sign-in", data=form, headers=headers).status_code)
    finally:
        sign_in.matches = real
    return told, len(computed)


def refused_sign_ins(console: Console) -> int:
    return len(console.repository.audit_trail(Wanted(events=(AuditEvent.USER_REFUSED,)), 100_000))


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_wrong_passwords_by_the_thousand_cost_little_and_keep_nobody_else_out(
    admin: Browser, viewer: Browser, console: Console, count: int
) -> None:
    """However many: a hundred a minute are computed, the others are refused at once, and nothing is remembered of them.

    Whoever knows the password gets in meanwhile: another user, and the one who is attacked at their own browser.
    """
    process = psutil.Process()
    viewer.post("/sign-out", page="/")
    admin.post("/sign-out", page="/")
    wrong_passwords(console, 110)
    held, before, began = process.memory_info().rss, refused_sign_ins(console), time.monotonic()
    told, computed = wrong_passwords(console, count)
    minutes = 1 + (time.monotonic() - began) / 60
    assert set(told) <= {403, 429}
    assert computed <= 5 * 20 * minutes
    assert process.memory_info().rss - held < 64 << 20
    assert refused_sign_ins(console) - before <= 5 * 20 * minutes
    assert viewer.post("/sign-in", name="vera", password=PASSWORD).status_code == 303
    assert admin.post("/sign-in", name="ada", password=PASSWORD).status_code == 303


def test_the_memory_of_a_throttle_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "_KEYS", 100)
    made = Throttle()
    for number in range(1000):
        made.allows(str(number))
    assert len(made._tries) == 100


def test_a_link_that_leads_nowhere_costs_nothing(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_node.web.routers.sign_in.hashed", lambda _: pytest.fail("computed for nobody"))
    answer = Browser(console).post(f"/welcome/{new_secret()}", password=PASSWORD, again=PASSWORD)
    assert answer.status_code == 404


# Sessions


def test_an_open_page_does_not_keep_a_session_alive(admin: Browser, clock: Clock) -> None:
    """It renews itself every few seconds; a session ends where nobody clicks."""
    for _ in range(5):
        clock.forward(minutes=15)
        answer = admin.get("/overview/now", headers={"hx-request": "true"})
    assert answer.status_code == 204
    assert answer.headers["hx-redirect"] == "/sign-in"


def test_a_stream_of_events_ends_with_its_session(admin: Browser, console: Console) -> None:
    """The page is told once more, asks, and is sent to the sign-in."""
    from dicom_node.web.routers import home

    async def stream() -> list[str]:
        told, known = [], True
        changes = home._changes(console, lambda: known)
        with suppress(StopAsyncIteration):
            while True:
                known = False
                told.append(await asyncio.wait_for(anext(changes), 60))
        return told

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(home, "LOOK_EVERY_S", WHO_EVERY_S)
        patch.setattr(home.asyncio, "sleep", lambda _s, real=asyncio.sleep: real(0))
        assert asyncio.run(stream()) == ["event: changed\ndata: \n\n"]


# Addresses


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", "[2001::1]:80"])
def test_a_name_that_somebody_made_lead_here_is_refused(browser: Browser, host: str) -> None:
    """DNS rebinding: to the browser that shows the attacker's page, it and the console are of one origin."""
    for path in ("/sign-in", "/metrics", "/healthz", "/static/console.css", "/api/v1/openapi.json"):
        answer = browser.get(path, headers={"host": host})
        assert answer.status_code == 421
        assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:9000", "LOCALHOST", "[::1]:8080"])
def test_names_of_this_machine_are_the_consoles(browser: Browser, host: str) -> None:
    assert browser.get("/sign-in", headers={"host": host}).status_code == 200


def test_which_names_are_meant_can_be_said(console: Console) -> None:
    named = Browser(configured(console, names=("node.example",)))
    assert named.get("/sign-in", headers={"host": "Node.example:8080"}).status_code == 200
    proxied = Browser(configured(console, behind_proxy=True), "https://any.example")
    assert proxied.get("/sign-in").status_code == 200
    both = Browser(configured(console, behind_proxy=True, names=("node.example",)), "https://any.example")
    assert both.get("/sign-in").status_code == 421


def test_a_host_header_has_many_forms() -> None:
    assert [name_of(host) for host in ("A:1", "[::1]:80", "[::1", "a", "")] == ["a", "::1", "::1", "a", ""]


@pytest.mark.parametrize("host", ["127.0.0.1/static/x?", "127.0.0.1#", "127.0.0.1:80/sign-in?"])
def test_the_host_header_is_no_part_of_the_path(console: Console, host: str) -> None:
    """The gate looks at the path that the routes see, not at one that the sender of the header put together."""
    assert Browser(console).get("/api/v1/openapi.json", headers={"host": host}).status_code in (401, 421)


def test_numbers_are_not_for_everybody_behind_a_proxy_of_this_machine(console: Console) -> None:
    """Not every proxy says that it is one."""
    client = TestClient(
        build_app(configured(console, behind_proxy=True)), base_url="https://node.example", client=("127.0.0.1", 1)
    )
    assert client.get("/metrics").status_code == 403


def test_only_the_proxy_is_believed(console: Console) -> None:
    at = configured(console, behind_proxy=True, proxies=("192.0.2.0/28",))
    told = []
    for peer in ("192.0.2.3", "192.0.2.77"):
        browser = Browser(at, "https://node.example")
        browser.client = TestClient(_app(at), base_url="https://node.example", client=(peer, 1))
        browser.client.headers["x-forwarded-for"] = "198.51.100.9"
        browser.post("/sign-in", name="nobody", password=WRONG)
        told.append(console.repository.audit_trail(Wanted(), 1)[0].entry.host)
    assert told == ["198.51.100.9", "192.0.2.77"]
    assert _settings(console).proxy_headers is False
    assert _settings(console).limit_concurrency is not None


@pytest.mark.parametrize("web", [{"proxies": ["proxy"]}, {"names": ["a b"]}, {"names": ["10.0.0.0/8"]}])
def test_names_and_proxies_are_checked(web: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"is no|neither"):
        WebSection(**web)  # type: ignore[arg-type]


@pytest.mark.parametrize("secure", [True, False])
def test_cookies_are_for_this_console_alone(admin: Browser, console: Console, secure: bool) -> None:
    at = configured(console, behind_proxy=secure)
    browser = Browser(at, "https://node.example" if secure else "http://127.0.0.1:8080")
    given = browser.get("/sign-in").headers.get_list("set-cookie")
    answer = browser.post("/sign-in", name="ada", password=PASSWORD)
    given += [one for one in answer.headers.get_list("set-cookie") if "Max-Age=0" not in one]
    assert len(given) == 3
    for one in given:
        assert "HttpOnly" in one
        assert "SameSite=lax" in one or "SameSite=strict" in one
        assert "Domain" not in one
        assert ("; Secure" in one) is secure
        assert one.startswith("__Host-") is secure
    assert ("strict-transport-security" in answer.headers) is secure


# Files of the machine


def test_no_file_of_the_machine_can_be_read(viewer: Browser, tmp_path: Path) -> None:
    """A slash too many made the path an absolute one."""
    folder = Path("/tmp") / f"fetalhc{tmp_path.name.replace('_', '').replace('.', '')}{new_secret()[:6].strip('-_')}"  # noqa: S108
    folder.mkdir()
    try:
        (folder / "patients.csv").write_text("Doe^Jane")
        for name in (f"{folder}/patients.csv", f"/{folder}/patients.csv", "../../pyproject.toml", "%2e%2e/x.csv"):
            assert viewer.get(f"/models/evaluation/files/{name}").status_code == 404, name
    finally:
        (folder / "patients.csv").unlink()
        folder.rmdir()


# What breaks


def test_no_value_breaks_a_page(admin: Browser, console: Console) -> None:
    one = measured(console)
    for path in (
        f"/instances/{HUGE}/frames",
        f"/instances/{-HUGE}/frames",
        f"/instances/{one}/frames/{HUGE}.png",
        f"/instances/{one}/frames/-1.png",
        f"/objects/{HUGE}/file",
        f"/objects/{HUGE}/pdf",
        "/studies?since=0001-01-01",
        "/studies?until=9999-12-31",
        f"/studies?behind={HUGE}",
        "/studies?ae=%00",
        "/studies/%00",
        "/welcome/%00",
        "/try/%00",
        "/models/cards/%00",
        "/dicom-web/studies?StudyInstanceUID=%00",
    ):
        assert admin.get(path).status_code in (404, 422), path
    for path, form in (
        (f"/work/jobs/{HUGE}/retry", {}),
        (f"/work/deliveries/{HUGE}/retry", {}),
        ("/work/retry", {"job": str(HUGE)}),
        (f"/setup/refusals/{HUGE}/allow", {}),
        (f"/tokens/{HUGE}/remove", {}),
        ("/studies", {"text": "\x00"}),
        ("/users/%00/link", {}),
        ("/me/tokens", {"label": "a\x1b[2J", "role": "admin"}),
    ):
        assert admin.post(path, page="/me", **form).status_code in (404, 422), path


def test_a_failure_has_all_headers_and_says_nothing(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer = Browser(console).sign_in(UserRole.VIEWER)
    monkeypatch.setattr("dicom_node.web.routers.studies._list", lambda *_: int("Doe^Jane"))
    answer = viewer.get("/studies")
    assert answer.status_code == 500
    assert "Doe" not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_what_nobody_signed_in_sees_tells_no_version(browser: Browser, viewer: Browser) -> None:
    from dicom_node import __version__

    for path in ("/sign-in", "/healthz", "/readyz"):
        assert __version__ not in browser.get(path).text
    assert viewer.get("/healthz").json()["version"] == __version__


# Uploads


def parts(count: int, body: bytes = b"x") -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    return (head + body + b"\r\n") * count + b"--b--\r\n"


MULTIPART = {"content-type": "multipart/form-data; boundary=b"}


@pytest.mark.parametrize(
    "body", [parts(5000), b"--b\r\n" * 1000, b"\0" * 5000, parts(1).replace(b"name", b"n" * 100_000)]
)
def test_a_form_in_thousands_of_parts_is_refused(viewer: Browser, console: Console, body: bytes) -> None:
    headers = {**MULTIPART, "X-CSRF-Token": viewer.token("/me")}
    assert viewer.client.post("/try", content=body, headers=headers).status_code in (400, 413, 422)
    asking = program(console, UserRole.VIEWER).headers
    answer = Browser(console).client.post("/api/v1/measure", content=body, headers={**MULTIPART, **asking})
    assert answer.status_code in (400, 413, 422)


def test_a_body_without_end_is_cut_off_and_leaves_nothing(console: Console, viewer: Browser) -> None:
    """Whatever its header promises; nobody who is not signed in gets more than a form's worth read."""
    small = configured(console, upload_mb=1)
    browser = Browser(small).sign_in(UserRole.VIEWER)

    def endless() -> Iterator[bytes]:
        yield parts(1)[:-9]
        for _ in range(64):
            yield bytes(1 << 16)

    headers = {**MULTIPART, "X-CSRF-Token": browser.token("/me")}
    assert browser.client.post("/try", content=endless(), headers=headers).status_code == 413
    assert Browser(small).client.post("/sign-in", content=endless(), headers=MULTIPART).status_code == 413
    assert not list(small.data_dir.glob("trials/*"))


def test_few_files_are_taken_at_a_time() -> None:
    sent: list[int] = []
    inside = asyncio.Event()

    async def app(scope: object, receive: object, send: object) -> None:
        while (await receive())["more_body"]:  # type: ignore[operator]
            pass
        sent.append(1)
        await inside.wait()

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": bytes(limits.FORM_BYTES + 1), "more_body": False}

    async def asked() -> None:
        limited = limits.BodyLimit(app, 1 << 30)
        scopes = [{"type": "http", "path": "/try", "n": n} for n in range(limits.MOST_UPLOADS + 1)]
        tasks = [asyncio.create_task(limited(scope, receive, None)) for scope in scopes]  # type: ignore[arg-type]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        assert [task.exception().status_code for task in done] == [503]  # type: ignore[union-attr]
        inside.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        await limited({"type": "http", "path": "/try"}, receive, None)  # type: ignore[arg-type]

    asyncio.run(asked())
    assert len(sent) == limits.MOST_UPLOADS + 1


def test_nothing_is_tried_out_where_received_objects_need_the_room(
    console: Console, viewer: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = type("Usage", (), {"free": 100 << 20, "total": 1 << 40, "used": 1})()
    monkeypatch.setattr("dicom_node.trial.shelf.shutil.disk_usage", lambda _: full)
    answer = viewer.client.post(
        "/try", data={"csrf": viewer.token("/me")}, files={"file": ("a.png", b"x")}, follow_redirects=False
    )
    assert answer.status_code == 503


# What is written down


def test_whatever_is_taken_away_is_in_the_trail(viewer: Browser, console: Console) -> None:
    """Also where the address was typed and no page opened."""
    one = measured(console)
    viewer.get(f"/instances/{one}/frames/1.png")
    viewer.get(f"/instances/{one}/frames/1.png")
    viewer.get(f"/instances/{one}/file")
    viewer.get("/objects/1/file")
    viewer.get("/dicom-web/studies")
    told = [(r.entry.event.value, r.entry.study_instance_uid) for r in console.repository.audit_trail(Wanted(), 20)]
    assert told.count(("study.viewed", STUDY)) == 1
    assert [event for event, _ in told].count("object.read") == 2
