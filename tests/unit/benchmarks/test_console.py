"""The benchmark of the console asks for every page that there is, over rows that the real tables take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks._filled import OBJECTS_OF_A_STUDY, fill, patient_of, study_uid
from benchmarks.console import NOT_ASKED, get_routes, page_times
from dicom_node.config import Config, NodeSection
from dicom_node.domain import DeliveryState, JobState
from dicom_node.storage.repository import Repository
from dicom_node.storage.study_list import Page, StudyWish
from dicom_node.web.console import Console

STUDIES = 130


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    config = Config(node=NodeSection(data_dir=tmp_path_factory.mktemp("filled")))
    repository = Repository.open(config.database_url)
    repository.migrate()
    fill(config.database_url, config.node.data_dir, STUDIES)
    yield Console(config, repository)
    repository.close()


def test_every_page_is_asked_for_and_answers(console: Console) -> None:
    times = page_times(console, STUDIES, repeats=1)
    assert {*get_routes()} - {*times} == {*NOT_ASKED}


def test_the_rows_hang_together(console: Console) -> None:
    repository = console.repository
    counts = repository.counts(console.now())
    assert counts["instances"] == STUDIES * OBJECTS_OF_A_STUDY
    assert {state: counts[f"jobs_{state}"] for state in (JobState.QUEUED, JobState.DEAD, JobState.HELD)} == {
        JobState.QUEUED: 40,
        JobState.DEAD: 60,
        JobState.HELD: 10,
    }
    assert min(counts[f"deliveries_{state}"] for state in (DeliveryState.COMMITTED, DeliveryState.DEAD)) > 0
    (line,) = repository.browsing.studies(StudyWish(text=patient_of(7)), Page(10))
    assert (line.study_instance_uid, line.objects, line.patient_id) == (study_uid(7), 5, patient_of(7))
    assert line.report is not None
