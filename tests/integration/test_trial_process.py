"""The real process that looks at files from outside: bombs are refused by name, and it goes on measuring."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import pytest

from dicom_node.config import Config
from dicom_node.errors import Refused
from dicom_node.trial.asked import Asked, Settings
from dicom_node.trial.desk import Desk
from tests.phantoms import head_phantom
from tests.ultrasound import save, us_phantom


def png_of(rows: int, columns: int) -> bytes:
    """A black picture that promises any size in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1 << 20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_bombs_are_refused_by_name_and_the_next_file_is_measured(tmp_path: Path) -> None:
    bomb, cut, head = tmp_path / "bomb.png", tmp_path / "cut.dcm", tmp_path / "head.png"
    whole = save(us_phantom(1), tmp_path / "whole.dcm").read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    phantom = head_phantom(3)
    cv2.imwrite(str(head), phantom.luminance)
    scale = {"row_mm": phantom.spacing_mm.row, "column_mm": phantom.spacing_mm.column}
    desk = Desk(Config(), limit_s=280.0)
    try:
        for side in (12_000, 60_000):  # of which the library refuses only the second by itself
            bomb.write_bytes(png_of(side, side))
            assert desk.ask(Asked(file=bomb))["status"] == "refused"
        first = desk._process
        assert desk.ask(Asked(file=cut))["reason"] == "truncated"
        with pytest.raises(Refused, match="no model"):
            desk.ask(Asked(file=head, settings=Settings(model="nothing")))
        answer = desk.ask(Asked(file=head, name="head.png", **scale))
        assert (answer["status"], answer["file"]) == ("measured", "head.png")
        assert desk._process is first
    finally:
        desk.close()
