"""Lookup tables: PALETTE COLOR, plain (PS3.3 C.7.6.3.1.5 and .6) or segmented (C.7.9.2), and VOI LUTs (C.11.2).

The library's own functions are not used. `apply_color_lut` takes the byte offset of an indirect segment for an entry's
number, reads 8-bit entries of big endian words in the wrong order, and sets no bound to what a few bytes may grow to;
`apply_voi` counts the entries of an 8-bit VOI LUT modulo 256.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_node.errors import InstanceRefused
from inference.domain import Reason

Entries = NDArray[np.uint16]
"""One channel of a lookup table: uint16 [entries]."""

COLOURS = ("Red", "Green", "Blue")
DISCRETE, LINEAR, INDIRECT = 0, 1, 2


def apply_palette(indices: NDArray[np.unsignedinteger[Any]], header: Dataset) -> NDArray[np.uint8]:
    """Stored values [rows, columns] to RGB [rows, columns, 3]; values beyond the table take its first or last entry.

    Raises:
        InstanceRefused: BAD_LOOKUP_TABLE.
    """
    found = {_descriptor(header, f"{colour}PaletteColorLookupTableDescriptor") for colour in COLOURS}
    if len(found) != 1:
        raise _bad("the palette's descriptors differ")
    entries, first, bits = found.pop()
    if bits not in (8, 16):
        raise _bad(f"{bits} bits for each entry of the palette")
    table = _to_8_bits(_channels(header, entries, bits))
    picture: NDArray[np.uint8] = table[np.clip(indices.astype(np.int64) - first, 0, entries - 1)]
    return picture


def apply_voi_lut(values: NDArray[Any], item: Dataset, big_endian: bool) -> tuple[Entries, int]:
    """Map values of the modality through one item of VOI LUT Sequence; also gives the bits of the result.

    Raises:
        InstanceRefused: BAD_LOOKUP_TABLE.
    """
    entries, first, bits = _descriptor(item, "LUTDescriptor")
    if not 8 <= bits <= 16:
        raise _bad(f"{bits} bits for each entry of the VOI LUT")
    if "LUTData" not in item:
        raise _bad("the VOI LUT has no data")
    table = _plain(_words(item, "LUTData", big_endian), entries, 8 if bits == 8 else 16)
    if int(table.max(initial=0)) >= 2**bits:
        raise _bad(f"the VOI LUT's entries have more than {bits} bits")
    return table[np.clip(np.rint(values).astype(np.int64) - first, 0, entries - 1)], bits


def is_big_endian(header: Dataset) -> bool:
    """Byte order of the file that a top-level dataset was read from; items of sequences do not always know it."""
    return header.original_encoding[1] is False


def _bad(detail: str) -> InstanceRefused:
    return InstanceRefused(Reason.BAD_LOOKUP_TABLE, f"({detail})")


def _descriptor(header: Dataset, keyword: str) -> tuple[int, int, int]:
    """Number of entries, first value mapped, bits of each entry."""
    value = header.get(keyword)
    if not isinstance(value, Sequence) or len(value) != 3 or not all(isinstance(part, int) for part in value):
        raise _bad(f"{keyword} is missing or not three numbers")
    entries, first, bits = (int(part) for part in value)
    return entries % 65536 or 65536, first, bits  # 65536 does not fit and is written 0; signed VRs wrap


def _channels(header: Dataset, entries: int, bits: int) -> Entries:
    """As stored, uint16 [entries, 3]."""
    big_endian = is_big_endian(header)
    plain = [f"{colour}PaletteColorLookupTableData" for colour in COLOURS]
    if all(keyword in header for keyword in plain):
        return np.stack([_plain(_words(header, keyword, big_endian), entries, bits) for keyword in plain], axis=1)
    segmented = [f"Segmented{keyword}" for keyword in plain]
    if all(keyword in header for keyword in segmented):
        units = (_words(header, keyword, big_endian) for keyword in segmented)
        return np.stack([expand(u if bits == 16 else _bytes(u), entries, bits // 8) for u in units], axis=1)
    raise _bad("the palette has no data for some colour")


def _words(header: Dataset, keyword: str, big_endian: bool) -> Entries:
    """The value as 16-bit words in this machine's order; OW follows the byte order of the file, OB does not."""
    value = header[keyword].value
    if isinstance(value, bytes):
        order = ">" if big_endian and header[keyword].VR != "OB" else "<"
        return np.frombuffer(value + b"\0" * (len(value) % 2), f"{order}u2").astype(np.uint16)
    # US or SS, as older objects have it
    try:
        numbers = np.atleast_1d(np.asarray([] if value is None else value, dtype=np.int64))
    except (TypeError, ValueError):
        raise _bad(f"{keyword} is not binary") from None
    return (numbers & 0xFFFF).astype(np.uint16)


def _bytes(words: Entries) -> Entries:
    """Two 8-bit entries of each word, the lower byte first (PS3.3 C.7.6.3.1.6)."""
    return words.astype("<u2").view(np.uint8).astype(np.uint16)


def _plain(words: Entries, entries: int, bits: int) -> Entries:
    packed = words.size == (entries + 1) // 2
    if bits == 8 and packed:
        return _bytes(words)[:entries]
    if words.size >= entries:
        values = words[:entries]
        if bits == 8 and np.any((values > 255) & (values & 255 != 0) & (values & 255 != values >> 8)):
            raise _bad("a lookup table's entries have more than their 8 bits")
        return values
    if packed:  # some machines say 16 bits and write 8
        return _bytes(words)[:entries]
    raise _bad("a lookup table is shorter than its descriptor says")


def _to_8_bits(table: Entries) -> NDArray[np.uint8]:
    """8-bit entries may lie in 16 bits, and some machines say 16 and fill 8: the largest value tells."""
    if table.max(initial=0) > 255:
        table = np.right_shift(table, 8, dtype=np.uint16)
    return table.astype(np.uint8)


def expand(units: Entries, entries: int, unit_bytes: int) -> Entries:
    """Segments to exactly `entries` values. `units`: the 8-bit or 16-bit numbers that the segments are written in.

    Raises:
        InstanceRefused: BAD_LOOKUP_TABLE: unknown, empty, nested or cut segments, or another number of entries.
    """
    table: list[int] = []
    position = 0
    while len(table) < entries:
        opcode, length = _head(units, position)
        if opcode == INDIRECT:
            place = position + 2
            offset = sum(int(_unit(units, place + i)) << (8 * unit_bytes * i) for i in range(4 // unit_bytes))
            for copied in _copied(units, offset // unit_bytes, length):
                table.extend(_values(units, copied, table))
                if len(table) > entries:
                    break
        else:
            table.extend(_values(units, position, table))
        position += _size(opcode, length, unit_bytes)
    if len(table) != entries:
        raise _bad("the palette's segments do not add up to its entries")
    return np.array(table, np.uint16)


def _copied(units: Entries, position: int, count: int) -> Iterator[int]:
    """Where the segments begin that an indirect segment repeats; it may not repeat another indirect one."""
    if count == 0:
        raise _bad("a segment of the palette is empty")
    for _ in range(count):
        opcode, length = _head(units, position)
        if opcode == INDIRECT:
            raise _bad("a segment of the palette points to a segment that points on")
        yield position
        position += _size(opcode, length, unit_bytes=1)


def _values(units: Entries, position: int, before: Sequence[int]) -> list[int]:
    """The entries of one discrete or linear segment."""
    opcode, length = _head(units, position)
    if opcode not in (DISCRETE, LINEAR):
        raise _bad(f"segment type {opcode} of the palette is unknown")
    if length == 0:
        raise _bad("a segment of the palette is empty")
    if opcode == DISCRETE:
        _unit(units, position + 1 + length)
        return [int(value) for value in units[position + 2 : position + 2 + length]]
    if not before:
        raise _bad("the palette begins with a linear segment")
    last = int(_unit(units, position + 2))
    return [round(value) for value in np.linspace(before[-1], last, length + 1)[1:].tolist()]


def _size(opcode: int, length: int, unit_bytes: int) -> int:
    """How many units a segment takes; the pointer of an indirect one has 4 bytes."""
    return 2 + {DISCRETE: length, LINEAR: 1}.get(opcode, 4 // unit_bytes)


def _head(units: Entries, position: int) -> tuple[int, int]:
    return int(_unit(units, position)), int(_unit(units, position + 1))


def _unit(units: Entries, position: int) -> int:
    if not 0 <= position < units.size:
        raise _bad("the palette's segments break off")
    return int(units[position])
