"""Grey cine loops as files: a US Multi-frame Image (PS3.3 A.7) from an invented machine."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

from dicom_node.demo.phantoms import demo_phantom, head_with, spacing_for
from dicom_node.demo.study import JPEG_QUALITY, US_MULTIFRAME, equipment_and_patient, tissue_region
from inference.domain import Luminance, PixelSpacingMm, RegionPx
from inference.phantom import PhantomImage

SHAPE = (540, 800)
"""Rows and columns of a phantom's clip."""


@dataclass(frozen=True, slots=True)
class CineFile:
    """How a clip is written: its scale, the time from frame to frame, JPEG baseline or uncompressed."""

    spacing: PixelSpacingMm
    frame_time_ms: float
    jpeg: bool


def cine_phantom(seed: int, hc_mm: float) -> PhantomImage:
    """A phantom head of that circumference, turned at random, as the start of a sweep."""
    spacing = spacing_for(hc_mm, SHAPE[0])
    turn_deg = float(np.random.default_rng(seed).uniform(0.0, 180.0))
    return demo_phantom(seed, SHAPE, spacing, head_with(hc_mm, SHAPE, spacing, turn_deg))


def write_cine(pictures: Iterable[Luminance], form: CineFile, path: Path) -> str:
    """Write pictures of one size, uint8 [rows, columns] each, as one object; returns its SOP Instance UID.

    Raises:
        ValueError: there is no picture.
    """
    shape, pixels = (0, 0), []
    for picture in pictures:
        shape = picture.shape
        pixels.append(_jpeg(picture) if form.jpeg else picture.tobytes())
    if not pixels:
        raise ValueError("a cine has at least one frame")
    dataset = _object(shape, form, pixels)
    dataset.save_as(path, enforce_file_format=True)
    return str(dataset.SOPInstanceUID)


def _object(shape: tuple[int, int], form: CineFile, pixels: list[bytes]) -> FileDataset:
    rows, columns = shape
    dataset = equipment_and_patient()
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = US_MULTIFRAME
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.InstanceNumber = 1
    dataset.NumberOfFrames = len(pixels)
    dataset.FrameTime = form.frame_time_ms
    dataset.FrameIncrementPointer = 0x00181063
    dataset.SequenceOfUltrasoundRegions = [tissue_region(RegionPx(0, 0, columns - 1, rows - 1), form.spacing)]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    dataset.BurnedInAnnotation = "NO"
    _pixel_data(dataset, form, pixels)
    return dataset


def _pixel_data(dataset: FileDataset, form: CineFile, pixels: list[bytes]) -> None:
    dataset.LossyImageCompression = "01" if form.jpeg else "00"
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit if form.jpeg else ExplicitVRLittleEndian
    if form.jpeg:
        whole = dataset.Rows * dataset.Columns * len(pixels)
        dataset.LossyImageCompressionRatio = round(whole / sum(map(len, pixels)), 1)
        dataset.LossyImageCompressionMethod = "ISO_10918_1"
        dataset.add_new("PixelData", "OB", encapsulate(pixels))
        dataset["PixelData"].is_undefined_length = True
    else:
        raw = b"".join(pixels)
        dataset.add_new("PixelData", "OB", raw + b"\0" * (len(raw) % 2))


def _jpeg(picture: Luminance) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()
