"""From the C-STORE response to all four result objects of a cine in the PACS: 60 JPEG frames of 800x540 on two cores.

The real node with its usual 16 examined frames, as in `latency`, whose stages these are; the objects are the structured
report, the PDF with HC over time, the overlay and the capture of the cine. The clips are synthetic sweeps over phantom
heads, a quarter of their frames spoilt. Memory is the worker's peak resident set (VmHWM), libraries included.
"""

from __future__ import annotations

import os
import re
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.latency import CORES, SHAPE, Timing, Variant, one, shares, variants
from benchmarks.record import Record
from dicom_node.demo.cine import CineFile, cine_phantom, write_cine
from dicom_node.domain import ResultKind
from inference.synthetic_cine import Sweep, synthesise
from inference.training.stills import still_of_phantom
from tests.acceptance.node import Node, running_node
from tests.acceptance.pacs import stand_in_pacs
from tests.objects import EVERY_IMAGE, IMAGE_OBJECTS

SWEEP = Sweep(frames=60, frame_time_s=0.05, degraded=0.25)
OBJECTS = (*IMAGE_OBJECTS, ResultKind.CINE_OVERLAY)
CLIPS = 12
WARM_UP = 2
HEADS = 7
"""Phantoms that the shipped network measures; a clip without a number has no objects to wait for."""


def run() -> Iterator[Record]:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    with tempfile.TemporaryDirectory() as folder:
        paths = [clip(Path(folder) / f"{n}.dcm", n % HEADS) for n in range(WARM_UP + CLIPS)]
        for variant in variants():
            yield from records(variant, *timings(Path(folder) / variant.precision, variant, paths))


def clip(path: Path, seed: int) -> Path:
    """A sweep over a phantom head of another size for each seed."""
    still = still_of_phantom(cine_phantom(seed, 150.0 + 13.0 * seed))
    pictures = [frame.luminance for frame in synthesise(still, SWEEP, seed)]
    if pictures[0].shape != SHAPE:
        raise RuntimeError(f"the phantom has {pictures[0].shape} pixels")
    write_cine(pictures, CineFile(still.spacing, SWEEP.frame_time_s * 1000.0, jpeg=True), path)
    return path


def timings(folder: Path, variant: Variant, paths: list[Path]) -> tuple[list[Timing], float]:
    """Of all clips but the first WARM_UP, and the worker's peak memory in MB."""
    inference = {"precision": variant.precision, "threads": CORES}
    results = {**EVERY_IMAGE, "objects": [kind.value for kind in OBJECTS]}
    with (
        stand_in_pacs(folder / "pacs") as pacs,
        running_node(
            folder / "node", {"pacs": pacs}, variant.environment, inference=inference, results=results
        ) as node,
    ):
        timed = [one(node, pacs, path, len(OBJECTS)) for path in paths]
        return timed[WARM_UP:], peak_mb(node)


def records(variant: Variant, timed: list[Timing], peak: float) -> Iterator[Record]:
    totals = [timing.total for timing in timed]
    name = f"cine: response to {len(OBJECTS)} objects in the PACS, {variant.name}"
    yield Record(f"{name}, p50", round(statistics.median(totals), 2), "s", len(totals))
    yield Record(f"{name}, longest", round(max(totals), 2), "s", len(totals))
    yield from shares(name, timed)
    yield Record(f"{name}, worker's peak memory", round(peak), "MB", len(totals))


def peak_mb(node: Node) -> float:
    """The largest resident set that the worker has had (VmHWM of proc(5))."""
    status = Path(f"/proc/{node.role('worker').pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    if found is None:
        raise RuntimeError("the kernel does not tell a peak")
    return int(found.group(1)) / 1024.0
