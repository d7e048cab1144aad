"""The table of what was tried: one row per idea, kept or not, from two files of rows.

    python -m inference.training.ablations --idea harsh --what "stronger shadow" --folds 0 --kept no \
        --new runs/harsh/rows.csv --old runs/baseline/rows.csv

Files are those of `dicom-node evaluate` (docs/evaluation/folds), of a screening, or the first screenings' answers.
Lines on "validation exams of the first file" are older than this command; their rows are not in the repository.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np

from inference.training import bootstrap

ABLATIONS = "ablations.csv"
FOLDER = Path("docs/evaluation")


class AblationError(ValueError):
    """Two files of rows cannot be compared."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The forced answer for one image; lengths in mm, `dice` in 0..1."""

    image: str
    exam: str
    hc_true_mm: float
    hc_mm: float
    dice: float

    @property
    def error_mm(self) -> float:
        return self.hc_mm - self.hc_true_mm


@dataclass(frozen=True, slots=True)
class Idea:
    """What was tried, against what, and on which images; `kept`: yes, no, or what is still to be shown."""

    idea: str
    what: str
    folds: str
    kept: str


@dataclass(frozen=True, slots=True)
class Ablation:
    """One line of the table. Differences are idea minus baseline, 95 % bootstrap interval by exam."""

    idea: str
    what: str
    folds: str
    n: int
    mae_mm: str
    difference_mm: str
    difference_low_mm: str
    difference_high_mm: str
    p95_mm: str
    bias_mm: str
    dice_percent: str
    kept: str


def read_answers(path: Path) -> list[Answer]:
    """Answers of a file of either kind. Raises AblationError where it is neither."""
    with path.open(newline="", encoding="utf-8") as file:
        try:
            return [_answer(cells) for cells in csv.DictReader(file)]
        except (KeyError, ValueError) as error:
            raise AblationError(f"{path.name} is not a file of answers ({type(error).__name__}: {error})") from error


def _answer(cells: Mapping[str, str]) -> Answer:
    hc = cells["hc_forced_mm"] if "hc_forced_mm" in cells else cells["hc_mm"]
    return Answer(cells["image"], cells["exam"], float(cells["hc_true_mm"]), float(hc), float(cells["dice"]))


def compared(idea: Idea, new: Sequence[Answer], old: Sequence[Answer] | None) -> Ablation:
    """The line of one idea: figures of `new`, paired differences to `old` (None for a baseline).

    Raises:
        AblationError: the two have not answered the same images.
    """
    errors = np.array([one.error_mm for one in new])
    size = np.abs(errors)
    value, low, high = ("", "", "") if old is None else _difference(new, old)
    return Ablation(
        idea=idea.idea,
        what=idea.what,
        folds=idea.folds,
        n=len(new),
        mae_mm=f"{size.mean():.3f}",
        difference_mm=value,
        difference_low_mm=low,
        difference_high_mm=high,
        p95_mm=f"{np.percentile(size, 95):.2f}",
        bias_mm=f"{errors.mean():+.2f}",
        dice_percent=f"{100 * np.mean([one.dice for one in new]):.2f}",
        kept=idea.kept,
    )


def _difference(new: Sequence[Answer], old: Sequence[Answer]) -> tuple[str, str, str]:
    matched = paired_answers(new, old)
    paired = np.array([abs(one.error_mm) - abs(before.error_mm) for one, before in matched])
    counts = bootstrap.draw([one.exam for one, _ in matched])
    value, low, high = bootstrap.with_interval(partial(bootstrap.mean, paired), counts) or (0.0, 0.0, 0.0)
    return f"{value:+.3f}", f"{low:+.3f}", f"{high:+.3f}"


def paired_answers(new: Sequence[Answer], old: Sequence[Answer]) -> list[tuple[Answer, Answer]]:
    """Both answers for each image, in the order of `new`. Raises AblationError where they are not the same images."""
    before = {one.image: one for one in old}
    if set(before) != {one.image for one in new}:
        raise AblationError("the two files have not answered the same images")
    return [(one, before[one.image]) for one in new]


def read_ablations(path: Path) -> list[Ablation]:
    """The table; empty where there is none yet."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [Ablation(**{**cells, "n": int(cells["n"])}) for cells in csv.DictReader(file)]  # type: ignore[arg-type]


def record(path: Path, line: Ablation) -> None:
    """Add a line; it replaces the one of the same idea on the same folds."""
    lines = read_ablations(path)
    places = [k for k, known in enumerate(lines) if (known.idea, known.folds) == (line.idea, line.folds)]
    if places:
        lines[places[0]] = line
    else:
        lines.append(line)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Ablation)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(one) for one in lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idea", required=True)
    parser.add_argument("--what", required=True, help="in a few words")
    parser.add_argument("--folds", required=True, help="which folds or exams the files hold")
    parser.add_argument("--new", type=Path, required=True, help="rows of the idea")
    parser.add_argument("--old", type=Path, help="rows of what it is compared with; none for a baseline")
    parser.add_argument("--kept", default="no", help="yes, no, or what is still to be shown")
    parser.add_argument("--out", type=Path, default=FOLDER)
    chosen = parser.parse_args(arguments)
    idea = Idea(chosen.idea, chosen.what, chosen.folds, chosen.kept)
    old = None if chosen.old is None else read_answers(chosen.old)
    record(chosen.out / ABLATIONS, compared(idea, read_answers(chosen.new), old))


if __name__ == "__main__":
    main()
