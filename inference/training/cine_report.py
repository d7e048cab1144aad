"""Still network on the best frame (A), frame by frame with a consensus (B), temporal network (C): figures from rows.

The control (C0) is C by the same recipe with attention shut: what the clips taught, without what frames take from each
other.

Truth is HC of the undistorted still, so the error that the network makes on the still is the floor: label and bias of
one still are common to all its frames. Differences are paired by clip, their intervals drawn by exam.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.consensus import Size, settle, speaker, two_sizes
from inference.synthetic_cine import Condition
from inference.training.bootstrap import draw, mean, with_interval
from inference.training.cine_rows import OFF_PLANE_SHARE, SHARES, FrameRow
from inference.training.conformal import TooFewExamsError, conformal_quantile
from inference.training.folds import fold_of
from inference.training.tables import table

COVERAGE = 0.95
BEST_SHARE = 0.25
NEARLY_MM = 1.0
"""Half of the error that the still itself has: what sets frames apart by less does not decide about a number."""
HALF_SALT = "hc18-cine-halves-v1"
PAGE = "cine"


@dataclass(frozen=True, slots=True)
class Clip:
    """All frames of one clip as one network saw them, in their order."""

    image: str
    exam: str
    share: float
    reference_mm: float
    frames: tuple[FrameRow, ...]

    @property
    def measured(self) -> tuple[FrameRow, ...]:
        """The frames with a number."""
        return tuple(frame for frame in self.frames if frame.measured)


@dataclass(frozen=True, slots=True)
class Answer:
    """One HC for a clip, in mm; `half_width_mm` is that of the still's interval, `frame` the number that speaks."""

    clip: Clip
    hc_mm: float
    half_width_mm: float
    frame: int

    @property
    def error_mm(self) -> float:
        return abs(self.hc_mm - self.clip.reference_mm)


Answerer = Callable[[Clip], Answer | None]
"""None where the method stays silent."""


def clips_of(rows: Sequence[FrameRow]) -> tuple[list[Clip], dict[str, Clip]]:
    """The clips, and by image the still as a clip of one frame with number 0."""
    grouped: dict[tuple[str, float, bool], list[FrameRow]] = {}
    for row in rows:
        grouped.setdefault((row.image, row.share, row.frame == 0), []).append(row)
    made = {
        key: Clip(key[0], group[0].exam, key[1], group[0].reference_mm, tuple(group)) for key, group in grouped.items()
    }
    clips = [clip for (_, _, still), clip in made.items() if not still]
    return clips, {image: clip for (image, _, still), clip in made.items() if still}


def best_frame(clip: Clip) -> Answer | None:
    """A: the measured frame whose mask fits its ellipse best."""
    return _answer(clip, max(clip.measured, key=lambda frame: frame.overlap)) if clip.measured else None


def together(clip: Clip) -> Answer | None:
    """B, and C on the temporal network's rows: where the measured frames agree; silent where they show two sizes."""
    heads = clip.measured
    if not heads or two_sizes([Size(f.hc_mm or 0.0, f.low_mm or 0.0, f.high_mm or 0.0) for f in heads]) is not None:
        return None
    values = [frame.hc_mm or 0.0 for frame in heads]
    counted = [_weighing_width(frame) for frame in heads]
    settled = settle(values, counted)
    widths = np.array([_half_width(frame) for frame in heads])
    speaks = heads[speaker(settled, values, [counted, [_doubt(frame) for frame in heads]])]
    return Answer(clip, settled.centre, float(settled.weights @ widths), speaks.frame)


def speaking_frame(clip: Clip) -> Answer | None:
    """What the node says: the number of the frame that the consensus chooses."""
    agreed = together(clip)
    if agreed is None:
        return None
    return _answer(clip, next(frame for frame in clip.frames if frame.frame == agreed.frame))


def _answer(clip: Clip, frame: FrameRow) -> Answer:
    return Answer(clip, frame.hc_mm or 0.0, _half_width(frame), frame.frame)


def _half_width(frame: FrameRow) -> float:
    return ((frame.high_mm or 0.0) - (frame.low_mm or 0.0)) / 2.0


def _weighing_width(frame: FrameRow) -> float:
    """The width that a frame counts by; wider where the temporal network doubts that it shows a head."""
    return max(_half_width(frame), 0.1) / math.sqrt(_sure(frame))


def _doubt(frame: FrameRow) -> float:
    """`inference.examine.doubt_of`, larger where the temporal network doubts that the frame shows a head."""
    return (frame.level_spread or 0.0) / math.sqrt(_sure(frame))


def _sure(frame: FrameRow) -> float:
    return 1.0 if frame.measurable is None else max(frame.measurable, 1e-3)


@dataclass(frozen=True, slots=True)
class Compared:
    """Mean absolute errors of two methods on the clips that both answer, and their difference, [value, low, high]."""

    clips: int
    exams: int
    one_mm: list[float] | None
    other_mm: list[float] | None
    difference_mm: list[float] | None


def compare(one: Sequence[Answer], other: Sequence[Answer]) -> Compared:
    """`one` minus `other`, paired by image and share of spoilt frames; negative where `one` is better."""
    known = {(answer.clip.image, answer.clip.share): answer for answer in other}
    pairs = [(a, known[key]) for a in one if (key := (a.clip.image, a.clip.share)) in known]
    if not pairs:
        return Compared(0, 0, None, None, None)
    exams = [a.clip.exam for a, _ in pairs]
    counts = draw(exams)
    first, second = (np.array([pair[side].error_mm for pair in pairs]) for side in (0, 1))

    def told(values: NDArray[np.float64]) -> list[float] | None:
        return with_interval(lambda drawn: mean(values, drawn), counts)

    return Compared(len(pairs), len(set(exams)), told(first), told(second), told(first - second))


def coverage(answers: Sequence[Answer]) -> dict[str, Any]:
    """How often the interval holds the truth: the still's as it is, and scaled by what exams of the other half ask."""
    if not answers:
        return {"clips": 0}
    off = np.array([answer.error_mm / max(answer.half_width_mm, 1e-6) for answer in answers])
    half = np.array([_half(answer.clip.exam) for answer in answers])
    held, factors = 0, []
    for side in (0, 1):
        try:
            factor = conformal_quantile([float(score) for score in off[half != side]], COVERAGE)
        except TooFewExamsError:
            return {"clips": len(answers), "as_the_still": round(float(np.mean(off <= 1.0)), 4)}
        held += int((off[half == side] <= factor).sum())
        factors.append(round(factor, 3))
    return {
        "clips": len(answers),
        "as_the_still": round(float(np.mean(off <= 1.0)), 4),
        "calibrated": round(held / len(answers), 4),
        "factors": factors,
        "mean_half_width_mm": round(float(np.mean([answer.half_width_mm for answer in answers])), 3),
    }


def _half(exam: str) -> int:
    return hashlib.sha256(f"{HALF_SALT}:{exam}".encode()).digest()[0] % 2


def within_reach(clips: Sequence[Clip]) -> dict[str, Any]:
    """What choosing a frame by chance, and by full knowledge of the sweep, would come to, for `freeze`.

    `chance`: any clear frame. `knowing`: which frames are clear and the true HC of each are known, and the frame
    nearest to their mean is taken. The still itself, by which the best are told, no frame names: the mean of a finite
    sweep is all that even full knowledge has of it.
    """
    knowing, chance = [], []
    for clip in clips:
        clear = [frame for frame in clip.frames if frame.condition == Condition.CLEAR]
        if clear:
            middle = float(np.mean([frame.hc_true_mm or 0.0 for frame in clear]))
            known = min(clear, key=lambda frame: abs((frame.hc_true_mm or 0.0) - middle))
            knowing.append(Answer(clip, known.hc_true_mm or 0.0, 0.0, known.frame))
            chance.append(min(1.0, math.ceil(BEST_SHARE * len(clip.frames)) / len(clear)))
    if not knowing:
        return {"clips": 0}
    return {"clips": len(knowing), "chance": round(float(np.mean(chance)), 4), "knowing": freeze(knowing)}


def freeze(answers: Sequence[Answer]) -> dict[str, float]:
    """Share of the speaking frames that are clear, that are among the best quarter of their clip, and nearly.

    Best are clear frames before spoilt ones, and of these the nearest to the reference by their own true HC. Nearly:
    clear, and no more than `NEARLY_MM` farther from the reference than the last of the best quarter.
    """
    ranks, clear, nearly = [], [], []
    for answer in answers:
        clip = answer.clip
        order = sorted(clip.frames, key=lambda frame: _distance(frame, clip.reference_mm))
        rank = [frame.frame for frame in order].index(answer.frame)
        spoilt, off_mm = _distance(order[rank], clip.reference_mm)
        last_mm = _distance(order[math.ceil(BEST_SHARE * len(order)) - 1], clip.reference_mm)[1]
        ranks.append(rank < BEST_SHARE * len(order))
        clear.append(not spoilt)
        nearly.append(not spoilt and off_mm <= last_mm + NEARLY_MM)
    told = {"best_quarter": ranks, "clear": clear, "nearly": nearly}
    return {name: round(float(np.mean(shares)), 4) for name, shares in told.items()}


def _distance(frame: FrameRow, reference_mm: float) -> tuple[bool, float]:
    off = math.inf if frame.hc_true_mm is None else abs(frame.hc_true_mm - reference_mm)
    return frame.condition != Condition.CLEAR, off


def summarise(
    still_rows: Sequence[FrameRow],
    temporal_rows: Sequence[FrameRow] = (),
    control_rows: Sequence[FrameRow] = (),
) -> dict[str, Any]:
    """All figures, by share of spoilt frames; of the temporal network only where there are rows of it."""
    clips, stills = clips_of(still_rows)
    methods: dict[str, tuple[list[Clip], Answerer]] = {
        "A": (clips, best_frame),
        "B": (clips, together),
        "B_frame": (clips, speaking_frame),
    }
    if temporal_rows:
        seen, _ = clips_of(temporal_rows)
        methods |= {"C": (seen, together), "C_frame": (seen, speaking_frame)}
    if control_rows:
        methods["C0"] = (clips_of(control_rows)[0], together)
    floor = [answer for clip in stills.values() if (answer := best_frame(clip)) is not None]
    made: dict[str, Any] = {
        "images": len(stills),
        "exams": len({clip.exam for clip in stills.values()}),
        "still": {"measured": len(floor), "mae_mm": _mae(floor)},
        "off_plane": {name: _silence(seen, answer) for name, (seen, answer) in methods.items()},
        "shares": {},
        "by_fold": _by_fold(methods, floor),
    }
    for share in SHARES:
        made["shares"][f"{share:g}"] = _at_share(share, methods, floor)
    return made


def _by_fold(
    methods: Mapping[str, tuple[Sequence[Clip], Answerer]], floor: Sequence[Answer]
) -> dict[str, dict[str, Any]]:
    """What the node says, fold by fold, as each has networks and limits of its own; clean and at the largest share."""

    def within(fold: int, name: str, share: float) -> list[Answer]:
        clips, answer = methods[name]
        mine = [clip for clip in clips if clip.share == share and fold_of(clip.exam) == fold]
        return [said for clip in mine if (said := answer(clip)) is not None]

    told = {}
    for fold in sorted({fold_of(clip.exam) for clip in methods["B"][0]}):
        clean, spoilt = (within(fold, "B_frame", share) for share in (SHARES[0], SHARES[-1]))
        temporal = within(fold, "C", SHARES[0]) if "C" in methods else []
        told[str(fold)] = {
            "images": len({clip.image for clip in methods["B"][0] if fold_of(clip.exam) == fold}),
            "still_mm": _mae([answer for answer in floor if fold_of(answer.clip.exam) == fold]),
            "clean_mm": _mae(clean),
            "spoilt_mm": _mae(spoilt),
            "held": round(float(np.mean([a.error_mm <= a.half_width_mm for a in clean])), 4) if clean else None,
            "best_quarter": freeze(spoilt)["best_quarter"] if spoilt else None,
            "temporal_clips": len(temporal),
            "temporal_difference_mm": compare(temporal, within(fold, "B", SHARES[0])).difference_mm,
        }
    return told


def _silence(clips: Sequence[Clip], answer: Answerer) -> dict[str, int]:
    blind = [clip for clip in clips if clip.share == OFF_PLANE_SHARE]
    return {"clips": len(blind), "with_a_number": sum(answer(clip) is not None for clip in blind)}


def _at_share(
    share: float, methods: Mapping[str, tuple[Sequence[Clip], Answerer]], floor: Sequence[Answer]
) -> dict[str, Any]:
    answers = {
        name: [said for clip in clips if clip.share == share and (said := answer(clip)) is not None]
        for name, (clips, answer) in methods.items()
    }
    at_share = [Answer(_shared(a.clip, share), a.hc_mm, a.half_width_mm, a.frame) for a in floor]
    told: dict[str, Any] = {
        name: {
            "clips": sum(clip.share == share for clip in methods[name][0]),
            "measured": len(said),
            "mae_mm": _mae(said),
            "coverage": coverage(said),
            "freeze": freeze(said) if said else None,
        }
        for name, said in answers.items()
    }
    pairs = [("A", "still"), ("B", "still"), ("B_frame", "still"), ("B", "A"), ("B_frame", "A")]
    if "C" in answers:
        pairs += [("C", "still"), ("C", "A"), ("C", "B"), ("C_frame", "B_frame")]
    if {"C", "C0"} <= answers.keys():
        pairs.append(("C", "C0"))
    sides = {**answers, "still": at_share}
    told["reach"] = within_reach([answer.clip for answer in answers["B_frame"]])
    told["paired"] = {f"{one} - {other}": _told(compare(sides[one], sides[other])) for one, other in pairs}
    return told


def _shared(clip: Clip, share: float) -> Clip:
    """The still beside a clip of that share, for pairing."""
    return Clip(clip.image, clip.exam, share, clip.reference_mm, clip.frames)


def _mae(answers: Sequence[Answer]) -> list[float] | None:
    if not answers:
        return None
    errors = np.array([answer.error_mm for answer in answers])
    return with_interval(lambda drawn: mean(errors, drawn), draw([answer.clip.exam for answer in answers]))


def _told(compared: Compared) -> dict[str, Any]:
    return {
        "clips": compared.clips,
        "exams": compared.exams,
        "one_mm": compared.one_mm,
        "other_mm": compared.other_mm,
        "difference_mm": compared.difference_mm,
    }


def write_report(out: Path, summary: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write `out/cine.json` and `out/cine.md`; `facts`: folds, weights and what the clips were."""
    out.mkdir(parents=True, exist_ok=True)
    record = {**facts, **summary}
    (out / f"{PAGE}.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (out / f"{PAGE}.md").write_text("\n".join(_page(record)).rstrip() + "\n", encoding="utf-8")


NAMES = {
    "A": "A still network, best frame",
    "B": "B still network, consensus",
    "B_frame": "B the frame that speaks (the node)",
    "C": "C temporal network, consensus",
    "C_frame": "C the frame that speaks",
    "C0": "C0 the same without attention, consensus",
}


def _page(record: Mapping[str, Any]) -> list[str]:
    floor, images = record["still"], record["images"]
    lines = [
        "# Cine loops: one answer from many frames",
        "",
        "Written by `dicom-node evaluate-cine`; not edited by hand.",
        "",
        f"Synthetic clips of 16 frames over 3.2 s from {images} images ({record['exams']} exams) of HC18, each "
        "seen by networks and judged by limits that its fold took no part in. Truth is HC of the still. Errors are "
        "mean absolute errors in mm over the clips with a number, [95 % interval], drawn by exam.",
        "",
        f"The still itself: {_figure(floor['mae_mm'])} on {floor['measured']} of {images} images. It is the floor: the "
        "expert's line and the network's bias are the same in all frames of a still.",
        "",
        "Best quarter: clear frames first, then the nearest to the still by their true HC. Nearly: clear, and no more "
        f"than {NEARLY_MM:g} mm beyond it. Who knew the true HC of every frame would take the nearest to their mean; "
        "the still itself is in no frame, so that is as far as a sweep reaches.",
        "",
    ]
    for share, told in record["shares"].items():
        lines += _share_lines(share, told)
    lines += _fold_lines(record["by_fold"])
    return [*lines, *_limits(record["off_plane"])]


def _fold_lines(folds: Mapping[str, Mapping[str, Any]]) -> list[str]:
    header = ["fold", "images", "still", "clean clips", "interval holds", "half spoilt", "best quarter"]
    header += ["clips of C", "C - B, clean"]
    body = [
        [
            fold,
            str(row["images"]),
            _figure(row["still_mm"]),
            _figure(row["clean_mm"]),
            _percent(row["held"]),
            _figure(row["spoilt_mm"]),
            _percent(row["best_quarter"]),
            str(row["temporal_clips"]),
            _figure(row["temporal_difference_mm"]),
        ]
        for fold, row in folds.items()
    ]
    said = "Errors of the frame that speaks, in mm; interval on clean clips, best quarter with half the frames spoilt."
    return ["## Fold by fold", "", said, "", *table([header, *body]), ""]


def _limits(off_plane: Mapping[str, Mapping[str, int]]) -> list[str]:
    numbers = [f"{NAMES[name]} {row['with_a_number']} of {row['clips']}" for name, row in off_plane.items()]
    return [
        "## Clips that show no head",
        "",
        f"With a number: {'; '.join(numbers)}.",
        "",
        "What these clips cannot show: anatomy beside the plane, shadows that move with the bone, the machine's own "
        "frame averaging. They say whether a method uses its frames well, not how well it does on a real sweep.",
    ]


def _share_lines(share: str, told: Mapping[str, Any]) -> list[str]:
    header = ["method", "clips with a number", "error", "still's interval holds", "calibrated"]
    header += ["best quarter", "nearly", "clear"]
    body = [
        [
            NAMES[name],
            f"{row['measured']} of {row['clips']}",
            _figure(row["mae_mm"]),
            _percent(row["coverage"].get("as_the_still")),
            _percent(row["coverage"].get("calibrated")),
            *_choice(row["freeze"] or {}),
        ]
        for name, row in told.items()
        if name in NAMES
    ]
    reach = told["reach"]
    if reach["clips"]:
        knowing = ["who knew each frame's true HC", f"{reach['clips']}", "-", "-", "-", *_choice(reach["knowing"])]
        by_chance = [
            "a clear frame by chance",
            f"{reach['clips']}",
            "-",
            "-",
            "-",
            _percent(reach["chance"]),
            "-",
            "100%",
        ]
        body += [knowing, by_chance]
    differences = [["difference", "clips", "mm"]] + [
        [pair.replace("_frame", " (frame)"), str(row["clips"]), _figure(row["difference_mm"])]
        for pair, row in told["paired"].items()
    ]
    return [f"## {float(share):.0%} of the frames spoilt", "", *table([header, *body]), "", *table(differences), ""]


def _choice(told: Mapping[str, float]) -> list[str]:
    return [_percent(told.get(name)) for name in ("best_quarter", "nearly", "clear")]


def _figure(values: Sequence[float] | None) -> str:
    return "-" if values is None else f"{values[0]:.2f} [{values[1]:.2f}, {values[2]:.2f}]"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"
