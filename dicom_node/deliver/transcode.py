"""What a peer that refuses a transfer syntax may take instead: the same object, not compressed.

Taking pixel data out of its compression changes no pixel, so the SOP Instance UID stays (PS3.3 C.7.6.1.1.5 speaks of
compression only). What is stored here stays as it is; the copy exists for as long as it is being sent.
"""

from __future__ import annotations

from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

FALLBACKS = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
"""What every storage SCP takes: the second is the default of DICOM (PS3.5 10.1), the first keeps more meaning."""

LARGEST_BYTES = 1 << 30
"""Pixel data beyond it is not held in memory as a whole."""

_NEVER_COMPRESSED = (*FALLBACKS, str(DeflatedExplicitVRLittleEndian))


class NotConvertible(Exception):
    """The object cannot be had without its compression; the message says why, without anything of its content."""


def is_convertible(transfer_syntax_uid: str) -> bool:
    """Whether objects in this transfer syntax can be sent in one of the FALLBACKS.

    Not video, which would be a hundred times its size, nor big endian, whose pixels pydicom does not turn round.
    """
    if transfer_syntax_uid in _NEVER_COMPRESSED:
        return True
    try:
        return bool(get_decoder(UID(transfer_syntax_uid)).is_available) and UID(transfer_syntax_uid).is_compressed
    except NotImplementedError:
        return False


def uncompressed(path: Path) -> Dataset:
    """The object with native pixel data, in memory.

    Raises:
        NotConvertible: its pixel data cannot be decoded, or is larger than LARGEST_BYTES.
        OSError: the file cannot be read.
    """
    try:
        dataset = dcmread(path)
        if dataset.file_meta.TransferSyntaxUID.is_compressed and "PixelData" in dataset:
            _check_size(dataset)
            dataset.decompress(generate_instance_uid=False)
    except (
        InvalidDicomError,
        AttributeError,
        EOFError,
        KeyError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        raise NotConvertible("its pixel data cannot be decoded") from error
    return dataset


def _check_size(dataset: Dataset) -> None:
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    bytes_per_pixel = dataset.SamplesPerPixel * ((dataset.BitsAllocated + 7) // 8)
    if dataset.Rows * dataset.Columns * frames * bytes_per_pixel > LARGEST_BYTES:
        raise NotConvertible("its pixel data is too large without compression")
