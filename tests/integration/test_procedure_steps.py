"""A scanner tells when its examination begins and ends (MPPS), over the network."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import Dataset
from pynetdicom import AE, build_context
from pynetdicom.association import Association

from dicom_node.audit import AuditEvent
from dicom_node.config import Config
from dicom_node.errors import DatabaseUnavailable
from dicom_node.procedure_step import MODALITY_PERFORMED_PROCEDURE_STEP as MPPS
from dicom_node.storage.repository import Repository
from dicom_node.storage.trail import Wanted
from tests.outbox import node
from tests.receiving import free_port, receiver_thread

STEP, STUDY = "2.25.7", "1.2.3"


@contextmanager
def told_to(
    folder: Path, may: Sequence[str] = ("echo", "mpps"), offer: bool = True
) -> Iterator[tuple[int, Repository]]:
    """A node that scanners may tell of their steps: its port, and what it remembers."""
    port = free_port()
    with node(folder, port=port) as made:
        told = made.config.model_dump(mode="json")
        told |= {"mpps": {"offer": offer}, "peers": [{"ae_title": "VOLUSON", "may": list(may)}]}
        with receiver_thread(Config.model_validate(told), made.repository):
            yield port, made.repository


@contextmanager
def scanner(port: int) -> Iterator[Association]:
    contexts = [build_context("1.2.840.10008.1.1"), build_context(MPPS)]
    made = AE("VOLUSON").associate("127.0.0.1", port, contexts, ae_title="FETALHC")
    assert made.is_established
    try:
        yield made
    finally:
        made.release()


def begun(studies: Sequence[str] = (STUDY,)) -> Dataset:
    step = Dataset()
    step.PatientName, step.PatientID = "Doe^Jane", "4711"
    step.PerformedProcedureStepStatus = "IN PROGRESS"
    step.ScheduledStepAttributesSequence = [Dataset() for _ in studies]
    for item, uid in zip(step.ScheduledStepAttributesSequence, studies, strict=True):
        item.StudyInstanceUID = uid
    return step


def ended(state: str = "COMPLETED") -> Dataset:
    step = Dataset()
    step.PerformedProcedureStepStatus = state
    return step


def create(association: Association, step: Dataset | None, uid: str | None = STEP) -> int:
    status, _ = association.send_n_create(step, MPPS, uid)
    return int(status.Status)


def test_a_step_goes_its_way_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with told_to(tmp_path) as (port, repository):
        with scanner(port) as association:
            assert create(association, begun()) == 0x0000
            assert create(association, begun()) == 0x0000
        with scanner(port) as association:
            assert association.send_n_set(ended(), MPPS, STEP)[0].Status == 0x0000
            again, _ = association.send_n_set(ended("DISCONTINUED"), MPPS, STEP)
            assert (again.Status, again.ErrorID) == (0x0110, 0xA710)
            assert create(association, begun()) == 0x0111
        told = repository.audit_trail(Wanted((AuditEvent.STEP_TOLD,)), 9)
    assert [record.entry.outcome for record in told] == ["COMPLETED", "IN PROGRESS"]
    assert "Doe" not in caplog.text
    assert "4711" not in caplog.text


def test_a_step_without_a_uid_is_given_one(tmp_path: Path) -> None:
    with told_to(tmp_path) as (port, _), scanner(port) as association:
        request = begun()
        status, _ = association.send_n_create(request, MPPS, None)
        assert status.Status == 0x0000


def test_what_is_no_step_is_answered_with_its_reason(tmp_path: Path) -> None:
    with told_to(tmp_path) as (port, _), scanner(port) as association:
        assert create(association, ended()) == 0x0106
        assert create(association, begun(())) == 0x0120
        assert create(association, None) == 0x0106
        assert association.send_n_set(ended(), MPPS, "2.25.404")[0].Status == 0x0112
        assert association.send_n_set(ended("OVER"), MPPS, STEP)[0].Status == 0x0106
        assert association.send_c_echo().Status == 0x0000


def test_success_is_not_said_of_what_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise DatabaseUnavailable("gone")

    with told_to(tmp_path) as (port, repository), scanner(port) as association:
        monkeypatch.setattr(repository, "step_begun", away)
        assert create(association, begun()) == 0x0110


def test_it_is_off_by_default_and_a_right_of_its_own(tmp_path: Path) -> None:
    with told_to(tmp_path, offer=False) as (port, _), scanner(port) as association:
        assert create(association, begun()) == 0x0118
    with told_to(tmp_path, may=("echo", "store")) as (port, _), scanner(port) as association:
        assert [str(context.abstract_syntax) for context in association.rejected_contexts] == [MPPS]
