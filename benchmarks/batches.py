"""Would several pictures asked together be faster? Milliseconds per picture, by the number in a batch, on two cores.

The network alone as a frame asks it: picture and mirror image encoded and decoded, then the dropout passes. The peer is
two processes of one thread each, one picture at a time: what a second worker gives instead. fp32, avx2.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import torch

from benchmarks.record import Record
from dicom_node.config import Config
from dicom_node.examiner import find_entry
from inference.architectures.head_network import HeadNetwork
from inference.checkpoint import load_network
from inference.models import ModelEntry

CORES = 2
SIZES = (1, 2, 4, 8)
ROUNDS = 12


def run() -> Iterator[Record]:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    (together,) = measured([_start(CORES)])
    apart = measured([_start(1) for _ in range(CORES)])
    alone = statistics.mean(times["1"] for times in apart) / CORES
    for size, milliseconds in together.items():
        what = f"network per picture, batches of {size}, two threads"
        yield Record(what, round(milliseconds, 1), "ms", ROUNDS, "two workers of one thread", round(alone, 1))


def _start(threads: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "avx2", "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "benchmarks.batches", str(threads)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def measured(processes: list[subprocess.Popen[str]]) -> list[dict[str, float]]:
    """Milliseconds by batch size, of each process; they run at the same time. Raises RuntimeError if one fails."""
    said = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError("a process of the benchmark failed")
    return [json.loads(text) for text in said]


def main(threads: int) -> None:
    """Print the median milliseconds per picture for each size of batch."""
    config = Config()
    entry = find_entry(config)
    network = load_network(config.weights, entry, threads=threads)
    sizes = SIZES if threads == CORES else (1,) * len(SIZES)  # the workers stay busy as long as each other
    times: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(ROUNDS):
        for size in sizes:
            times[size].append(milliseconds(network, entry, size))
    print(json.dumps({size: statistics.median(taken) for size, taken in times.items()}))


def milliseconds(network: HeadNetwork, entry: ModelEntry, size: int) -> float:
    """Per picture, of `size` pictures asked together."""
    grid, passes = entry.grid, entry.look.dropout_passes
    pictures = torch.rand(2 * size, 1, grid.rows, grid.columns).contiguous(memory_format=torch.channels_last)
    began = time.perf_counter()
    with torch.inference_mode():
        features = network.encode(pictures)
        network.decode(features, (grid.rows, grid.columns))
        upright = [feature[:size].repeat_interleave(passes, 0) for feature in features]
        laid_out = [feature.contiguous(memory_format=torch.channels_last) for feature in upright]
        network.decode(laid_out, (grid.rows, grid.columns))
    return 1000.0 * (time.perf_counter() - began) / size


if __name__ == "__main__":
    main(int(sys.argv[1]))
