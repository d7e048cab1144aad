"""Copies, corrections and conflicts: what `same_content` makes of two versions of one object."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import RLELossless, SMPTEST211020UncompressedProgressiveActiveVideo

from dicom_node import comparison
from dicom_node.comparison import same_content
from dicom_node.domain import Relation
from tests.ultrasound import save, us_image, us_multiframe, us_region

RNG = np.random.default_rng(5)
GREY = RNG.integers(0, 256, (40, 51), dtype=np.uint8)
CINE = RNG.integers(0, 256, (4, 40, 51), dtype=np.uint8)
REGION = [us_region((0, 0, 50, 39), (0.02, 0.02))]


class TestSameContent:
    @staticmethod
    def relation(a: FileDataset, b: FileDataset, folder: Path) -> Relation:
        return same_content(save(a, folder / "a.dcm"), save(b, folder / "b.dcm"))

    @staticmethod
    def changed(dataset: FileDataset, **attributes: Any) -> FileDataset:
        other = copy.deepcopy(dataset)
        for keyword, value in attributes.items():
            setattr(other, keyword, value)
        return other

    @pytest.mark.parametrize(
        "change",
        [
            {"InstanceCreationDate": "20260203", "InstanceCreationTime": "101010"},
            {"RetrieveAETitle": "PACS"},
            {"AdmittingDiagnosesDescription": ""},
            {"PatientName": "Müller^Žofia^^^"},
        ],
    )
    def test_volatile_attributes_make_no_other_object(self, change: dict[str, Any], tmp_path: Path) -> None:
        dataset = us_image(GREY, REGION)
        assert self.relation(dataset, self.changed(dataset, **change), tmp_path) is Relation.DUPLICATE

    def test_another_transfer_syntax_or_character_set_is_the_same_object(self, tmp_path: Path) -> None:
        dataset = us_multiframe(CINE, REGION, PatientName="Müller^Eva")
        other = self.changed(dataset, SpecificCharacterSet="ISO_IR 100")
        other.compress(RLELossless, generate_instance_uid=False)
        other.private_block(0x0009, "ACME", create=True).add_new(1, "LO", "private")
        assert self.relation(dataset, other, tmp_path) is Relation.DUPLICATE

    @pytest.mark.parametrize(
        "change",
        [
            {"PatientName": "Other^Name"},
            {"PatientID": "P-2"},
            {"AccessionNumber": ""},
            {"StudyInstanceUID": "1.2.3"},
            {"SequenceOfUltrasoundRegions": Sequence([us_region((0, 0, 50, 39), (0.03, 0.03))])},
        ],
    )
    def test_same_pixels_with_other_attributes_are_a_correction(self, change: dict[str, Any], tmp_path: Path) -> None:
        dataset = us_image(GREY, REGION)
        assert self.relation(dataset, self.changed(dataset, **change), tmp_path) is Relation.CORRECTION

    def test_one_other_pixel_is_a_conflict(self, tmp_path: Path) -> None:
        other = CINE.copy()
        other[3, -1, -1] ^= 1
        dataset = us_multiframe(CINE, REGION)
        changed = self.changed(dataset, PixelData=other.tobytes(), PatientName="Other^Name")
        assert self.relation(dataset, changed, tmp_path) is Relation.CONFLICT

    def test_low_bits_of_16_count(self, tmp_path: Path) -> None:
        wide = GREY.astype(np.uint16) * 256
        assert self.relation(us_image(wide), us_image(wide + 1), tmp_path) is Relation.CONFLICT

    def test_frames_or_pixels_that_one_lacks(self, tmp_path: Path) -> None:
        assert self.relation(us_multiframe(CINE), us_multiframe(CINE[:3]), tmp_path) is Relation.CONFLICT
        assert self.relation(us_image(GREY), us_image(GREY, PixelData=None), tmp_path) is Relation.CONFLICT

    def test_undecodable_pixels_are_compared_by_bytes(self, tmp_path: Path) -> None:
        video = us_multiframe(CINE)
        video.compress(RLELossless, generate_instance_uid=False)
        video.file_meta.TransferSyntaxUID = SMPTEST211020UncompressedProgressiveActiveVideo
        assert self.relation(video, self.changed(video, PatientID="P-2"), tmp_path) is Relation.CORRECTION
        other = self.changed(video, PixelData=video.PixelData[:-9] + b"\1" + video.PixelData[-8:])
        assert self.relation(video, other, tmp_path) is Relation.CONFLICT

    def test_bytes_are_compared_piece_by_piece(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(comparison, "PIECE_BYTES", 64)
        a, b = tmp_path / "a.dcm", tmp_path / "b.dcm"
        for keep in (-1, -64, -300):  # the same pieces until one of them ends
            save(us_image(GREY, REGION), a)
            content = a.read_bytes()
            a.write_bytes(content[: keep - 8])
            b.write_bytes(content[: keep - 8])
            assert same_content(a, b) is Relation.DUPLICATE
            b.write_bytes(content[: keep - 9])
            assert same_content(a, b) is Relation.CONFLICT
            assert same_content(b, a) is Relation.CONFLICT

    def test_what_could_not_be_read_is_replaced_by_what_can(self, tmp_path: Path) -> None:
        whole, cut = save(us_image(GREY, REGION), tmp_path / "a.dcm"), tmp_path / "b.dcm"
        for keep in (140, 300, -500):
            cut.write_bytes(whole.read_bytes()[:keep])
            assert same_content(cut, whole) is Relation.REPLACEMENT

    def test_a_document_without_pixels_may_only_change_identity(self, tmp_path: Path) -> None:
        item = Dataset()
        item.ValueType, item.TextValue = "TEXT", "finding"
        report = us_image(GREY, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", PixelData=None)
        report.ContentSequence = Sequence([item])
        reworded = copy.deepcopy(report)
        reworded.ContentSequence[0].TextValue = "other finding"
        assert self.relation(report, report, tmp_path) is Relation.DUPLICATE
        assert self.relation(report, self.changed(report, PatientID="P-2"), tmp_path) is Relation.CORRECTION
        assert self.relation(report, reworded, tmp_path) is Relation.CONFLICT
