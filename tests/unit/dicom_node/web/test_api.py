"""Every route of the REST interface: what it answers, to whom, and how it refuses."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from typing import Any

import pytest
from fastapi.routing import APIRoute

from dicom_node.additions import EntryKind, entry_of
from dicom_node.audit import AuditEvent
from dicom_node.config import Config, NodeSection, WebSection
from dicom_node.domain import Attempt, AttemptOutcome, DeliveryState
from dicom_node.storage.trail import Wanted
from dicom_node.trial.asked import Asked
from dicom_node.users import UserRole
from dicom_node.web.api import measure, node, studies, work
from dicom_node.web.console import Console
from tests.unit.dicom_node.storage.rooms import image
from tests.unit.dicom_node.web.browser import Browser
from tests.unit.dicom_node.web.filled import STUDY, Program, measured, program, reported

ROUTES = [
    (method, route.path)
    for part in (studies, work, node, measure)
    for route in part.router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods)
]
FOR_OPERATORS = {
    ("POST", f"/api/v1/{what}")
    for what in (
        *("jobs/{job_id}/retry", "jobs/{job_id}/cancel", "jobs/{job_id}/confirm"),
        *("jobs/{job_id}/rerun", "deliveries/{delivery_id}/resend"),
        *("deliveries/{delivery_id}/retry", "deliveries/retry-dead"),
    )
}
FOR_ADMINS = {("GET", "/api/v1/audit")}


@pytest.fixture
def viewing(console: Console) -> Program:
    return program(console, UserRole.VIEWER)


@pytest.fixture
def operating(console: Console) -> Program:
    return program(console, UserRole.OPERATOR)


def buried(console: Console) -> int:
    """A delivery that was given up."""
    now = console.now()
    (delivery, *_) = console.repository.claim_deliveries("c", 60.0, 10, now, "pacs")
    attempt = Attempt("pacs", AttemptOutcome.PERMANENT, "status", 0xA900, "not known", now, 0.1)
    console.repository.bury_delivery(delivery, attempt, "not known", now)
    return delivery.id


def addressed(path: str) -> str:
    for name, value in (("study_instance_uid", STUDY), ("instance_id", 1), ("result_id", 1), ("object_id", 1)):
        path = path.replace(f"{{{name}}}", str(value))
    return path.replace("{job_id}", "1").replace("{delivery_id}", "1")


def test_nobody_gets_anything_without_a_token(browser: Browser) -> None:
    for method, path in ROUTES:
        answer = browser.client.request(method, addressed(path))
        assert answer.status_code == 401, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"] == "NotSignedIn"


@pytest.mark.parametrize("role", UserRole)
def test_each_role_gets_what_it_may(console: Console, role: UserRole) -> None:
    measured(console)
    asking = program(console, role)
    for method, path in ROUTES:
        answer = asking.browser.client.request(method, addressed(path), headers=asking.headers)
        needed = UserRole.OPERATOR if (method, path) in FOR_OPERATORS else UserRole.VIEWER
        needed = UserRole.ADMIN if (method, path) in FOR_ADMINS else needed
        if not role.covers(needed):
            assert (answer.status_code, answer.json()["error"]) == (403, "NotAllowed"), path
        elif path.endswith("measure"):
            assert answer.status_code == 422  # no file came along
        else:
            by_its_state = method == "POST" and "{" in path
            assert answer.status_code in ((200, 409) if by_its_state else (200,)), path


def test_a_study_is_told_with_all_that_came_of_it(console: Console, viewing: Program) -> None:
    measured(console)
    reported(console)
    (listed,) = viewing.get("/api/v1/studies").json()["items"]
    assert listed["study_instance_uid"] == STUDY
    assert listed["statuses"] == {"measured": 1}
    whole = viewing.get(f"/api/v1/studies/{STUDY}").json()
    assert [row["sop_instance_uid"] for row in whole["received"]] == ["1.2.3.1"]
    assert whole["results"][0]["answer"]["hc_mm"] == 170.0
    assert [row["kind"] for row in whole["objects"]] == ["tid1500", "overlay"]
    assert [row["version"] for row in whole["versions"]] == [1]
    assert "objects/" not in str(whole)


def test_studies_are_filtered_and_paged(console: Console, viewing: Program) -> None:
    for number in range(3):
        console.repository.register(image(f"1.{number}", study=f"1.2.{number}"), console.now())
    first = viewing.get("/api/v1/studies", params={"limit": 2}).json()
    second = viewing.get("/api/v1/studies", params={"limit": 2, "before": first["next_before"]}).json()
    assert [row["study_instance_uid"] for row in first["items"] + second["items"]] == ["1.2.2", "1.2.1", "1.2.0"]
    assert second["next_before"] is None
    assert viewing.get("/api/v1/studies", params={"calling_ae": "NOBODY"}).json()["items"] == []
    assert viewing.get("/api/v1/studies", params={"since": "2027-01-01T00:00:00Z"}).json()["items"] == []
    assert len(viewing.get("/api/v1/studies", params={"until": "2027-01-01"}).json()["items"]) == 3


def test_objects_are_downloaded_and_the_trail_tells_by_whom(console: Console, viewing: Program) -> None:
    instance_id = measured(console)
    (made, *_) = console.repository.objects_of(instance_id)
    answer = viewing.get(f"/api/v1/objects/{made.id}/file")
    assert answer.headers["content-type"] == "application/dicom"
    assert answer.content == (console.data_dir / made.path).read_bytes()
    assert viewing.get(f"/api/v1/instances/{instance_id}/file").content[128:132] == b"DICM"
    read = console.repository.audit_trail(Wanted([AuditEvent.OBJECT_READ]), 10)
    assert [(record.entry.actor, record.entry.sop_instance_uid) for record in read] == [
        ("vera (tests)", "1.2.3.1"),
        ("vera (tests)", made.sop_instance_uid),
    ]


def test_an_answer_is_told_in_fhir(console: Console, viewing: Program) -> None:
    measured(console)
    answer = viewing.get("/api/v1/results/1/fhir")
    assert answer.headers["content-type"] == "application/fhir+json"
    report, observation = (entry["resource"] for entry in answer.json()["entry"])
    assert report["resourceType"] == "DiagnosticReport"
    assert observation["valueQuantity"]["value"] == 170.0
    assert viewing.get("/api/v1/results/9/fhir").status_code == 404


def test_a_file_that_is_away_is_named_trouble(console: Console, viewing: Program) -> None:
    (made, *_) = console.repository.objects_of(measured(console))
    (console.data_dir / made.path).unlink()
    answer = viewing.get(f"/api/v1/objects/{made.id}/file")
    assert (answer.status_code, answer.json()["error"]) == (503, "StorageUnavailable")


@pytest.mark.parametrize(
    "path", ["studies/1.9", "instances/9", "instances/9/result", "instances/9/file", "results/9", "objects/9/file"]
)
def test_what_is_not_there_is_404(viewing: Program, path: str) -> None:
    answer = viewing.get(f"/api/v1/{path}")
    assert (answer.status_code, answer.json()["error"]) == (404, "Missing")


@pytest.mark.parametrize(
    "query",
    [
        *("studies?limit=0", "studies?limit=201", "studies?before=x", "studies?since=yesterday"),
        *("studies?since=0001-01-01T00:00:00Z", "studies?calling_ae=%00", "studies?study_instance_uid=a"),
        *("instances/99999999999999999999", "jobs?state=none", "deliveries?destination=a%00b", "studies/x"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_field(viewing: Program, query: str) -> None:
    answer = viewing.get(f"/api/v1/{query}")
    assert (answer.status_code, answer.json()["error"]) == (422, "Invalid")


def test_an_operator_brings_back_the_dead(console: Console, operating: Program) -> None:
    measured(console)
    dead = buried(console)
    (letter,) = operating.get("/api/v1/deliveries?state=dead").json()["items"]
    assert (letter["id"], letter["status"]) == (dead, "0xA900")
    (attempt,) = operating.get(f"/api/v1/deliveries/{dead}/attempts").json()["items"]
    assert attempt["outcome"] == "permanent"
    assert operating.post(f"/api/v1/deliveries/{dead}/retry").json() == {"done": True}
    assert console.repository.deliveries([DeliveryState.DEAD], 10) == ()
    (record, *_) = console.repository.audit_trail(Wanted([AuditEvent.ADMIN_DELIVERY]), 10)
    assert record.entry.actor == "oskar (tests)"
    assert operating.post("/api/v1/deliveries/999/retry").status_code == 404


def test_all_dead_of_a_destination_are_sent_again(console: Console, operating: Program) -> None:
    measured(console)
    buried(console)
    assert operating.post("/api/v1/deliveries/retry-dead?destination=other").json()["retried"] == 0
    assert operating.post("/api/v1/deliveries/retry-dead").json() == {"retried": 1, "more": False}


def test_jobs_are_cancelled_and_started_again(console: Console, operating: Program) -> None:
    console.repository.register(image("1"), console.now())
    assert operating.post("/api/v1/jobs/1/cancel").status_code == 200
    assert operating.post("/api/v1/jobs/1/cancel").json()["error"] == "IllegalTransition"
    assert operating.post("/api/v1/jobs/1/retry").status_code == 200
    assert [row["state"] for row in operating.get("/api/v1/jobs").json()["items"]] == ["queued"]
    assert operating.get("/api/v1/queue").json()["counts"]["jobs_queued"] == 1


def test_reading_the_trail_is_an_act(console: Console) -> None:
    admin = program(console, UserRole.ADMIN)
    admin.get("/api/v1/audit")
    (record,) = admin.get("/api/v1/audit?event=trail.read").json()["items"]
    assert record["actor"] == "ada (tests)"


def test_what_was_added_in_the_console_stands_beside_what_the_file_says(console: Console, viewing: Program) -> None:
    entries = (
        entry_of(EntryKind.PEER, {"ae_title": "SCANNER"}),
        entry_of(EntryKind.DESTINATION, {"name": "pacs", "ae_title": "PACS", "host": "192.0.2.1", "port": 104}),
    )
    for entry in entries:
        console.repository.additions.put(entry, console.now())
    peers = viewing.get("/api/v1/peers").json()["items"]
    assert [(peer["ae_title"], peer["managed"]) for peer in peers] == [("SCANNER", False)]
    (destination,) = viewing.get("/api/v1/destinations").json()["items"]
    assert (destination["name"], destination["managed"], destination["answers"]) == ("pacs", False, None)


def test_models_and_the_one_in_use(viewing: Program) -> None:
    assert [model["in_use"] for model in viewing.get("/api/v1/models").json()["items"]] == [True]


# --- measuring: the process that looks is a stand-in here, see tests/unit/dicom_node/trial ---------------------------


class StandIn:
    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.content = b""

    def ask(self, asked: Asked) -> dict[str, Any]:
        self.asked.append(asked)
        self.content = asked.file.read_bytes()
        return {"status": "measured", "hc_mm": 170.0, "file": asked.name}


@pytest.fixture
def desk(console: Console) -> StandIn:
    console.__dict__["desk"] = StandIn()
    return console.__dict__["desk"]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_a_file_is_measured_and_nothing_of_it_stays(console: Console, viewing: Program, desk: StandIn) -> None:
    png = b"\x89PNG\r\n\x1a\n" + b"rest"
    form = {"row_mm": "0.2", "column_mm": "0.3", "threshold": "0.4"}
    answer = viewing.post("/api/v1/measure", files={"file": ("C:\\scans\\a.dcm", png)}, data=form)
    assert answer.json() == {"status": "measured", "hc_mm": 170.0, "file": "a.dcm"}
    (asked,) = desk.asked
    assert (asked.row_mm, asked.column_mm, asked.settings.level) == (0.2, 0.3, 0.4)
    assert asked.file.suffix == ".png"
    assert desk.content == png
    assert not asked.file.parent.exists()


@pytest.mark.parametrize("form", [{"row_mm": "0"}, {"row_mm": "nan"}, {"threshold": "1"}, {"model": "../x"}])
def test_what_cannot_be_measured_so_is_refused(viewing: Program, desk: StandIn, form: dict[str, str]) -> None:
    assert viewing.post("/api/v1/measure", files={"file": b"x"}, data=form).status_code == 422
    assert desk.asked == []


def test_too_large_a_file_is_not_read_to_its_end(console: Console) -> None:
    web = WebSection(upload_mb=1)
    small = replace(console, config=Config(node=NodeSection(data_dir=console.data_dir), web=web))
    desk = small.__dict__["desk"] = StandIn()
    asking = program(small, UserRole.VIEWER)
    answer = asking.post("/api/v1/measure", files={"file": b"x" * (1 << 20)})
    assert (answer.status_code, answer.json()["error"]) == (413, "Refused")
    assert desk.asked == []


def test_a_form_may_not_be_as_large_as_a_file(operating: Program) -> None:
    answer = operating.post("/api/v1/jobs/1/retry", content=b"x" * ((1 << 20) + 1))
    assert answer.status_code in (404, 413)  # whoever needs no body does not read it
    assert operating.browser.client.post("/sign-in", data={"name": "x" * (1 << 20)}).status_code == 413


def test_the_description_is_complete(viewing: Program) -> None:
    document = viewing.get("/api/v1/openapi.json").json()
    described = {(method.upper(), path) for path, found in document["paths"].items() for method in found}
    assert {*ROUTES} <= described
    for path, found in document["paths"].items():
        for what in found.values():
            assert what.get("summary"), path
