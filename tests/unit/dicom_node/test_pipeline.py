"""The pipeline on a real repository and real files; the network is left out: what is examined here is found wanting."""

from __future__ import annotations

import errno
import os
import random
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import FileDataset

from dicom_node import pipeline as module
from dicom_node import worker
from dicom_node.config import QueueSection
from dicom_node.domain import Job, JobState
from dicom_node.errors import StorageUnavailable
from dicom_node.pipeline import Pipeline
from dicom_node.queue import JobQueue, QueuePolicy
from dicom_node.storage.repository import Repository
from inference.domain import Abstention, CalibrationSource, Examination, ModelIdentity, Reason
from tests.ultrasound import save, us_image, us_region
from tests.unit.dicom_node.storage.rooms import START, image

MODEL = ModelIdentity("model", "0" * 64)
UID = "1.2.3.4"
PIXELS = np.random.default_rng(3).integers(0, 256, (40, 51), dtype=np.uint8)
REGION = [us_region((0, 0, 50, 39), (0.02, 0.02))]


class NoHead:
    """An examiner that decodes every frame and finds nothing."""

    model = MODEL

    def examine(self, frames: Any) -> Examination:
        count = len(list(frames))
        nothing = Abstention(1, None, None, CalibrationSource.NONE, Reason.NO_HEAD_FOUND, "", None, None)
        return Examination((nothing,), 0, tuple(range(1, count + 1)), MODEL, 0.0)


@dataclass
class Entropy:
    name: str

    def fingerprint(self) -> str:
        return self.name


@dataclass
class Room:
    """A data folder with its database, and one worker that is asked to work."""

    folder: Path
    repository: Repository
    accept: bool = False
    seconds: float = 0.0
    serial: int = field(default=0)

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    @property
    def pipeline(self) -> Pipeline:
        protocol = SimpleNamespace(entropy=lambda instance, _frames: Entropy(f"{instance.id}"))
        fakes: Any = {"examiner": NoHead(), "reporter": SimpleNamespace(protocol=protocol)}
        return Pipeline(
            repository=self.repository,
            data_dir=self.folder,
            destinations=(),
            cine_frames=4,
            accept_corrections=self.accept,
            now=self.now,
            **fakes,
        )

    @property
    def queue(self) -> JobQueue:
        policy = QueuePolicy.of(QueueSection(lease_s=60, backoff_first_s=1, backoff_cap_s=10))
        return JobQueue(self.repository, policy, self.now, random.Random(1))

    def receive(self, dataset: FileDataset, keep_bytes: int | None = None) -> Path:
        """Store an object of UID, cut after so many bytes, as the receiver would."""
        self.serial += 1
        path = save(dataset, self.folder / f"{self.serial}.dcm")
        path.write_bytes(path.read_bytes()[:keep_bytes])
        self.repository.register(replace(image(UID, str(self.serial)), path=path.name), self.now())
        return path

    def work(self) -> bool:
        self.seconds += 10
        return worker.work_once(self.queue, self.pipeline, "w", 60)

    def settle(self) -> None:
        while self.work():
            pass

    def claim(self) -> Job:
        job = self.queue.claim("w")
        assert job is not None
        return job

    def answer(self, revision: int = 0) -> tuple[str, str | None] | None:
        result = self.repository.result_of(self.repository.versions(UID)[revision].id)
        return None if result is None else (result.status, result.reason)


@pytest.fixture
def room(tmp_path: Path) -> Any:
    repository = Repository.open(f"sqlite:///{tmp_path / 'node.sqlite3'}")
    repository.migrate()
    yield Room(tmp_path, repository)
    repository.close()


def scan(**attributes: Any) -> FileDataset:
    return us_image(PIXELS, REGION, **{"SOPInstanceUID": UID, "PatientName": "Doe^Jane", **attributes})


def test_a_disk_that_does_not_answer_for_long_costs_no_image(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.receive(scan())
    real, failures = module.read_instance, iter(range(12))

    def ailing(path: Path) -> Any:
        if next(failures, None) is not None:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return real(path)

    monkeypatch.setattr(module, "read_instance", ailing)
    room.settle()
    (job,) = room.repository.jobs((), 10)
    assert (job.state, job.attempts) == (JobState.DONE, 13)
    assert room.answer() == ("abstained", "no_head_found")
    assert room.repository.counts(room.now())["results"] == 1


def test_trouble_of_the_disk_is_named(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.receive(scan())

    def ailing(_path: Path) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(module, "read_instance", ailing)
    with pytest.raises(StorageUnavailable, match="read"):
        room.pipeline.run(room.claim())


def test_a_stored_file_that_is_gone_does_not_wait_for_ever(room: Room) -> None:
    room.receive(scan()).unlink()
    room.settle()
    (job,) = room.repository.jobs((), 10)
    assert job.state is JobState.DEAD
    assert job.error is not None
    assert "FileNotFoundError" in job.error
