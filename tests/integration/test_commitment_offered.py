"""A scanner asks the node for storage commitment: pynetdicom and Orthanc as scanners, Orthanc as the archive."""

from __future__ import annotations

import json
import logging
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileDataset
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association

from dicom_node.audit import AuditEvent
from dicom_node.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, report_of, request_dataset
from dicom_node.config import Config
from dicom_node.deliver import peers
from dicom_node.domain import CommitmentQuestion, CommitmentReport, CommitmentRequest
from dicom_node.queue import utc_now
from dicom_node.receive import questions
from dicom_node.storage.trail import Wanted
from tests.integration.orthanc import Orthanc, running_orthanc
from tests.outbox import Node, node, pacs, wait_until
from tests.receiving import free_port, receiver_thread
from tests.ultrasound import US_IMAGE, us_image


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "LOOK_S", 0.05)
    monkeypatch.setattr(questions, "LOOK_S", 0.05)


@contextmanager
def offering(folder: Path, archive_port: int, scanner: dict[str, Any], port: int) -> Iterator[Node]:
    """A node that forwards what VOLUSON sends to the archive, and may be asked for storage commitment."""
    (folder / "data").mkdir(exist_ok=True)
    entry = pacs("pacs", archive_port, "ORTHANC", commitment=True, objects=["original"])
    with node(folder / "data", entry, delivery={"commitment_every_s": 0.2}, port=port) as made:
        may = ["store", "echo", "commitment"]
        told = made.config.model_dump(mode="json")
        told |= {"storage_commitment": {"offer": True}, "peers": [{"ae_title": "VOLUSON", "may": may, **scanner}]}
        made.config = Config.model_validate(told)
        yield made


@contextmanager
def archive(folder: Path, port: int) -> Iterator[Orthanc]:
    modality = {"AET": "FETALHC", "Host": "127.0.0.1", "Port": port, "AllowStorageCommitment": True}
    with running_orthanc(folder / "archive", more={"DicomModalities": {"node": modality}}) as orthanc:
        yield orthanc


@dataclass
class Scanner:
    """What a scanner does: stores, asks, and hears of it wherever it is told."""

    port: int
    heard: list[CommitmentReport] = field(default_factory=list)

    def on_report(self, event: evt.Event) -> tuple[int, None]:
        self.heard.append(report_of(event.event_information))
        return 0x0000, None

    @contextmanager
    def association(self) -> Iterator[Association]:
        entity = AE("VOLUSON")
        contexts = [build_context(US_IMAGE), build_context(PUSH_MODEL)]
        handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, self.on_report)]
        made = entity.associate("127.0.0.1", self.port, contexts, ae_title="FETALHC", evt_handlers=handlers)
        assert made.is_established
        try:
            yield made
        finally:
            if made.is_established:
                made.release()

    @contextmanager
    def listening(self, port: int, answer: Callable[[evt.Event], tuple[int, None]] | None = None) -> Iterator[None]:
        entity = AE("VOLUSON")
        entity.add_supported_context(PUSH_MODEL, scu_role=True, scp_role=True)
        entity.add_supported_context("1.2.840.10008.1.1")
        handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, answer or self.on_report)]
        server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
        assert server is not None
        try:
            yield
        finally:
            server.shutdown()


def store(association: Association, *images: FileDataset) -> None:
    for image in images:
        assert association.send_c_store(image).Status == 0x0000


def ask(association: Association, uids: Sequence[str], transaction_uid: str = "2.25.1") -> int:
    request = request_dataset(CommitmentRequest(transaction_uid, tuple((US_IMAGE, uid) for uid in uids)))
    status, _ = association.send_n_action(request, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
    return int(status.Status)


def images(count: int) -> tuple[list[FileDataset], list[str]]:
    made = [us_image(np.full((8, 8), 90 + number, np.uint8)) for number in range(count)]
    return made, [str(image.SOPInstanceUID) for image in made]


@pytest.mark.peer("Orthanc")
def test_what_the_archive_commits_is_committed_and_told_on_an_association_of_our_own(tmp_path: Path) -> None:
    port, listening = free_port(), free_port()
    scanner, (taken, uids) = Scanner(port), images(2)
    where = {"listens": {"host": "127.0.0.1", "port": listening}}
    with archive(tmp_path, port) as orthanc, offering(tmp_path, orthanc.port, where, port) as made:
        with receiver_thread(made.config, made.repository), scanner.association() as association:
            store(association, *taken)
            assert ask(association, [*uids, "2.25.404"]) == 0x0000
        # the node starts again, and only now is there anybody who delivers, and anybody who listens
        with receiver_thread(made.config, made.repository), made.courier():
            wait_until(lambda: len(made.deliveries()) == 2, made.deliveries)
            assert scanner.heard == []
            with scanner.listening(listening):
                wait_until(lambda: scanner.heard, made.deliveries)
        assert orthanc.instances() == set(uids)
        told = made.repository.audit_trail(Wanted((AuditEvent.OBJECT_ANSWERED_FOR,)), 9)
    assert scanner.heard == [CommitmentReport("2.25.1", tuple(sorted(uids)), (("2.25.404", 0x0112),))]
    assert sorted(str(record.entry.outcome) for record in told) == ["committed", "committed", "failed"]


@pytest.mark.peer("Orthanc")
def test_who_cannot_be_called_is_told_on_its_own_association_and_may_store_meanwhile(tmp_path: Path) -> None:
    port = free_port()
    scanner, (taken, uids) = Scanner(port), images(6)
    with (
        archive(tmp_path, port) as orthanc,
        offering(tmp_path, orthanc.port, {}, port) as made,
        receiver_thread(made.config, made.repository),
        made.courier(),
        scanner.association() as association,
    ):
        store(association, *taken[:2])
        assert ask(association, uids[:2]) == 0x0000
        store(association, *taken[2:])
        assert ask(association, uids[2:], "2.25.2") == 0x0000
        wait_until(lambda: len(scanner.heard) == 2, lambda: scanner.heard)
        association.release()
    assert {report.transaction_uid: set(report.committed) for report in scanner.heard} == {
        "2.25.1": set(uids[:2]),
        "2.25.2": set(uids[2:]),
    }


@pytest.mark.peer("Orthanc")
def test_orthanc_as_a_scanner_is_told_by_another_orthanc(tmp_path: Path) -> None:
    port, (taken, (uid,)) = free_port(), images(1)
    ours = {"AET": "FETALHC", "Host": "127.0.0.1", "Port": port, "AllowStorageCommitment": True}
    settings = {"DicomModalities": {"node": ours}, "DicomAet": "VOLUSON", "DicomCheckCalledAet": False}
    with running_orthanc(tmp_path / "scanner", more=settings) as scanner, archive(tmp_path, port) as orthanc:
        where = {"listens": {"host": "127.0.0.1", "port": scanner.port}}
        taken[0].save_as(tmp_path / "image.dcm")
        scanner.store((tmp_path / "image.dcm").read_bytes())
        with (
            offering(tmp_path, orthanc.port, where, port) as made,
            receiver_thread(made.config, made.repository),
            made.courier(),
        ):
            (stored,) = scanner.find("Instance")
            post(scanner, "/modalities/node/store", [stored["ID"]])
            asked = post(scanner, "/modalities/node/storage-commitment", {"Resources": [stored["ID"]]})

            def status() -> Any:
                return scanner.get(asked["Path"])

            wait_until(lambda: status()["Status"] == "Success", status)
            (said,) = status()["Success"]
    assert said["SOPInstanceUID"] == uid


def post(orthanc: Orthanc, path: str, body: object) -> Any:
    url = f"http://{orthanc.host}:{orthanc.http_port}{path}"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode()), timeout=60) as answer:
        return json.loads(answer.read())


def test_who_may_ask_and_what_is_no_question(tmp_path: Path) -> None:
    port = free_port()
    scanner = Scanner(port)
    with (
        offering(tmp_path, free_port(), {}, port) as made,
        receiver_thread(made.config, made.repository),
        scanner.association() as association,
    ):
        nothing = Dataset()
        nothing.TransactionUID = "2.25.3"
        status, _ = association.send_n_action(nothing, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        assert status.Status == 0x0115
        status, _ = association.send_n_action(nothing, 2, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        assert status.Status == 0x0123
        assert [ask(association, ["2.25.7"]), ask(association, ["2.25.8"])] == [0x0000, 0x0131]


@pytest.mark.parametrize(
    ("status", "times", "end"),
    [(0x0000, 1, "commitment.told"), (0x0115, 1, "commitment.report_refused"), (0x0110, 2, "commitment.told")],
)
def test_a_report_is_made_again_only_where_that_may_help(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int, times: int, end: str
) -> None:
    caplog.set_level(logging.INFO)
    scanner, port, answers = Scanner(free_port()), free_port(), [status, 0x0000]

    def answer(event: evt.Event) -> tuple[int, None]:
        scanner.on_report(event)
        return answers[len(scanner.heard) - 1], None

    asked = CommitmentQuestion("VOLUSON", "FETALHC", "192.0.2.1", "2.25.1", ((US_IMAGE, "2.25.404"),))
    where = {"listens": {"host": "127.0.0.1", "port": port}}
    with offering(tmp_path, free_port(), where, scanner.port) as made, scanner.listening(port, answer):
        made.repository.ask_for_commitment(asked, utc_now())
        with made.courier():
            wait_until(lambda: any(record.msg == end for record in caplog.records), lambda: scanner.heard)
    assert scanner.heard == [CommitmentReport("2.25.1", (), (("2.25.404", 0x0112),))] * times


def test_whoever_can_be_called_is_asked_whether_it_is_there_and_why_not(tmp_path: Path) -> None:
    port = free_port()
    where = {"listens": {"host": "127.0.0.1", "port": port}}
    with offering(tmp_path, free_port(), where, free_port()) as made:
        made.config = made.config.model_copy(
            update={"delivery": made.config.delivery.model_copy(update={"health_s": 0.1})}
        )

        def state() -> Any:
            return made.repository.destination_states().get(f"VOLUSON@127.0.0.1:{port}")

        with made.courier():
            wait_until(lambda: state() is not None and not state().reachable, state)
            assert state().cause == "connection_refused"
            with Scanner(port).listening(port):
                wait_until(lambda: state().reachable, state)
