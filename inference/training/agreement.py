"""What two networks get wrong alike: what their errors share is not one network's own.

    python -m inference.training.agreement --one-name "..." --other-name "..." --folds 0 --one a.csv --other b.csv

Networks that share nothing but the data agree in an error through the image, its reference line, or the exams that both
learnt from; a third network of the kind, learning from the same exams, would not take that part away.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np

from inference.training import bootstrap
from inference.training.ablations import FOLDER, Answer, paired_answers, read_answers

AGREEMENT = "agreement.csv"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two networks and the folds that both have answered."""

    one: str
    other: str
    folds: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """One line: MAE of each and of their mean, how far they lie apart, and how their signed errors go together."""

    one: str
    other: str
    folds: str
    n: int
    mae_one_mm: str
    mae_other_mm: str
    mae_mean_mm: str
    apart_mm: str
    correlation: str
    correlation_low: str
    correlation_high: str


def agreement(pair: Pair, one: Sequence[Answer], other: Sequence[Answer]) -> Agreement:
    """Pearson's correlation of the signed errors, with its 95 % bootstrap interval by exam.

    Raises:
        AblationError: the two have not answered the same images.
    """
    matched = paired_answers(one, other)
    errors = np.array([[left.error_mm, right.error_mm] for left, right in matched])
    counts = bootstrap.draw([left.exam for left, _ in matched])
    found = bootstrap.with_interval(partial(bootstrap.correlation, errors[:, 0], errors[:, 1]), counts)
    value, low, high = ("", "", "") if found is None else (f"{figure:.3f}" for figure in found)
    size = np.abs(errors).mean(axis=0)
    return Agreement(
        **asdict(pair),
        n=len(matched),
        mae_one_mm=f"{size[0]:.3f}",
        mae_other_mm=f"{size[1]:.3f}",
        mae_mean_mm=f"{np.abs(errors.mean(axis=1)).mean():.3f}",
        apart_mm=f"{np.abs(errors[:, 0] - errors[:, 1]).mean():.3f}",
        correlation=value,
        correlation_low=low,
        correlation_high=high,
    )


def read_agreements(path: Path) -> list[Agreement]:
    """The table; empty where there is none yet."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [Agreement(**{**cells, "n": int(cells["n"])}) for cells in csv.DictReader(file)]  # type: ignore[arg-type]


def record(path: Path, line: Agreement) -> None:
    """Add a line; it replaces the one of the same pair."""

    def name(of: Agreement) -> tuple[str, str, str]:
        return of.one, of.other, of.folds

    lines = [known for known in read_agreements(path) if name(known) != name(line)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Agreement)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(each) for each in (*lines, line))


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("one", "other"):
        parser.add_argument(f"--{name}", type=Path, required=True, help="rows of a network")
        parser.add_argument(f"--{name}-name", required=True, help="what it is, in a few words")
    parser.add_argument("--folds", required=True, help="which folds the files hold")
    parser.add_argument("--out", type=Path, default=FOLDER)
    chosen = parser.parse_args(arguments)
    pair = Pair(chosen.one_name, chosen.other_name, chosen.folds)
    record(chosen.out / AGREEMENT, agreement(pair, read_answers(chosen.one), read_answers(chosen.other)))


if __name__ == "__main__":
    main()
