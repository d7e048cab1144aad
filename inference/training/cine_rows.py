"""What a method says of every frame of the judging clips: one row a frame, so that answers are made again from rows.

The clips sweep over the images of one held-out fold, three a still: clean, a quarter and half of the frames spoilt.
A seed belongs to an image, so that the three differ in their spoilt frames only; those the still's network has seen
already are not looked at again. A fourth shows nothing but planes without a head. Two rows with frame 0 tell what the
same network says of the still itself.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from inference.domain import CalibrationSource, Finding, Frame, Measurement, Region, RegionPx, Status
from inference.examine import Examiner, Outline
from inference.measure import circumference_mm
from inference.preprocess import plan
from inference.quality import Objection
from inference.segment import Segmentation
from inference.synthetic_cine import CineFrame, Condition, Still, Sweep, synthesise
from inference.temporal import ClipLook, look_at_clip
from inference.training.challenge import Annotated
from inference.training.stills import still_of
from inference.training.temporal import FinishedRun
from inference.training.temporal_recipe import SAMPLED

log = logging.getLogger(__name__)

SHARES = (0.0, 0.25, 0.5)
"""Of spoilt frames."""
OFF_PLANE_SHARE = 1.0
OFF_PLANE = replace(SAMPLED, frames=4, degraded=OFF_PLANE_SHARE, conditions=(Condition.OFF_PLANE,))
JUDGING_SEED = 900_000
"""Clips that judge are drawn from here on; training clips never reach it."""

ORDER_SEED = 8


class CineRowsError(ValueError):
    """A file of frame rows does not have the columns that `write_frame_rows` writes."""


@dataclass(frozen=True, slots=True)
class FrameRow:
    """One frame, or with number 0 the still. `share`: of spoilt frames in the clip.

    `hc_true_mm` is the frame's own, None where there is no measurable head; `hc_mm` the answer whatever its quality,
    None where no outline was found; `low`, `high` the still's interval. `measurable` is what the temporal network says.
    """

    image: str
    exam: str
    reference_mm: float
    share: float
    frame: int
    condition: str
    hc_true_mm: float | None
    hc_mm: float | None
    low_mm: float | None
    high_mm: float | None
    status: str
    reason: str
    overlap: float
    level_spread: float | None
    measurable: float | None = None
    received: float | None = None

    @property
    def measured(self) -> bool:
        """Whether the product would have given this frame's number."""
        return self.status == Status.MEASURED


class Method(Protocol):
    """Looks at the frames of one clip."""

    def __call__(self, frames: Sequence[CineFrame], still: Still) -> Sequence[FrameRow]:
        """One row a frame in their order; image, exam, reference and share are filled in by the caller."""
        ...


class StillByStill:
    """The node's examiner, frame by frame; a picture that it has seen is not looked at again."""

    def __init__(self, examiner: Examiner) -> None:
        self._examiner = examiner
        self._seen: dict[bytes, FrameRow] = {}

    def forget(self) -> None:
        """Before another image."""
        self._seen.clear()

    def __call__(self, frames: Sequence[CineFrame], still: Still) -> Sequence[FrameRow]:
        return [self._row(frame, still) for frame in frames]

    def _row(self, frame: CineFrame, still: Still) -> FrameRow:
        key = frame.luminance.tobytes()
        if key not in self._seen:
            seen = frame_of(frame, still)
            region = seen.regions[0]
            outline = self._examiner.outline(seen, region)
            self._seen[key] = row_of(frame, outline, self._examiner.judge(frame.number, region, outline))
        return replace(self._seen[key], frame=frame.number)


class Temporal:
    """The temporal network; limits and intervals are the examiner's, which the still's network was given."""

    def __init__(self, run: FinishedRun, examiner: Examiner) -> None:
        self._run = run
        self._examiner = examiner

    def __call__(self, frames: Sequence[CineFrame], still: Still) -> Sequence[FrameRow]:
        view = self._run.view
        look = look_at_clip(self._run.network, lambda place: view.batch(view.grey([frames[place]])), len(frames))
        return [self._row(frame, still, look, place) for place, frame in enumerate(frames)]

    def _row(self, frame: CineFrame, still: Still, look: ClipLook, place: int) -> FrameRow:
        seen = frame_of(frame, still)
        region = seen.regions[0]
        rows, columns = frame.luminance.shape
        letterbox = plan(rows, columns, still.spacing, self._run.view.grid)
        segmentation = Segmentation(look.probability[place], letterbox)
        outline = self._examiner.outline_in(segmentation, seen, region)
        row = row_of(frame, outline, self._examiner.judge(frame.number, region, outline))
        return replace(row, measurable=float(look.measurable[place]), received=float(look.received[place]))


def frame_of(frame: CineFrame, still: Still) -> Frame:
    """A frame as the examiner takes it: one region, the whole picture."""
    rows, columns = frame.luminance.shape
    region = Region(RegionPx(0, 0, columns - 1, rows - 1), still.spacing, CalibrationSource.GIVEN)
    return Frame(frame.number, frame.luminance, (region,))


def row_of(frame: CineFrame, outline: Outline | Objection, finding: Finding) -> FrameRow:
    """The row of a frame; image, exam, reference and share are the clip's."""
    measured = isinstance(finding, Measurement)
    interval = finding.hc_interval if isinstance(finding, Measurement) else None
    found = outline if isinstance(outline, Outline) else None
    return FrameRow(
        image="",
        exam="",
        reference_mm=0.0,
        share=0.0,
        frame=frame.number,
        condition=str(frame.condition),
        hc_true_mm=frame.hc_mm,
        hc_mm=None if found is None else circumference_mm(found.ellipse_mm),
        low_mm=None if interval is None else interval.low,
        high_mm=None if interval is None else interval.high,
        status=str(Status.MEASURED if measured else Status.ABSTAINED),
        reason="" if isinstance(finding, Measurement) else str(finding.reason),
        overlap=0.0 if found is None else found.overlap,
        level_spread=None if found is None else found.evidence.relative_level_spread,
    )


def judge_clips(images: Sequence[Annotated], method: Method, path: Path, most: int | None = None) -> list[FrameRow]:
    """The rows of all clips of the images, written to `path` after each; images that stand there are not done again.

    In a seeded order of their own, so that the first `most` of them are a fair sample of all.
    """
    order = np.random.default_rng(ORDER_SEED).permutation(len(images))
    images = [images[int(place)] for place in order[:most]]
    rows = read_frame_rows(path) if path.is_file() else []
    done = {row.image for row in rows}
    for index, image in enumerate(images):
        if image.name not in done:
            if isinstance(method, StillByStill):
                method.forget()
            rows += list(_rows(image, method))
            write_frame_rows(rows, path)
            log.info("evaluate.clip", extra={"images": index + 1})
    return rows


def _rows(image: Annotated, method: Method) -> Iterator[FrameRow]:
    still = still_of(image)
    at_rest = CineFrame(0, still.luminance, still.ellipse, image.hc_mm, Condition.CLEAR, np.eye(3)[:2])
    yield from _of(image, 0.0, method([at_rest], still))
    seed = JUDGING_SEED + int("".join(filter(str.isdigit, image.name)) or 0)
    for sweep in judging_sweeps():
        yield from _of(image, sweep.degraded, method(list(synthesise(still, sweep, seed)), still))


def judging_sweeps() -> tuple[Sweep, ...]:
    """The sweeps over each image: SHARES of spoilt frames, and one of planes without a head."""
    return (*(replace(SAMPLED, degraded=share) for share in SHARES), OFF_PLANE)


def _of(image: Annotated, share: float, rows: Sequence[FrameRow]) -> Iterator[FrameRow]:
    for row in rows:
        yield replace(row, image=image.name, exam=image.exam, reference_mm=image.hc_mm, share=share)


def write_frame_rows(rows: Sequence[FrameRow], path: Path) -> None:
    """One CSV line a frame, beside the old file, which it then replaces."""
    part = path.with_suffix(".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(FrameRow)], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            cells = asdict(row).items()
            writer.writerow({name: f"{cell:.6g}" if isinstance(cell, float) else cell for name, cell in cells})
    part.replace(path)


def read_frame_rows(path: Path) -> list[FrameRow]:
    """What `write_frame_rows` wrote.

    Raises:
        CineRowsError: a column is missing or is no number.
    """
    with path.open(newline="", encoding="utf-8") as file:
        try:
            return [_read(cells) for cells in csv.DictReader(file)]
        except (KeyError, TypeError, ValueError) as error:
            raise CineRowsError(f"{path.name} is not a file of frame rows ({type(error).__name__}: {error})") from error


_WORDS = ("image", "exam", "condition", "status", "reason")


def _read(cells: dict[str, str]) -> FrameRow:
    values: dict[str, Any] = {}
    for field in fields(FrameRow):
        text = cells[field.name]
        values[field.name] = text if field.name in _WORDS else (float(text) if text else None)
    return FrameRow(**values | {"frame": int(cells["frame"])})
