"""Images that are wrong in one way each, and what the node must say about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset

from tests.acceptance.scanner import SMALL, head_image
from tests.ultrasound import save, us_palette, us_region

ROWS, COLUMNS = SMALL
_HEAD = 4


@dataclass(frozen=True)
class BadImage:
    """`status` and `reason` as in the answer; `make` writes the file."""

    make: Callable[[Path], Path]
    status: str
    reason: str | None


def bad_images() -> dict[str, BadImage]:
    """By name. Those that can be read all the same, and whose scale can be trusted, are measured."""
    return {
        "truncated": BadImage(_truncated, "refused", "truncated"),
        "no_pixel_data": BadImage(_without("PixelData"), "refused", "no_pixel_data"),
        "wrong_vr": BadImage(_wrong_vr, "refused", "bad_pixel_description"),
        "zero_rows": BadImage(_with(Rows=0), "refused", "bad_pixel_description"),
        "no_regions": BadImage(_without("SequenceOfUltrasoundRegions"), "abstained", "not_calibrated"),
        "zero_delta": BadImage(_delta(0.0, 0.0), "abstained", "not_calibrated"),
        "negative_delta": BadImage(_delta(-1.0, -1.0), "measured", None),
        "sixteen_bits": BadImage(_sixteen_bits, "measured", None),
        "palette_colour": BadImage(_palette, "measured", None),
    }


def good_image(path: Path, seed: int = _HEAD) -> Path:
    return save(head_image(seed), path)


def _with(**attributes: object) -> Callable[[Path], Path]:
    return lambda path: save(head_image(_HEAD, **attributes), path)


def _without(keyword: str) -> Callable[[Path], Path]:
    return _with(**{keyword: None})


def _truncated(path: Path) -> Path:
    save(head_image(_HEAD), path)
    path.write_bytes(path.read_bytes()[: -ROWS * COLUMNS // 2])
    return path


def _wrong_vr(path: Path) -> Path:
    """Rows as text: the value is there, and is no number of rows."""
    save(head_image(_HEAD), path)
    right, wrong = b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x10\x00LO\x02\x00"
    content = path.read_bytes()
    assert content.count(right) == 1
    path.write_bytes(content.replace(right, wrong))
    return path


def _delta(column: float, row: float) -> Callable[[Path], Path]:
    """The true deltas times these factors."""

    def make(path: Path) -> Path:
        image = head_image(_HEAD)
        region = image.SequenceOfUltrasoundRegions[0]
        deltas = (region.PhysicalDeltaX * column, region.PhysicalDeltaY * row)
        image.SequenceOfUltrasoundRegions = [us_region((0, 0, COLUMNS - 1, ROWS - 1), deltas)]
        return save(image, path)

    return make


def _sixteen_bits(path: Path) -> Path:
    image = head_image(_HEAD)
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit = 15
    samples = _samples(head_image(_HEAD))
    image.add_new(0x7FE00010, "OW", (samples.astype("<u2") * 257).tobytes())
    return save(image, path)


def _palette(path: Path) -> Path:
    image = head_image(_HEAD)
    ramp = np.repeat((np.arange(256) * 257).astype(np.uint16)[:, None], 3, axis=1)
    return save(us_palette(_samples(image), ramp, list(image.SequenceOfUltrasoundRegions)), path)


def _samples(image: FileDataset) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.frombuffer(image.PixelData, np.uint8)[: ROWS * COLUMNS].reshape(ROWS, COLUMNS)
