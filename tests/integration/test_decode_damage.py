"""Damaged bytes: whatever happens to a file, the reader refuses it by name or reads it, and goes on."""

from __future__ import annotations

import io
import logging
import struct
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from dicom_node.comparison import same_content
from dicom_node.decode import read_instance
from dicom_node.errors import InstanceRefused
from tests.memory import peak_below
from tests.phantoms import head_phantom
from tests.ultrasound import save, us_image, us_multiframe, us_region

ENCODINGS = ("native", "deflated", "rle", "jpeg", "jpeg_ls", "jpeg_2000", "palette")
damage = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], print_blob=True)


@cache
def whole(encoding: str, folder: Path) -> bytes:
    """The bytes of a small valid object."""
    if encoding == "palette":
        return Path(str(get_testdata_file("examples_palette.dcm", download=False))).read_bytes()
    grey = head_phantom(4, shape=(40, 60)).luminance
    dataset = us_multiframe(grey[None].repeat(2, 0), [us_region((0, 0, 59, 39), (0.02, 0.02))])
    if encoding == "jpeg":
        dataset = us_image(grey, PixelData=encapsulate([_jpeg(grey)]))
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    elif encoding == "deflated":
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    elif encoding != "native":
        syntax = {"rle": RLELossless, "jpeg_ls": JPEGLSLossless, "jpeg_2000": JPEG2000Lossless}[encoding]
        dataset.compress(syntax, generate_instance_uid=False)
    return save(dataset, folder / f"{encoding}.dcm").read_bytes()


def _jpeg(grey: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damage")


def survives(path: Path) -> None:
    """Read everything in little time; only a named refusal may come out."""
    start = time.process_time()
    with suppress(InstanceRefused):
        decoded = read_instance(path)
        str(decoded.header)
        for number in range(1, min(decoded.frame_count, 3) + 1):
            assert decoded.display(number).shape == (decoded.rows, decoded.columns, 3)
    with suppress(InstanceRefused):
        same_content(path, path)
    assert time.process_time() - start < 10


@pytest.mark.parametrize("encoding", ENCODINGS)
@damage
@given(data=st.data())
def test_cut_files(encoding: str, folder: Path, data: st.DataObject) -> None:
    content = whole(encoding, folder)
    path = folder / "cut.dcm"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    survives(path)


@pytest.mark.parametrize("encoding", ENCODINGS)
@damage
@given(data=st.data())
def test_flipped_bytes(encoding: str, folder: Path, data: st.DataObject) -> None:
    content = bytearray(whole(encoding, folder))
    header = min(len(content), 2600)  # most of what steers the parser stands here
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.one_of(st.integers(128, header - 1), st.integers(0, len(content) - 1)))
        content[place] = data.draw(st.sampled_from([0x00, 0xFF, 0x80, 0x7F, 0x5C, *range(1, 40)]))
    path = folder / "flipped.dcm"
    path.write_bytes(content)
    survives(path)


@damage
@given(data=st.binary(max_size=400))
def test_noise_after_the_magic(folder: Path, data: bytes) -> None:
    path = folder / "noise.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM" + data)
    survives(path)


@pytest.mark.parametrize("where", ["file meta information", "data set", "offset table", "fragment"])
def test_a_length_of_gigabytes_is_not_allocated(where: str, folder: Path) -> None:
    content = bytearray(whole("rle", folder))
    lengths = {
        "file meta information": content.find(b"\x02\x00\x01\x00OB") + 8,
        "data set": content.find(b"\x18\x00\x11\x60SQ") + 8,
        "offset table": content.find(b"\xe0\x7f\x10\x00OB") + 16,
        "fragment": content.find(b"\xfe\xff\x00\xe0", content.find(b"\xe0\x7f\x10\x00OB") + 20) + 4,
    }
    content[lengths[where] : lengths[where] + 4] = b"\xf0\xff\xff\x7f"
    path = folder / "lying.dcm"
    path.write_bytes(content)
    with peak_below(20_000_000):
        survives(path)


def test_an_offset_that_lies_by_gigabytes_is_not_read(folder: Path) -> None:
    content = bytearray(whole("rle", folder))
    table = content.find(b"\xe0\x7f\x10\x00OB") + 12
    assert content[table + 4 : table + 8] == b"\x08\0\0\0", "an offset table of two frames"
    content[table + 8 : table + 16] = struct.pack("<2L", 0, 0x7FFFFFF0)
    path = folder / "lying.dcm"
    path.write_bytes(content)
    with peak_below(20_000_000):
        survives(path)


def test_the_library_log_is_open_again_afterwards(folder: Path) -> None:
    (folder / "x.dcm").write_bytes(b"\0" * 128 + b"DICM")
    survives(folder / "x.dcm")
    assert logging.getLogger("pydicom").propagate
