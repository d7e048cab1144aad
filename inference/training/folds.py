"""Five folds of HC18, grouped by exam and fixed for ever: a hash of the exam number decides, a file records.

Folds replace the three-way split of the first shipped model: its test and validation exams are spread over them, so
that model's figures and the folds' are not figures of the same experiment.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable
from pathlib import Path

from inference.training.challenge import Annotated

FOLD_SALT = "hc18-folds-v1"
FOLDS = 5
FOLDS_CSV = Path(__file__).with_name("folds.csv")
HEADER = ("image", "exam", "fold")


class FoldsError(ValueError):
    """The file of folds does not say what the hash says, or an image is missing from it."""


def fold_of(exam: str) -> int:
    """The fold of one exam, 0 to 4. Two images of an exam never part."""
    digest = hashlib.sha256(f"{FOLD_SALT}:{exam}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % FOLDS


def write_folds(images: Iterable[Annotated], path: Path = FOLDS_CSV) -> None:
    """One line per image, in the images' order."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows((image.name, image.exam, fold_of(image.exam)) for image in images)


def read_folds(path: Path = FOLDS_CSV) -> dict[str, int]:
    """Image name to fold.

    Raises:
        FoldsError: a line contradicts the hash, so the file was changed after figures were made from it.
    """
    folds: dict[str, int] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            fold = int(row["fold"])
            if fold != fold_of(row["exam"]):
                raise FoldsError(f"{path.name}: image {row['image']} stands in fold {fold}, its exam does not")
            folds[row["image"]] = fold
    return folds


def divide(images: Iterable[Annotated], held_out: int) -> tuple[list[Annotated], list[Annotated]]:
    """Images to train on, and the held-out fold.

    Raises:
        FoldsError: an image is not in the file, or no fold has that number.
    """
    if not 0 <= held_out < FOLDS:
        raise FoldsError(f"there is no fold {held_out}; folds are 0 to {FOLDS - 1}")
    folds = read_folds()
    inside: list[Annotated] = []
    outside: list[Annotated] = []
    for image in images:
        if image.name not in folds:
            raise FoldsError(f"image {image.name} is not in {FOLDS_CSV.name}")
        (outside if folds[image.name] == held_out else inside).append(image)
    return inside, outside
