"""The command sets of C-STORE as bytes (PS3.7 9.3.1, E.1): many requests a second are read and their responses written.

A general library builds a data set of them, with checks of every value, which takes longer than all else that becomes
of an object here. What is not a plain request is no concern of this module: it says so, and the library has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct, pack

_ELEMENT = Struct("<HHL")
_US = Struct("<H")

_AFFECTED_CLASS, _FIELD, _MESSAGE_ID, _ANSWERED_ID = 0x0002, 0x0100, 0x0110, 0x0120
_PRIORITY, _DATA_SET_TYPE, _STATUS, _COMMENT, _AFFECTED_INSTANCE = 0x0700, 0x0800, 0x0900, 0x0902, 0x1000
_C_STORE_RQ, _C_STORE_RSP, _NO_DATA_SET = 0x0001, 0x8001, 0x0101
_PRIORITIES = (0, 1, 2)

_UID = re.compile(rb"[0-9.]{1,64}")
_P_DATA_TF = 0x04
_LAST_OF_COMMAND = 0x03
_LONGEST_COMMENT = 64


@dataclass(frozen=True, slots=True)
class StoreCommand:
    """A C-STORE request with a data set. UIDs without their padding."""

    message_id: int
    sop_class_uid: str
    sop_instance_uid: str


def read_store_command(data: bytes) -> StoreCommand | None:
    """A whole command set; None where it is another request, or anything about it is unusual."""
    found = dict(_elements(data))
    numbers = {number: _number(found.get(number, b"")) for number in (_FIELD, _MESSAGE_ID, _PRIORITY, _DATA_SET_TYPE)}
    uids = [found.get(number, b"").rstrip(b"\0 ") for number in (_AFFECTED_CLASS, _AFFECTED_INSTANCE)]
    message_id, data_set_type = numbers[_MESSAGE_ID], numbers[_DATA_SET_TYPE]
    if numbers[_FIELD] != _C_STORE_RQ or message_id is None or numbers[_PRIORITY] not in _PRIORITIES:
        return None
    if data_set_type is None or data_set_type == _NO_DATA_SET or not all(map(_UID.fullmatch, uids)):
        return None
    sop_class_uid, sop_instance_uid = (uid.decode("ascii") for uid in uids)
    return StoreCommand(message_id, sop_class_uid, sop_instance_uid)


def store_response(context_id: int, command: StoreCommand, status: int, comment: str) -> bytes:
    """The whole P-DATA-TF PDU (PS3.8 9.3.5) of the answer. `comment`: at most 64 characters of ASCII; "" for none."""
    elements = [
        (_AFFECTED_CLASS, _even(command.sop_class_uid.encode("ascii"), b"\0")),
        (_FIELD, _US.pack(_C_STORE_RSP)),
        (_ANSWERED_ID, _US.pack(command.message_id)),
        (_DATA_SET_TYPE, _US.pack(_NO_DATA_SET)),
        (_STATUS, _US.pack(status)),
        (_COMMENT, _even(comment.encode("ascii", "replace")[:_LONGEST_COMMENT], b" ")),
        (_AFFECTED_INSTANCE, _even(command.sop_instance_uid.encode("ascii"), b"\0")),
    ]
    body = b"".join(_ELEMENT.pack(0, number, len(value)) + value for number, value in elements if value)
    value = _ELEMENT.pack(0, 0, 4) + pack("<L", len(body)) + body
    item = pack(">LBB", len(value) + 2, context_id, _LAST_OF_COMMAND) + value
    return pack(">BBL", _P_DATA_TF, 0, len(item)) + item


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and value of each element of group 0000, implicit VR little endian (PS3.7 6.3.1), until one is none."""
    offset = 0
    while offset + _ELEMENT.size <= len(data):
        group, number, length = _ELEMENT.unpack_from(data, offset)
        offset += _ELEMENT.size
        if group or offset + length > len(data):
            return
        yield number, data[offset : offset + length]
        offset += length


def _number(value: bytes) -> int | None:
    return _US.unpack(value)[0] if len(value) == _US.size else None


def _even(value: bytes, padding: bytes) -> bytes:
    return value + padding if len(value) % 2 else value
