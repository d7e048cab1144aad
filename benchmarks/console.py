"""How long the console takes for each of its pages and lists over a full database.

100,000 objects in 20,000 studies on SQLite, see _filled.py; console_postgresql.py is the same on PostgreSQL. Every GET
route of the application is asked five times, each time about another study and with nothing remembered from before;
what counts is the time until the answer is there, in this process, without a network.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

from fastapi.routing import APIRoute

from benchmarks._filled import SENDERS, fill, patient_of, study_uid
from benchmarks.record import Record
from dicom_node.additions import EntryKind, entry_of
from dicom_node.config import Config, DatabaseSection, NodeSection
from dicom_node.domain import ResultKind
from dicom_node.storage.repository import Repository
from dicom_node.trial.shelf import SOURCE
from dicom_node.users import UserRole, new_secret
from dicom_node.web.application import ROUTERS
from dicom_node.web.console import Console
from tests.unit.dicom_node.web.browser import NAMES, Browser

STUDIES = 20_000
REPEATS = 5

NOT_ASKED = {
    "/events": "a stream that stays open: it is what the ten overviews listen to",
    "/sign-in/oidc": "asks another machine",
    "/sign-in/oidc/back": "asks another machine",
}

NARROWED = (
    "/studies?is=measured",
    "/studies?is=failed",
    "/studies?is=waiting",
    f"/studies?ae={SENDERS[0]}",
    "/studies?since=2024-06-01&until=2024-06-30",
    "/studies?behind=20000",
    "/work?shelf=waiting",
    "/work?shelf=held",
    "/api/v1/jobs?state=dead",
    "/api/v1/deliveries?state=dead",
    f"/api/v1/studies?calling_ae={SENDERS[0]}",
    "/api/v1/results?status=abstained&limit=200",
    "/api/v1/audit?limit=200",
)
"""Lists by what can be asked for, and far down."""

TOLD = (
    "/",
    "/studies",
    "/studies?is=measured",
    "/studies/{study_instance_uid}",
    "/work",
    "/metrics",
    "/api/v1/studies",
)
"""What gets a row of its own beside the slowest one."""

Times = Mapping[str, Sequence[float]]
"""Milliseconds of each question."""


def run() -> Iterator[Record]:
    with tempfile.TemporaryDirectory() as name:
        yield from rows_of("SQLite", Path(name), None)


def rows_of(engine: str, data_dir: Path, url: str | None) -> Iterator[Record]:
    """Of a node whose data folder and database are empty so far."""
    config = Config(node=NodeSection(data_dir=data_dir), database=DatabaseSection(url=url))
    with closing(Repository.open(config.database_url)) as repository:
        repository.migrate()
        fill(config.database_url, data_dir, STUDIES)
        yield from _rows(engine, page_times(Console(config, repository)))


def _rows(engine: str, times: Times) -> Iterator[Record]:
    middle = {question: statistics.median(taken) for question, taken in times.items()}
    for question, taken in sorted(times.items(), key=lambda pair: middle[pair[0]]):
        print(f"   {engine} {middle[question]:7.1f} ms, longest {max(taken):7.1f} ms  {question}", flush=True)
    slowest = max(middle, key=lambda question: middle[question])
    what = f"{5 * STUDIES:,} objects on {engine}"
    name = f"console over {what}, slowest of {len(times)} pages and lists: {slowest}"
    yield Record(name, middle[slowest], "ms", REPEATS)
    longest = max(max(taken) for taken in times.values())
    yield Record(f"console over {what}, longest of all {len(times) * REPEATS} answers", longest, "ms", 1)
    for question in TOLD:
        yield Record(f"console over {what}, {question}", middle[question], "ms", REPEATS)


# --- pages -----------------------------------------------------------------------------------------------------------


def page_times(console: Console, studies: int = STUDIES, repeats: int = REPEATS) -> Times:
    """Milliseconds of each question, of every repetition.

    Raises:
        RuntimeError: a question was refused.
    """
    browser = Browser(console).sign_in(UserRole.ADMIN)
    found: dict[str, list[float]] = {}
    for repetition in range(repeats):
        about = subject(console, studies - 50 - repetition)
        for question, address in questions(about):
            _forget(console, browser)
            began = time.perf_counter()
            answer = browser.get(address)
            taken_ms = (time.perf_counter() - began) * 1000.0
            if answer.status_code >= 400 and question != "/readyz":  # no receiver listens here
                raise RuntimeError(f"{address}: {answer.status_code}")
            found.setdefault(question, []).append(taken_ms)
        form = {"csrf": browser.token("/studies"), "text": patient_of(studies - 50 - repetition)}
        began = time.perf_counter()
        browser.client.post("/studies", data=form).raise_for_status()
        found.setdefault("studies of a Patient ID", []).append((time.perf_counter() - began) * 1000.0)
    return found


def questions(about: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """Every GET route of the application, and its address; then the narrowed lists."""
    for route in get_routes():
        if route not in NOT_ASKED:
            yield route, route.format(**{**about[""], **about.get(route, {})}).replace(":path", "")
    for address in NARROWED:
        yield address, address


def get_routes() -> list[str]:
    """The paths of all GET routes, without the converters of their parameters."""
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    return [route.path.replace(":path", "") for route in routes if "GET" in route.methods]


def subject(console: Console, study: int) -> dict[str, dict[str, str]]:
    """Values of the parameters of addresses: under "" for all routes, under a route what is another there."""
    repository, uid = console.repository, study_uid(study)
    account = repository.browsing.study(uid)
    image = next(one for one in account.images if one.result is not None and one.result.status == "measured")
    assert image.result is not None  # noqa: S101  chosen so
    document = next(one for one in account.objects if one.stored.kind is ResultKind.STUDY_PDF)
    secret = new_secret()
    now = console.now()
    repository.accounts.add_link(NAMES[UserRole.ADMIN], secret, now.replace(year=now.year + 1), now)
    dicomweb = "/dicom-web/studies/{study}/series/{series}/instances/{instance}"
    values = {
        "study_instance_uid": uid,
        "study": uid,
        "series": _series(uid, image.instance.sop_class_uid),
        "instance": image.instance.sop_instance_uid,
        "instance_id": str(image.instance.id),
        "result_id": str(image.result.id),
        "object_id": str(document.stored.id),
        "delivery_id": str(document.deliveries[0].delivery.id),
        "number": "1",
        "frames": "1",
        "name": console.config.inference.model,
        "language": "de",
        "secret": secret,
        "key": _trial(console),
    }
    held = {"series": _series(uid, document.stored.sop_class_uid), "instance": document.stored.sop_instance_uid}
    return {
        "": values,
        f"{dicomweb}/bulkdata/{{tag}}": {**held, "tag": "00420011"},
        "/setup/{kind}/{name}/change": {"kind": EntryKind.DESTINATION.value, "name": _added(console)},
        "/models/evaluation/files/{name}": {"name": "learning-curve.png"},
        "/try/{key}/files/{name}": {"name": SOURCE},
    }


def _series(study: str, sop_class: str) -> str:
    """As _filled.py writes it."""
    return f"{study}.0.{len(sop_class)}"


def _added(console: Console) -> str:
    """A destination that was added in the console."""
    values = {"name": "added", "ae_title": "ADDED", "host": "127.0.0.1", "port": 104}
    console.repository.additions.put(entry_of(EntryKind.DESTINATION, values), console.now())
    return "added"


def _trial(console: Console) -> str:
    """Something that was tried out, without having been looked at."""
    folder = console.shelf.open()
    (folder / SOURCE).write_bytes(b"a picture")
    told = {"title": "head", "looks": [], "known_hc_mm": None, "rows": 1, "columns": 1}
    return console.shelf.put(folder, NAMES[UserRole.ADMIN], told).key


def _forget(console: Console, browser: Browser) -> None:
    """What the console remembers for a second would make every page but the first a quick one."""
    for name in ("overview", "pulse"):
        console.__dict__.pop(name, None)
    with suppress(AttributeError, KeyError):
        del browser.client.app.state.readiness  # type: ignore[attr-defined]
