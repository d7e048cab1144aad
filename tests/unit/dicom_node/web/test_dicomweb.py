"""DICOMweb to read with: what a viewer asks for, and that it gets the very bytes that are stored."""

from __future__ import annotations

from dataclasses import replace
from email.parser import BytesParser
from typing import Any

import numpy as np
import pytest
from httpx import Response
from pydicom import Dataset, dcmread
from pydicom.uid import JPEGBaseline8Bit

from dicom_node.audit import AuditEvent
from dicom_node.demo.study import SCENES, us_object
from dicom_node.storage.trail import Wanted
from dicom_node.users import UserRole
from dicom_node.web.console import Console
from tests.ultrasound import us_multiframe, us_region
from tests.unit.dicom_node.storage.rooms import answer, claimed, image
from tests.unit.dicom_node.web.browser import Browser
from tests.unit.dicom_node.web.filled import Program, program, written


@pytest.fixture
def viewing(console: Console) -> Program:
    return program(console, UserRole.VIEWER)


def stored(console: Console, dataset: Dataset) -> Dataset:
    """Received as it is, answered with nothing."""
    new = image(str(dataset.SOPInstanceUID), study=str(dataset.StudyInstanceUID))
    path = written(console, dataset)
    console.repository.register(replace(new, path=path), console.now())
    console.repository.commit_result(claimed(console.repository, console.now()), answer("f", ()), (), console.now())
    return dcmread(console.data_dir / path)


@pytest.fixture
def cine(console: Console) -> Dataset:
    frames = np.random.default_rng(1).integers(0, 256, (3, 48, 64), np.uint8)
    return stored(console, us_multiframe(frames, [us_region((0, 0, 63, 47), (0.02, 0.02))]))


def address(dataset: Dataset) -> str:
    study, series = dataset.StudyInstanceUID, dataset.SeriesInstanceUID
    return f"/dicom-web/studies/{study}/series/{series}/instances/{dataset.SOPInstanceUID}"


def datasets(answer: Response) -> list[Dataset]:
    assert answer.headers["content-type"] == "application/dicom+json"
    return [Dataset.from_json(row) for row in answer.json()]


def parts(answer: Response) -> list[tuple[str, bytes]]:
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message: Any = BytesParser().parsebytes(head + answer.content)
    return [(part["content-type"], part.get_payload(decode=True)) for part in message.get_payload()]


def test_a_study_is_found_with_its_series_and_instances(viewing: Program, cine: Dataset) -> None:
    (study,) = datasets(viewing.get("/dicom-web/studies"))
    assert (study.PatientID, str(study.PatientName)) == (cine.PatientID, str(cine.PatientName))
    assert (study.ModalitiesInStudy, study.NumberOfStudyRelatedInstances) == ("US", 1)
    (series,) = datasets(viewing.get(f"/dicom-web/studies/{cine.StudyInstanceUID}/series"))
    assert series.SeriesInstanceUID == cine.SeriesInstanceUID
    (found,) = datasets(viewing.get(address(cine).rsplit("/", 1)[0]))
    assert (found.SOPInstanceUID, found.NumberOfFrames) == (cine.SOPInstanceUID, 3)
    assert viewing.get(f"/dicom-web/studies/{cine.StudyInstanceUID}/instances").json() == [
        *viewing.get(address(cine).rsplit("/", 1)[0]).json()
    ]


def test_studies_are_found_by_uid_and_by_no_name(viewing: Program, cine: Dataset) -> None:
    assert len(viewing.get(f"/dicom-web/studies?StudyInstanceUID={cine.StudyInstanceUID}").json()) == 1
    assert viewing.get("/dicom-web/studies?0020000D=9.9").json() == []
    assert viewing.get("/dicom-web/studies?offset=1").json() == []


def test_metadata_are_those_of_the_object(viewing: Program, cine: Dataset) -> None:
    (found,) = datasets(viewing.get(f"{address(cine)}/metadata"))
    assert "PixelData" not in found
    assert found.SequenceOfUltrasoundRegions == cine.SequenceOfUltrasoundRegions
    for keyword in ("Rows", "Columns", "PhotometricInterpretation", "FrameTime", "PatientBirthDate"):
        assert found[keyword].value == cine[keyword].value
    for above in (address(cine).rsplit("/", 2)[0], f"/dicom-web/studies/{cine.StudyInstanceUID}"):
        assert datasets(viewing.get(f"{above}/metadata")) == [found]


def test_frames_are_the_bytes_that_are_stored(viewing: Program, cine: Dataset) -> None:
    found = parts(viewing.get(f"{address(cine)}/frames/3,1"))
    pixels = cine.PixelData
    size = 48 * 64
    assert [content for _, content in found] == [pixels[2 * size : 3 * size], pixels[:size]]
    assert "transfer-syntax=1.2.840.10008.1.2.1" in found[0][0]


def test_compressed_frames_stay_compressed(console: Console, viewing: Program) -> None:
    made = us_object(SCENES[1])
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    jpeg = stored(console, made)
    ((kind, content),) = parts(viewing.get(f"{address(jpeg)}/frames/1"))
    assert JPEGBaseline8Bit in kind
    assert content.startswith(b"\xff\xd8\xff")


def test_the_object_comes_whole_and_the_trail_tells(console: Console, viewing: Program, cine: Dataset) -> None:
    ((kind, content),) = parts(viewing.get(address(cine)))
    assert (kind, content[128:132]) == ("application/dicom", b"DICM")
    (record, *_) = console.repository.audit_trail(Wanted([AuditEvent.OBJECT_READ]), 10)
    assert (record.entry.actor, record.entry.sop_instance_uid) == ("vera (tests)", cine.SOPInstanceUID)


def test_a_document_is_fetched_by_its_address(console: Console, viewing: Program, cine: Dataset) -> None:
    page = Dataset()
    page.update(cine)
    del page.PixelData
    page.file_meta = cine.file_meta
    page.SOPInstanceUID = page.file_meta.MediaStorageSOPInstanceUID = "1.2.9"
    page.EncapsulatedDocument, page.EncapsulatedDocumentLength = b"%PDF" + b"x" * 3000, 3003
    stored(console, page)
    (told,) = viewing.get(f"{address(page)}/metadata").json()
    where = told["00420011"]["BulkDataURI"]
    ((_, content),) = parts(viewing.get(where))
    assert content == b"%PDF" + b"x" * 2999


@pytest.mark.parametrize(
    "path", ["frames/4", "frames/0", "frames/x", "bulkdata/7fe00010", "bulkdata/zz", "frames/999999"]
)
def test_what_is_not_there_is_refused_by_name(viewing: Program, cine: Dataset, path: str) -> None:
    answer = viewing.get(f"{address(cine)}/{path}")
    assert answer.status_code in (404, 409, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_unknown_studies_are_404_and_strangers_401(viewing: Program, browser: Browser) -> None:
    for path in ("studies/9.9/series", "studies/9.9/metadata", "studies/9.9/series/1/instances/1"):
        assert viewing.get(f"/dicom-web/{path}").status_code == 404
    assert browser.get("/dicom-web/studies").status_code == 401


def test_a_file_that_is_away_hides_only_itself(console: Console, viewing: Program, cine: Dataset) -> None:
    (row,) = console.repository.browsing.instances_of_study(str(cine.StudyInstanceUID))
    (console.data_dir / row.path).unlink()
    assert viewing.get("/dicom-web/studies").json() == []
    assert viewing.get(f"/dicom-web/studies/{cine.StudyInstanceUID}/series").status_code == 404
