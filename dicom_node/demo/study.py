"""Made-up ultrasound studies: screens like a scanner's, phantom heads of known circumference, an invented patient."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

from dicom_node.demo.phantoms import demo_phantom, head_with, spacing_for
from inference.domain import Luminance, PixelSpacingMm, RegionPx

Picture = NDArray[np.uint8]
"""RGB, uint8 [rows, columns, 3]."""

US_IMAGE = UID("1.2.840.10008.5.1.4.1.1.6.1")
US_MULTIFRAME = UID("1.2.840.10008.5.1.4.1.1.3.1")

SCREEN = (768, 1024)  # rows, columns
PICTURE = (560, 760)  # rows, columns
TOP, LEFT = 118, 116  # where the picture's first pixel lies on the screen
_BOX = RegionPx(LEFT, TOP, LEFT + PICTURE[1] - 1, TOP + PICTURE[0] - 1)
CENTIMETRES = 3  # PS3.3 C.8.5.5.1.15, Physical Units
JPEG_QUALITY = 95
FRAME_TIME_MS = 50.0

_GREY, _DIM, _AMBER, _BLUE = (205, 208, 212), (120, 124, 130), (232, 180, 90), (120, 170, 220)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, slots=True)
class Scene:
    """What is scanned. `hc_mm` None: no head in the picture. `turn_deg`: of the head's long axis.

    Each `visit` of the patient is a study of its own.
    """

    title: str
    seed: int
    hc_mm: float | None
    turn_deg: float = 0.0
    calibrated: bool = True
    compressed: bool = False
    frames: int = 1
    visit: int = 1


@dataclass(frozen=True, slots=True)
class DemoImage:
    """A written object and its truth; `known_hc_mm` None where no head was drawn."""

    path: Path
    sop_instance_uid: str
    title: str
    transfer_syntax: str
    known_hc_mm: float | None
    study_instance_uid: str


SCENES = (
    Scene("13 weeks", 11, 84.0, 12.0, visit=1),
    Scene("18 weeks", 22, 151.0, 168.0, compressed=True, visit=2),
    Scene("24 weeks", 33, 224.0, 25.0, visit=3),
    Scene("24 weeks, again", 99, 224.0, 160.0, compressed=True, visit=3),
    Scene("24 weeks, cine", 66, 224.0, 20.0, frames=4, visit=3),
    Scene("no head", 77, None, visit=3),
    Scene("not calibrated", 88, 187.0, 170.0, calibrated=False, visit=3),
    Scene("28 weeks", 44, 264.0, 155.0, compressed=True, visit=4),
    Scene("34 weeks", 51, 312.0, 8.0, visit=5),
)


def write_study(folder: Path) -> list[DemoImage]:
    """Write the demonstration's studies into `folder` and tell what is in them."""
    folder.mkdir(parents=True, exist_ok=True)
    return list(_write(folder))


def _write(folder: Path) -> Iterator[DemoImage]:
    visits = {scene.visit: (generate_uid(), generate_uid()) for scene in SCENES}
    for number, scene in enumerate(SCENES, start=1):
        dataset = us_object(scene)
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = visits[scene.visit]
        dataset.InstanceNumber = number
        path = folder / f"{number:02d}-{scene.title.replace(', ', '-').replace(' ', '-')}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        syntax = "JPEG baseline" if scene.compressed else "explicit LE"
        study = str(dataset.StudyInstanceUID)
        yield DemoImage(path, str(dataset.SOPInstanceUID), scene.title, syntax, scene.hc_mm, study)


def us_object(scene: Scene) -> FileDataset:
    """A US Image or, with several frames, a US Multi-frame Image (PS3.3 A.6, A.7) without study and series."""
    spacing = spacing_for(scene.hc_mm or 190.0, PICTURE[0])
    pictures = [screen(_phantom(scene, spacing, frame), scene, spacing) for frame in range(scene.frames)]
    dataset = equipment_and_patient()
    dataset.SOPClassUID = US_IMAGE if scene.frames == 1 else US_MULTIFRAME
    dataset.SOPInstanceUID = generate_uid()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    if scene.frames > 1:
        dataset.NumberOfFrames = scene.frames
        dataset.FrameTime = FRAME_TIME_MS
        dataset.FrameIncrementPointer = 0x00181063
    if scene.calibrated:
        dataset.SequenceOfUltrasoundRegions = [tissue_region(_BOX, spacing)]
    _pixels(dataset, pictures, scene.compressed)
    return dataset


def _phantom(scene: Scene, spacing: PixelSpacingMm, frame: int) -> Luminance:
    """Later frames turn the head by two degrees each, as a probe that is never quite still."""
    head = None
    if scene.hc_mm is not None:
        head = head_with(scene.hc_mm, PICTURE, spacing, scene.turn_deg + 2.0 * frame)
    return demo_phantom(scene.seed, PICTURE, spacing, head).luminance


def tissue_region(box: RegionPx, spacing: PixelSpacingMm) -> Dataset:
    """PS3.3 C.8.5.5.1: a two-dimensional tissue region in cm; its bounds are inclusive."""
    region = Dataset()
    region.RegionSpatialFormat = 1
    region.RegionDataType = 1
    region.RegionFlags = 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = box.min_column, box.min_row
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = box.max_column, box.max_row
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = CENTIMETRES
    region.PhysicalDeltaX, region.PhysicalDeltaY = spacing.column / 10.0, spacing.row / 10.0
    return region


# --- the screen ----------------------------------------------------------------------------------------------------


def screen(luminance: Luminance, scene: Scene, spacing: PixelSpacingMm) -> Picture:
    """The picture inside a scanner's interface, uint8 RGB [768, 1024, 3]."""
    canvas = np.zeros((*SCREEN, 3), np.uint8)
    canvas[:, :] = (9, 11, 15)
    canvas[:74] = (22, 26, 34)
    canvas[730:] = (22, 26, 34)
    rows, columns = luminance.shape
    canvas[TOP : TOP + rows, LEFT : LEFT + columns] = luminance[:, :, None]
    depth_cm = rows * spacing.row / 10.0
    _header(canvas, scene)
    _settings(canvas, depth_cm)
    _grey_bar(canvas)
    _depth_scale(canvas, spacing)
    return canvas


def _text(canvas: Picture, text: str, at: tuple[int, int], colour: tuple[int, int, int], size: float = 0.45) -> None:
    cv2.putText(canvas, text, at, _FONT, size, colour, 1, cv2.LINE_AA)


def _header(canvas: Picture, scene: Scene) -> None:
    _text(canvas, "PHANTOM, ANNA", (20, 30), _GREY, 0.55)
    _text(canvas, "ID DEMO-0001   F   01.02.1996", (20, 56), _DIM)
    _text(canvas, "PHANTOM WORKS", (430, 30), _BLUE, 0.55)
    _text(canvas, "OB 2nd/3rd trimester   C5-1", (430, 56), _DIM)
    _text(canvas, "2026-03-02  10:24:07", (824, 30), _GREY)
    _text(canvas, "MI 0.9   TIs 0.3   TIb 0.3", (824, 56), _DIM)
    _text(canvas, "Fetal head" if scene.hc_mm else "Survey", (20, 752), _AMBER)
    _text(canvas, "Freeze   Caliper   Body mark   Print", (390, 752), _DIM)
    _text(canvas, "MADE-UP IMAGE", (890, 752), _AMBER)


def _settings(canvas: Picture, depth_cm: float) -> None:
    lines = ("Gn  -3", f"D {depth_cm:.1f}cm", "FR 31Hz", "DR  60", "FF   3", "SRI 2", "Har mid", "P  100%")
    for number, line in enumerate(lines):
        _text(canvas, line, (924, 150 + 24 * number), _DIM, 0.42)


def _grey_bar(canvas: Picture) -> None:
    canvas[150:350, 40:54] = np.linspace(255, 0, 200).astype(np.uint8)[:, None, None]
    cv2.rectangle(canvas, (39, 149), (54, 350), _DIM, 1)
    cv2.circle(canvas, (47, 120), 8, _BLUE, 1, cv2.LINE_AA)


def _depth_scale(canvas: Picture, spacing: PixelSpacingMm) -> None:
    """A tick each centimetre beside the picture, a longer one and its number every five."""
    right = LEFT + PICTURE[1] + 8
    for centimetre in range(int(PICTURE[0] * spacing.row / 10.0) + 1):
        row = TOP + round(centimetre * 10.0 / spacing.row)
        fifth = centimetre % 5 == 0
        cv2.line(canvas, (right, row), (right + (10 if fifth else 5), row), _DIM, 1)
        if fifth and centimetre:
            _text(canvas, str(centimetre), (right + 14, row + 5), _DIM, 0.4)


# --- attributes ----------------------------------------------------------------------------------------------------


def equipment_and_patient() -> FileDataset:
    """Nobody's data: patient, study and equipment are invented."""
    dataset = FileDataset("", {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OB"]
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = "20260302"
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = "102407"
    dataset.AccessionNumber = "DEMO-A1"
    dataset.Modality = "US"
    dataset.Manufacturer = "Phantom Works"
    dataset.ManufacturerModelName = "Demonstrator"
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "Obstetric ultrasound (made up)"
    dataset.PatientName = "Phantom^Anna"
    dataset.PatientID = "DEMO-0001"
    dataset.PatientBirthDate = "19960201"
    dataset.PatientSex = "F"
    dataset.StudyID = "DEMO1"
    dataset.SeriesNumber = 1
    dataset.PatientOrientation = ""
    dataset.BurnedInAnnotation = "YES"
    return dataset


def _pixels(dataset: FileDataset, pictures: list[Picture], compressed: bool) -> None:
    """Image Pixel module, PS3.3 C.7.6.3; JPEG baseline is YCbCr 4:2:2 as scanners send it (PS3.5 8.2.1)."""
    dataset.SamplesPerPixel = 3
    dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = SCREEN
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    if not compressed:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.PhotometricInterpretation = "RGB"
        dataset.LossyImageCompression = "00"
        dataset.add_new("PixelData", "OB", np.stack(pictures).tobytes())
        return
    streams = [_jpeg(picture) for picture in pictures]
    ratio = sum(p.nbytes for p in pictures) / sum(len(s) for s in streams)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionRatio = round(ratio, 1)
    dataset.LossyImageCompressionMethod = "ISO_10918_1"
    dataset.add_new("PixelData", "OB", encapsulate(streams))
    dataset["PixelData"].is_undefined_length = True


def _jpeg(picture: Picture) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:2")
    return stream.getvalue()
