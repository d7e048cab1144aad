"""One synthetic clip as a picture: frames, attention, where frames differ, HC over time, and the answer.

    python -m inference.training.cine_picture --weights weights --still runs/fold0 --temporal cine/fold0 --out cine.png

The head is a phantom, so that the picture may be shown to anybody.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np

from inference.checkpoint import load_network
from inference.consensus import consensus
from inference.dating import HADLOCK_1984
from inference.domain import Consensus, EllipsePx, Finding, Map, Measurement
from inference.examine import Examiner, doubt_of
from inference.measure import outline_px
from inference.models import find_model
from inference.preprocess import from_grid
from inference.registration import SeenHead, boundary_deviation
from inference.segment import Segmenter
from inference.synthetic_cine import CineFrame, Still, Sweep, reference_hc_mm, synthesise
from inference.temporal import ClipLook, look_at_clip
from inference.training.cine_rows import frame_of
from inference.training.phantoms import training_phantom
from inference.training.stills import still_of_phantom
from inference.training.temporal import FinishedRun, finished_run

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#8A8A8A"
ACROSS = 8
DPI = 80
SHOWN = Sweep(frames=16, frame_time_s=0.2, degraded=0.375)
PHANTOM, SEED = 7, 5


@dataclass(frozen=True, slots=True)
class Seen:
    """A clip and what both networks made of it."""

    still: Still
    frames: tuple[CineFrame, ...]
    findings: tuple[Finding, ...]
    together: Consensus
    deviation: Map
    look: ClipLook


class NothingSeenError(ValueError):
    """No frame of the clip has a number, so there is nothing to show."""


def look(weights: Path, model: str, run: FinishedRun) -> Seen:
    """Draw the clip and look at it with the shipped network, frame by frame, and with the temporal one.

    Raises:
        ModelError: the shipped network is missing or altered.
        NothingSeenError: no frame has a number.
    """
    entry = find_model(weights, model)
    segmenter = Segmenter(load_network(weights, entry), entry.grid, entry.normalisation, entry.look)
    examiner = Examiner(segmenter, entry, HADLOCK_1984)
    still = still_of_phantom(training_phantom(PHANTOM, with_head=True))
    frames = tuple(synthesise(still, SHOWN, SEED))
    findings, doubts, heads = [], [], []
    for frame in frames:
        seen = frame_of(frame, still)
        segmentation = segmenter(frame.luminance, still.spacing)
        region = seen.regions[0]
        outline = examiner.outline_in(segmentation, seen, region)
        finding = examiner.judge(frame.number, region, outline)
        findings.append(finding)
        doubts.append(doubt_of(outline))
        if isinstance(finding, Measurement):
            rows, columns = frame.luminance.shape
            probability = from_grid(segmentation.probability, segmentation.letterbox, rows, columns)
            heads.append(SeenHead(probability, finding.ellipse))
    together = consensus(findings, doubts)
    if together is None:
        raise NothingSeenError("no frame of the clip has a number")
    deviation = boundary_deviation(heads, _ellipse(findings, together.freeze_frame))
    clip = look_at_clip(run.network, lambda place: run.view.batch(run.view.grey([frames[place]])), len(frames))
    return Seen(still, frames, tuple(findings), together, deviation, clip)


def draw(seen: Seen, path: Path) -> Path:
    """Write the picture."""
    rows = -(-len(seen.frames) // ACROSS)
    figure = plt.figure(figsize=(15.0, 4.6 + 1.7 * rows), layout="constrained")
    (upper,), (lower,) = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.7 * rows, 4.6])
    for place, axes in enumerate(upper.subplots(rows, ACROSS, squeeze=False).flat):
        if place < len(seen.frames):
            _frame(axes, seen, place)
        else:
            axes.set_axis_off()
    over_time, attention, deviation = lower.subplots(1, 3, width_ratios=[3.0, 2.4, 3.0])
    _over_time(over_time, seen)
    _attention(attention, seen.look)
    _deviation(deviation, seen)
    figure.suptitle(_answer(seen.together, reference_hc_mm(seen.still)), fontsize=11)
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    plt.close(figure)
    return path


def _answer(together: Consensus, reference_mm: float) -> str:
    """The answer in one line."""
    advice = "none" if together.advice is None else str(together.advice).replace("_", " ")
    return (
        f"Consensus {together.hc_mm:.1f} mm (SD over frames {together.deviation_mm:.1f}), truth {reference_mm:.1f} mm; "
        f"frame {together.freeze_frame} speaks; reliability {together.reliability:.2f}; advice: {advice}"
    )


def _frame(axes: Axes, seen: Seen, place: int) -> None:
    frame, finding = seen.frames[place], seen.findings[place]
    axes.imshow(cv2.resize(frame.luminance, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), cmap="gray", vmax=200)
    measured, speaks = isinstance(finding, Measurement), frame.number == seen.together.freeze_frame
    if finding.ellipse is not None:
        points = outline_px(finding.ellipse, 120) / 2.0
        axes.plot(*points.T, color=ORANGE if measured else GREY, linewidth=1.6 if speaks else 0.9)
    said = f"{finding.hc_mm:.1f}" if isinstance(finding, Measurement) else str(finding.reason).replace("_", " ")
    axes.set_title(f"{frame.number} {frame.condition.replace('_', ' ')}\n{said}", fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=speaks, color=ORANGE, linewidth=3.0)


def _over_time(axes: Axes, seen: Seen) -> None:
    heads = [finding for finding in seen.findings if isinstance(finding, Measurement)]
    truth = [(frame.number, frame.hc_mm) for frame in seen.frames if frame.hc_mm is not None]
    for head in heads:
        if head.hc_interval is not None:
            axes.vlines(head.frame, head.hc_interval.low, head.hc_interval.high, color=GREY, linewidth=1.0)
    axes.plot(*zip(*truth, strict=True), ".", color=BLUE, label="true HC of the frame")
    axes.plot([h.frame for h in heads], [h.hc_mm for h in heads], "o", color=ORANGE, markersize=4, label="measured")
    axes.axhline(seen.together.hc_mm, color=ORANGE, linewidth=1.0, label="consensus")
    axes.axhline(reference_hc_mm(seen.still), color=BLUE, linewidth=1.0, linestyle="--", label="HC of the still")
    axes.set(xlabel="frame", ylabel="HC (mm); bars: 95 % interval")
    axes.legend(fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, 1.16), frameon=False)


def _attention(axes: Axes, clip: ClipLook) -> None:
    count = len(clip.attention)
    axes.imshow(clip.attention, cmap="viridis", extent=(0.5, count + 0.5, count + 0.5, 0.5))
    axes.set(xlabel="frame looked at", ylabel="frame that looks")
    low, high = clip.received.min(), clip.received.max()
    axes.set_title(f"attention; a frame receives {low:.2f} to {high:.2f}", fontsize=9)


def _deviation(axes: Axes, seen: Seen) -> None:
    speaks = seen.frames[seen.together.freeze_frame - 1]
    axes.imshow(speaks.luminance, cmap="gray", vmax=200)
    axes.imshow(np.ma.masked_less(seen.deviation, 0.02), cmap="viridis", vmin=0.0, vmax=0.25, alpha=0.9)
    largest = seen.deviation.max()
    axes.set_title(f"where frames differ, motion taken out (SD of probability, up to {largest:.2f})", fontsize=9)
    axes.set_axis_off()


def _ellipse(findings: Sequence[Finding], frame: int) -> EllipsePx:
    ellipse = next(finding.ellipse for finding in findings if finding.frame == frame)
    assert ellipse is not None  # noqa: S101  a frame that speaks has one
    return ellipse


def main(arguments: Sequence[str] | None = None) -> None:
    """The command of the module."""
    parser = argparse.ArgumentParser(prog="python -m inference.training.cine_picture", description=__doc__)
    parser.add_argument("--weights", type=Path, default=Path("weights"))
    parser.add_argument("--model", default="efficientnet-lite0-unet")
    for name in ("still", "temporal", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    told = parser.parse_args(arguments)
    print(draw(look(told.weights, told.model, finished_run(told.still, told.temporal)), told.out))


if __name__ == "__main__":
    main()
