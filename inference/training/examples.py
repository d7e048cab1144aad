"""What a run trains on: the exams that its recipe lets it see, phantoms, and pictures of other things."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from inference.domain import Luminance
from inference.look import Look
from inference.segment import Segmenter
from inference.training.augmentation import Truth, letterbox_affine
from inference.training.challenge import Annotated, Split, read_challenge, split_of
from inference.training.folds import divide
from inference.training.negatives import training_negatives
from inference.training.phantoms import COUNTERPARTS, training_phantom
from inference.training.recipe import Recipe, Target, network_of, recipe_of

Example = tuple[Luminance, Truth]
"""Source pixels, and where the head is in them."""

SHARE_SALT = "hc18-share-v1"
HOLLOW_SEED = 400_000
HALF = 128
INSIDE = 255


def load_examples(data: Path, recipe: Recipe) -> list[Example]:
    """Training exams, training phantoms and negatives, as source pixels with their truth."""
    images = images_to_see(read_challenge(data), recipe)
    truth = truth_by(recipe)
    examples: list[Example] = [(image.luminance(), truth(image)) for image in images]
    for index in range(recipe.phantoms_with_head + recipe.phantoms_without_head):
        phantom = training_phantom(index, with_head=index < recipe.phantoms_with_head)
        examples.append((phantom.luminance, phantom.ellipse_px))
    heads = [(image.luminance(), image.ellipse()) for image in images] if recipe.negatives else []
    examples.extend((picture, None) for picture in training_negatives(recipe.negatives, heads))
    for seed in range(HOLLOW_SEED, HOLLOW_SEED + recipe.negatives // 4):
        phantom = training_phantom(seed, with_head=True, family=COUNTERPARTS[seed % len(COUNTERPARTS)])
        examples.append((phantom.luminance, phantom.ellipse_px))
    return examples


def images_to_see(images: list[Annotated], recipe: Recipe) -> list[Annotated]:
    """The images whose exams the recipe does not hold out, or its share of them."""
    return [image for image in _not_held_out(images, recipe) if _draw_of(image.exam) < recipe.exam_share]


def _draw_of(exam: str) -> float:
    """A number in 0..1 that an exam keeps for ever, so that a smaller share is a part of a larger one."""
    digest = hashlib.sha256(f"{SHARE_SALT}:{exam}".encode()).digest()
    return float(int.from_bytes(digest[:8], "big") / 2**64)


def _not_held_out(images: list[Annotated], recipe: Recipe) -> list[Annotated]:
    if recipe.every_exam:
        return images
    if recipe.held_out_fold is None:
        return [image for image in images if split_of(image.exam) is Split.TRAIN]
    return divide(images, recipe.held_out_fold)[0]


def truth_by(recipe: Recipe) -> Callable[[Annotated], Truth]:
    """How the recipe says where the head of an exam is."""
    if recipe.teachers:
        return taught_by(recipe.teachers)
    return outline_or_ellipse if recipe.target is Target.OUTLINE else Annotated.ellipse


def outline_or_ellipse(image: Annotated) -> Truth:
    """The flood-filled drawing; the ellipse where the line leaves the picture and so encloses nothing."""
    filled = filled_outline(image.outline())
    return image.ellipse() if filled is None else filled


def filled_outline(outline: Luminance) -> Luminance | None:
    """Mask uint8 [rows, columns] of a hollow line: 0 outside, INSIDE, HALF; None if the line encloses nothing.

    The line itself is shared out along its middle, which is what the official circumference follows: filled with its
    line a head would be larger by the line's width, without it smaller.
    """
    line = outline > 127
    free = np.pad(~line, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(free, connectivity=4)  # 4: no way through a line that touches by its corners
    outside = (labels == labels[0, 0])[1:-1, 1:-1]
    inside = ~outside & ~line
    if not inside.any():
        return None
    to_inside, to_outside = (
        cv2.distanceTransform((~part).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for part in (inside, outside)
    )
    return np.where(to_inside < to_outside, INSIDE, np.where(to_inside == to_outside, HALF, 0)).astype(np.uint8)


def taught_by(teachers: tuple[str, ...]) -> Callable[[Annotated], Truth]:
    """The mean probability of finished runs, mirrored view included, as a mask on the source pixels (Hinton 2015)."""
    segmenters = []
    for weights in teachers:
        run = Path(weights).parent
        recipe = recipe_of(run)
        segmenters.append(
            (Segmenter(network_of(run), recipe.last_grid, recipe.normalisation, Look(flip_average=True)), recipe)
        )

    def teach(image: Annotated) -> Truth:
        luminance = image.luminance()
        rows, columns = luminance.shape
        total = np.zeros((rows, columns), np.float32)
        for segmenter, recipe in segmenters:
            to_source = letterbox_affine(rows, columns, recipe.last_grid)[:2]
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            probability = segmenter(luminance, None).probability
            total += cv2.warpAffine(
                probability, to_source, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE
            )
        return np.round(total * (INSIDE / len(segmenters))).astype(np.uint8)

    return teach
