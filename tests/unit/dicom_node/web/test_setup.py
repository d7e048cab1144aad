"""Scanners and destinations that are added in the console: checked like the file, in use at once, told in the trail."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from pynetdicom import AE, evt

from dicom_node.additions import EntryKind, entry_of, standing
from dicom_node.audit import AuditEntry, AuditEvent
from dicom_node.config import Config, DestinationEntry, NodeSection, PeerEntry, load_config
from dicom_node.deliver import courier
from dicom_node.receive.authorisation import Policy
from dicom_node.receive.reloading import Reloading
from dicom_node.storage.repository import Repository
from dicom_node.storage.trail import Wanted
from dicom_node.web.console import Console
from tests.receiving import eventually, free_port
from tests.unit.dicom_node.web.browser import START, Browser

PACS = {"name": "pacs", "ae_title": "MAINPACS", "host": "127.0.0.1", "port": 104}


def added(console: Console) -> Config:
    return standing(console.config, console.repository.additions())


def test_a_scanner_is_added_used_and_taken_away(admin: Browser, console: Console) -> None:
    answer = admin.post("/setup/peers", page="/setup", ae_title="VOLUSON1", hosts="192.0.2.10, 192.0.2.64/26")
    assert answer.status_code == 303
    (peer,) = added(console).peers
    assert (peer.ae_title, peer.hosts) == ("VOLUSON1", ("192.0.2.10", "192.0.2.64/26"))
    assert "VOLUSON1" in admin.get("/setup").text
    assert admin.post("/setup/peer/VOLUSON1/remove", page="/setup").status_code == 303
    assert added(console).peers == ()
    told = [(r.entry.event, r.entry.actor, r.entry.outcome) for r in console.repository.audit_trail(Wanted(), 2)]
    assert told == [("admin.setting", "ada", "peer.removed"), ("admin.setting", "ada", "peer.added")]


def test_a_destination_is_added_with_what_it_gets(admin: Browser, console: Console) -> None:
    answer = admin.post("/setup/destinations", page="/setup", **PACS, objects=["tid1500", "study_pdf"])
    assert answer.status_code == 303
    (one,) = added(console).destination_list()
    assert (one.ae_title, one.host, one.port, [*map(str, one.objects)]) == (
        *("MAINPACS", "127.0.0.1", 104),
        ["tid1500", "study_pdf"],
    )
    assert "not asked yet" in admin.get("/").text


@pytest.mark.parametrize(
    ("path", "fields", "key"),
    [
        ("/setup/peers", {"ae_title": "FAR TOO LONG A TITLE"}, "ae_title"),
        ("/setup/peers", {"ae_title": "OK", "hosts": "no host!"}, "hosts"),
        ("/setup/peers", {"ae_title": "OK", "tls": "true"}, "node.tls.port is not given"),
        ("/setup/destinations", {**PACS, "name": "a b"}, "name"),
        ("/setup/destinations", {**PACS, "port": "70000"}, "port"),
        ("/setup/destinations", {**PACS, "objects": ["original"]}, "configuration file"),
    ],
)
def test_what_the_file_would_not_take_is_not_taken(
    admin: Browser, console: Console, path: str, fields: dict[str, str], key: str
) -> None:
    answer = admin.post(path, page="/setup", **fields)
    assert answer.status_code == 422
    assert key in answer.text
    assert console.repository.additions() == ()


def test_an_added_entry_is_changed_in_its_place(admin: Browser, console: Console) -> None:
    """What the form does not ask for stays; a scanner may get another AE title, a destination keeps its name."""
    additions = console.repository.additions
    additions.put(entry_of(EntryKind.PEER, {"ae_title": "OLD", "maximum_associations": 3}), START)
    page = admin.get("/setup/peer/OLD/change").text
    assert 'value="OLD"' in page
    fields = {"ae_title": "NEW", "hosts": "192.0.2.9", "listens_host": "192.0.2.9", "listens_port": "11112"}
    assert admin.post("/setup/peers", page="/setup", was="OLD", **fields).status_code == 303
    (peer,) = added(console).peers
    assert (peer.ae_title, peer.hosts, peer.maximum_associations) == ("NEW", ("192.0.2.9",), 3)
    assert peer.listens is not None
    assert (peer.listens.host, peer.listens.port) == ("192.0.2.9", 11112)
    admin.post("/setup/destinations", page="/setup", **PACS, objects=["tid1500"])
    changed = {**PACS, "ae_title": "RIGHT", "tls": "true"}
    assert admin.post("/setup/destinations", page="/setup", was="pacs", **changed).status_code == 303
    (one,) = added(console).destinations
    assert (one.ae_title, one.objects, one.tls is None) == ("RIGHT", None, False)
    renamed = admin.post("/setup/destinations", page="/setup", was="pacs", **{**PACS, "name": "other"})
    assert (renamed.status_code, "keeps its name" in renamed.text) == (422, True)
    outcomes = [record.entry.outcome for record in console.repository.audit_trail(Wanted(), 9)]
    assert outcomes[:3] == ["destination.changed", "destination.added", "peer.changed"]
    assert admin.post("/setup/peers", page="/setup", was="GONE", ae_title="GONE").status_code == 404
    assert admin.get("/setup/peer/GONE/change").status_code == 404


def test_entries_of_the_file_are_managed_there(console: Console) -> None:
    config = console.config.model_copy(
        update={"peers": (PeerEntry(ae_title="FILED"),), "destinations": (DestinationEntry(**PACS),)}
    )
    admin = Browser(replace(console, config=config)).sign_in_admin()
    page = admin.get("/setup").text
    assert page.count("from the file") == 2
    assert "/setup/peer/FILED/remove" not in page
    assert admin.post("/setup/peer/FILED/remove", page="/setup").status_code == 409
    assert admin.post("/setup/peers", page="/setup", ae_title="FILED").status_code == 422
    assert admin.post("/setup/destinations", page="/setup", **PACS).status_code == 422


def test_an_entry_that_the_file_names_later_gives_way_and_is_shown(console: Console) -> None:
    console.repository.additions.put(entry_of(EntryKind.PEER, {"ae_title": "BOTH", "hosts": ["192.0.2.1"]}), START)
    config = console.config.model_copy(update={"peers": (PeerEntry(ae_title="BOTH"),)})
    (peer,) = standing(config, console.repository.additions()).peers
    assert peer.hosts == ()
    assert "is not in use" in Browser(replace(console, config=config)).sign_in_admin().get("/setup").text


def test_the_export_is_a_configuration(admin: Browser, tmp_path: Path) -> None:
    admin.post("/setup/peers", page="/setup", ae_title="VOLUSON1", hosts="192.0.2.10")
    admin.post("/setup/destinations", page="/setup", **PACS)
    file = tmp_path / "exported.yaml"
    file.write_text(admin.get("/setup/export").text, encoding="utf-8")
    loaded = load_config(file)
    assert [peer.ae_title for peer in loaded.peers] == ["VOLUSON1"]
    assert [one.name for one in loaded.destinations] == ["pacs"]
    assert set(yaml.safe_load(file.read_text())) == {"peers", "destinations"}


def test_who_was_refused_is_let_in_by_a_click(admin: Browser, console: Console) -> None:
    repository = console.repository
    repository.record_refusal("NEW", "FETALHC", "192.0.2.7", "calling_ae_unknown", "Add <b>NEW</b>.", console.now())
    page = admin.get("/setup").text
    assert "Add &lt;b&gt;NEW&lt;/b&gt;." in page
    (refusal,) = repository.refusals(10)
    assert admin.post(f"/setup/refusals/{refusal.id}/allow", page="/setup").status_code == 303
    (peer,) = added(console).peers
    assert (peer.ae_title, peer.hosts) == ("NEW", ("192.0.2.7",))


def test_another_address_is_let_in_beside_the_first(admin: Browser, console: Console) -> None:
    repository = console.repository
    admin.post("/setup/peers", page="/setup", ae_title="ROOM1", hosts="192.0.2.7")
    repository.record_refusal("ROOM1", "FETALHC", "192.0.2.8", "address_not_allowed", "Add it.", console.now())
    (refusal,) = repository.refusals(10)
    assert admin.post(f"/setup/refusals/{refusal.id}/allow", page="/setup").status_code == 303
    (peer,) = added(console).peers
    assert peer.hosts == ("192.0.2.7", "192.0.2.8")


def test_a_scanner_that_was_heard_says_so(admin: Browser, console: Console) -> None:
    admin.post("/setup/peers", page="/setup", ae_title="ROOM1")
    assert "not yet" in admin.get("/setup").text
    console.repository.record(AuditEntry(AuditEvent.ASSOCIATION_ACCEPTED, "ROOM1", "192.0.2.7"), console.now())
    assert "not yet" not in admin.get("/setup").text
    assert console.repository.browsing.heard()["ROOM1"].host == "192.0.2.7"


def test_set_up_is_for_administrators(viewer: Browser, operator: Browser) -> None:
    for browser in (viewer, operator):
        assert browser.get("/setup").status_code == 403
        assert browser.get("/setup/export").status_code == 403
        assert browser.post("/setup/peers", page="/", ae_title="EVIL").status_code == 403
        assert browser.post("/setup/destinations/pacs/echo", page="/").status_code == 403


def test_an_echo_tells_the_true_cause_and_a_test_object_arrives(admin: Browser) -> None:
    """A destination that is not there, one that is, and one that does not know this title."""
    port, arrived = free_port(), []
    admin.post("/setup/destinations", page="/setup", **{**PACS, "port": port})
    assert "connection_refused" in admin.post("/setup/destinations/pacs/echo", page="/setup").text

    def keep(event: evt.Event) -> int:
        arrived.append(event.request.AffectedSOPInstanceUID)
        return 0x0000

    entity = AE("MAINPACS")
    entity.require_called_aet = True
    entity.add_supported_context("1.2.840.10008.1.1")
    entity.add_supported_context("1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.1.2.1")
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    try:
        assert "It answers and knows us." in admin.post("/setup/destinations/pacs/echo", page="/setup").text
        assert "The test object has arrived." in admin.post("/setup/destinations/pacs/test", page="/setup").text
        admin.post("/setup/destinations", page="/setup", **{**PACS, "name": "other", "ae_title": "WRONG", "port": port})
        assert "called_ae_refused" in admin.post("/setup/destinations/other/echo", page="/setup").text
        listens = {"listens_host": "127.0.0.1", "listens_port": str(port)}
        admin.post("/setup/peers", page="/setup", ae_title="MAINPACS", **listens)
        assert "It answers and knows us." in admin.post("/setup/peers/MAINPACS/echo", page="/setup").text
    finally:
        server.shutdown()
    assert len(arrived) == 1
    assert admin.post("/setup/destinations/nobody/echo", page="/setup").status_code == 404
    assert admin.post("/setup/peers/nobody/echo", page="/setup").status_code == 404


def test_the_receiver_takes_up_what_was_added(console: Console) -> None:
    policies: list[Policy] = []
    added_entries = console.repository.additions
    reloading = Reloading(console.config, None, policies.append, lambda _context: None, added_entries)
    assert reloading.begin().peers == ()
    added_entries.put(entry_of(EntryKind.PEER, {"ae_title": "NEW"}), START)
    reloading.look(START)
    reloading.look(START)
    assert [[peer.ae_title for peer in policy.peers] for policy in policies] == [["NEW"]]
    added_entries.remove(EntryKind.PEER, "NEW", START + timedelta(seconds=1))
    reloading.look(START)
    assert policies[-1].peers == ()


def test_a_start_with_added_peers_is_no_change_of_theirs(console: Console) -> None:
    """It was one, and a record of the audit trail told of a change that nobody had made."""
    policies: list[Policy] = []
    console.repository.additions.put(entry_of(EntryKind.PEER, {"ae_title": "NEW"}), START)
    reloading = Reloading(console.config, None, policies.append, lambda _context: None, console.repository.additions)
    assert [peer.ae_title for peer in reloading.begin().peers] == ["NEW"]
    reloading.look(START)
    assert policies == []


def test_the_courier_takes_up_what_was_added(console: Console) -> None:
    """It begins with no destination, and calls the one that is added: nobody is there, and that is told."""
    repository, stop = console.repository, threading.Event()
    config = Config(node=NodeSection(data_dir=console.data_dir), delivery={"health_s": 0.1})
    thread = threading.Thread(target=courier.run, args=(config, repository, stop, repository.additions))
    thread.start()
    try:
        repository.additions.put(entry_of(EntryKind.DESTINATION, {**PACS, "port": free_port()}), START)
        eventually(lambda: "pacs" in repository.destination_states())
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
    assert repository.destination_states()["pacs"].reachable is False


def test_an_entry_says_what_stands_in_the_file_and_no_defaults(tmp_path: Path) -> None:
    entry = entry_of(EntryKind.PEER, {"ae_title": " ROOM1 ", "hosts": ["192.0.2.1"]})
    assert (entry.name, json.loads(entry.document)) == ("ROOM1", {"ae_title": "ROOM1", "hosts": ["192.0.2.1"]})
    repository = Repository.open(f"sqlite:///{tmp_path / 'other.sqlite3'}")
    repository.migrate()
    repository.additions.put(entry, START)
    repository.additions.put(replace(entry, document='{"ae_title": "ROOM1"}'), START)
    (kept,) = repository.additions()
    assert kept.document == '{"ae_title": "ROOM1"}'
    repository.close()
