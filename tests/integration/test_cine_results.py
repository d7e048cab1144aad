"""A cine through the worker's own pipeline and the shipped network: every object that speaks of one of its frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from dicom_node.config import Config, NodeSection, ResultsSection
from dicom_node.domain import ResultKind
from dicom_node.queue import JobQueue, QueuePolicy
from dicom_node.storage.repository import Repository
from dicom_node.worker import build_pipeline, work_once
from inference.measure import outline_px
from tests.phantoms import head_phantom
from tests.receiving import make_roots
from tests.ultrasound import save, us_multiframe, us_region
from tests.unit.dicom_node.storage.rooms import image

KINDS = (ResultKind.CINE_OVERLAY, ResultKind.PRESENTATION, ResultKind.KEY_OBJECT)
SHAPE = (540, 800)
PHANTOM = head_phantom(2, shape=SHAPE)
HEADLESS = head_phantom(2, shape=SHAPE, with_head=False)
WITH_HEAD = 2


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[ResultKind, Dataset]]:
    """What is made of three frames of which the second shows a head."""
    folder = tmp_path_factory.mktemp("cine")
    spacing = PHANTOM.spacing_mm
    region = us_region((0, 0, SHAPE[1] - 1, SHAPE[0] - 1), (spacing.column / 10.0, spacing.row / 10.0))
    frames = np.stack([HEADLESS.luminance, PHANTOM.luminance, HEADLESS.luminance])
    source = us_multiframe(frames, [region], FrameTime=50.0)
    save(source, folder / "cine.dcm")
    make_roots(folder)
    config = Config(node=NodeSection(data_dir=folder), results=ResultsSection(objects=KINDS))
    with closing(Repository.open(config.database_url)) as repository:
        repository.migrate()
        pipeline = build_pipeline(config, repository)
        repository.register(replace(image(str(source.SOPInstanceUID)), path="cine.dcm"), pipeline.now())
        assert work_once(JobQueue(repository, QueuePolicy.of(config.queue)), pipeline, "w", 60.0)
        (version,) = repository.versions(str(source.SOPInstanceUID))
        yield {stored.kind: dcmread(folder / stored.path) for stored in repository.objects_of(version.id)}


def test_every_object_that_was_asked_for_is_made(results: dict[ResultKind, Dataset]) -> None:
    assert set(results) == set(KINDS)


def test_the_capture_shows_the_drawing_on_the_frame_with_the_head_alone(results: dict[ResultKind, Dataset]) -> None:
    capture = results[ResultKind.CINE_OVERLAY]
    assert (capture.NumberOfFrames, capture.RepresentativeFrameNumber, capture.FrameTime) == (3, WITH_HEAD, 50.0)
    columns, rows = np.round(drawn(results)).astype(int).T
    coloured = [np.ptp(frame[rows, columns].astype(int), axis=1) > 60 for frame in capture.pixel_array]
    assert [share.mean() > 0.95 for share in coloured] == [False, True, False]
    assert not coloured[0].any()
    assert not coloured[2].any()


def test_drawing_and_key_object_are_about_that_frame(results: dict[ResultKind, Dataset]) -> None:
    (annotation,) = results[ResultKind.PRESENTATION].GraphicAnnotationSequence
    assert annotation.ReferencedImageSequence[0].ReferencedFrameNumber == WITH_HEAD
    (selected,) = results[ResultKind.KEY_OBJECT].ContentSequence[-1].ReferencedSOPSequence
    assert selected.ReferencedFrameNumber == WITH_HEAD
    assert PHANTOM.ellipse_px is not None
    apart = np.linalg.norm(drawn(results)[:, None] - outline_px(PHANTOM.ellipse_px, 2000)[None], axis=2).min(axis=1)
    assert apart.max() < 10  # the network's own error on a phantom


def drawn(results: dict[ResultKind, Dataset]) -> NDArray[np.float64]:
    """The outline of the presentation state, [n, 2] (column, row), from the centre of the first pixel."""
    (annotation,) = results[ResultKind.PRESENTATION].GraphicAnnotationSequence
    return np.array(annotation.GraphicObjectSequence[0].GraphicData, np.float64).reshape(-1, 2) - 0.5
