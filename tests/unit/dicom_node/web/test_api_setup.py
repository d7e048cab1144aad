"""Programs set the node up as people do, within the same bounds."""

from __future__ import annotations

import pytest
import yaml

from dicom_node.config import Config, NodeSection, PeerEntry
from dicom_node.users import UserRole
from dicom_node.web.console import Console
from tests.unit.dicom_node.web.browser import START, Browser
from tests.unit.dicom_node.web.filled import Program, program

PACS = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 9}


@pytest.fixture
def admin(console: Console) -> Program:
    return program(console, UserRole.ADMIN)


def delete(asking: Program, path: str) -> int:
    return int(asking.browser.client.delete(path, headers=asking.headers).status_code)


def test_peers_and_destinations_are_added_and_taken_out(console: Console, admin: Program) -> None:
    assert admin.post("/api/v1/peers", json={"ae_title": "US1", "hosts": ["192.0.2.7"]}).status_code == 201
    assert admin.post("/api/v1/destinations", json=PACS).status_code == 201
    assert [peer["ae_title"] for peer in admin.get("/api/v1/peers").json()["items"]] == ["US1"]
    assert [(one["name"], one["managed"]) for one in admin.get("/api/v1/destinations").json()["items"]] == [
        ("pacs", False)
    ]
    assert yaml.safe_load(admin.get("/api/v1/entries").text)["peers"] == [{"ae_title": "US1", "hosts": ["192.0.2.7"]}]
    asked = admin.post("/api/v1/destinations/pacs/echo").json()
    assert (asked["answers"], asked["cause"]) == (False, "connection_refused")
    assert delete(admin, "/api/v1/peers/US1") == 200
    assert delete(admin, "/api/v1/destinations/pacs") == 200
    assert console.repository.additions() == ()
    assert delete(admin, "/api/v1/peers/US1") == 404


def test_what_the_configuration_would_refuse_is_refused(admin: Program) -> None:
    for path, body in (
        ("/api/v1/peers", {"ae_title": "US1", "hosts": ["no such / host"]}),
        ("/api/v1/destinations", {**PACS, "port": 70000}),
        ("/api/v1/destinations", {"name": "half", "ae_title": "PACS"}),
        ("/api/v1/destinations", {**PACS, "objects": ["original"]}),
        ("/api/v1/destinations", {**PACS, "authorization_file": "/etc/passwd"}),
    ):
        answer = admin.post(path, json=body)
        assert (answer.status_code, answer.json()["error"]) == (422, "Invalid"), body
    assert admin.post("/api/v1/destinations", json=PACS).status_code == 201
    assert "already" in admin.post("/api/v1/destinations", json=PACS).json()["detail"]


def test_who_was_refused_is_let_in(console: Console, admin: Program) -> None:
    console.repository.record_refusal("US9", "FETALHC", "192.0.2.9", "calling_ae_unknown", "add it", START)
    (refusal,) = admin.get("/api/v1/refusals").json()["items"]
    assert admin.post(f"/api/v1/refusals/{refusal['id']}/allow").status_code == 201
    (peer,) = admin.get("/api/v1/peers").json()["items"]
    assert (peer["ae_title"], peer["hosts"]) == ("US9", ["192.0.2.9"])
    assert admin.post("/api/v1/refusals/999/allow").status_code == 404


def test_users_are_made_and_shut_out(console: Console, admin: Program) -> None:
    link = admin.post("/api/v1/users", json={"name": "nina", "role": "operator"}).json()["link"]
    assert Browser(console).get("/welcome/" + link.rpartition("/")[2]).status_code == 200
    assert admin.post("/api/v1/users", json={"name": "nina", "role": "operator"}).status_code == 409
    assert admin.post("/api/v1/users", json={"name": "a b", "role": "operator"}).status_code == 422
    changed = admin.browser.client.put(
        "/api/v1/users/nina", headers=admin.headers, json={"role": "viewer", "active": False}
    )
    assert changed.json() == {"name": "nina", "role": "viewer", "active": False}
    assert {"name": "nina", "role": "viewer", "active": False} in admin.get("/api/v1/users").json()["items"]
    nobody = {"role": "viewer", "active": True}
    client = admin.browser.client
    assert client.put("/api/v1/users/nobody", headers=admin.headers, json=nobody).status_code == 404
    assert client.put("/api/v1/users/ada", headers=admin.headers, json=nobody).status_code == 403


@pytest.mark.parametrize("role", [UserRole.VIEWER, UserRole.OPERATOR])
def test_it_is_for_administrators(console: Console, role: UserRole) -> None:
    asking = program(console, role)
    for path, body in (
        ("/api/v1/peers", {"ae_title": "US1"}),
        ("/api/v1/destinations", PACS),
        ("/api/v1/destinations/pacs/echo", {}),
        ("/api/v1/users", {"name": "x", "role": "viewer"}),
        ("/api/v1/users/ada/link", {}),
    ):
        assert asking.post(path, json=body).status_code == 403, path
    assert [asking.get(path).status_code for path in ("/api/v1/users", "/api/v1/entries")] == [403, 403]
    assert delete(asking, "/api/v1/peers/US1") == 403


def test_what_a_fhir_server_refused_is_told_and_tried_again(console: Console, admin: Program) -> None:
    assert admin.get("/api/v1/fhir-posts").json() == {"items": [], "next_before": None}
    assert admin.post("/api/v1/fhir-posts/1/retry").status_code == 404
    assert admin.post("/api/v1/fhir-posts/retry-dead").json() == {"retried": 0}
    assert program(console, UserRole.VIEWER).post("/api/v1/fhir-posts/retry-dead").status_code == 403


def test_the_file_wins(console: Console) -> None:
    """An entry of its name cannot be added, nor taken out."""
    config = Config(node=NodeSection(data_dir=console.data_dir), peers=(PeerEntry(ae_title="US1"),))
    asking = program(Console(config, console.repository, None, console.now), UserRole.ADMIN)
    assert asking.post("/api/v1/peers", json={"ae_title": "US1"}).status_code == 422
    assert delete(asking, "/api/v1/peers/US1") == 404
