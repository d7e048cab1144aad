"""The HC18 challenge's own folder layout: training_set/*.png with hollow annotations and one CSV.

Source: van den Heuvel et al. 2018, PLoS ONE 13(8): e0200412; Zenodo record 1322001, CC BY 4.0.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import cv2
import numpy as np

from inference.domain import EllipseMm, EllipsePx, Luminance
from inference.measure import fit_ellipse_mm

TRAINING_CSV = "training_set_pixel_size_and_HC.csv"
SPLIT_SALT = "hc18-split-v1"
TEST_SHARE = 0.12
VALIDATION_SHARE = 0.13


class ChallengeFolderError(ValueError):
    """The folder does not have the layout that the HC18 challenge distributes."""


class Split(StrEnum):
    """Which part of the data an exam belongs to; fixed for ever by a hash of its number."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Annotated:
    """One image of the training set with the expert's ellipse (middle of the drawn line) and official HC."""

    name: str
    exam: str
    path: Path
    annotation: Path
    pixel_size_mm: float
    hc_mm: float

    def luminance(self) -> Luminance:
        """uint8 [rows, columns]."""
        image = cv2.imread(str(self.path), cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise ChallengeFolderError(f"{self.path.name} cannot be read as an image")
        return np.asarray(image, np.uint8)

    def outline(self) -> Luminance:
        """The expert's hollow line as it was drawn, uint8 [rows, columns]."""
        outline = cv2.imread(str(self.annotation), cv2.IMREAD_GRAYSCALE)
        if outline is None:
            raise ChallengeFolderError(f"{self.annotation.name} cannot be read as an image")
        return np.asarray(outline, np.uint8)

    def ellipse(self) -> EllipsePx:
        """The annotation's ellipse in pixels, fitted through the centres of the drawn pixels."""
        rows, columns = np.nonzero(self.outline() > 127)
        fitted: EllipseMm = fit_ellipse_mm(np.stack([columns, rows], axis=1).astype(np.float64))
        return EllipsePx(
            fitted.center_x_mm, fitted.center_y_mm, fitted.semi_major_mm, fitted.semi_minor_mm, fitted.angle_deg
        )


def exam_of(name: str) -> str:
    """The exam of an image, the leading number of its name: "010" of "010_2HC"."""
    return name.split("_", maxsplit=1)[0]


def split_of(exam: str) -> Split:
    """The split of one exam. Two images of an exam never part."""
    digest = hashlib.sha256(f"{SPLIT_SALT}:{exam}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    if share < TEST_SHARE:
        return Split.TEST
    return Split.VALIDATION if share < TEST_SHARE + VALIDATION_SHARE else Split.TRAIN


def read_challenge(folder: Path) -> list[Annotated]:
    """All annotated images of the challenge folder, in the order of its CSV.

    Raises:
        ChallengeFolderError: the CSV or an image it names is missing.
    """
    table = folder / TRAINING_CSV
    if not table.is_file():
        raise ChallengeFolderError(f"{TRAINING_CSV} is not in {folder}; unpack the HC18 training set there")
    images: list[Annotated] = []
    with table.open(newline="") as file:
        for row in csv.DictReader(file):
            path = folder / "training_set" / row["filename"]
            annotation = path.with_name(path.stem + "_Annotation.png")
            for needed in (path, annotation):
                if not needed.is_file():
                    raise ChallengeFolderError(f"{needed.name} is named in {TRAINING_CSV} but missing")
            images.append(
                Annotated(
                    name=path.stem,
                    exam=exam_of(path.stem),
                    path=path,
                    annotation=annotation,
                    pixel_size_mm=float(row["pixel size(mm)"]),
                    hc_mm=float(row["head circumference (mm)"]),
                )
            )
    return images
