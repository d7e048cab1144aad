"""Pages of what the node holds: in order, without gaps and doubles, whatever arrives meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dicom_node.domain import DeliveryState, JobState, NewStudyResult, Quiet, ResultKind
from dicom_node.errors import Refused
from dicom_node.storage.browsing import Latency, Page, StudyWish
from dicom_node.storage.repository import Repository
from tests.unit.dicom_node.storage.rooms import ARCHIVE, PACS, START, after, answer, claimed, image, measured

EVERYTHING = StudyWish()


def received(repository: Repository, uid: str, study: str, seconds: float = 0.0, ae: str = "SCANNER") -> None:
    repository.register(replace(image(uid, study=study), calling_ae=ae), after(seconds))


def uids(repository: Repository, wanted: StudyWish = EVERYTHING, page: Page = Page(10)) -> list[str]:  # noqa: B008
    return [study.study_instance_uid for study in repository.browsing.studies(wanted, page)]


def test_studies_come_by_their_newest_object(repository: Repository) -> None:
    for number, (uid, study) in enumerate([("1", "a"), ("2", "b"), ("3", "a"), ("4", "c")]):
        received(repository, uid, study, number)
    assert uids(repository) == ["c", "a", "b"]
    (first, second, third) = repository.browsing.studies(EVERYTHING, Page(10))
    assert (second.objects, second.first_received_at, second.received_at) == (2, START, after(2))
    assert uids(repository, page=Page(1)) == ["c"]
    received(repository, "5", "d")  # what arrives between two pages moves nothing
    assert uids(repository, page=Page(1, before=first.last_id)) == ["a"]
    assert uids(repository, page=Page(2, before=third.last_id)) == []


def test_studies_are_found_by_time_sender_and_uid(repository: Repository) -> None:
    received(repository, "1", "a", 0, "ONE")
    received(repository, "2", "b", 60, "TWO")
    assert uids(repository, StudyWish(since=after(60))) == ["b"]
    assert uids(repository, StudyWish(until=after(60))) == ["a"]
    assert uids(repository, StudyWish(calling_ae="TWO")) == ["b"]
    assert uids(repository, StudyWish(study_instance_uid="a")) == ["a"]
    assert uids(repository, StudyWish(study_instance_uid="a%")) == []


def test_a_study_tells_how_its_images_were_answered_and_what_was_said_of_it(repository: Repository) -> None:
    measured(repository, "1")
    repository.register(image("2"), START)
    repository.commit_result(claimed(repository), replace(answer("2", ()), status="abstained"), (), START)
    assert repository.enqueue_quiet_studies(Quiet(1.0), after(60)) == 1
    job = claimed(repository, after(60))
    repository.commit_study(job, NewStudyResult(answer("study", (ResultKind.STUDY_SR,))), (), after(61))
    (study,) = repository.browsing.studies(EVERYTHING, Page(10))
    assert study.answers == {"measured": 1, "abstained": 1}
    assert study.calling_aes == ("SCANNER",)
    assert study.said is not None
    assert study.said.version == 1
    kinds = [(found.stored.kind, found.instance_id is None) for found in repository.browsing.objects_of_study("1.2.3")]
    assert kinds[-1] == (ResultKind.STUDY_SR, True)
    assert all(not of_study for _, of_study in kinds[:-1])


def test_objects_and_results_are_found_by_id(repository: Repository) -> None:
    instance_id = measured(repository, "1")
    (stored, *_) = repository.objects_of(instance_id)
    found = repository.browsing.object(stored.id)
    assert (found.stored, found.study_instance_uid, found.instance_id) == (stored, "1.2.3", instance_id)
    result = repository.result_of(instance_id)
    assert result is not None
    assert repository.browsing.result(result.id) == result
    assert [row.id for row in repository.browsing.instances_of_study("1.2.3")] == [instance_id]
    for missing in (repository.browsing.object, repository.browsing.result):
        with pytest.raises(Refused):
            missing(99)


def test_an_original_that_is_sent_on_is_no_result(repository: Repository) -> None:
    new = image("1")
    repository.register(replace(new, route=replace(new.route, forward=("pacs",))), START)
    (delivery,) = repository.deliveries([], 10)
    with pytest.raises(Refused):
        repository.browsing.object(delivery.object_id)


def test_work_is_paged_and_filtered(repository: Repository) -> None:
    for uid in ("1", "2", "3"):
        measured(repository, uid, (PACS, ARCHIVE))
    browsing = repository.browsing
    everything = browsing.deliveries(Page(100))
    assert browsing.deliveries(Page(2), [DeliveryState.PENDING]) == everything[:2]
    assert browsing.deliveries(Page(100, before=everything[2].id)) == everything[3:]
    assert {d.destination for d in browsing.deliveries(Page(100), destination="archive")} == {"archive"}
    assert browsing.deliveries(Page(100), [DeliveryState.DEAD]) == ()
    assert len(browsing.jobs(Page(2))) == 2
    assert browsing.jobs(Page(10), [JobState.QUEUED]) == ()
    assert [row.sop_instance_uid for row in browsing.instances(Page(2))] == ["3", "2"]
    assert [row.id for row in browsing.results(Page(2))] == [3, 2]
    assert browsing.results(Page(2), "abstained") == ()


def test_progress(repository: Repository) -> None:
    browsing = repository.browsing
    assert (browsing.latest().answers, browsing.latest().latency) == ({}, Latency())
    assert (browsing.waiting().job_since, browsing.waiting().delivery_since) == (None, None)
    repository.register(image("1"), START)
    repository.commit_result(claimed(repository), answer("1"), (PACS,), after(2.5))
    repository.register(image("2"), after(30))
    latest = browsing.latest()
    assert latest.answers == {("measured", None): 1}
    assert (latest.statuses, latest.reasons) == ({"measured": 1}, {})
    assert latest.latency == Latency(1, 2.5, 2.5)
    waiting = browsing.waiting()
    assert waiting.job_since == after(30)
    assert waiting.delivery_since == START + timedelta(seconds=2.5)
