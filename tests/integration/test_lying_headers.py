"""Headers that say something else than the pixels: a reason by name, or the truthful object's HC within 1 mm.

In truthful objects of several encodings every attribute of the Image Pixel module and its neighbours is set, one after
another, to values that are plausible elsewhere. Some lies nothing in the file gives away, for an inverted picture is a
picture too: they must change HC by less than that, or make the network unsure.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset

from dicom_node.config import Config
from dicom_node.examiner import build_examiner, find_entry
from dicom_node.measuring import measure_file
from inference.domain import Examination, Frame
from inference.examine import Examiner
from tests.encoders import encode
from tests.integration.test_encoder_matrix import CINE, PHANTOM, SOURCES, STILL, image, with_peers
from tests.ultrasound import us_image, us_region

CLOSE_MM = 1.0

Lie = Mapping[str, Any]
"""Attributes and what they are set to; None takes one away."""


def spacing_only(grey: Any) -> FileDataset:
    spacing = PHANTOM.spacing_mm
    return us_image(grey[0], None, PixelSpacing=[f"{spacing.row:.8f}", f"{spacing.column:.8f}"])


def oblong(grey: Any) -> FileDataset:
    """Pixels a quarter higher than wide."""
    rows, columns = round(grey.shape[1] * 0.8), grey.shape[2]
    across = PHANTOM.spacing_mm.column / 10.0
    region = us_region((0, 0, columns - 1, rows - 1), (across, across / 0.8))
    squeezed = cv2.resize(grey[0], (columns, rows), interpolation=cv2.INTER_AREA)
    return us_image(squeezed, [region], PixelAspectRatio=[5, 4])


TRUTHFUL: dict[str, Callable[[], FileDataset]] = {
    "grey": lambda: image(STILL),
    "12 bits": lambda: SOURCES["MONOCHROME2, 12 bits"](STILL),
    "16 bits": lambda: image(STILL.astype(np.uint16) * 257),
    "colour": lambda: SOURCES["RGB"](STILL),
    "by plane": lambda: SOURCES["RGB by plane"](STILL),
    "palette": lambda: SOURCES["PALETTE COLOR"](STILL),
    "halved": lambda: SOURCES["YBR_FULL_422"](STILL),
    "cine": lambda: image(CINE),
    "spacing": lambda: spacing_only(STILL),
    "oblong": lambda: oblong(STILL),
}
COMPRESSED = ("rle", "jpeg_ls", "jpeg_2000_lossless", "htj2k_lossless")
OBJECTS = [
    *(("grey", name) for name in ("explicit", *COMPRESSED, "jpeg_lossless_sv1")),
    *(("12 bits", name) for name in ("explicit", "jpeg_ls", "jpeg_2000_lossless", "htj2k_lossless")),
    *(
        ("colour", name)
        for name in ("explicit", "rle", "jpeg_2000_lossless", "htj2k_lossless", "jpeg_baseline", "h264")
    ),
    *((what, "explicit") for what in ("16 bits", "by plane", "palette", "halved", "cine", "spacing", "oblong")),
]


# --- lies ------------------------------------------------------------------------------------------------------------


def lies(header: Dataset) -> Iterator[Lie]:
    """Everything that is tried on an object with this header; where its pixels are another's again, what is its own."""
    others = (
        () if header.get("NumberOfFrames") or "PixelAspectRatio" in header else (*_depths(), *_colours(), *_windows())
    )
    for lie in (*_sizes(header), *_frames(), *_shapes(header), *others):
        if any(header.get(keyword) != value for keyword, value in lie.items()):
            yield lie


def _sizes(header: Dataset) -> Iterator[Lie]:
    rows, columns = int(header.Rows), int(header.Columns)
    yield {"Rows": columns, "Columns": rows}
    yield {"Rows": rows * 2, "Columns": columns // 2}
    yield {"Rows": rows // 2, "Columns": columns * 2}
    for keyword, value in (("Rows", rows), ("Columns", columns)):
        for other in (value - 2, value - 1, value + 1, value + 2, value // 2, value * 2):
            yield {keyword: other}


def _depths() -> Iterator[Lie]:
    for allocated in (8, 16, 32):
        yield {"BitsAllocated": allocated}
    for stored in (7, 8, 9, 10, 12, 14, 16):
        yield {"BitsStored": stored}
        yield {"BitsStored": stored, "HighBit": stored - 1}
        yield {"BitsAllocated": 8 if stored <= 8 else 16, "BitsStored": stored, "HighBit": stored - 1}
    yield {"BitsAllocated": 16, "BitsStored": 8, "HighBit": 7}
    yield {"BitsAllocated": 16, "BitsStored": 8, "HighBit": 15}
    yield {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 15}
    for high in (None, 6, 7, 8, 11, 15):
        yield {"HighBit": high}
    yield {"PixelRepresentation": 1}
    yield {"PixelRepresentation": None}


def _colours() -> Iterator[Lie]:
    for samples in (1, 2, 3, 4):
        yield {"SamplesPerPixel": samples}
    for planar in (None, 0, 1):
        yield {"PlanarConfiguration": planar}
    for photometric in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"):
        yield {"PhotometricInterpretation": photometric}
        yield {"PhotometricInterpretation": photometric, "SamplesPerPixel": 1}
    for photometric in ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420"):
        yield {"PhotometricInterpretation": photometric}
        yield {"PhotometricInterpretation": photometric, "SamplesPerPixel": 3, "PlanarConfiguration": 0}
        yield {"PhotometricInterpretation": photometric, "SamplesPerPixel": 3, "PlanarConfiguration": 1}


def _frames() -> Iterator[Lie]:
    for count in (None, 0, 1, 2, 3, 4, 100):
        yield {"NumberOfFrames": count}


def _shapes(header: Dataset) -> Iterator[Lie]:
    if header.get("PixelAspectRatio"):
        yield {"PhysicalDeltaY": header.SequenceOfUltrasoundRegions[0].PhysicalDeltaX}
    for aspect in ([1, 1], [5, 4], [4, 5], [1, 2], [0, 1], [480, 576]):
        yield {"PixelAspectRatio": aspect}


def _windows() -> Iterator[Lie]:
    for center, width in ((128, 256), (40, 400), (2048, 4096), (100, 50), (0, 1), (32768, 65536)):
        yield {"WindowCenter": center, "WindowWidth": width}
    yield {"WindowCenter": 128, "WindowWidth": 256, "VOILUTFunction": "SIGMOID"}
    yield {"WindowCenter": 128}
    yield {"RescaleSlope": 2, "RescaleIntercept": 0, "RescaleType": "US"}
    yield {"RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU"}
    yield {"RescaleSlope": -1, "RescaleIntercept": 255, "RescaleType": "US"}


def told(lie: Lie) -> str:
    return ", ".join(f"{keyword} {value}" for keyword, value in lie.items())


# --- answers ---------------------------------------------------------------------------------------------------------


class Remembering:
    """The real examiner; what was looked at once is not looked at again."""

    def __init__(self, examiner: Examiner) -> None:
        self._examiner = examiner
        self._known: dict[Any, Examination] = {}

    @property
    def model(self) -> Any:
        return self._examiner.model

    def examine(self, frames: Iterable[Frame]) -> Examination:
        given = list(frames)
        key = tuple(
            (f.number, f.luminance.tobytes(), f.regions, f.colour is not None and f.colour.tobytes()) for f in given
        )
        if key not in self._known:
            self._known[key] = self._examiner.examine(given)
        return self._known[key]


@pytest.fixture(scope="module")
def examiner() -> Remembering:
    config = Config.model_validate({"inference": {"threads": 1}})
    return Remembering(build_examiner(config, find_entry(config)))


def lied(truthful: FileDataset, lie: Lie, folder: Path) -> Path:
    dataset = copy.deepcopy(truthful)
    for keyword, value in lie.items():
        if keyword == "PhysicalDeltaY":
            dataset.SequenceOfUltrasoundRegions[0].PhysicalDeltaY = value
        elif value is None:
            dataset.pop(keyword, None)
        else:
            setattr(dataset, keyword, value)
    path = folder / "lied.dcm"
    dataset.save_as(path)
    return path


@pytest.mark.parametrize(("name", "what"), [with_peers(name, what) for what, name in OBJECTS])
def test_no_lie_about_the_pixels_gives_another_number(
    name: str, what: str, examiner: Remembering, tmp_path: Path
) -> None:
    path = encode(TRUTHFUL[what](), name, tmp_path)
    hc_mm = measure_file(path, examiner, 16, None)["hc_mm"]
    assert hc_mm is not None, "the truthful object must give a number"
    truthful, wrong = dcmread(path), []
    for lie in lies(truthful):
        answer = measure_file(lied(truthful, lie, tmp_path), examiner, 16, None)
        assert answer["hc_mm"] is not None or answer["reason"], told(lie)
        assert "unexpected" not in str(answer["reason_text"]), told(lie)
        if answer["hc_mm"] is not None and abs(answer["hc_mm"] - hc_mm) > CLOSE_MM:
            wrong.append(lie)
    assert [told(lie) for lie in wrong] == []
