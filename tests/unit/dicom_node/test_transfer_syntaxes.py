from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import pytest
from PIL import features
from pydicom.uid import (
    HTJ2K,
    MPEG4HP41,
    UID,
    AllTransferSyntaxes,
    JPEGLosslessSV1,
    JPEGLSLossless,
    SMPTEST211020UncompressedProgressiveActiveVideo,
)

from dicom_node import lossless_jpeg, transfer_syntaxes
from dicom_node.transfer_syntaxes import DECODERS, decoder_of, is_decodable, supported

ROOT = Path(__file__).resolve().parents[3]


def told(uid: str) -> tuple[bool, tuple[str, ...]]:
    (found,) = [one for one in supported() if one.uid == uid]
    return found.decoder is not None, found.install


def test_everything_that_is_known_is_decoded_here() -> None:
    assert [str(uid) for uid in DECODERS if not is_decodable(uid)] == []


def test_every_transfer_syntax_of_the_standard_is_listed_once() -> None:
    uids = [one.uid for one in supported()]
    assert len(uids) == len(set(uids))
    assert set(uids) >= set(AllTransferSyntaxes)
    assert told(JPEGLosslessSV1) == (True, ())
    assert told(SMPTEST211020UncompressedProgressiveActiveVideo) == (False, ())


def test_no_decoder_that_can_end_the_process_or_is_gpl() -> None:
    """GDCM aborts on malformed data; pylibjpeg-libjpeg is GPL."""
    assert not {"gdcm", "pylibjpeg-libjpeg"} & {package for package, _ in DECODERS.values()}


class Absent:
    """A decoder of pydicom whose libraries are not installed."""

    available_plugins: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("syntax", "install"), [(HTJ2K, ("pylibjpeg", "pylibjpeg-openjpeg")), (JPEGLSLossless, ("pyjpegls",))]
)
def test_a_library_that_is_not_installed(
    syntax: UID, install: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(uid: UID) -> Any:
        return Absent() if uid == syntax else decoder_of(uid)

    monkeypatch.setattr(transfer_syntaxes, "decoder_of", absent)
    assert told(syntax) == (False, install)


def test_an_opencv_without_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2.videoio_registry, "getStreamBufferedBackends", lambda: ())
    assert not is_decodable(MPEG4HP41)
    assert told(MPEG4HP41) == (False, ("opencv-python-headless",))


def test_a_pillow_built_with_an_older_libjpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lossless_jpeg.is_available(JPEGLosslessSV1)
    monkeypatch.setattr(features, "version_feature", lambda _feature: "2.1.5")
    assert not lossless_jpeg.is_available(JPEGLosslessSV1)


def test_the_documented_list_is_what_is_decoded() -> None:
    page = (ROOT / "docs" / "decoding.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `1.2.840")]
    assert rows == [f"| `{uid}` | {uid.name} | {package} |" for uid, (package, _) in DECODERS.items()]
