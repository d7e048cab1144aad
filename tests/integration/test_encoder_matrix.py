"""The same head in every transfer syntax × photometric interpretation × still and cine, written by real encoders.

`expected` says of each cell what must come out, and docs/decoding.md shows it. "exact": the picture is the uncompressed
one, pixel for pixel, and HC within 0.3 mm of the grey one; "close": HC within 1 mm; "refused": not decoded here, by
name. Anything else is why the standard has no such object.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1

from dicom_node.comparison import same_content
from dicom_node.config import Config
from dicom_node.decode import read_instance
from dicom_node.domain import Relation
from dicom_node.errors import InstanceRefused
from dicom_node.worker import build_examiner, find_entry
from inference.domain import Frame, Measurement, Reason
from inference.examine import Examiner
from tests.encoders import ENCODINGS, Encoding, encode
from tests.phantoms import head_phantom
from tests.ultrasound import save, us_image, us_multiframe, us_palette, us_region

PAGE = Path(__file__).parents[2] / "docs/decoding.md"
BEGIN, END = "<!-- encoder matrix -->", "<!-- end of encoder matrix -->"

SHAPE = (192, 256)
PHANTOM = head_phantom(9, shape=SHAPE)
STILL = PHANTOM.luminance[None]
CINE = np.stack([PHANTOM.luminance, PHANTOM.luminance[:, ::-1]])
LOSSLESS_MM, LOSSY_MM = 0.3, 1.0

Pixels = NDArray[np.uint8]
"""Grey frames, uint8 [frames, rows, columns]."""


def region() -> Any:
    spacing = PHANTOM.spacing_mm
    return us_region((0, 0, SHAPE[1] - 1, SHAPE[0] - 1), (spacing.column / 10.0, spacing.row / 10.0))


def image(pixels: NDArray[Any], **attributes: Any) -> FileDataset:
    """A still of one frame, a cine of several; `pixels` [frames, rows, columns] or [frames, rows, columns, 3]."""
    if len(pixels) == 1:
        return us_image(pixels[0], [region()], **attributes)
    return us_multiframe(pixels, [region()], **attributes)


def warm(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A tint that keeps the luminance: red up, blue down; uint8 [..., 3]."""
    red = np.minimum(grey * 1.1, 255.0)
    blue = grey - (red - grey) * 0.299 / 0.114
    return np.stack([red, grey, blue], axis=-1).round().astype(np.uint8)


def ybr(grey: Pixels) -> NDArray[np.uint8]:
    return np.stack([np.asarray(Image.fromarray(frame).convert("YCbCr")) for frame in warm(grey)])


def halved(full: NDArray[np.uint8]) -> bytes:
    """YBR_FULL to YBR_FULL_422: Y1 Y2 Cb Cr for every pair of pixels (PS3.3 C.7.6.3.1.2)."""
    even, odd = full[:, :, 0::2], full[:, :, 1::2]
    return np.stack([even[..., 0], odd[..., 0], even[..., 1], even[..., 2]], axis=-1).tobytes()


def palette_image(grey: Pixels, dtype: type[np.unsignedinteger[Any]]) -> FileDataset:
    """Indices in an order that only the palette knows; of 16 bits, any of 16 indices for the same colour."""
    rng, many = np.random.default_rng(1), 1 if dtype is np.uint8 else 16
    order = rng.permutation(256 * many).astype(dtype)
    table = np.zeros((256 * many, 3), np.uint16)
    table[order] = warm(np.repeat(np.arange(256, dtype=np.uint8), many)).astype(np.uint16) * 256 + 96
    indices = order[grey.astype(np.uint16) * many + rng.integers(0, many, grey.shape, dtype=np.uint16)]
    return image(indices, PhotometricInterpretation="PALETTE COLOR", **_palette(us_palette(grey[0], table)))


def segmented_palette_image(grey: Pixels) -> FileDataset:
    """A tinted ramp of one discrete segment and two linear ones (PS3.3 C.7.9.2)."""
    attributes = _palette(us_palette(grey[0], np.zeros((256, 3), np.uint16)))
    middle, end = warm(np.array([128, 255], np.uint8)).astype(int) * 256 + 96
    for place, colour in enumerate(("Red", "Green", "Blue")):
        segments = np.array([0, 1, 0, 1, 128, middle[place], 1, 127, end[place]], "<u2")
        attributes[f"Segmented{colour}PaletteColorLookupTableData"] = segments.tobytes()
        del attributes[f"{colour}PaletteColorLookupTableData"]
    return image(grey, PhotometricInterpretation="PALETTE COLOR", **attributes)


def _palette(dataset: FileDataset) -> dict[str, Any]:
    return {element.keyword: element.value for element in dataset if "Palette" in element.keyword}


SOURCES: dict[str, Callable[[Pixels], FileDataset]] = {
    "MONOCHROME2": image,
    "MONOCHROME1": lambda grey: image(255 - grey, PhotometricInterpretation="MONOCHROME1"),
    "MONOCHROME2, 12 bits": lambda grey: image(
        np.rint(grey * (4095 / 255)).astype(np.uint16), BitsStored=12, HighBit=11
    ),
    "MONOCHROME2, 16 bits": lambda grey: image(grey.astype(np.uint16) * 257),
    "RGB": lambda grey: image(warm(grey)),
    "RGB by plane": lambda grey: image(
        warm(grey), PlanarConfiguration=1, PixelData=np.moveaxis(warm(grey), -1, 1).tobytes()
    ),
    "YBR_FULL": lambda grey: image(ybr(grey), PhotometricInterpretation="YBR_FULL"),
    "YBR_FULL_422": lambda grey: image(
        ybr(grey), PhotometricInterpretation="YBR_FULL_422", PixelData=halved(ybr(grey))
    ),
    "PALETTE COLOR": lambda grey: palette_image(grey, np.uint8),
    "PALETTE COLOR, 16 bits": lambda grey: palette_image(grey, np.uint16),
    "PALETTE COLOR, segmented": segmented_palette_image,
}
"""Uncompressed objects. Encoders make YBR_FULL_422, YBR_ICT, YBR_RCT or YBR_PARTIAL_420 of RGB."""

EXACT, CLOSE, REFUSED = "exact", "close", "refused"

NATIVE = frozenset({"explicit", "implicit", "big_endian", "deflated"})
LOSSY_JPEG = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit})
LOSSLESS_JPEG = frozenset({JPEGLossless, JPEGLosslessSV1})
DEEP = frozenset({"MONOCHROME2, 12 bits", "MONOCHROME2, 16 bits", "PALETTE COLOR, 16 bits"})
A_FRAME_HAS_ITS_ORDER = "the order of native samples only"
VIDEO_HAS_ITS_OWN = "a video is YBR_PARTIAL_420, here made of RGB"
ONLY_JPEG_HALVES = "halved chroma is for native and lossy JPEG"
INDICES_ARE_NOT_LOSSY = "indices cannot be stored with loss"
EIGHT_BITS = "this syntax has 8 bits"
TWELVE_BITS = "this syntax has 8 or 12 bits"
NOT_BY_GDCM = "gdcmconv does not take it"
WRITTEN_FROM_RGB = "RGB becomes this"


def expected(name: str, photometric: str) -> str:
    """EXACT, CLOSE or REFUSED, or why there is no such object (PS3.5 8.2; PS3.3 C.7.6.3.1.2 and .3)."""
    encoding = ENCODINGS[name]
    if name in NATIVE:
        return EXACT
    return _impossible(encoding, photometric) or _outcome(encoding, photometric)


def _impossible(encoding: Encoding, photometric: str) -> str | None:
    if photometric == "RGB by plane":
        return A_FRAME_HAS_ITS_ORDER
    if encoding.is_video and photometric != "RGB":
        return VIDEO_HAS_ITS_OWN
    if photometric == "YBR_FULL_422":
        return WRITTEN_FROM_RGB if encoding.syntax in LOSSY_JPEG else ONLY_JPEG_HALVES
    if photometric.startswith("PALETTE COLOR") and not encoding.lossless:
        return INDICES_ARE_NOT_LOSSY
    if photometric == "PALETTE COLOR, segmented" and "gdcmconv" in encoding.peers:
        return NOT_BY_GDCM
    if photometric in DEEP and encoding.syntax == JPEGBaseline8Bit:
        return EIGHT_BITS
    if photometric == "MONOCHROME2, 16 bits" and encoding.syntax == JPEGExtended12Bit:
        return TWELVE_BITS
    return None


def _outcome(encoding: Encoding, photometric: str) -> str:
    if photometric in DEEP and encoding.syntax in LOSSLESS_JPEG | LOSSY_JPEG:
        return REFUSED
    return EXACT if encoding.lossless else CLOSE


CELLS = [(name, photometric) for name in ENCODINGS for photometric in SOURCES]
POSSIBLE = [cell for cell in CELLS if expected(*cell) in (EXACT, CLOSE, REFUSED)]


def with_peers(name: str, *values: str) -> Any:
    """A test's parameters, marked with the programs that write this encoding."""
    peers = ENCODINGS[name].peers
    return pytest.param(name, *values, marks=[pytest.mark.peer(*peers)] if peers else [])


@pytest.fixture(scope="module")
def examiner() -> Examiner:
    return build_examiner(Config(), find_entry(Config()))


@pytest.fixture(scope="module")
def hc_mm(examiner: Examiner) -> Callable[[Frame], float]:
    """HC by the real network; the same luminance is looked at once."""
    known: dict[bytes, float] = {}

    def measure(frame: Frame) -> float:
        key = frame.luminance.tobytes()
        if key not in known:
            finding = examiner.examine([frame]).finding
            assert isinstance(finding, Measurement), finding
            known[key] = finding.hc_mm
        return known[key]

    return measure


@pytest.mark.parametrize("pixels", [STILL, CINE], ids=["still", "cine"])
@pytest.mark.parametrize(("name", "photometric"), [with_peers(*cell) for cell in POSSIBLE])
def test_the_same_head_in_every_encoding(
    name: str, photometric: str, pixels: Pixels, hc_mm: Callable[[Frame], float], tmp_path: Path
) -> None:
    dataset = SOURCES[photometric](pixels)
    path = encode(dataset, name, tmp_path)
    if expected(name, photometric) == REFUSED:
        with pytest.raises(InstanceRefused) as caught:
            read_instance(path).display(1)
        assert caught.value.reason is Reason.UNSUPPORTED_TRANSFER_SYNTAX
        return
    decoded, native = read_instance(path), read_instance(encode(dataset, "explicit", tmp_path))
    assert decoded.header.file_meta.TransferSyntaxUID == ENCODINGS[name].syntax
    numbers = range(1, len(pixels) + 1)
    if expected(name, photometric) == EXACT:
        for number in numbers:
            np.testing.assert_array_equal(decoded.display(number), native.display(number))
    limit = LOSSLESS_MM if expected(name, photometric) == EXACT else LOSSY_MM
    grey = read_instance(save(image(pixels), tmp_path / "grey.dcm"))
    for frame, plain in zip(decoded.frames(numbers), grey.frames(numbers), strict=True):
        assert hc_mm(frame) == pytest.approx(hc_mm(plain), abs=limit + 1e-9)
        assert frame.colour is None or np.mean(frame.colour) < 0.002  # the tint is not taken for flow


@pytest.mark.peer("dcmcjpeg", "dcmcjpls")
def test_lossy_is_another_object_and_lossless_is_the_same(tmp_path: Path) -> None:
    dataset = SOURCES["RGB"](CINE)
    native = encode(dataset, "explicit", tmp_path)
    for name in ("jpeg_lossless", "jpeg_ls", "jpeg_2000_lossless", "deflated"):
        assert same_content(native, encode(dataset, name, tmp_path)) is Relation.DUPLICATE
    for name in ("jpeg_baseline", "jpeg_ls_near", "h264"):
        assert same_content(native, encode(dataset, name, tmp_path)) is Relation.CONFLICT


@pytest.mark.parametrize(
    "name", [with_peers(n) for n in ("jpeg_ls", "jpeg_2000_lossless", "htj2k_lossless", "jpeg_lossless_sv1")]
)
def test_a_planar_configuration_that_was_copied_along_is_ignored(name: str, tmp_path: Path) -> None:
    dataset = SOURCES["RGB"](STILL)
    encoded = dcmread(encode(dataset, name, tmp_path))
    encoded.PlanarConfiguration = 1
    np.testing.assert_array_equal(read_instance(save(encoded, tmp_path / "b.dcm")).display(1), warm(STILL)[0])


def table() -> str:
    """The matrix as Markdown; what no object can be is named below it."""
    reasons = list(dict.fromkeys(expected(*cell) for cell in CELLS if cell not in POSSIBLE))
    lines = ["| encoding | " + " | ".join(SOURCES) + " |", "| --- " * (len(SOURCES) + 1) + "|"]
    for name in ENCODINGS:
        cells = [expected(name, photometric) for photometric in SOURCES]
        lines.append(
            f"| {name} | " + " | ".join(f"({reasons.index(c) + 1})" if c in reasons else c for c in cells) + " |"
        )
    notes = [f"({number}) {reason}" for number, reason in enumerate(reasons, start=1)]
    return "\n".join([*lines, "", "; ".join(notes) + "."])


def test_the_page_shows_this_matrix() -> None:
    assert table() in PAGE.read_text(encoding="utf-8"), "run: python -m tests.integration.test_encoder_matrix"


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}", encoding="utf-8")
