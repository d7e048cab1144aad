"""A cine of 500 MB is looked at a frame at a time: `measure` in a process of its own, its memory watched from here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset

from dicom_node.answers import Answer
from tests import encoders
from tests.encoders import encode, video_stream
from tests.phantoms import head_phantom
from tests.ultrasound import save, us_multiframe, us_region

PEAK_MB = 320
"""Of the memory that is the process's own (RssAnon), torch and the network included: they alone take about 250, and a
look about 35, the same for 5 MB as for 500.

Pages of the libraries' files come on top, 125 to 220 MB by what the page cache holds: they belong to all processes, and
the kernel drops them when it needs the room. In a memory cgroup of 400 MB without swap the same look succeeds.
"""

SIZE = 500 * 1_000_000
SHAPE = (768, 1024)
LONG, LONG_SHAPE, LONG_PEAK_MB, USUAL_FRAMES = 2_000, (540, 800), 400, 16
PROGRAM = """
import json, sys
from pathlib import Path
from dicom_node.config import Config
from dicom_node.measuring import measure_paths
config = Config.model_validate({"inference": {"cine_frames": int(sys.argv[2]), "threads": 2}})
(answer,) = measure_paths([Path(sys.argv[1])], config, None)
print(json.dumps(answer))
"""
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "2"}


class Measured(NamedTuple):
    answer: Answer
    peak_mb: float


def cine(frames: int, shape: tuple[int, int] = SHAPE) -> FileDataset:
    """The same head in every frame of a colour screen."""
    phantom = head_phantom(1, shape=shape)
    rgb = np.repeat(phantom.luminance[None, :, :, None], 3, axis=3)
    delta = (phantom.spacing_mm.column / 10.0, phantom.spacing_mm.row / 10.0)
    dataset = us_multiframe(rgb, [us_region((0, 0, shape[1] - 1, shape[0] - 1), delta)], FrameTime="40")
    dataset.NumberOfFrames = frames
    return dataset


def repeated(source: Path, target: Path, times: int) -> None:
    """Write an object of one frame, or of one piece of video, with that item `times` times; no offset table."""
    data = source.read_bytes()
    start = data.rindex(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff") + 12
    table = 8 + int.from_bytes(data[start + 4 : start + 8], "little")
    item = data[start + table : -8]
    with target.open("wb") as file:
        file.write(data[:start] + b"\xfe\xff\x00\xe0\0\0\0\0")
        for _ in range(times):
            file.write(item)
        file.write(data[-8:])


def native(folder: Path, frames: int | None = None, shape: tuple[int, int] = SHAPE) -> Path:
    """A sparse file of SIZE or of so many frames: its first frame is there, all others are black."""
    frame_bytes = shape[0] * shape[1] * 3
    frames = SIZE // frame_bytes + 1 if frames is None else frames
    path = save(cine(frames, shape), folder / "native.dcm")
    head = path.read_bytes()
    place = len(head) - frame_bytes - 4
    path.write_bytes(head[:place] + (frames * frame_bytes).to_bytes(4, "little") + head[place + 4 :])
    os.truncate(path, len(head) + (frames - 1) * frame_bytes)
    return path


def compressed(encoding: str, folder: Path) -> Path:
    one = encode(cine(1), encoding, folder)
    frames = SIZE // one.stat().st_size + 1
    dataset = dcmread(one)
    dataset.NumberOfFrames = frames
    repeated(save(dataset, one), folder / "cine.dcm", frames)
    return folder / "cine.dcm"


def video(folder: Path) -> Path:
    """Bare streams that each begin with a key frame, one after the other."""
    dataset = cine(1)
    noisy = np.random.default_rng(1).normal(encoders.frames_of(dataset)[0], 12.0, (25, *SHAPE, 3))
    stream = video_stream(np.clip(noisy, 0, 255).astype(np.uint8), encoders.H264_BARE)
    times = SIZE // len(stream) + 1
    dataset.NumberOfFrames = 25 * times
    one = encoders.with_video(dataset, [stream], encoders.ENCODINGS["h264"].syntax)
    repeated(save(one, folder / "one.dcm"), folder / "cine.dcm", times)
    return folder / "cine.dcm"


def test_a_native_cine_of_500_mb(tmp_path: Path) -> None:
    answer, peak_mb = measured(native(tmp_path))
    assert (answer["status"], answer["frame"], answer["frame_time_ms"]) == ("measured", 1, 0.0)
    assert answer["frames_used"] == [1, 106, 212]
    assert peak_mb < PEAK_MB


@pytest.mark.slow
def test_a_cine_of_2000_frames_with_the_usual_look(tmp_path: Path) -> None:
    answer, peak_mb = measured(native(tmp_path, LONG, LONG_SHAPE), USUAL_FRAMES)
    assert (answer["status"], answer["frames_used"][-1]) == ("measured", LONG)
    assert answer["cine"]["advice"] == "few_frames_measured"
    assert peak_mb < LONG_PEAK_MB


@pytest.mark.slow
@pytest.mark.peer("dcmcrle", "dcmcjpeg")
@pytest.mark.parametrize("encoding", ["rle", "jpeg_baseline"])
def test_a_compressed_cine_of_500_mb(encoding: str, tmp_path: Path) -> None:
    answer, peak_mb = measured(compressed(encoding, tmp_path))
    assert answer["status"] == "measured"
    assert peak_mb < PEAK_MB


@pytest.mark.slow
def test_a_video_of_500_mb(tmp_path: Path) -> None:
    answer, peak_mb = measured(video(tmp_path))
    assert answer["status"] == "measured"
    assert answer["frames_used"][-1] > 1000
    assert peak_mb < PEAK_MB


def measured(path: Path, frames: int = 3) -> Measured:
    """The answer of so many frames, and the highest memory that the process had for its own."""
    command = [sys.executable, "-c", PROGRAM, str(path), str(frames)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=ENVIRONMENT, **pipes) as process:
        peak_kb = 0
        while process.poll() is None:
            peak_kb = max(peak_kb, own_kb(process.pid))
            time.sleep(0.002)
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    return Measured(json.loads(out), peak_kb / 1024)


def own_kb(pid: int) -> int:
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found.group(1)) if found else 0  # a process that has just ended has none
