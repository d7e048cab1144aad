"""A picture without a header becomes a US Image object, so that reports about it have something to refer to."""

from __future__ import annotations

import hashlib

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage, generate_uid

from dicom_node.photometric import Picture
from inference.domain import PixelSpacingMm

_CENTIMETRES = 3  # PS3.3 C.8.5.5.1.15, Physical Units


def as_object(picture: Picture, spacing: PixelSpacingMm | None) -> FileDataset:
    """A US Image (PS3.3 A.6) of nobody: `picture` RGB uint8 [rows, columns, 3]; the same picture has the same UIDs."""
    made = FileDataset("", {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    seed = hashlib.sha256(picture.tobytes() + repr((picture.shape, spacing)).encode()).hexdigest()
    made.SOPClassUID = UltrasoundImageStorage
    made.SOPInstanceUID, made.SeriesInstanceUID, made.StudyInstanceUID = (
        generate_uid(entropy_srcs=[seed, level]) for level in ("instance", "series", "study")
    )
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.Modality = "US"
    made.StudyDescription = "Tried out, not examined"
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"):
        setattr(made, keyword, "")
    for keyword in ("StudyID", "AccessionNumber", "ReferringPhysicianName", "Manufacturer", "PatientOrientation"):
        setattr(made, keyword, "")
    made.SeriesNumber = made.InstanceNumber = 1
    if spacing is not None:
        made.SequenceOfUltrasoundRegions = [_region(picture, spacing)]
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
    made.Rows, made.Columns = picture.shape[:2]
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    data = picture.tobytes()
    made.add_new("PixelData", "OB", data + b"\0" * (len(data) % 2))
    return made


def _region(picture: Picture, spacing: PixelSpacingMm) -> Dataset:
    """PS3.3 C.8.5.5.1: the whole picture is one two-dimensional tissue region, in cm."""
    region = Dataset()
    region.RegionSpatialFormat = region.RegionDataType = 1
    region.RegionFlags = 0
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = picture.shape[1] - 1, picture.shape[0] - 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = _CENTIMETRES
    region.PhysicalDeltaX, region.PhysicalDeltaY = spacing.column / 10.0, spacing.row / 10.0
    return region
