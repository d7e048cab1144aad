"""Where the elements, items and frames of a DICOM file lie, so that a mutation can hit them. Tolerant; never raises."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
BIG_ENDIAN, IMPLICIT = b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2"
DEFLATED = b"1.2.840.10008.1.2.1.99"
UNDEFINED = 0xFFFFFFFF
MOST_INFLATED = 64 << 20
PIXEL_DATA = (0x7FE0, 0x0010)
ITEM, ITEM_END, SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)


@dataclass(frozen=True, slots=True)
class Element:
    """`start` of the tag, `vr_at` (0 where implicit), place and width of the length, place and size of the value."""

    tag: tuple[int, int]
    start: int
    vr_at: int
    length_at: int
    length_bytes: int
    value_at: int
    size: int


@dataclass(frozen=True, slots=True)
class Layout:
    """`elements` of all levels in the order of the file; `fragments` of encapsulated pixel data, the offset table
    first, as items."""

    order: str
    elements: tuple[Element, ...]
    fragments: tuple[Element, ...]

    def find(self, group: int, element: int) -> Element | None:
        return next((e for e in self.elements if e.tag == (group, element)), None)


def layout_of(content: bytes) -> Layout:
    syntax = transfer_syntax(content)
    elements, end = _walk(content, 132, "little", implicit=False, only_group=2)
    if syntax == DEFLATED:
        return Layout("little", tuple(elements), ())
    order = "big" if syntax == BIG_ENDIAN else "little"
    rest, _ = _walk(content, end, order, implicit=syntax == IMPLICIT, only_group=None)
    elements += rest
    pixels = next((e for e in rest if e.tag == PIXEL_DATA), None)
    encapsulated = pixels is not None and pixels.size == len(content) - pixels.value_at and pixels.length_bytes == 4
    fragments = _items(content, pixels.value_at) if pixels is not None and encapsulated else []
    return Layout(order, tuple(elements), tuple(fragments))


@dataclass(frozen=True, slots=True)
class Body:
    """A file's data set, inflated where it was deflated. `pixels_at`: where Pixel Data begins in it, or its end."""

    meta: bytes
    data: bytes
    order: str
    implicit: bool
    deflated: bool
    pixels_at: int

    def with_element(self, element: bytes) -> bytes:
        """The file with one more element: the last before Pixel Data, so that it counts where there are two."""
        data = self.data[: self.pixels_at] + element + self.data[self.pixels_at :]
        if not self.deflated:
            return self.meta + data
        packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        return self.meta + packer.compress(data) + packer.flush()


def body_of(content: bytes) -> Body | None:
    """None where a deflated data set cannot be inflated any more, or is a bomb already."""
    syntax, end = transfer_syntax(content), 144 + int.from_bytes(content[140:144], "little")
    data = content[end:]
    if syntax == DEFLATED:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = inflater.decompress(data, MOST_INFLATED)
        except zlib.error:
            return None
        if inflater.unconsumed_tail:
            return None
    order, implicit = "big" if syntax == BIG_ENDIAN else "little", syntax == IMPLICIT
    elements, last = _walk(data, 0, order, implicit=implicit, only_group=None)
    pixels = next((element.start for element in elements if element.tag == PIXEL_DATA), last)
    return Body(content[:end], data, order, implicit, syntax == DEFLATED, pixels)


def transfer_syntax(content: bytes) -> bytes:
    at = content.find(b"\x02\x00\x10\x00UI", 132, 4096)
    if at < 0:
        return b""
    size = int.from_bytes(content[at + 6 : at + 8], "little")
    return content[at + 8 : at + 8 + size].rstrip(b"\0")


def _walk(content: bytes, at: int, order: str, *, implicit: bool, only_group: int | None) -> tuple[list[Element], int]:
    """Flat: sequences and items are entered by going on behind their header."""
    found: list[Element] = []
    while at + 8 <= len(content):
        tag = (int.from_bytes(content[at : at + 2], order), int.from_bytes(content[at + 2 : at + 4], order))  # type: ignore[arg-type]
        if only_group is not None and tag[0] != only_group:
            break
        vr = content[at + 4 : at + 6]
        if implicit or tag[0] == 0xFFFE:
            element = _element(content, tag, (at, 0, at + 4, 4), order)
        elif vr in LONG_VRS:
            element = _element(content, tag, (at, at + 4, at + 8, 4), order)
        else:
            element = _element(content, tag, (at, at + 4, at + 6, 2), order)
        found.append(element)
        if tag == PIXEL_DATA:
            break
        entered = tag == ITEM or vr == b"SQ" or tag == (0x0018, 0x6011)
        at = element.value_at if entered else element.value_at + element.size
    return found, at


def _element(content: bytes, tag: tuple[int, int], places: tuple[int, int, int, int], order: str) -> Element:
    start, vr_at, length_at, length_bytes = places
    value_at = length_at + length_bytes
    length = int.from_bytes(content[length_at:value_at], order)  # type: ignore[arg-type]
    size = min(length, len(content) - value_at)
    return Element(tag, start, vr_at, length_at, length_bytes, value_at, size)


def _items(content: bytes, at: int) -> list[Element]:
    items: list[Element] = []
    while at + 8 <= len(content) and content[at : at + 4] == b"\xfe\xff\x00\xe0":
        item = _element(content, ITEM, (at, 0, at + 4, 4), "little")
        items.append(item)
        at = item.value_at + item.size
    return items
