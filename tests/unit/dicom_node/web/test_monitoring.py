"""What watches over the node gets its answers without a name, and no answer names anybody."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from dicom_node.domain import DestinationState
from dicom_node.errors import DatabaseUnavailable
from dicom_node.users import UserRole
from dicom_node.web.application import build_app
from dicom_node.web.console import Console
from tests.unit.dicom_node.web.browser import Browser
from tests.unit.dicom_node.web.filled import measured, program


def client(console: Console, host: str = "127.0.0.1") -> TestClient:
    return TestClient(build_app(console), base_url="http://127.0.0.1:8080", client=(host, 50000))


def test_a_process_that_answers_is_alive(browser: Browser) -> None:
    answer = browser.get("/healthz")
    assert (answer.status_code, answer.json()["status"]) == (200, "alive")


def test_readiness_names_what_is_missing(browser: Browser) -> None:
    """Nothing listens on the node's port in these tests."""
    answer = browser.get("/readyz")
    assert answer.status_code == 503
    checks = {check["name"]: check["ok"] for check in answer.json()["checks"]}
    assert checks["database"] is True
    assert checks["receiver"] is False
    assert answer.json()["ready"] is False


def test_readiness_is_looked_at_once_for_many(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    monkeypatch.setattr("dicom_node.web.routers.monitoring.probes", lambda *_: looks.append(1) or iter(()))
    monkeypatch.setattr("dicom_node.web.routers.monitoring.KEPT_S", 3600.0)
    ours = client(console)
    assert [ours.get("/readyz").status_code for _ in range(3)] == [200, 200, 200]
    assert len(looks) == 1


def test_numbers_are_for_this_machine_and_for_tokens(console: Console) -> None:
    assert client(console).get("/metrics").status_code == 200
    assert client(console, "192.0.2.7").get("/metrics").status_code == 403
    assert client(console).get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 403
    token = program(console, UserRole.VIEWER).headers
    assert client(console, "192.0.2.7").get("/metrics", headers=token).status_code == 200
    assert client(console, "192.0.2.7").get("/metrics", headers={"Authorization": "Bearer x"}).status_code == 403


def test_numbers_tell_of_work_and_of_nobody(console: Console) -> None:
    measured(console)
    text = client(console).get("/metrics").text
    for line in (
        "dicom_node_database_up 1.0",
        "dicom_node_instances 1.0",
        'dicom_node_deliveries{destination="pacs",state="pending"} 2.0',
        'dicom_node_jobs{state="done"} 1.0',
        'dicom_node_recent_results{reason="",status="measured"} 1.0',
        "dicom_node_disk_free_bytes",
    ):
        assert line in text
    assert "1.2.3" not in text
    assert "SCANNER" not in text


def test_a_scanner_that_is_off_is_no_destination_that_is_away(console: Console) -> None:
    measured(console)
    now = console.now()
    for name in ("pacs", "SCANNER@10.0.0.1:104"):
        console.repository.tell_destination(DestinationState(name, False, now, now, "no_route", None))
    text = client(console).get("/metrics").text
    assert 'dicom_node_destination_up{destination="pacs"} 0.0' in text
    assert "SCANNER" not in text


def test_without_a_database_there_are_still_numbers(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr(type(console.repository), "counts", silent)
    text = client(console).get("/metrics").text
    assert "dicom_node_database_up 0.0" in text
    assert "dicom_node_disk_size_bytes" in text
    assert "dicom_node_instances" not in text
