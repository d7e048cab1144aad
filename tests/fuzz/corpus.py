"""Whole files to start from: phantoms in every encoding and photometric interpretation, and real ultrasound objects."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

from inference.domain import EllipsePx
from inference.measure import inside_distance_px
from tests.encoders import ENCODINGS, encode
from tests.real_files import ultrasound_objects
from tests.ultrasound import us_image, us_multiframe, us_palette, us_region

PATIENT_NAME, PATIENT_ID = "Canary^Tweety", "CANARY-4711"
SHAPE = (120, 160)
"""Rows and columns."""

LARGEST_BYTES = 1_500_000
"""Real objects above this are left out: writing them would take longer than reading them."""

COLOUR_ENCODINGS = (
    *("explicit", "implicit", "big_endian", "deflated", "rle", "jpeg_baseline", "jpeg_baseline_422"),
    *("jpeg_baseline_420", "jpeg_baseline_rgb", "jpeg_lossless_sv1", "jpeg_ls", "jpeg_ls_near"),
    *("jpeg_2000_lossless", "jpeg_2000", "htj2k_lossless", "htj2k", "mpeg2_main", "h264", "hevc"),
)
GREY_CINE_ENCODINGS = ("explicit", "rle", "jpeg_lossless", "jpeg_ls", "jpeg_2000_lossless", "htj2k_rpcl", "h264_bd")
DEEP_ENCODINGS = ("explicit", "big_endian", "rle", "jpeg_lossless", "jpeg_ls", "jpeg_2000_lossless", "htj2k_lossless")

HEARTS = {b"EPICARDIAL": b"ABDOMINAL ", b"CARDIOLOGY": b"ABDOMINAL ", b"PRIMARY\\TEE": b"PRIMARY\\OB "}
"""Image Types that are not looked at, and what to call them so that they are."""


@dataclass(frozen=True)
class Seed:
    """A valid file. `secrets`: what it says of a patient and no answer or log may repeat."""

    name: str
    content: bytes
    secrets: tuple[str, ...]
    is_real: bool = False


def programs() -> tuple[str, ...]:
    """The peers without which the corpus is not whole."""
    return tuple(sorted({peer for encoding in ENCODINGS.values() for peer in encoding.peers}))


def build(folder: Path) -> tuple[Seed, ...]:
    """All seeds, in an order that depends on nothing but what is installed. `folder` is scratch space."""
    return (*_phantoms(folder), *_real())


@cache
def head() -> NDArray[np.uint8]:
    """A bright head on darker speckle, so that the stand-in for the network finds it; uint8 [rows, columns]."""
    rng = np.random.default_rng(7)
    speckle = rng.rayleigh(25.0, SHAPE)
    inside = np.clip(0.5 + inside_distance_px(EllipsePx(82.0, 58.0, 48.0, 37.0, 20.0), *SHAPE) / 3.0, 0, 1)
    grey: NDArray[np.uint8] = np.clip(speckle * (1 - inside) + (190 + speckle) * inside, 0, 255).astype(np.uint8)
    return grey


def _phantoms(folder: Path) -> Iterator[Seed]:
    for name, dataset, encodings in _recipes():
        for encoding in encodings:
            if all(shutil.which(program) for program in ENCODINGS[encoding].peers):
                content = encode(dataset, encoding, folder).read_bytes()
                yield Seed(f"{name}_{encoding}", content, (PATIENT_NAME, "Tweety", PATIENT_ID))


def _recipes() -> Iterator[tuple[str, FileDataset, tuple[str, ...]]]:
    grey = head()
    colour = np.dstack([grey, grey, np.minimum(grey, 200)])
    deep = grey.astype(np.uint16) * 16
    yield "grey", us_image(grey, _region(), **_facts()), tuple(ENCODINGS)
    yield "colour_cine", us_multiframe(np.stack([colour] * 3), _region(), **_facts()), COLOUR_ENCODINGS
    yield "grey_cine", us_multiframe(np.stack([grey] * 5), _region(), **_facts()), GREY_CINE_ENCODINGS
    twelve = {"BitsStored": 12, "HighBit": 11, "WindowCenter": 2000, "WindowWidth": 4000}
    yield "deep", us_image(deep, _region(), **twelve, **_facts()), (*DEEP_ENCODINGS, "jpeg_extended")
    yield "inverse", us_image(255 - grey, _region(), PhotometricInterpretation="MONOCHROME1", **_facts()), ("explicit",)
    planes = us_image(colour, _region(), PlanarConfiguration=1, **_facts())
    planes.PixelData = np.ascontiguousarray(np.moveaxis(colour, -1, 0)).tobytes()
    yield "planes", planes, ("explicit", "rle")
    ybr = np.dstack([grey, *[np.full_like(grey, 128)] * 2])
    yield "ybr", us_image(ybr, _region(), PhotometricInterpretation="YBR_FULL", **_facts()), ("explicit", "rle")
    subsampled = us_image(colour, _region(), PhotometricInterpretation="YBR_FULL_422", **_facts())
    subsampled.PixelData = np.dstack([grey[:, ::2], grey[:, 1::2], *[np.full_like(grey[:, ::2], 128)] * 2]).tobytes()
    yield "subsampled", subsampled, ("explicit",)
    yield from _palettes(grey)
    yield "two_regions", us_image(grey, _two_regions(), **_facts()), ("explicit", "implicit")
    spacing = {"PixelSpacing": [0.5, 0.5], "PixelSpacingCalibrationType": "GEOMETRY"}
    yield "spacing", us_image(grey, None, **spacing, **_facts()), ("explicit",)
    nominal = us_image(grey, None, NominalScannedPixelSpacing=[0.5, 0.5], ConversionType="SI", **_facts())
    nominal.SOPClassUID = nominal.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    yield "capture", nominal, ("explicit",)


def _palettes(grey: NDArray[np.uint8]) -> Iterator[tuple[str, FileDataset, tuple[str, ...]]]:
    ramp = np.repeat((np.arange(256) * 257).astype(np.uint16)[:, None], 3, axis=1)
    palette = us_palette(grey, ramp, _region(), **_facts())
    yield "palette", palette, ("explicit", "implicit", "big_endian", "deflated", "rle")
    segmented = us_palette(grey, ramp, _region(), **_facts())
    for colour in ("Red", "Green", "Blue"):
        # one discrete entry and a linear segment up to white (PS3.3 C.7.9.2)
        segments = np.array([0, 1, 0, 1, 255, 65535], "<u2")
        setattr(segmented, f"Segmented{colour}PaletteColorLookupTableData", segments.tobytes())
        delattr(segmented, f"{colour}PaletteColorLookupTableData")
    yield "segmented", segmented, ("explicit",)


def _facts() -> dict[str, Any]:
    uids = {"SOPInstanceUID": "2.25.4711", "StudyInstanceUID": "2.25.4712"}
    return {"PatientName": PATIENT_NAME, "PatientID": PATIENT_ID, **uids}


def _region() -> list[Any]:
    return [us_region((0, 0, SHAPE[1] - 1, SHAPE[0] - 1), (0.07, 0.07))]


def _two_regions() -> list[Any]:
    return [us_region((0, 0, 139, 119), (0.07, -0.07)), us_region((140, 0, 159, 119), (0.05, 0.05))]


def _real() -> Iterator[Seed]:
    for name, path, header in ultrasound_objects():
        if path.stat().st_size <= LARGEST_BYTES:
            said = (str(header.get(keyword, "")) for keyword in ("PatientName", "PatientID"))
            content = path.read_bytes()
            for heart, other in HEARTS.items():
                content = content.replace(heart, other)
            yield Seed(name, content, tuple(text for text in said if len(text) > 4), is_real=True)
