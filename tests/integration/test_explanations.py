"""From the configuration to the captures that tell why, through the worker's own pipeline and the shipped network."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom import dcmread

from dicom_node.config import Config, DestinationEntry, NodeSection
from dicom_node.domain import ResultKind
from dicom_node.queue import JobQueue, QueuePolicy
from dicom_node.storage.repository import Repository
from dicom_node.worker import build_pipeline, work_once
from inference.measure import inside_distance_px
from tests.phantoms import head_phantom, screen
from tests.receiving import make_roots
from tests.ultrasound import save, us_phantom
from tests.unit.dicom_node.storage.rooms import image

WHY = (ResultKind.GRADCAM, ResultKind.UNCERTAINTY)
READERS = {"name": "readers", "ae_title": "PACS", "host": "localhost", "port": 104}


def test_a_destination_that_lists_them_gets_both_pictures_over_the_head(tmp_path: Path) -> None:
    source = us_phantom(1)
    save(source, tmp_path / "image.dcm")
    readers = DestinationEntry.model_validate({**READERS, "objects": [kind.value for kind in WHY]})
    make_roots(tmp_path)
    config = Config(node=NodeSection(data_dir=tmp_path), destinations=(readers,))
    with closing(Repository.open(config.database_url)) as repository:
        repository.migrate()
        pipeline = build_pipeline(config, repository)
        now = pipeline.now()
        repository.register(replace(image(str(source.SOPInstanceUID)), path="image.dcm"), now)
        assert work_once(JobQueue(repository, QueuePolicy.of(config.queue)), pipeline, "w", 60.0)
        (version,) = repository.versions(str(source.SOPInstanceUID))
        objects = {stored.kind: stored for stored in repository.objects_of(version.id)}
    assert set(objects) == {ResultKind.TID1500, *WHY}
    gradcam, uncertainty = (dcmread(tmp_path / objects[kind].path) for kind in WHY)
    assert gradcam.SeriesInstanceUID == uncertainty.SeriesInstanceUID
    assert [int(gradcam.InstanceNumber), int(uncertainty.InstanceNumber)] == [1, 2]

    phantom = head_phantom(1)
    _, box = screen(phantom.luminance)
    assert phantom.ellipse_px is not None
    inside = np.full((gradcam.Rows, gradcam.Columns), -100.0)
    head = inside_distance_px(phantom.ellipse_px, *phantom.luminance.shape)
    inside[box[1] : box[3] + 1, box[0] : box[2] + 1] = head
    seen, doubted = (_colour(made.pixel_array) for made in (gradcam, uncertainty))
    tissue = np.zeros(inside.shape, bool)
    tissue[box[1] : box[3] + 1, box[0] : box[2] + 1] = True
    assert seen[inside > 20].mean() > 0.5
    assert doubted[inside > 20].mean() < seen[inside > 20].mean()
    above_panel = tissue & (np.arange(tissue.shape[0])[:, None] < tissue.shape[0] // 2)
    assert seen[above_panel & (inside < -30)].mean() < 0.02


def _colour(pixels: np.ndarray) -> np.ndarray:
    """Which pixels of RGB [rows, columns, 3] are coloured, bool [rows, columns]: the phantom is grey."""
    return np.ptp(pixels.astype(int), axis=2) > 12
