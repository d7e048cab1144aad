"""What studies were measured reaches a FHIR server over HTTP: once each, whatever happens on the way."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from dicom_node.audit import AuditEvent
from dicom_node.config import Config, FhirSection, NodeSection
from dicom_node.deliver.teller import Teller, teller_of, told_to_fhir
from dicom_node.domain import Relation
from dicom_node.errors import Refused
from dicom_node.storage.fhir_posts import FhirPost
from dicom_node.storage.repository import Repository
from dicom_node.storage.retention import Cutoffs
from dicom_node.storage.rows import PostState
from dicom_node.storage.trail import Wanted
from tests.fhir_server import FhirServer, Mood, fhir_server
from tests.reports import measurement
from tests.unit.dicom_node.web.stage import PATIENT_ID, STUDY, Stage, still


@pytest.fixture
def server() -> Iterator[FhirServer]:
    with fhir_server() as running:
        yield running


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    repository = Repository.open(Config(node=NodeSection(data_dir=tmp_path)).database_url)
    repository.migrate()
    repository.fhir_posts.enqueue(Stage(repository, tmp_path).at)
    yield Stage(repository, tmp_path)
    repository.close()


def config(stage: Stage, server: FhirServer) -> Config:
    node = NodeSection(data_dir=stage.data_dir)
    return Config(node=node, fhir=FhirSection(url=server.url), delivery={"response_timeout_s": 5.0})


@pytest.fixture
def teller(stage: Stage, server: FhirServer) -> Teller:
    """Its clock is that of the stage."""
    made = teller_of(config(stage, server), stage.repository)
    return replace(made, now=lambda: stage.at, rng=random.Random(1))


def reported(stage: Stage) -> str:
    """A study with one image that was measured and reported; the image's UID."""
    uid = stage.receive(still())
    stage.answer(uid, [measurement()], ())
    stage.report(uid)
    return uid


def told(stage: Stage, teller: Teller) -> FhirPost:
    """What became of the one report, after an hour in which it was due."""
    teller.repository.fhir_posts.enqueue(stage.at)
    stage.at += timedelta(hours=1)
    assert teller.tell_one()
    (post,) = stage.repository.fhir_posts.listed(None, 10)
    return post


def test_a_report_becomes_resources_of_its_selected_image(stage: Stage, server: FhirServer, teller: Teller) -> None:
    reported(stage)
    post = told(stage, teller)
    assert (post.state, post.study_instance_uid, post.version) == (PostState.SENT, STUDY, 1)
    (report,) = server.of_type("DiagnosticReport")
    assert report["status"] == "preliminary"
    assert report["subject"]["identifier"]["value"] == PATIENT_ID
    values = {one["code"]["coding"][0]["code"]: one["valueQuantity"]["value"] for one in server.of_type("Observation")}
    assert values["11984-2"] == pytest.approx(197.1)
    assert values["18185-9"] > 100
    assert server.faults == []
    assert not teller.tell_one()
    (entry,) = stage.repository.audit_trail(Wanted([AuditEvent.OBJECT_SENT]), 10)
    assert (entry.entry.actor, entry.entry.study_instance_uid) == ("fhir", STUDY)


def test_what_was_reported_before_the_server_was_configured_is_not_sent(tmp_path: Path, server: FhirServer) -> None:
    repository = Repository.open(Config(node=NodeSection(data_dir=tmp_path)).database_url)
    repository.migrate()
    stage = Stage(repository, tmp_path)
    reported(stage)
    for _ in range(2):
        assert repository.fhir_posts.enqueue(stage.tick()) == 0
    other = stage.receive(still(), study="1.2.826.0.1.2")
    stage.answer(other, [measurement()], ())
    stage.report(other, 2)
    assert repository.fhir_posts.enqueue(stage.tick()) == 1
    repository.close()


@pytest.mark.parametrize("mood", [Mood.LOSES_ITS_ANSWER, Mood.SAYS_SOMETHING_ELSE, 503, 429, 401, 302])
def test_what_may_work_later_is_tried_again_and_stands_there_once(
    stage: Stage, server: FhirServer, teller: Teller, mood: Mood | int
) -> None:
    server.moods = [mood]
    reported(stage)
    first = told(stage, teller)
    assert first.state is PostState.PENDING
    assert first.available_at > stage.at
    assert first.comment is not None
    assert "Jane" not in first.comment
    assert not teller.tell_one(), "it is not due yet"
    assert told(stage, teller).state is PostState.SENT
    assert len(server.of_type("DiagnosticReport")) == 1


def test_what_the_server_will_never_take_waits_for_a_person(stage: Stage, server: FhirServer, teller: Teller) -> None:
    server.moods = [422]
    reported(stage)
    post = told(stage, teller)
    assert (post.state, post.attempts) == (PostState.DEAD, 1)
    posts = stage.repository.acting_as("ada").fhir_posts
    posts.retry(post.id, stage.at)
    with pytest.raises(Refused):
        posts.retry(post.id, stage.at)
    assert told(stage, teller).state is PostState.SENT
    assert posts.counts() == {PostState.SENT: 1}


def test_nobody_there_is_given_up_after_the_deadline_only(stage: Stage, server: FhirServer, teller: Teller) -> None:
    reported(stage)
    nobody = teller_of(config(stage, replace(server, url="http://127.0.0.1:9/fhir")), stage.repository)
    nobody = replace(nobody, now=lambda: stage.at)
    assert told(stage, nobody).state is PostState.PENDING
    stage.at += timedelta(days=8)
    assert told(stage, nobody).state is PostState.DEAD


def test_a_number_that_no_longer_stands_is_not_told(stage: Stage, server: FhirServer, teller: Teller) -> None:
    uid = reported(stage)
    teller.repository.fhir_posts.enqueue(stage.at)
    stage.receive_again(uid)
    held = told(stage, teller)
    assert (held.state, server.kept) == (PostState.PENDING, {}), "a correction is being looked at"
    job = stage.repository.claim_job("worker", 60.0, stage.at)
    assert job is not None
    stage.repository.reconcile(job, Relation.REPLACEMENT, True, stage.at)
    stage.answer(f"{uid}.2", [measurement(hc_mm=180.0)], ())
    stage.report(uid, 2)
    stage.at += timedelta(hours=1)
    assert stage.repository.fhir_posts.enqueue(stage.at) == 1
    while teller.tell_one():
        pass
    assert [(post.version, post.state) for post in stage.repository.fhir_posts.listed(None, 10)] == [
        (2, PostState.SENT),
        (1, PostState.NOTHING),
    ]
    (report,) = server.of_type("DiagnosticReport")
    assert "180.0 mm" in report["conclusion"]


def test_a_courier_that_ended_in_the_middle_leaves_it_to_the_next(
    stage: Stage, server: FhirServer, teller: Teller
) -> None:
    reported(stage)
    posts = stage.repository.fhir_posts
    posts.enqueue(stage.at)
    assert posts.claim(60.0, stage.at) is not None
    assert posts.claim(60.0, stage.at) is None
    assert told(stage, teller).state is PostState.SENT


def test_a_study_stays_until_the_server_was_told(stage: Stage, teller: Teller) -> None:
    reported(stage)
    teller.repository.fhir_posts.enqueue(stage.at)
    later = stage.at + timedelta(days=400)
    cutoffs = Cutoffs(later, later, later)
    assert list(stage.repository.forget_old_studies(cutoffs, later)) == []
    told(stage, teller)
    assert len(list(stage.repository.forget_old_studies(cutoffs, later))) == 1
    assert stage.repository.fhir_posts.counts() == {}


def test_the_couriers_process_tells_where_it_is_configured(stage: Stage, server: FhirServer) -> None:
    reported(stage)
    stop = threading.Event()
    with told_to_fhir(Config(node=NodeSection(data_dir=stage.data_dir)), stage.repository, stop):
        assert [thread.name for thread in threading.enumerate() if thread.name == "fhir"] == []
    with told_to_fhir(config(stage, server), stage.repository, stop):
        deadline = time.monotonic() + 60.0
        while not server.kept and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()
    assert len(server.of_type("DiagnosticReport")) == 1


def test_credentials_go_by_https_alone_and_are_shown(stage: Stage, server: FhirServer, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("Bearer abc\n")
    with pytest.raises(ValidationError, match="https"):
        FhirSection(url="http://192.0.2.1/fhir", authorization_file=secret)
    reported(stage)
    section = FhirSection(url=server.url, authorization_file=secret)
    shown = teller_of(config(stage, server).model_copy(update={"fhir": section}), stage.repository)
    shown = replace(shown, now=lambda: stage.at)
    assert told(stage, shown).state is PostState.SENT
    assert server.headers[-1]["Authorization"] == "Bearer abc"
