"""Ways to break a conversation. Each takes PDUs and a seeded random generator and gives PDUs."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass

from tests.fuzz.exchanges import Exchange

Pdus = list[bytes]
Mutation = Callable[[Pdus, random.Random], Pdus]

ASSOCIATE_RQ, P_DATA, RELEASE_RQ, ABORT = 0x01, 0x04, 0x05, 0x07
REQUEST_ITEMS_AT = 74
"""Behind the fixed fields of an A-ASSOCIATE-RQ (PS3.8 9.3.2)."""

ODD_LENGTHS = (
    0,
    1,
    2,
    3,
    5,
    6,
    127,
    128,
    255,
    256,
    4095,
    65535,
    131073,
    1 << 20,
    (1 << 20) + 1,
    1 << 31,
    (1 << 32) - 1,
)
ODD_BYTES = (0x00, 0x01, 0x02, 0x03, 0x20, 0x5C, 0x7F, 0x80, 0xFE, 0xFF)
COMMAND_FIELDS = (
    *(0x0001, 0x8001, 0x0010, 0x8010, 0x0020, 0x8020, 0x0021, 0x8021, 0x0030, 0x8030, 0x0FFF),
    *(0x0100, 0x8100, 0x0110, 0x8110, 0x0120, 0x8120, 0x0130, 0x8130, 0x0140, 0x8140, 0x0150, 0x8150, 0x0000, 0xFFFF),
)
"""All of PS3.7 annex E, and two that are none."""


@dataclass(frozen=True)
class Bad:
    """A broken conversation, and how many of its PDUs are not what the sender said there."""

    name: str
    pdus: tuple[bytes, ...]
    mutated: int


def break_exchange(exchange: Exchange, others: tuple[Exchange, ...], rng: random.Random) -> Bad:
    """One to four mutations. Mostly the association request is left alone: who is not let in says little."""
    pdus = list(exchange.pdus)
    spared = [pdus.pop(0)] if rng.random() < 0.75 else []
    names = []
    for _ in range(rng.choice((1, 2, 3, 4))):
        mutation = rng.choice(MUTATIONS)
        names.append(mutation.__name__)
        if mutation is foreign_pdu:
            pdus.insert(rng.randint(0, len(pdus)), rng.choice(rng.choice(others).pdus))
        elif pdus:
            pdus = [pdu for pdu in mutation(pdus, rng) if pdu]
    known = set(exchange.pdus)
    moved = abs(len(pdus) + len(spared) - len(exchange.pdus))
    mutated = max(1, sum(pdu not in known for pdu in pdus), moved)
    return Bad(f"{exchange.name}: {'+'.join(names)}", (*spared, *pdus), mutated)


def bytes_changed(pdus: Pdus, rng: random.Random) -> Pdus:
    def change(pdu: bytearray) -> None:
        for _ in range(rng.choice((1, 1, 2, 5, 20))):
            pdu[rng.randrange(len(pdu))] = rng.choice(ODD_BYTES) if rng.random() < 0.5 else rng.randrange(256)

    return _some(pdus, rng, change)


def early_bytes_changed(pdus: Pdus, rng: random.Random) -> Pdus:
    """Where the lengths, types and identifiers stand."""

    def change(pdu: bytearray) -> None:
        for _ in range(rng.choice((1, 2, 3))):
            pdu[rng.randrange(min(len(pdu), 40))] = rng.randrange(256)

    return _some(pdus, rng, change)


def pdu_length(pdus: Pdus, rng: random.Random) -> Pdus:
    def change(pdu: bytearray) -> None:
        pdu[2:6] = struct.pack(">L", rng.choice((*ODD_LENGTHS, len(pdu) - 7, len(pdu) - 5)) & 0xFFFFFFFF)

    return _one(pdus, rng, change)


def pdu_type(pdus: Pdus, rng: random.Random) -> Pdus:
    def change(pdu: bytearray) -> None:
        pdu[0] = rng.choice((*range(12), 0x16, 0x47, 0xFF))

    return _one(pdus, rng, change)


def item_length(pdus: Pdus, rng: random.Random) -> Pdus:
    """Of an item of an association request, or of a PDV."""

    def change(pdu: bytearray) -> None:
        if pdu[0] == ASSOCIATE_RQ:
            places = _items(pdu)
            if places:
                place = rng.choice(places)
                pdu[place + 2 : place + 4] = struct.pack(">H", rng.choice(ODD_LENGTHS) & 0xFFFF)
        elif len(pdu) >= 12:
            pdu[6:10] = struct.pack(">L", rng.choice((*ODD_LENGTHS, len(pdu) - 11, len(pdu) - 9)))

    return _some(pdus, rng, change)


def item_type(pdus: Pdus, rng: random.Random) -> Pdus:
    def change(pdu: bytearray) -> None:
        places = _items(pdu) if pdu[0] == ASSOCIATE_RQ else []
        if places:
            pdu[rng.choice(places)] = rng.choice((0x10, 0x20, 0x21, 0x30, 0x40, *range(0x50, 0x5B), 0xFF))

    return _some(pdus, rng, change)


def context_and_control(pdus: Pdus, rng: random.Random) -> Pdus:
    """Presentation context ID and message control header of a PDV (PS3.8 9.3.5, annex E)."""

    def change(pdu: bytearray) -> None:
        if pdu[0] == P_DATA and len(pdu) >= 12:
            place = rng.choice((10, 11))
            pdu[place] = rng.choice((0, 1, 2, 3, 4, 5, 7, 9, 254, 255))

    return _some(pdus, rng, change)


def command_element(pdus: Pdus, rng: random.Random) -> Pdus:
    """A value, a tag or a length in a command set; the group length is put right half of the time."""

    def change(pdu: bytearray) -> None:
        places = _command_elements(pdu)
        if not places:
            return
        place, length = rng.choice(places)
        kind = rng.randrange(4)
        if kind == 0 and length:
            pdu[place + 8 + rng.randrange(length)] = rng.choice(ODD_BYTES)
        elif kind == 1:
            pdu[place + 2 : place + 4] = struct.pack(
                "<H", rng.choice((0, 2, 0x100, 0x110, 0x800, 0x1000, 0x1031, 0x7777))
            )
        elif kind == 2:
            pdu[place + 4 : place + 8] = struct.pack("<L", rng.choice(ODD_LENGTHS))
        else:
            pdu[place + 8 : place + 8 + length] = bytes(rng.randrange(256) for _ in range(length))

    return _some(pdus, rng, change)


def command_field(pdus: Pdus, rng: random.Random) -> Pdus:
    """Another service: queries, cancellations, responses to what nobody asked."""

    def change(pdu: bytearray) -> None:
        for place, _ in _command_elements(pdu):
            if pdu[place + 2 : place + 4] == b"\x00\x01":
                pdu[place + 8 : place + 10] = struct.pack("<H", rng.choice(COMMAND_FIELDS))

    return _some(pdus, rng, change)


def command_element_dropped(pdus: Pdus, rng: random.Random) -> Pdus:
    def change(pdu: bytearray) -> None:
        places = _command_elements(pdu)
        if places:
            place, length = rng.choice(places)
            del pdu[place : place + 8 + length]
            pdu[2:6] = struct.pack(">L", len(pdu) - 6)
            pdu[6:10] = struct.pack(">L", len(pdu) - 10)

    return _some(pdus, rng, change)


def data_set_byte(pdus: Pdus, rng: random.Random) -> Pdus:
    """In the first elements of the data set, which the node reads."""

    def change(pdu: bytearray) -> None:
        if pdu[0] == P_DATA and len(pdu) > 12 and not pdu[11] & 1:
            for _ in range(rng.choice((1, 3, 10))):
                pdu[12 + rng.randrange(min(len(pdu) - 12, 400))] = rng.choice(ODD_BYTES)

    return _some(pdus, rng, change)


def dropped(pdus: Pdus, rng: random.Random) -> Pdus:
    place = rng.randrange(len(pdus))
    return pdus[:place] + pdus[place + 1 :]


def doubled(pdus: Pdus, rng: random.Random) -> Pdus:
    place = rng.randrange(len(pdus))
    return pdus[:place] + [pdus[place]] * rng.choice((2, 2, 3, 30)) + pdus[place + 1 :]


def shuffled(pdus: Pdus, rng: random.Random) -> Pdus:
    mixed = list(pdus)
    rng.shuffle(mixed)
    return mixed


def cut_off(pdus: Pdus, rng: random.Random) -> Pdus:
    place = rng.randrange(len(pdus))
    return [*pdus[:place], pdus[place][: rng.randrange(len(pdus[place]))]]


def noise(pdus: Pdus, rng: random.Random) -> Pdus:
    place = rng.randint(0, len(pdus))
    return [*pdus[:place], rng.randbytes(rng.choice((1, 5, 6, 100, 5000))), *pdus[place:]]


def stop_sign(pdus: Pdus, rng: random.Random) -> Pdus:
    """An A-ABORT, A-RELEASE-RQ or A-RELEASE-RP in the middle."""
    kind = rng.choice((5, 6, 7))
    place = rng.randint(0, len(pdus))
    return [*pdus[:place], bytes([kind, 0, 0, 0, 0, 4, 0, 0, rng.randrange(4), rng.randrange(8)]), *pdus[place:]]


def two_pdvs_in_one(pdus: Pdus, rng: random.Random) -> Pdus:
    """Neighbouring fragments in one P-DATA-TF, which is allowed."""
    place = rng.randrange(len(pdus))
    pair = pdus[place : place + 2]
    if len(pair) < 2 or any(pdu[0] != P_DATA for pdu in pair):
        return pdus
    body = pair[0][6:] + pair[1][6:]
    return [*pdus[:place], bytes([P_DATA, 0]) + struct.pack(">L", len(body)) + body, *pdus[place + 2 :]]


def foreign_pdu(pdus: Pdus, _rng: random.Random) -> Pdus:
    """One of another conversation; `break_exchange` has them."""
    return pdus


MUTATIONS: tuple[Mutation, ...] = (
    *(bytes_changed, early_bytes_changed, pdu_length, pdu_type, item_length, item_type, context_and_control),
    *(command_element, command_element, command_field, command_element_dropped, data_set_byte, dropped, doubled),
    *(shuffled, cut_off, noise, stop_sign, two_pdvs_in_one, foreign_pdu),
)


def _one(pdus: Pdus, rng: random.Random, change: Callable[[bytearray], None]) -> Pdus:
    return _changed(pdus, {rng.randrange(len(pdus))}, change)


def _some(pdus: Pdus, rng: random.Random, change: Callable[[bytearray], None]) -> Pdus:
    count = rng.randint(1, len(pdus)) if rng.random() < 0.5 else 1
    return _changed(pdus, set(rng.sample(range(len(pdus)), count)), change)


def _changed(pdus: Pdus, places: set[int], change: Callable[[bytearray], None]) -> Pdus:
    result = []
    for number, pdu in enumerate(pdus):
        broken = bytearray(pdu)
        if number in places and len(broken) >= 6:
            change(broken)
        result.append(bytes(broken))
    return result


def _items(pdu: bytearray) -> list[int]:
    """Where the items of an association request begin, and those inside presentation contexts and user information."""
    places, place = [], REQUEST_ITEMS_AT
    while place + 4 <= len(pdu):
        places.append(place)
        length = struct.unpack(">H", pdu[place + 2 : place + 4])[0]
        inner = {0x20: 8, 0x50: 4}.get(pdu[place])
        place += 4 + length if inner is None else inner
    return places


def _command_elements(pdu: bytearray) -> list[tuple[int, int]]:
    """Where the elements of a command set begin, and the lengths of their values."""
    if len(pdu) < 12 or pdu[0] != P_DATA or not pdu[11] & 1:
        return []
    found, place = [], 12
    while place + 8 <= len(pdu):
        length = struct.unpack("<L", pdu[place + 4 : place + 8])[0]
        if place + 8 + length > len(pdu):
            break
        found.append((place, length))
        place += 8 + length
    return found
