"""Ways to break a file. Each takes bytes and a seeded random generator and gives bytes; none depends on anything else.

`WRITTEN` puts odd values into well-formed files, `CRAFTED` breaks what a parser or decoder believes (lengths, tables,
markers), `BLUNT` breaks bytes anywhere.
"""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.fuzz.layout import DEFLATED, LONG_VRS, Body, Element, Layout, body_of, layout_of, transfer_syntax

Mutation = Callable[[bytes, random.Random], bytes]

ODD_NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    8,
    9,
    12,
    16,
    17,
    24,
    31,
    32,
    64,
    127,
    128,
    255,
    256,
    1000,
    4096,
    32767,
    32768,
    65534,
    65535,
)
ODD_LENGTHS = (0, 1, 2, 3, 7, 8, 255, 65534, 65535, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFE, 0xFFFFFFFF)
ODD_BYTES = (0x00, 0xFF, 0x80, 0x7F, 0x5C, 0x01, 0xFE, 0xD8, 0xD9)
VRS = (
    *b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV".split(),
    *b"OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV ZZ".split(),
    b"\0\0",
)
SYNTAXES = tuple(
    f"1.2.840.10008.1.2{tail}"
    for tail in (
        *("", ".1", ".1.99", ".2", ".5", ".1.98"),
        *(f".4.{n}" for n in (50, 51, 57, 70, 80, 81, 90, 91, 92, 93, 94, 95)),
        *(f".4.{n}" for n in (100, 101, 102, 103, 104, 105, 106, 107, 108, 110, 201, 202, 203)),
    )
)
SOP_CLASSES = ("6.1", "3.1", "6", "3", "6.2", "7", "7.2", "7.4", "2", "88.33", "104.1")
PHOTOMETRICS = (
    *("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420"),
    *("YBR_ICT", "YBR_RCT", "PALETTE COLOR", "ARGB", "HSV", "", "MONOCHROME2\\RGB"),
)
NUMBERS_AS_TEXT = (
    b"0 ",
    b"-1",
    b"2 ",
    b"99999",
    b"1000000000",
    b"1e400 ",
    b"nan ",
    b"inf ",
    b"abc ",
    b"1\\2 ",
    b"",
    b"0.5\\0.5 ",
)
FLOATS = (0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e308, -1e308, 5e-324, 1e-9, -0.07, 0.0001, 0.01, 99.0)
PIXEL_KEYWORDS = (
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel", "PlanarConfiguration"),
    "PixelRepresentation",
)
TEXT_KEYWORDS = (
    *("NumberOfFrames", "PixelSpacing", "NominalScannedPixelSpacing", "WindowCenter", "WindowWidth", "FrameTime"),
    *("FrameTimeVector", "CineRate", "RecommendedDisplayFrameRate", "RescaleSlope", "PixelAspectRatio", "StartTrim"),
)
REGION_KEYWORDS = (
    *("RegionSpatialFormat", "RegionDataType", "RegionFlags", "PhysicalUnitsXDirection", "PhysicalUnitsYDirection"),
    *("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1"),
    *("ReferencePixelX0", "ReferencePixelY0"),
)


STRETCHED_EVERY = 40
STRETCHED_BYTES = (300_000_000, 700_000_000, 3_000_000_000)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A broken file: `content`, zeros up to `size` that take no room on the disk, and what was done to it."""

    content: bytes
    size: int
    names: tuple[str, ...]

    def write(self, path: Path) -> None:
        path.write_bytes(self.content)
        os.truncate(path, self.size)


def mutate(content: bytes, rng: random.Random) -> Mutant:
    """One to four mutations, those that need a readable file first; now and then a file far larger than it says."""
    count = rng.choice((1, 1, 1, 2, 2, 3, 4))
    chosen = [rng.choice(ORDERED if rng.random() < 0.75 else BLUNT) for _ in range(count)]
    for mutation in sorted(chosen, key=(*ORDERED, *BLUNT).index):
        content = mutation(content, rng)
    names = tuple(mutation.__name__ for mutation in chosen)
    if rng.randrange(STRETCHED_EVERY):
        return Mutant(content, len(content), names)
    if rng.random() < 0.5:
        content = syntax_set(content, DEFLATED)
    return Mutant(content, max(len(content), rng.choice(STRETCHED_BYTES)), (*names, "stretched"))


# --- bytes anywhere ------------------------------------------------------------------------------------------------


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)] if content else content


def cut_near_the_end(content: bytes, rng: random.Random) -> bytes:
    return content[: -rng.randint(1, 64)]


def bytes_changed(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5, 20, 200))):
        if changed:
            changed[_place(len(changed), rng)] = rng.choice(ODD_BYTES) if rng.random() < 0.5 else rng.randrange(256)
    return bytes(changed)


def bits_flipped(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 2, 8, 50))):
        if changed:
            changed[_place(len(changed), rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def piece_moved(content: bytes, rng: random.Random) -> bytes:
    """A piece removed, doubled or replaced by another one."""
    start = _place(len(content) + 1, rng)
    size = rng.choice((1, 2, 4, 8, 64, 1024))
    piece = content[start : start + size]
    elsewhere = _place(len(content) + 1, rng)
    if rng.random() < 0.4:
        return content[:start] + content[start + size :]
    return content[:elsewhere] + piece + content[elsewhere + (size if rng.random() < 0.5 else 0) :]


def noise_appended(content: bytes, rng: random.Random) -> bytes:
    return content + rng.randbytes(rng.choice((1, 2, 7, 8, 100, 5000)))


def _place(size: int, rng: random.Random) -> int:
    """Half of all places lie in the header, which steers the parser."""
    return rng.randrange(128, min(size, 3000)) if size > 200 and rng.random() < 0.5 else rng.randrange(max(1, size))


def start_removed(content: bytes, rng: random.Random) -> bytes:
    """Without preamble, or without file meta information as well, as old archives leave files."""
    group_length = int.from_bytes(content[140:144], "little")
    return content[rng.choice((1, 128, 132, 144 + group_length)) :]


# --- elements ------------------------------------------------------------------------------------------------------


def length_lies(content: bytes, rng: random.Random) -> bytes:
    element = _any_element(layout_of(content), rng)
    return content if element is None else _with_length(content, element, rng, layout_of(content).order)


def vr_changed(content: bytes, rng: random.Random) -> bytes:
    element = _any_element(layout_of(content), rng)
    if element is None or not element.vr_at:
        return content
    return content[: element.vr_at] + rng.choice(VRS) + content[element.vr_at + 2 :]


def element_removed(content: bytes, rng: random.Random) -> bytes:
    element = _any_element(layout_of(content), rng)
    return content if element is None else content[: element.start] + content[element.value_at + element.size :]


def element_doubled(content: bytes, rng: random.Random) -> bytes:
    layout = layout_of(content)
    first, second = _any_element(layout, rng), _any_element(layout, rng)
    if first is None or second is None:
        return content
    whole = content[first.start : first.value_at + first.size]
    return content[: second.start] + whole + content[second.start :]


def value_replaced(content: bytes, rng: random.Random) -> bytes:
    """Another value of the same length, so that everything behind it stays where it was."""
    element = _any_element(layout_of(content), rng)
    if element is None or not element.size:
        return content
    size = min(element.size, 4096)
    value = rng.choice((b"\0" * size, b"\xff" * size, b"\\" * size, b"9" * size, rng.randbytes(size)))
    return content[: element.value_at] + value + content[element.value_at + size :]


def pixel_description_lies(content: bytes, rng: random.Random) -> bytes:
    """Rows, Columns, bits or samples overwritten in place."""
    layout = layout_of(content)
    tag = pydicom.tag.Tag(rng.choice(PIXEL_KEYWORDS))
    element = layout.find(tag.group, tag.element)
    if element is None or element.size < 2:
        return content
    old = int.from_bytes(content[element.value_at : element.value_at + 2], layout.order)  # type: ignore[arg-type]
    new = rng.choice((*ODD_NUMBERS, old - 1, old + 1, old * 2, old // 2)) % 65536
    return content[: element.value_at] + new.to_bytes(2, layout.order) + content[element.value_at + 2 :]  # type: ignore[arg-type]


def _any_element(layout: Layout, rng: random.Random) -> Element | None:
    return rng.choice(layout.elements) if layout.elements else None


def _with_length(content: bytes, element: Element, rng: random.Random, order: str) -> bytes:
    lengths = (*ODD_LENGTHS, element.size - 1, element.size + 1, element.size + 2, element.size * 2, element.size // 2)
    length = rng.choice(lengths) % (1 << 8 * element.length_bytes)
    encoded = length.to_bytes(element.length_bytes, order if element.tag[0] != 2 else "little")  # type: ignore[arg-type]
    return content[: element.length_at] + encoded + content[element.value_at :]


# --- attributes, written back by the library -------------------------------------------------------------------------


def attribute(change: Callable[[Dataset, random.Random], None]) -> Mutation:
    """Parse, change, write; a file that cannot be parsed or written any more stays as it is."""

    def mutation(content: bytes, rng: random.Random) -> bytes:
        with suppress(Exception):
            dataset = dcmread(io.BytesIO(content), force=True)
            change(dataset, rng)
            out = io.BytesIO()
            dataset.save_as(out)
            return out.getvalue()
        return content

    mutation.__name__ = change.__name__
    return mutation


def _put(dataset: Dataset, keyword: str, vr: str, value: bytes) -> None:
    """Bytes as they are, under any VR."""
    element = DataElement(pydicom.tag.Tag(keyword), "UN", value, already_converted=True)
    element.VR = vr
    dataset[element.tag] = pydicom.dataelem.RawDataElement(element.tag, vr, len(value), value, 0, False, True)


@attribute
def number_of_frames(dataset: Dataset, rng: random.Random) -> None:
    _put(dataset, "NumberOfFrames", "IS", rng.choice((*NUMBERS_AS_TEXT, b"2 ", b"3 ", b"100 ", b"65535 ")))


@attribute
def numbers_as_text(dataset: Dataset, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 3)):
        _put(dataset, rng.choice(TEXT_KEYWORDS), "DS", rng.choice(NUMBERS_AS_TEXT) * rng.choice((1, 1, 1, 400)))


def syntax_swapped(content: bytes, rng: random.Random) -> bytes:
    """Another Transfer Syntax UID over the same bytes."""
    return syntax_set(content, rng.choice(SYNTAXES).encode())


def syntax_set(content: bytes, uid: bytes) -> bytes:
    element = layout_of(content).find(0x0002, 0x0010)
    if element is None:
        return content
    uid += b"\0" * (len(uid) % 2)
    grown = (
        content[: element.length_at] + len(uid).to_bytes(2, "little") + uid + content[element.value_at + element.size :]
    )
    group_length = int.from_bytes(content[140:144], "little") + len(uid) - element.size
    return grown[:140] + (group_length % (1 << 32)).to_bytes(4, "little") + grown[144:]


@attribute
def sop_class(dataset: Dataset, rng: random.Random) -> None:
    dataset.SOPClassUID = f"1.2.840.10008.5.1.4.1.1.{rng.choice(SOP_CLASSES)}"


@attribute
def photometric(dataset: Dataset, rng: random.Random) -> None:
    dataset.PhotometricInterpretation = rng.choice(PHOTOMETRICS)
    if rng.random() < 0.5:
        dataset.SamplesPerPixel = rng.choice((1, 3))
    if rng.random() < 0.3:
        dataset.PlanarConfiguration = rng.choice((0, 1))


@attribute
def palette(dataset: Dataset, rng: random.Random) -> None:
    for colour in rng.sample(("Red", "Green", "Blue"), rng.randint(1, 3)):
        descriptor = [rng.choice((*ODD_NUMBERS, 256)) for _ in range(rng.choice((3, 3, 3, 2, 1)))]
        value = struct.pack(f"<{len(descriptor)}H", *descriptor)
        if rng.random() < 0.6:
            _put(dataset, f"{colour}PaletteColorLookupTableDescriptor", "US", value)
        kind = "Segmented" if rng.random() < 0.4 else ""
        data = rng.randbytes(2 * rng.randrange(400)) if rng.random() < 0.7 else b""
        _put(dataset, f"{kind}{colour}PaletteColorLookupTableData", "OW", data)
        if rng.random() < 0.3:
            dataset.pop(f"{colour}PaletteColorLookupTableData", None)
    if rng.random() < 0.5:
        dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "PALETTE COLOR", 1


@attribute
def regions(dataset: Dataset, rng: random.Random) -> None:
    items = list(dataset.get("SequenceOfUltrasoundRegions") or [Dataset()])
    for item in items:
        for keyword in rng.sample(REGION_KEYWORDS, rng.randint(0, 4)):
            short = "Location" not in keyword and "Reference" not in keyword and "Flags" not in keyword
            setattr(item, keyword, rng.choice(ODD_NUMBERS if short else (*ODD_NUMBERS, 2**31, 2**32 - 1)))
        for keyword in ("PhysicalDeltaX", "PhysicalDeltaY"):
            if rng.random() < 0.4:
                setattr(item, keyword, rng.choice(FLOATS))
    copies = rng.choice((0, 1, 1, 1, 2, 3, 300))
    dataset.SequenceOfUltrasoundRegions = Sequence(items * copies)


@attribute
def regions_as_something_else(dataset: Dataset, rng: random.Random) -> None:
    _put(dataset, "SequenceOfUltrasoundRegions", rng.choice(("UN", "OB", "LO")), rng.randbytes(2 * rng.randrange(100)))


@attribute
def nested(dataset: Dataset, rng: random.Random) -> None:
    inner = Dataset()
    for _ in range(rng.choice((3, 50, 90))):
        outer = Dataset()
        outer.SequenceOfUltrasoundRegions = Sequence([inner])
        inner = outer
    dataset.SequenceOfUltrasoundRegions = Sequence([inner])


@attribute
def character_set(dataset: Dataset, rng: random.Random) -> None:
    sets = (b"ISO_IR 192", b"ISO 2022 IR 87", b"ISO 2022 IR 149 ", b"\\ISO 2022 IR 13 ", b"GB18030 ", b"nonsense", b"")
    _put(dataset, "SpecificCharacterSet", "CS", rng.choice(sets) + rng.choice((b"", b"\\ISO 2022 IR 159 ")))
    _put(dataset, "PatientName", "PN", rng.randbytes(40))


@attribute
def extended_offsets(dataset: Dataset, rng: random.Random) -> None:
    count = rng.choice((0, 1, 2, 3, 5, 1000))
    numbers = (0, 8, 100, 2**31, 2**63, 2**64 - 1)
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if rng.random() < 0.9:
            values = struct.pack(f"<{count}Q", *(rng.choice(numbers) for _ in range(count)))
            _put(dataset, keyword, "OV", values + b"\0" * rng.choice((0, 0, 0, 3)))


@attribute
def own_result(dataset: Dataset, rng: random.Random) -> None:
    dataset.Manufacturer = rng.choice(("Fetal HC Node", "x" * 70000, ""))
    dataset.SOPInstanceUID = rng.choice(("1.2.3", "not a uid", "", "9" * 100))


def deeply_nested(content: bytes, rng: random.Random) -> bytes:
    """Thousands of open sequences of undefined length, little endian, explicit or implicit."""
    layout = layout_of(content)
    pixels = layout.find(0x7FE0, 0x0010)
    if pixels is None or layout.order != "little":
        return content
    explicit = b"\x18\x00\x11\x60SQ\0\0\xff\xff\xff\xff" if pixels.vr_at else b"\x18\x00\x11\x60\xff\xff\xff\xff"
    opened = explicit + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return content[: pixels.start] + opened * rng.choice((100, 1000, 20000)) + content[pixels.start :]


# --- very many ------------------------------------------------------------------------------------------------------

SEQUENCE_TAGS = ((0x0018, 0x6011), (0x0008, 0x1140), (0x0028, 0x3010), (0x0009, 0x1010))
"""Regions, referenced images, VOI LUTs, and one that nobody knows."""

TEXT_TAGS = ((0x0018, 0x1065), (0x0028, 0x0030), (0x0028, 0x1050), (0x0028, 0x0008), (0x0008, 0x0008), (0x0008, 0x0018))
"""Frame Time Vector, Pixel Spacing, Window Center, Number of Frames, Image Type, SOP Instance UID."""

BINARY_TAGS = ((0x0028, 0x0009), (0x0028, 0x1101), (0x0028, 0x0010), (0x0018, 0x6024))
"""Frame Increment Pointer, a palette's descriptor, Rows, Physical Units."""

HOW_MANY = (1000, 1000, 30_000, 1_000_000)


def items_multiplied(content: bytes, rng: random.Random) -> bytes:
    """A sequence of very many items, empty or nearly so: 8 bytes of file each, and far fewer where it is deflated."""
    body = body_of(content)
    if body is None:
        return content
    inner = rng.choice(
        (b"", b"", tagged(body, (0x0018, 0x6012), b"US", b"\1\0"), _sequence(body, (0x0008, 0x1140), b""))
    )
    item = _item(body, 0xE000, len(inner)) + inner
    if rng.random() < 0.3:
        item = _item(body, 0xE000, 0xFFFFFFFF) + inner + _item(body, 0xE00D, 0)
    return body.with_element(_sequence(body, rng.choice(SEQUENCE_TAGS), item * rng.choice(HOW_MANY)))


def values_multiplied(content: bytes, rng: random.Random) -> bytes:
    """An attribute of very many values; a length of four bytes, as implicit VR and UN have, sets no limit."""
    body = body_of(content)
    if body is None:
        return content
    count = rng.choice(HOW_MANY)
    if rng.random() < 0.7:
        return body.with_element(
            tagged(body, rng.choice(TEXT_TAGS), b"UN", rng.choice((b"1\\", b"40\\ ", b"\\\\")) * count)
        )
    return body.with_element(tagged(body, rng.choice(BINARY_TAGS), b"UN", rng.randbytes(4) * count))


def _sequence(body: Body, tag: tuple[int, int], value: bytes) -> bytes:
    return tagged(body, tag, b"SQ", value)


def tagged(body: Body, tag: tuple[int, int], vr: bytes, value: bytes) -> bytes:
    """One element in the byte order of the data set, with its VR where that is explicit."""
    start = b"".join(number.to_bytes(2, body.order) for number in tag)  # type: ignore[arg-type]
    if body.implicit:
        return start + len(value).to_bytes(4, body.order) + value  # type: ignore[arg-type]
    if vr in LONG_VRS:
        return start + vr + b"\0\0" + len(value).to_bytes(4, body.order) + value  # type: ignore[arg-type]
    return start + vr + len(value).to_bytes(2, body.order) + value  # type: ignore[arg-type]


def _item(body: Body, element: int, length: int) -> bytes:
    numbers = ((0xFFFE, 2), (element, 2), (length, 4))
    return b"".join(number.to_bytes(size, body.order) for number, size in numbers)  # type: ignore[arg-type]


# --- encapsulated pixel data -----------------------------------------------------------------------------------------


def fragment_length_lies(content: bytes, rng: random.Random) -> bytes:
    items = layout_of(content).fragments
    return _with_length(content, rng.choice(items), rng, "little") if items else content


def fragments_reordered(content: bytes, rng: random.Random) -> bytes:
    items = layout_of(content).fragments
    if len(items) < 2:
        return content
    wholes = [content[item.start : item.value_at + item.size] for item in items]
    end = content[items[-1].value_at + items[-1].size :]
    rng.choice((rng.shuffle, list.pop, lambda w: w.append(w[-1])))(wholes)  # type: ignore[operator]
    return content[: items[0].start] + b"".join(wholes) + end


def offset_table_lies(content: bytes, rng: random.Random) -> bytes:
    items = layout_of(content).fragments
    if not items:
        return content
    count = rng.choice((0, 1, len(items) - 1, len(items), 500))
    offsets = struct.pack(f"<{count}L", *(rng.choice((0, 8, 100, 0x7FFFFFFF, 0xFFFFFFFF)) for _ in range(count)))
    table = b"\xfe\xff\x00\xe0" + len(offsets).to_bytes(4, "little") + offsets
    return content[: items[0].start] + table + content[items[0].value_at + items[0].size :]


def delimiter_removed(content: bytes, rng: random.Random) -> bytes:
    at = content.rfind(b"\xfe\xff\xdd\xe0")
    return content if at < 0 else content[:at] + rng.choice((b"", b"\xfe\xff\xdd\xe0", b"\0" * 8))


def codestream(content: bytes, rng: random.Random) -> bytes:
    """Break one compressed frame where its own format says that it matters."""
    items = [item for item in layout_of(content).fragments[1:] if item.size > 16]
    if not items:
        return content
    item = rng.choice(items)
    frame = content[item.value_at : item.value_at + item.size]
    broken = _break_frame(frame, rng, transfer_syntax(content))
    broken += b"\0" * (len(broken) % 2)
    header = content[: item.length_at] + len(broken).to_bytes(4, "little")
    return header + broken + content[item.value_at + item.size :]


def _break_frame(frame: bytes, rng: random.Random, syntax: bytes) -> bytes:
    if syntax.endswith(b".5"):
        return _break_rle(frame, rng)
    if frame[:2] in (b"\xff\xd8", b"\xff\x4f"):
        return _break_markers(frame, rng)
    return _break_video(frame, rng)


def _break_rle(frame: bytes, rng: random.Random) -> bytes:
    """The header: number of segments and their offsets (PS3.5 G.5)."""
    words = list(struct.unpack("<16L", frame[:64].ljust(64, b"\0")))
    for _ in range(rng.randint(1, 3)):
        at = rng.choice((0, 0, 1, 2, 3, rng.randrange(16)))
        words[at] = rng.choice((*ODD_LENGTHS, 2, 3, 6, 15, 16, 64, len(frame), len(frame) - 1, words[1] + 1))
    body = frame[64:] if rng.random() < 0.7 else bits_flipped(frame[64:], rng)
    return struct.pack("<16L", *words) + body[: rng.choice((None, None, len(body) // 2, 0))]


def _break_markers(frame: bytes, rng: random.Random) -> bytes:
    """JPEG, JPEG-LS and JPEG 2000 share their marker segments: FF xx, length, parameters."""
    changed = bytearray(frame)
    segments = _segments(frame)
    for _ in range(rng.randint(1, 3)):
        at, size = rng.choice(segments)
        kind = rng.randrange(5)
        if kind == 0:
            changed[at + 1 : at + 2] = bytes((rng.randrange(0x4F, 0x100),))
        elif kind == 1:
            changed[at + 2 : at + 4] = (rng.choice((0, 1, 2, 3, size - 1, size + 1, 65535, 65534)) % 65536).to_bytes(
                2, "big"
            )
        elif kind == 2 and size > 2:
            place = at + 4 + rng.randrange(size - 2)
            changed[place : place + 1] = bytes((rng.choice((*ODD_BYTES, rng.randrange(256))),))
        elif kind == 3 and size > 2:
            place = at + 4 + rng.randrange(max(1, size - 4))
            width = rng.choice((2, 4))
            changed[place : place + width] = rng.choice(ODD_LENGTHS).to_bytes(4, "big")[-width:]
        else:
            del changed[at : at + 2 + size]
    return bytes(changed)


def _segments(frame: bytes) -> list[tuple[int, int]]:
    """(place, length) of the marker segments before the first scan or tile."""
    found, at = [(0, 0)], 2
    while at + 4 <= len(frame) and frame[at] == 0xFF and len(found) < 60:
        size = int.from_bytes(frame[at + 2 : at + 4], "big")
        found.append((at, min(size, len(frame) - at - 2)))
        at += 2 + size
    return found


def _break_video(frame: bytes, rng: random.Random) -> bytes:
    changed = bytearray(frame)
    region = min(len(changed), rng.choice((64, 400, 4000, len(changed))))
    for _ in range(rng.choice((1, 3, 30, 300))):
        changed[rng.randrange(region)] = rng.choice((*ODD_BYTES, rng.randrange(256)))
    return bytes(changed[: rng.choice((None, None, None, len(changed) // 2, 100))])


# --- bombs -----------------------------------------------------------------------------------------------------------


def deflate_bomb(content: bytes, rng: random.Random) -> bytes:
    """A deflated data set that grows a thousandfold (PS3.5 A.5)."""
    if transfer_syntax(content) != DEFLATED:
        return content
    end = 144 + int.from_bytes(content[140:144], "little")
    with suppress(zlib.error):
        data = zlib.decompress(content[end:], -zlib.MAX_WBITS)
        packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = packer.compress(data)
        for _ in range(rng.choice((20, 200, 1100)) if rng.random() < 0.2 else 2):
            packed += packer.compress(bytes(1 << 20))
        return content[:end] + packed + packer.flush()
    return content


WRITTEN: tuple[Mutation, ...] = (
    *(number_of_frames, numbers_as_text, sop_class, photometric, palette, regions, regions, regions_as_something_else),
    *(nested, character_set, extended_offsets, own_result),
)
CRAFTED: tuple[Mutation, ...] = (
    *(deflate_bomb, codestream, codestream, codestream, codestream, codestream, fragments_reordered),
    *(offset_table_lies, delimiter_removed, fragment_length_lies, deeply_nested, element_removed, element_doubled),
    *(value_replaced, pixel_description_lies, pixel_description_lies, syntax_swapped, vr_changed, length_lies),
    *(items_multiplied, values_multiplied),  # last: to look for an element in their files takes as long as to read them
)
BLUNT: tuple[Mutation, ...] = (
    *(piece_moved, bytes_changed, bits_flipped, noise_appended, start_removed, cut, cut_near_the_end),
)
ORDERED = (*WRITTEN, *CRAFTED)
