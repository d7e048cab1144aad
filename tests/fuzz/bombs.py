"""Small files that want to become large, or to be looked at for long: every one must be answered in the time and memory
of any other."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from dicom_node.pixel_description import MAXIMUM_FRAME_PIXELS
from tests.encoders import encode, with_frames
from tests.fuzz.layout import body_of
from tests.fuzz.mutations import tagged
from tests.ultrasound import save, us_image, us_palette, us_region

SIDE = int(MAXIMUM_FRAME_PIXELS**0.5)
"""Rows and columns of the largest frame that is looked at at all."""


REFERENCED_IMAGES, REGIONS = (0x0008, 0x1140), (0x0018, 0x6011)
FRAME_TIME_VECTOR, FRAME_INCREMENT_POINTER = (0x0018, 0x1065), (0x0028, 0x0009)


def write_bombs(folder: Path) -> list[Path]:
    """One file each, named after what it does."""
    return [write(folder / f"{name}.dcm") for name, write in BOMBS.items()]


def _deflated(megabytes: int) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        dataset = us_image(np.zeros((4, 4), np.uint8), _region(4))
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        content = save(dataset, path).read_bytes()
        end = 144 + int.from_bytes(content[140:144], "little")
        packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = packer.compress(zlib.decompress(content[end:], -zlib.MAX_WBITS))
        packed += b"".join(packer.compress(bytes(1 << 20)) for _ in range(megabytes))
        path.write_bytes(content[:end] + packed + packer.flush())
        return path

    return write


def _without_preamble(path: Path) -> Path:
    """As old archives leave files: it begins with the file meta information, which still says deflated."""
    _deflated(2000)(path)
    path.write_bytes(path.read_bytes()[132:])
    return path


def _sparse(path: Path) -> Path:
    """Zeros that take no room on the disk, and are no deflated data set."""
    _deflated(0)(path)
    os.truncate(path, 700_000_000)
    return path


def _items(encoding: str, tag: tuple[int, int], count: int) -> Callable[[Path], Path]:
    """Empty items, 8 bytes each; deflated, a few kB in all."""
    return _with_element(encoding, tag, b"SQ", b"\xfe\xff\x00\xe0\0\0\0\0" * count)


def _with_element(encoding: str, tag: tuple[int, int], vr: bytes, value: bytes) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        encode(us_image(np.zeros((64, 64), np.uint8), _region(64)), encoding, path.parent).rename(path)
        body = body_of(path.read_bytes())
        assert body is not None
        path.write_bytes(body.with_element(tagged(body, tag, vr, value)))
        return path

    return write


def _encoded(encoding: str, dtype: str, colour: bool) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        pixels = np.full((SIDE, SIDE, *((3,) if colour else ())), 100, dtype)
        if colour:
            pixels[..., 2] = 20  # a tint, which is looked at more closely
        return encode(us_image(pixels, _region(SIDE)), encoding, path.parent).rename(path)

    return write


def _rle(dataset: FileDataset, segments: int) -> Callable[[Path], Path]:
    """Byte runs of 128 equal values, written by hand: an encoder would take minutes (PS3.5 G.3)."""

    def write(path: Path) -> Path:
        dataset.Rows = dataset.Columns = SIDE
        dataset.SequenceOfUltrasoundRegions = _region(SIDE)
        row = b"\x81\x64" * (SIDE // 128) + (bytes((257 - SIDE % 128, 0x64)) if SIDE % 128 > 1 else b"")
        segment = row * SIDE
        segment += b"\0" * (len(segment) % 2)
        offsets = [64 + n * len(segment) for n in range(segments)] + [0] * (15 - segments)
        header = np.array([segments, *offsets], "<u4").tobytes()
        return save(with_frames(dataset, [header + segment * segments], RLELossless), path)

    return write


def _region(side: int) -> list[FileDataset]:
    return [us_region((0, 0, side - 1, side - 1), (0.01, 0.01))]


def _palette_16() -> FileDataset:
    table = np.repeat(np.arange(65536, dtype=np.uint16)[:, None], 3, axis=1)[:65535]
    return us_palette(np.zeros((4, 4), np.uint16), table, _region(4))  # type: ignore[arg-type]


BOMBS: dict[str, Callable[[Path], Path]] = {
    "deflated_to_120_mb": _deflated(120),
    "deflated_to_2000_mb": _deflated(2000),
    "deflated_to_2000_mb_without_preamble": _without_preamble,
    "deflated_sparse": _sparse,
    "items_deflated": _items("deflated", REFERENCED_IMAGES, 500_000),
    "items_of_a_region": _items("explicit", REGIONS, 1_000_000),
    "frame_times": _with_element("implicit", FRAME_TIME_VECTOR, b"DS", b"1\\" * 2_000_000),
    "frame_times_of_unknown_vr": _with_element("explicit", FRAME_TIME_VECTOR, b"UN", b"1\\" * 2_000_000),
    "increment_pointers": _with_element("implicit", FRAME_INCREMENT_POINTER, b"AT", b"\x18\x00\x63\x10" * 1_000_000),
    "rle_grey": _rle(us_image(np.zeros((4, 4), np.uint8)), 1),
    "rle_colour": _rle(us_image(np.zeros((4, 4, 3), np.uint8)), 3),
    "rle_16_bits": _rle(us_image(np.zeros((4, 4), np.uint16), WindowCenter=100, WindowWidth=900), 2),
    "rle_colour_16_bits": _rle(us_image(np.zeros((4, 4, 3), np.uint16)), 6),
    "rle_palette": _rle(_palette_16(), 2),
    "jpeg": _encoded("jpeg_baseline_420", "u1", True),
    "jpeg_2000": _encoded("jpeg_2000_lossless", "u1", True),
    "jpeg_2000_16_bits": _encoded("jpeg_2000_lossless", "u2", False),
    "jpeg_ls": _encoded("jpeg_ls", "u1", True),
    "jpeg_lossless": _encoded("jpeg_lossless_sv1", "u1", True),
    "htj2k": _encoded("htj2k_lossless", "u1", True),
}
