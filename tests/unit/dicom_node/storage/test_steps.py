"""Procedure steps as a hint of when a study is over: what they shorten, what they wait for, what they never do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from dicom_node.audit import AuditEvent
from dicom_node.domain import Quiet, ResultKind, StepAnswer, StepBegun, StepChange, StepState
from dicom_node.storage.repository import Repository
from dicom_node.storage.rows import StepObjectRow, StepRow, StepStudyRow
from dicom_node.storage.trail import Wanted
from tests.unit.dicom_node.storage.rooms import PACS, START, after, answer, claimed, image

STUDY, STEP = "1.2.3", "2.25.7"
QUIET = Quiet(90.0, 10.0, 300.0)


def begin(repository: Repository, uid: str = STEP, studies: Sequence[str] = (STUDY,), peer: str = "US1") -> StepAnswer:
    return repository.step_begun(StepBegun(uid, peer, "192.0.2.1", tuple(studies)), START)


def end(repository: Repository, seconds: float, objects: Sequence[str] | None = None, **other: Any) -> StepAnswer:
    named = None if objects is None else tuple(objects)
    said = {"sop_instance_uid": STEP, "peer": "US1", "host": "192.0.2.1", "state": StepState.COMPLETED, **other}
    return repository.step_changed(StepChange(objects=named, **said), after(seconds))


def answered(repository: Repository, uid: str, seconds: float = 0, study: str = STUDY) -> None:
    repository.register(image(uid, study=study), after(seconds))
    repository.commit_result(
        claimed(repository, after(seconds)), answer(uid, (ResultKind.TID1500,)), (PACS,), after(seconds)
    )


def due(repository: Repository, seconds: float, quiet: Quiet = QUIET) -> bool:
    """Whether the study is found to be due then, which queues its version."""
    return repository.enqueue_quiet_studies(quiet, after(seconds)) == 1


def due_at(repository: Repository, seconds: float, quiet: Quiet = QUIET) -> bool:
    """Due then, and not a second earlier."""
    return not due(repository, seconds - 1, quiet) and due(repository, seconds, quiet)


@pytest.mark.parametrize("state", [StepState.COMPLETED, StepState.DISCONTINUED])
def test_the_end_of_the_examination_shortens_the_wait(repository: Repository, state: StepState) -> None:
    begin(repository)
    answered(repository, "1.1")
    assert end(repository, 20, ["1.1"], state=state) is StepAnswer.TAKEN
    assert due_at(repository, 30)


def test_at_once_where_that_is_wished(repository: Repository) -> None:
    begin(repository)
    answered(repository, "1.1")
    end(repository, 20, ["1.1"])
    assert due(repository, 20, replace(QUIET, ended_s=0.0))


def test_no_hint_makes_a_study_wait_for_longer_than_its_quiet_period(repository: Repository) -> None:
    begin(repository)
    answered(repository, "1.1")
    assert due_at(repository, 90)  # the step is under way, or the news of its end was lost


def test_nothing_is_heeded_where_nobody_offers_it(repository: Repository) -> None:
    begin(repository)
    answered(repository, "1.1")
    end(repository, 20, ["1.1"])
    assert due_at(repository, 90, Quiet(90.0))


def test_what_is_named_and_has_not_come_is_waited_for(repository: Repository) -> None:
    begin(repository)
    answered(repository, "1.1")
    end(repository, 20, ["1.1", "1.2", "1.9"])
    assert not due(repository, 200)
    answered(repository, "1.2", 210)
    repository.register(image("1.9", measurable=False), after(220))
    assert due_at(repository, 230)


def test_but_not_for_ever(repository: Repository) -> None:
    begin(repository)
    answered(repository, "1.1")
    end(repository, 20, ["1.1", "1.2"])
    assert due_at(repository, 300)


def test_what_nobody_named_and_comes_after_the_end_is_waited_for_as_ever(repository: Repository) -> None:
    begin(repository)
    answered(repository, "1.1")
    end(repository, 20, ["1.1"])
    answered(repository, "1.2", 25)
    assert due_at(repository, 115)


def test_a_late_image_makes_a_new_version(repository: Repository) -> None:
    begin(repository)
    answered(repository, "1.1")
    end(repository, 20, ["1.1"])
    assert due(repository, 30)
    assert not due(repository, 500)
    job = claimed(repository, after(500))
    repository.bury_job(job, "done with", after(500))
    answered(repository, "1.2", 600)
    assert due_at(repository, 690)


def test_all_steps_of_a_study_have_to_end(repository: Repository) -> None:
    begin(repository)
    begin(repository, "2.25.8", (STUDY, "1.2.4"))
    answered(repository, "1.1")
    end(repository, 20, ["1.1"])
    assert not due(repository, 40)
    end(repository, 50, [], sop_instance_uid="2.25.8")
    assert due_at(repository, 60)


def test_steps_of_other_studies_say_nothing(repository: Repository) -> None:
    begin(repository, studies=("1.2.4",))
    answered(repository, "1.1")
    end(repository, 20, ["1.1"])
    assert due_at(repository, 90)


def test_a_step_that_has_ended_is_final(repository: Repository) -> None:
    begin(repository)
    answered(repository, "1.1")
    assert end(repository, 20, ["1.1"]) is StepAnswer.TAKEN
    assert end(repository, 21, ["1.1", "1.2"]) is StepAnswer.FINAL
    assert end(repository, 22, state=StepState.IN_PROGRESS) is StepAnswer.FINAL
    assert begin(repository) is StepAnswer.DUPLICATE
    assert due_at(repository, 30)


def test_the_same_beginning_told_again_changes_nothing(repository: Repository) -> None:
    assert begin(repository) is StepAnswer.TAKEN
    assert begin(repository) is StepAnswer.TAKEN
    assert begin(repository, studies=("1.2.4",)) is StepAnswer.DUPLICATE
    assert begin(repository, peer="US2") is StepAnswer.DUPLICATE
    assert len(repository.audit_trail(Wanted((AuditEvent.STEP_TOLD,)), 9)) == 1


def test_only_who_began_a_step_may_end_it(repository: Repository) -> None:
    begin(repository)
    assert end(repository, 20, peer="US2") is StepAnswer.UNKNOWN
    assert end(repository, 20, sop_instance_uid="2.25.404") is StepAnswer.UNKNOWN


def test_what_is_told_on_the_way_replaces_what_was_told_before(repository: Repository) -> None:
    begin(repository)
    answered(repository, "1.1")
    end(repository, 5, ["1.1", "1.2"], state=None)
    end(repository, 6, ["1.1"], state=StepState.IN_PROGRESS)
    end(repository, 20)
    assert due_at(repository, 30)


def test_begin_and_end_stand_in_the_trail_without_the_patient(repository: Repository) -> None:
    begin(repository)
    end(repository, 20)
    told = repository.audit_trail(Wanted(study_instance_uid=STUDY), 9)
    facts = [(r.entry.event, r.entry.actor, r.entry.outcome, r.entry.sop_instance_uid) for r in told]
    assert facts == [
        (AuditEvent.STEP_TOLD, "US1", "COMPLETED", STEP),
        (AuditEvent.STEP_TOLD, "US1", "IN PROGRESS", STEP),
    ]


def test_steps_are_forgotten_after_a_month(repository: Repository) -> None:
    begin(repository)
    end(repository, 20, ["1.1"])
    later = START + timedelta(days=31)
    repository.step_begun(StepBegun("2.25.9", "US1", "h", ("1.2.9",)), later)
    with repository._read() as session:
        left = [session.scalar(select(func.count()).select_from(row)) for row in (StepRow, StepStudyRow, StepObjectRow)]
    assert left == [1, 1, 0]
