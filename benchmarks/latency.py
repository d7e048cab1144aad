"""From the C-STORE response to all three result objects in the PACS, for single 800x540 frames on two cores.

The real node (`dicom-node serve`), a sender and a stand-in PACS share two processors; images are sent one at a time,
the next one when the last is answered. The headline is fp32 with ATEN_CPU_CAPABILITY=avx2, what every x86 machine of
the last ten years can do; bf16 is measured beside it where the processor has it. Shares are means over the same images:

    wait      from the response until the worker has claimed the job
    decode, examine, report, commit   as the worker times them (event pipeline.answered)
    deliver   from the commit until the last object is in the PACS, the courier's poll included
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.record import Record
from tests.acceptance.node import Node, running_node, wait_for
from tests.acceptance.pacs import StandInPacs, stand_in_pacs
from tests.acceptance.scanner import MEASURED_HEADS, SUCCESS, Scanner, head_image, uid_of
from tests.objects import IMAGE_OBJECTS
from tests.ultrasound import save

SHAPE = (540, 800)
IMAGES = 40
WARM_UP = 5
HEADS = 10
CORES = 2
WORKER_STAGES = ("decode", "examine", "report", "commit")
STAGES = ("wait", *WORKER_STAGES, "deliver")


@dataclass(frozen=True)
class Variant:
    """One way to run the network, and what the worker's environment must say for it."""

    name: str
    precision: str
    environment: dict[str, str]


@dataclass(frozen=True)
class Timing:
    """One image, in seconds."""

    total: float
    stages: dict[str, float]


def run() -> Iterator[Record]:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    for variant in variants():
        with tempfile.TemporaryDirectory() as folder:
            yield from records(variant, timings(Path(folder), variant))


def variants() -> list[Variant]:
    found = [Variant("fp32 avx2", "fp32", {"ATEN_CPU_CAPABILITY": "avx2"})]
    if processor_flags() & {"avx512_bf16", "amx_bf16"}:
        found.append(Variant("bf16", "bf16", {}))
    return found


def records(variant: Variant, timed: list[Timing]) -> Iterator[Record]:
    totals = sorted(timing.total for timing in timed)
    name = f"response to three objects in the PACS, {variant.name}"
    yield Record(f"{name}, p50", round(statistics.median(totals), 3), "s", len(totals))
    yield Record(f"{name}, p95", round(statistics.quantiles(totals, n=20, method="inclusive")[18], 3), "s", len(totals))
    yield from shares(name, timed)


def shares(name: str, timed: list[Timing]) -> Iterator[Record]:
    """How much of all the time each stage took."""
    whole = sum(timing.total for timing in timed)
    for stage in STAGES:
        share = 100.0 * sum(timing.stages[stage] for timing in timed) / whole
        yield Record(f"{name}, share of {stage}", round(share, 1), "%", len(timed))


def timings(folder: Path, variant: Variant) -> list[Timing]:
    """Of IMAGES images, after WARM_UP that do not count."""
    inference = {"precision": variant.precision, "threads": CORES}
    with (
        stand_in_pacs(folder / "pacs") as pacs,
        running_node(folder / "node", {"pacs": pacs}, variant.environment, inference=inference) as node,
    ):
        heads = [MEASURED_HEADS[n % HEADS] for n in range(WARM_UP + IMAGES)]
        images = [save(head_image(head, SHAPE), folder / f"{n}.dcm") for n, head in enumerate(heads)]
        return [one(node, pacs, image) for image in images][WARM_UP:]


def one(node: Node, pacs: StandInPacs, image: Path, objects: int = len(IMAGE_OBJECTS)) -> Timing:
    """Send an image, wait for its objects, and ask the log where the time went."""
    known, uid = len(pacs.arrivals), uid_of(image)
    scanner = Scanner(node.port)
    if scanner.send(image) != [SUCCESS]:
        raise RuntimeError("the node did not take the image")
    wait_for(lambda: len(pacs.arrivals) >= known + objects, "no results", 60, node)
    event = wait_for(lambda: answered(node, uid), "not in the log", 10, node)
    responded, complete = scanner.sent_at[uid], max(arrival.at for arrival in pacs.arrivals[known:])
    committed = datetime.fromisoformat(event["time"]).timestamp() - time.time() + time.monotonic()
    worked = {stage: float(event[f"{stage}_s"]) for stage in WORKER_STAGES}
    wait = committed - sum(worked.values()) - responded
    return Timing(complete - responded, {"wait": wait, **worked, "deliver": complete - committed})


def answered(node: Node, uid: str) -> dict[str, Any] | None:
    """The worker's event for an image."""
    found = (event for event in node.events("pipeline.answered") if event["sop_instance_uid"] == uid)
    return next(found, None)


def processor_flags() -> set[str]:
    """What the processor says it can do; empty where /proc/cpuinfo does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return set()
    flags = next((line for line in lines if line.startswith("flags")), ":")
    return set(flags.partition(":")[2].split())
