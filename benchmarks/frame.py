"""Time per single frame of `dicom-node measure` on a folder: decode, look, doubts and interval, on two cores.

800x540 frames in Explicit VR Little Endian, fp32 with ATEN_CPU_CAPABILITY=avx2, what every x86 machine of the last ten
years can do. The peer is the same process asking the same network once for each frame, without mirror image and
dropout passes: what the interval costs.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.record import Record
from dicom_node.config import Config
from dicom_node.examiner import build_examiner, find_entry
from dicom_node.measuring import measure_file
from inference.examine import Examiner
from inference.look import Look
from tests.acceptance.scanner import MEASURED_HEADS, head_image
from tests.ultrasound import save

CORES = 2
FRAMES = 60
WARM_UP = 5
SHAPE = (540, 800)


def run() -> Iterator[Record]:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.frame", folder]
        environment = {**os.environ, "ATEN_CPU_CAPABILITY": "avx2"}
        said = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    times = json.loads(said)
    for name, share in (("p50", 0.50), ("p95", 0.95)):
        ours, once = (statistics.quantiles(times[kind], n=100)[round(100 * share) - 1] for kind in ("ours", "once"))
        what = f"measure one frame with its interval, fp32 avx2, {name}"
        yield Record(what, round(ours, 1), "ms", FRAMES, "the network asked once", round(once, 1))


def main(folder: Path) -> None:
    """Print the milliseconds of each frame, asked as the model says and asked once."""
    config = Config()
    config = config.model_copy(update={"inference": config.inference.model_copy(update={"threads": CORES})})
    entry = find_entry(config)
    files = frames(folder)
    ours = milliseconds(files, build_examiner(config, entry))
    once = milliseconds(files, build_examiner(config, replace(entry, look=Look())))
    print(json.dumps({"ours": ours, "once": once}))


def frames(folder: Path) -> list[Path]:
    """Files of different heads, those of the warm-up first."""
    heads = [MEASURED_HEADS[n % len(MEASURED_HEADS)] for n in range(WARM_UP + FRAMES)]
    return [save(head_image(head, SHAPE), folder / f"{n:03}.dcm") for n, head in enumerate(heads)]


def milliseconds(files: list[Path], examiner: Examiner) -> list[float]:
    """Of each file, as `dicom-node measure` answers it; the warm-up left out."""
    taken = []
    for path in files:
        began = time.perf_counter()
        answer = measure_file(path, examiner, 1, None)
        taken.append(1000.0 * (time.perf_counter() - began))
        if answer["status"] != "measured":
            raise RuntimeError(f"a phantom of the benchmark was not measured: {answer['reason']}")
    return taken[WARM_UP:]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
