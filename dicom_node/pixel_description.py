"""The Image Pixel module (PS3.3 C.7.6.3), read and checked."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

from dicom_node.errors import InstanceRefused
from inference.domain import Reason

MAXIMUM_FRAME_PIXELS = 4096 * 2160
"""A 4K screen (17:9), at most 0.9 GB while it is looked at; a larger frame is damage or an attack."""

MAXIMUM_FRAMES = 100_000

SAMPLES_OF = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}
"""Photometric interpretations that can be shown, with their Samples per Pixel (PS3.3 C.7.6.3.1.2)."""


@dataclass(frozen=True, slots=True)
class PixelDescription:
    """The Image Pixel module, checked."""

    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    planar_configuration: int
    bits_allocated: int
    bits_stored: int
    high_bit: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one native frame; YBR_FULL_422 stores two chroma samples for two pixels."""
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.rows * self.columns * samples * self.bits_allocated // 8


def describe(header: Dataset) -> PixelDescription:
    """Read and check the Image Pixel module.

    Raises:
        InstanceRefused: BAD_PIXEL_DESCRIPTION or UNSUPPORTED_PHOTOMETRIC.
    """
    photometric = header.get("PhotometricInterpretation")
    if not isinstance(photometric, str) or not photometric.strip():
        raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, "(Photometric Interpretation is missing)")
    photometric = photometric.strip().upper()
    if photometric not in SAMPLES_OF:
        raise InstanceRefused(Reason.UNSUPPORTED_PHOTOMETRIC)
    samples = _integer(header, "SamplesPerPixel", 1, 3)
    if samples != SAMPLES_OF[photometric]:
        raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, f"(Samples per Pixel {samples} with {photometric})")
    rows, columns, frames = describe_size(header)
    bits_allocated = _integer(header, "BitsAllocated", 8, 16)
    if bits_allocated % 8:
        raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, f"(Bits Allocated {bits_allocated})")
    # PS3.3 C.8.5.6.1: ultrasound samples are unsigned, so it may be missing
    _integer(header, "PixelRepresentation", 0, 0, absent=0)
    bits_stored = _integer(header, "BitsStored", 1, bits_allocated)
    return PixelDescription(
        rows=rows,
        columns=columns,
        frames=frames,
        samples=samples,
        photometric=photometric,
        planar_configuration=_integer(header, "PlanarConfiguration", 0, 1, absent=0),
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        # where it lay above the stored bits, in objects of old, others used the bits below
        high_bit=_integer(header, "HighBit", bits_stored - 1, bits_allocated - 1, absent=bits_stored - 1),
    )


def describe_size(header: Dataset) -> tuple[int, int, int]:
    """Rows, columns and frames. Raises InstanceRefused: BAD_PIXEL_DESCRIPTION."""
    rows, columns = _integer(header, "Rows", 1, 65535), _integer(header, "Columns", 1, 65535)
    if rows * columns > MAXIMUM_FRAME_PIXELS:
        raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, f"({rows} rows x {columns} columns is too large)")
    return rows, columns, _integer(header, "NumberOfFrames", 1, MAXIMUM_FRAMES, absent=1)


def _integer(header: Dataset, keyword: str, low: int, high: int, absent: int | None = None) -> int:
    value = header.get(keyword)
    if value in (None, "") and absent is not None:
        return absent
    if not isinstance(value, int):
        raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, f"({keyword} is missing or not a number)")
    if not low <= value <= high:
        raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, f"({keyword} {int(value)})")
    return int(value)
