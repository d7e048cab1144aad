"""Valid ultrasound objects for tests: US Image and US Multi-frame Image (PS3.3 A.6 and A.7), regions, palettes.

Every builder takes pixels and gives a FileDataset for `save`. Any attribute can be replaced by keyword, and removed by
giving None: `us_image(pixels, PatientName="Doe^Jane", AccessionNumber=None)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

US_IMAGE = UID("1.2.840.10008.5.1.4.1.1.6.1")
US_MULTIFRAME = UID("1.2.840.10008.5.1.4.1.1.3.1")
US_IMAGE_RETIRED = UID("1.2.840.10008.5.1.4.1.1.6")
US_MULTIFRAME_RETIRED = UID("1.2.840.10008.5.1.4.1.1.3")

CM = 3
SECONDS = 4
TISSUE = 1
COLOR_FLOW = 2
TWO_DIMENSIONAL = 1
M_MODE = 2
SPECTRAL = 3


def us_region(
    box: tuple[int, int, int, int],
    delta_cm: tuple[float, float],
    *,
    spatial_format: int = TWO_DIMENSIONAL,
    data_type: int = TISSUE,
    units: tuple[int, int] = (CM, CM),
    low_priority: bool = False,
) -> Dataset:
    """One item of Sequence of Ultrasound Regions (PS3.3 C.8.5.5.1).

    `box`: min column, min row, max column, max row, inclusive. `delta_cm`: Physical Delta X and Y per pixel.
    """
    region = Dataset()
    region.RegionSpatialFormat = spatial_format
    region.RegionDataType = data_type
    region.RegionFlags = int(low_priority)
    region.RegionLocationMinX0, region.RegionLocationMinY0, region.RegionLocationMaxX1, region.RegionLocationMaxY1 = box
    region.PhysicalUnitsXDirection, region.PhysicalUnitsYDirection = units
    region.PhysicalDeltaX, region.PhysicalDeltaY = delta_cm
    return region


def us_image(pixels: NDArray[Any], regions: Sequence[Dataset] | None = None, **attributes: Any) -> FileDataset:
    """A US Image. `pixels`: uint8 or uint16 [rows, columns] (MONOCHROME2) or uint8 [rows, columns, 3] (RGB)."""
    return _ultrasound(pixels[None], US_IMAGE, regions, attributes)


def us_multiframe(pixels: NDArray[Any], regions: Sequence[Dataset] | None = None, **attributes: Any) -> FileDataset:
    """A US Multi-frame Image. `pixels`: uint8 [frames, rows, columns] or [frames, rows, columns, 3]."""
    attributes = {
        "NumberOfFrames": pixels.shape[0],
        "FrameTime": 40.0,
        "FrameIncrementPointer": 0x00181063,
        **attributes,
    }
    return _ultrasound(pixels, US_MULTIFRAME, regions, attributes)


def us_palette(
    indices: NDArray[np.uint8],
    lut: NDArray[np.uint16],
    regions: Sequence[Dataset] | None = None,
    **attributes: Any,
) -> FileDataset:
    """A PALETTE COLOR US Image. `indices`: uint8 [rows, columns]; `lut`: uint16 [entries, 3], full 16-bit range."""
    descriptor = [lut.shape[0], 0, 16]
    palette = {
        "PhotometricInterpretation": "PALETTE COLOR",
        "RedPaletteColorLookupTableDescriptor": descriptor,
        "GreenPaletteColorLookupTableDescriptor": descriptor,
        "BluePaletteColorLookupTableDescriptor": descriptor,
        "RedPaletteColorLookupTableData": lut[:, 0].astype("<u2").tobytes(),
        "GreenPaletteColorLookupTableData": lut[:, 1].astype("<u2").tobytes(),
        "BluePaletteColorLookupTableData": lut[:, 2].astype("<u2").tobytes(),
    }
    return us_image(indices, regions, **{**palette, **attributes})


def us_phantom(seed: int = 1, head: bool = True, **attributes: Any) -> FileDataset:
    """A full screen with interface text around a calibrated region that shows one test phantom."""
    from tests.phantoms import head_phantom, screen

    phantom = head_phantom(seed, with_head=head)
    pixels, box = screen(phantom.luminance)
    spacing = phantom.spacing_mm
    return us_image(pixels, [us_region(box, (spacing.column / 10.0, spacing.row / 10.0))], **attributes)


def save(dataset: FileDataset, path: Path) -> Path:
    """Write the object as a DICOM file and give the path back."""
    dataset.save_as(path, enforce_file_format=True)
    return path


def _ultrasound(
    frames: NDArray[Any], sop_class: UID, regions: Sequence[Dataset] | None, attributes: dict[str, Any]
) -> FileDataset:
    """`frames`: [frames, rows, columns] or [frames, rows, columns, 3]."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    _identity(ds)
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = generate_uid()
    if regions is not None:
        ds.SequenceOfUltrasoundRegions = DicomSequence(regions)
    _pixels(ds, frames)
    for keyword, value in attributes.items():
        if value is None:
            ds.pop(keyword, None)
        else:
            setattr(ds, keyword, value)
    meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", sop_class)
    meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "2.25.1")
    return ds


def _identity(ds: Dataset) -> None:
    """Patient, study, series and equipment of an invented obstetric examination."""
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OB", "0001"]
    ds.StudyDate = ds.ContentDate = "20260102"
    ds.StudyTime = ds.ContentTime = "093000"
    ds.AccessionNumber = "A1001"
    ds.Modality = "US"
    ds.Manufacturer = "Phantom Works"
    ds.ManufacturerModelName = "Speckle 1"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "Obstetric ultrasound"
    ds.PatientName = "Müller^Žofia"
    ds.PatientID = "P-1001"
    ds.PatientBirthDate = "19950415"
    ds.PatientSex = "F"
    ds.StudyInstanceUID = generate_uid()
    ds.SeriesInstanceUID = generate_uid()
    ds.StudyID = "1"
    ds.SeriesNumber = 1
    ds.InstanceNumber = 1
    ds.PatientOrientation = ""
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"


def _pixels(ds: Dataset, frames: NDArray[Any]) -> None:
    """Image Pixel module, PS3.3 C.7.6.3."""
    color = frames.ndim == 4
    bits = frames.dtype.itemsize * 8
    ds.SamplesPerPixel = 3 if color else 1
    ds.PhotometricInterpretation = "RGB" if color else "MONOCHROME2"
    if color:
        ds.PlanarConfiguration = 0
    ds.Rows, ds.Columns = frames.shape[1:3]
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit = bits - 1
    ds.PixelRepresentation = 0
    data = np.ascontiguousarray(frames).astype(f"<u{frames.dtype.itemsize}").tobytes()
    ds.add_new(0x7FE00010, "OB" if bits == 8 else "OW", data + b"\0" * (len(data) % 2))
