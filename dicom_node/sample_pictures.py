"""Every picture that pydicom and pydicom-data carry, whatever it shows, in grey: none of them is a fetal head."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.errors import BytesLengthException, InvalidDicomError

from inference.domain import Luminance

PACKAGES = {"pydicom": "pydicom", "pydicom-data": "data_store"}
"""Distribution -> package."""

SMALLEST_PX = 48
WINDOW_PERCENT = (0.5, 99.5)
BROKEN = (
    AttributeError, ValueError, RuntimeError, NotImplementedError, KeyError, TypeError, IndexError, EOFError,
    OSError, struct.error, InvalidDicomError, BytesLengthException,
)  # fmt: skip
"""What a damaged sample file makes pydicom raise; many are there because they are damaged."""


def sample_pictures() -> Iterator[tuple[str, str, Luminance]]:
    """(distribution, file and frame, uint8 [rows, columns]): first, middle and last frame of every readable file."""
    for distribution, package in PACKAGES.items():
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            continue
        folder = Path(spec.origin).parent / "data"
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            for number, picture in _pictures(path):
                yield distribution, f"{path.relative_to(folder).as_posix()} frame {number}", picture


def _pictures(path: Path) -> list[tuple[int, Luminance]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of these files are there because they are odd
        try:
            dataset = dcmread(path)
            frames = _frames(np.asarray(dataset.pixel_array), int(dataset.get("SamplesPerPixel", 1)))
        except BROKEN:
            return []
    chosen = sorted({0, len(frames) // 2, len(frames) - 1})
    return [(number + 1, grey(frames[number])) for number in chosen if min(frames[number].shape) >= SMALLEST_PX]


def _frames(pixels: NDArray[np.generic], samples: int) -> NDArray[np.float64]:
    """[frames, rows, columns], the mean of the samples."""
    values = pixels.astype(np.float64)
    if samples > 1:
        values = values.mean(axis=-1)
    return values if values.ndim == 3 else values[None]


def grey(values: NDArray[np.float64]) -> Luminance:
    """Stored values [rows, columns] as grey levels, from nearly the least to nearly the greatest."""
    low, high = np.percentile(values, WINDOW_PERCENT)
    out: Luminance = np.clip((values - low) / max(float(high - low), 1e-9) * 255.0, 0, 255).astype(np.uint8)
    return out
