"""Milliseconds per frame of `read_instance(...).display()`, per transfer syntax, against the plain library call.

One cine of 24 frames of 600x800 RGB (grey speckle), encoded once; every frame is shown in turn, best of five rounds.
The plain call is pydicom's `iter_pixels` with the same decoder (RGB out), or `cv2.VideoCapture` on the bare stream with
one thread. Ours also checks every frame's header, opens the file again for each frame, and hands out a picture of its
own in row order; that shows where decoding itself is cheap.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.encaps import generate_fragments
from pydicom.pixels import iter_pixels
from pydicom.uid import DeflatedExplicitVRLittleEndian

from benchmarks.record import Record
from dicom_node.decode import read_instance
from dicom_node.transfer_syntaxes import DECODERS, decoder_of
from tests.encoders import ENCODINGS, encode
from tests.phantoms import head_phantom
from tests.ultrasound import us_multiframe

FRAMES = 24
SHAPE = (600, 800)
ROUNDS = 5
SYNTAXES = (
    *("explicit", "implicit", "big_endian", "deflated", "rle", "jpeg_baseline", "jpeg_extended", "jpeg_lossless"),
    *("jpeg_lossless_sv1", "jpeg_ls", "jpeg_ls_near", "jpeg_2000_lossless", "jpeg_2000", "htj2k_lossless"),
    *("htj2k_rpcl", "htj2k", "mpeg2_main", "mpeg2_high", "h264", "hevc", "hevc_10"),
)
"""One encoding of every decoder; the other profiles of MPEG-2 and H.264 are the same streams under another UID."""


def run() -> Iterator[Record]:
    dataset = cine()
    with tempfile.TemporaryDirectory() as folder:
        for name in SYNTAXES:
            path = encode(dataset, name, Path(folder))
            plain = plain_video if ENCODINGS[name].is_video else plain_frames
            peer = "cv2.VideoCapture" if ENCODINGS[name].is_video else "pydicom iter_pixels"
            ours, theirs = per_frame_ms(path, ours_on, plain)
            yield Record(f"one frame of {name}, 600x800 RGB", ours, "ms", FRAMES, peer, theirs)


def cine() -> FileDataset:
    """Frames that differ, as those of a cine do."""
    grey = head_phantom(1, shape=SHAPE).luminance
    frames = np.stack([np.roll(grey, 2 * number, axis=1) for number in range(FRAMES)])
    return us_multiframe(np.repeat(frames[..., None], 3, axis=3))


def per_frame_ms(path: Path, *calls: Callable[[Path], int]) -> list[float]:
    """Of each call the best of several rounds, in turn: what else the machine does meets all of them."""
    best = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for place, call in enumerate(calls):
            began = time.perf_counter()
            if call(path) != FRAMES:
                raise RuntimeError(f"{path.name}: not every frame was decoded")
            best[place] = min(best[place], time.perf_counter() - began)
    return [round(1000.0 * seconds / FRAMES, 3) for seconds in best]


def ours_on(path: Path) -> int:
    decoded = read_instance(path)
    return sum(decoded.display(number).ndim == 3 for number in range(1, FRAMES + 1))


def plain_frames(path: Path) -> int:
    """The library with the decoder that we use, where it has several."""
    syntax = dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID
    decoder_of(syntax)
    source = dcmread(path) if syntax == DeflatedExplicitVRLittleEndian else path  # by its path it inflates nothing
    return sum(frame.ndim == 3 for frame in iter_pixels(source, decoding_plugin=DECODERS[syntax][1]))


def plain_video(path: Path) -> int:
    """The bare stream as a file, which is what the call is made for."""
    os.environ.pop("OPENCV_FFMPEG_CAPTURE_OPTIONS", None)
    stream = path.with_suffix(".video")
    stream.write_bytes(b"".join(generate_fragments(dcmread(path).PixelData)))
    capture = cv2.VideoCapture(str(stream), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    count = 0
    while capture.read()[0]:
        count += 1
    return count
