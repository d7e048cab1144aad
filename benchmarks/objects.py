"""Building and storing every result object of one 600x800 frame, in one process on two cores.

Time on the wall, and processor time beside it, which other programs on the machine lengthen less. The headline is every
kind that a still can become, with the share of each; then what is made unless the configuration says otherwise, the
report of the study of that one image included. The first objects of a process also read fonts and highdicom's tables; a
worker does that once. The second look of the network that `gradcam` and `uncertainty` cost is not in here, nor is the
decoding of a cine's frames.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.record import Record
from dicom_node.config import Config
from dicom_node.domain import STUDY_OBJECTS, USUAL_OBJECTS, NewObject, ResultKind
from dicom_node.examiner import find_entry
from dicom_node.reporting import Evidence, Reporter, StudyEvidence
from dicom_node.worker import protocol_of
from inference.agreement import choose
from inference.domain import RegionPx
from sr_templates.cine import Cine
from sr_templates.report import Picture
from sr_templates.tid5000 import Candidate
from sr_templates.uids import StudyEntropy, UidEntropy, equipment
from tests.phantoms import head_phantom
from tests.reports import CREATED, SHA256, cine, explanation, measurement, stored
from tests.ultrasound import us_image

SHAPE = (600, 800)
ROUNDS = 20
CORES = 2
CINE_FRAMES = 16
OF_A_STILL = tuple(kind for kind in ResultKind if kind not in {*STUDY_OBJECTS, ResultKind.CINE_OVERLAY})
USUAL_OF_AN_IMAGE = tuple(kind for kind in USUAL_OBJECTS if kind not in STUDY_OBJECTS)

Build = Callable[[], tuple[NewObject, ...]]


@dataclass(frozen=True)
class Took:
    """Milliseconds on the wall, and of the processor."""

    wall: float
    processor: float

    def __add__(self, other: Took) -> Took:
        return Took(self.wall + other.wall, self.processor + other.processor)


def run() -> Iterator[Record]:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        yield from records("the first objects of a process", [took(bench.of_image(OF_A_STILL), len(OF_A_STILL))])
        yield from shares(bench)
        usual = [
            took(bench.of_image(USUAL_OF_AN_IMAGE), len(USUAL_OF_AN_IMAGE)) + took(bench.of_study(), len(STUDY_OBJECTS))
            for _ in range(ROUNDS)
        ]
        yield from records("the usual objects of one frame and its study", usual)
        cines = [took(bench.of_image((ResultKind.CINE_OVERLAY,)), 1) for _ in range(ROUNDS // 4)]
        yield from records(f"{ResultKind.CINE_OVERLAY} of {CINE_FRAMES} frames", cines)


def shares(bench: Bench) -> Iterator[Record]:
    """Every kind of a still in turn, round after round: what else the machine does meets all of them."""
    rounds = [[took(bench.of_image((kind,)), 1) for kind in OF_A_STILL] for _ in range(ROUNDS)]
    name = "every object of one frame"
    yield from records(name, [sum(each, Took(0.0, 0.0)) for each in rounds])
    whole = sum(one.processor for each in rounds for one in each)
    for place, kind in enumerate(OF_A_STILL):
        share = 100.0 * sum(each[place].processor for each in rounds) / whole
        yield Record(f"{name}, share of {kind} in processor time", round(share, 1), "%", ROUNDS)


def records(name: str, taken: list[Took]) -> Iterator[Record]:
    for what, values in (("wall", [t.wall for t in taken]), ("processor time", [t.processor for t in taken])):
        yield Record(f"{name}, {what}", round(statistics.median(values), 1), "ms", len(taken))


def took(build: Build, expected: int) -> Took:
    """One call of the reporter, as the worker makes it: built, encoded, on disk."""
    wall, processor = time.perf_counter(), time.process_time()
    made = build()
    spent = Took(1000.0 * (time.perf_counter() - wall), 1000.0 * (time.process_time() - processor))
    if len(made) != expected:
        raise RuntimeError(f"{len(made)} objects were made of {expected}")
    return spent


class Bench:
    """A phantom's frame as RGB with the head that it shows, and the reporter as configured out of the box."""

    def __init__(self, folder: Path) -> None:
        phantom = head_phantom(2, shape=SHAPE)
        picture: Picture = np.stack([phantom.luminance] * 3, axis=-1)
        region = RegionPx(0, 0, SHAPE[1] - 1, SHAPE[0] - 1)
        head = measurement(region=region, spacing_mm=phantom.spacing_mm, ellipse=phantom.ellipse_px)
        frames = tuple(range(1, CINE_FRAMES + 1))
        findings = tuple(replace(head, frame=number) for number in frames)
        moving: Cine = cine(frames, findings=findings, picture=lambda _: picture)
        source = stored(us_image(picture, SOPInstanceUID="1.2.3.4.5"))
        protocol = protocol_of(Config(), find_entry(Config()))
        self._image = Evidence(source, head, picture, explanation(head), moving)
        self._reporter = Reporter(folder, equipment("0", "BENCH"), protocol, 901)
        study_uid = source.StudyInstanceUID
        self._entropy = UidEntropy(study_uid, source.SOPInstanceUID, 0, (1,), SHA256, "0", "torch-cpu/fp32")
        self._study = StudyEvidence(
            candidates=(Candidate(source, head),),
            choice=choose([head], several_heads=False),
            version=1,
            several_heads=(),
            entropy=StudyEntropy(study_uid, 1, ("first",), "0"),
            image=self._entropy,
            picture=picture,
            has_overlay=False,
        )

    def of_image(self, kinds: tuple[ResultKind, ...]) -> Build:
        reporter = replace(self._reporter, kinds=kinds)
        return lambda: reporter.report(self._image, self._entropy, (), CREATED)

    def of_study(self) -> Build:
        reporter = replace(self._reporter, kinds=tuple(STUDY_OBJECTS))
        return lambda: reporter.report_study(self._study, (), CREATED)
