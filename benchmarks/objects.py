"""Building and storing every kind of result object of one 600x800 frame, in one process on two cores.

Time on the wall, and processor time beside it, which other programs on the machine lengthen less. What every measured
image becomes unless the configuration says otherwise comes first, with the share of each kind, then what is made where
it is listed. The first objects of a process also read fonts and highdicom's tables; a worker does that once. The second
look of the network that `gradcam` and `uncertainty` cost is not in here, nor is decoding of a cine's frames.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset

from benchmarks.record import Record
from dicom_node.config import Config
from dicom_node.domain import USUAL_OBJECTS, ResultKind
from dicom_node.examiner import find_entry
from dicom_node.reporting import Evidence, Reporter
from dicom_node.worker import protocol_of
from inference.domain import Measurement, RegionPx
from sr_templates.cine import Cine
from sr_templates.report import Picture
from sr_templates.uids import UidEntropy, equipment
from tests.phantoms import head_phantom
from tests.reports import CREATED, SHA256, cine, explanation, measurement, stored
from tests.ultrasound import us_image

SHAPE = (600, 800)
ROUNDS = 20
CORES = 2
LISTED = tuple(kind for kind in ResultKind if kind not in (*USUAL_OBJECTS, ResultKind.CINE_OVERLAY))
CINE_FRAMES = 16


@dataclass(frozen=True)
class Took:
    """Milliseconds on the wall, and of the processor."""

    wall: float
    processor: float


def run() -> Iterator[Record]:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    with tempfile.TemporaryDirectory() as folder:
        still, cine_evidence = evidence(), evidence(with_cine=True)
        yield from records("the first objects of a process", [took(Path(folder), still, USUAL_OBJECTS)])
        rounds = {
            kind: [took(Path(folder), still, (kind,)) for _ in range(ROUNDS)] for kind in (*USUAL_OBJECTS, *LISTED)
        }
        whole = [total(each) for each in zip(*(rounds[kind] for kind in USUAL_OBJECTS), strict=True)]
        yield from records("the usual objects of one frame", whole)
        processor = sum(each.processor for each in whole)
        for kind in USUAL_OBJECTS:
            share = 100.0 * sum(each.processor for each in rounds[kind]) / processor
            yield Record(f"the usual objects of one frame, share of {kind}", round(share, 1), "%", ROUNDS)
        for kind in LISTED:
            yield from records(f"{kind} of one frame", rounds[kind])
        cines = [took(Path(folder), cine_evidence, (ResultKind.CINE_OVERLAY,)) for _ in range(ROUNDS // 4)]
        yield from records(f"{ResultKind.CINE_OVERLAY} of {CINE_FRAMES} frames", cines)


def records(name: str, taken: list[Took]) -> Iterator[Record]:
    for what, values in (("wall", [t.wall for t in taken]), ("processor time", [t.processor for t in taken])):
        yield Record(f"{name}, {what}", round(statistics.median(values), 1), "ms", len(taken))


def total(parts: tuple[Took, ...]) -> Took:
    return Took(sum(part.wall for part in parts), sum(part.processor for part in parts))


def took(folder: Path, shown: Evidence, kinds: tuple[ResultKind, ...]) -> Took:
    """One call of the reporter, as the worker does it: built, encoded, on disk."""
    entry = find_entry(Config())
    reporter = Reporter(folder, equipment("0", "BENCH"), protocol_of(Config(), entry), 901, kinds)
    source = shown.source
    entropy = UidEntropy(source.StudyInstanceUID, source.SOPInstanceUID, 0, (1,), SHA256, "0", "torch-cpu/fp32")
    wall, processor = time.perf_counter(), time.process_time()
    made = reporter.report(shown, entropy, (), CREATED)
    spent = Took(1000.0 * (time.perf_counter() - wall), 1000.0 * (time.process_time() - processor))
    if len(made) != len(kinds):
        raise RuntimeError(f"{len(made)} objects were made of {len(kinds)}")
    return spent


def evidence(with_cine: bool = False) -> Evidence:
    """A phantom's frame as RGB, with the head that it shows."""
    phantom = head_phantom(2, shape=SHAPE)
    picture: Picture = np.stack([phantom.luminance] * 3, axis=-1)
    region = RegionPx(0, 0, SHAPE[1] - 1, SHAPE[0] - 1)
    head = measurement(region=region, spacing_mm=phantom.spacing_mm, ellipse=phantom.ellipse_px)
    source: FileDataset = us_image(picture, SOPInstanceUID="1.2.3.4.5")
    made = Evidence(stored(source), head, picture, explanation(head))
    return replace(made, cine=_cine(head, picture)) if with_cine else made


def _cine(head: Measurement, picture: Picture) -> Cine:
    frames = range(1, CINE_FRAMES + 1)
    findings = tuple(replace(head, frame=number) for number in frames)
    return cine(tuple(frames), findings=findings, picture=lambda _: picture)
