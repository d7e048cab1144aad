"""Storage commitment with Orthanc, and with peers that report at once, late, or not at all."""

from __future__ import annotations

import copy
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, build_role, evt
from pynetdicom.association import Association

from dicom_node.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, request_dataset
from dicom_node.domain import CommitmentRequest, DeliveryState
from tests.integration.orthanc import Orthanc, running_orthanc
from tests.outbox import Node, node, pacs, wait_until
from tests.receiving import free_port, receiver_thread
from tests.ultrasound import US_IMAGE

SENT, COMMITTED = DeliveryState.SENT, DeliveryState.COMMITTED
SOON = {"commitment_every_s": 0.2}


# --- Orthanc -------------------------------------------------------------------------------------------------------


@contextmanager
def orthanc_that_knows_us(folder: Path, port: int) -> Iterator[Orthanc]:
    modality = {"AET": "FETALHC", "Host": "127.0.0.1", "Port": port, "AllowStorageCommitment": True}
    with running_orthanc(folder, more={"DicomModalities": {"node": modality}}) as orthanc:
        yield orthanc


@pytest.mark.peer("Orthanc")
def test_orthanc_commits_what_it_holds(tmp_path: Path) -> None:
    (data := tmp_path / "data").mkdir()
    port = free_port()
    with (
        orthanc_that_knows_us(tmp_path / "orthanc", port) as orthanc,
        node(data, pacs("pacs", orthanc.port, "ORTHANC", commitment=True), delivery=SOON, port=port) as made,
        receiver_thread(made.config, made.repository),
    ):
        uids = {made.add_result() for _ in range(3)}
        with made.courier():
            made.wait_for([COMMITTED] * 3)
        assert orthanc.instances() == uids


@pytest.mark.peer("Orthanc")
def test_what_orthanc_lost_is_sent_again_and_then_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It said Success, and somebody deleted the object before it was asked for."""
    monkeypatch.setattr("dicom_node.storage.commitments.RESEND_AFTER", timedelta(seconds=0))
    (data := tmp_path / "data").mkdir()
    port = free_port()
    with (
        orthanc_that_knows_us(tmp_path / "orthanc", port) as orthanc,
        node(data, pacs("pacs", orthanc.port, "ORTHANC", commitment=True), delivery=SOON, port=port) as made,
        receiver_thread(made.config, made.repository),
    ):
        lost = made.add_result()
        with without_commitment(made).courier():
            made.wait_for([SENT])
        delete(orthanc, lost)
        with made.courier():
            (delivery,) = made.wait_for([COMMITTED])
        assert orthanc.instances() == {lost}
        told = [(one.cause, one.status_word) for one in made.repository.attempts(delivery.id)]
    assert told == [("status", 0), ("not_committed", 0x0112), ("status", 0)]


def without_commitment(made: Node) -> Node:
    other = copy.copy(made)
    (entry,) = made.config.destinations
    plain = entry.model_copy(update={"commitment": False})
    other.config = made.config.model_copy(update={"destinations": (plain,)})
    return other


def delete(orthanc: Orthanc, uid: str) -> None:
    (found,) = orthanc.find("Instance", SOPInstanceUID=uid)
    url = f"http://{orthanc.host}:{orthanc.http_port}/instances/{found['ID']}"
    with urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=30) as answer:
        json.loads(answer.read())


# --- scripted archives ---------------------------------------------------------------------------------------------


@contextmanager
def archive(on_action: Callable[[evt.Event], int]) -> Iterator[int]:
    """Takes everything, and does with a request for storage commitment what it is told."""
    entity, port = AE(ae_title="PACS"), free_port()
    entity.add_supported_context(US_IMAGE, ALL_TRANSFER_SYNTAXES)
    entity.add_supported_context(PUSH_MODEL)
    entity.add_supported_context("1.2.840.10008.1.1")

    def act(event: evt.Event) -> tuple[int, None]:
        return on_action(event), None

    handlers: list[Any] = [(evt.EVT_C_STORE, lambda _event: 0x0000), (evt.EVT_N_ACTION, act)]
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    assert server is not None
    try:
        yield port
    finally:
        server.shutdown()


def everything(request: Dataset) -> Dataset:
    report = Dataset()
    report.TransactionUID = request.TransactionUID
    report.ReferencedSOPSequence = request.ReferencedSOPSequence
    return report


def report_on(association: Association, report: Dataset) -> int:
    status, _ = association.send_n_event_report(report, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
    return int(status.Status)


def report_to(port: int, report: Dataset, calling: str = "PACS") -> int | None:
    """On an association of the archive's own, in the role of the SCP; None where it is not let in."""
    entity = AE(ae_title=calling)
    entity.add_requested_context(PUSH_MODEL)
    role = build_role(PUSH_MODEL, scp_role=True)
    association = entity.associate("127.0.0.1", port, ae_title="FETALHC", ext_neg=[role])
    if not association.is_established:
        return None
    try:
        return report_on(association, report)
    finally:
        association.release()


def test_a_report_on_the_same_association_counts(tmp_path: Path) -> None:
    reporters = []

    def act(event: evt.Event) -> int:
        report = everything(event.action_information)
        reporters.append(thread := threading.Timer(0.1, report_on, (event.assoc, report)))
        thread.start()
        return 0x0000

    with archive(act) as port, node(tmp_path, pacs("pacs", port, commitment=True), delivery=SOON) as made:
        made.add_result()
        with made.courier():
            made.wait_for([COMMITTED])
        for thread in reporters:
            thread.join(30)


def test_a_report_after_a_restart_counts_and_a_stranger_is_not_heard(tmp_path: Path) -> None:
    asked: list[Dataset] = []

    def act(event: evt.Event) -> int:
        asked.append(event.action_information)
        return 0x0000

    own = free_port()
    with archive(act) as port:
        entry = pacs("pacs", port, commitment=True)
        with node(tmp_path, entry, delivery=SOON, port=own) as made:
            made.add_result()
            with made.courier():
                wait_until(lambda: asked, made.deliveries)
        with node(tmp_path, entry, delivery=SOON, port=own) as made, receiver_thread(made.config, made.repository):
            report = everything(asked[0])
            assert report_to(own, report, calling="STRANGER") is None
            assert made.deliveries()[0].state is SENT
            assert report_to(own, report) == 0x0000
            assert made.deliveries()[0].state is COMMITTED
            report.TransactionUID = "2.25.4711"
            assert report_to(own, report) == 0x0115


def test_a_request_that_nobody_answers_is_made_again(tmp_path: Path) -> None:
    asked: list[str] = []

    def act(event: evt.Event) -> int:
        asked.append(str(event.action_information.TransactionUID))
        return 0x0000

    impatient = {**SOON, "commitment_timeout_h": 1e-5}
    with archive(act) as port, node(tmp_path, pacs("pacs", port, commitment=True), delivery=impatient) as made:
        made.add_result()
        with made.courier():
            wait_until(lambda: len(asked) >= 2, lambda: asked)
        assert made.deliveries()[0].state is SENT
    assert len(set(asked)) == len(asked), "each request has a transaction UID of its own"


@pytest.mark.parametrize("status", [0x0110, 0x0124])
def test_a_refusal_is_told_and_leaves_the_objects_sent(
    tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    def told() -> bool:
        return any(record.msg == "commitment.refused" for record in caplog.records)

    refusing = archive(lambda _event: status)
    with refusing as port, node(tmp_path, pacs("pacs", port, commitment=True), delivery=SOON) as made:
        made.add_result()
        with made.courier():
            wait_until(told, made.deliveries)
        assert made.deliveries()[0].state is SENT
        assert made.repository.ask_commitment("2.25.1", "pacs", 10, made.deliveries()[0].available_at) is not None


def test_a_scanner_that_asks_for_commitment_is_told_that_there_is_none(tmp_path: Path) -> None:
    """Its right opens the context, for reports only."""
    own = free_port()
    asking = pacs("pacs", free_port(), commitment=True)
    with node(tmp_path, asking, port=own) as made, receiver_thread(made.config, made.repository):
        entity = AE(ae_title="PACS")
        entity.add_requested_context(PUSH_MODEL)
        association = entity.associate("127.0.0.1", own, ae_title="FETALHC")
        assert association.is_established
        request = request_dataset(CommitmentRequest("2.25.1", ((US_IMAGE, "2.25.7"),)))
        status, _ = association.send_n_action(request, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        association.release()
    assert status.Status == 0x0123
