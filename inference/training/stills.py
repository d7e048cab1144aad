"""Annotated images and phantoms as the start of a sweep."""

from __future__ import annotations

from pathlib import Path

from inference.domain import PixelSpacingMm
from inference.phantom import PhantomImage
from inference.synthetic_cine import CineError, Still
from inference.training.challenge import Annotated, ChallengeFolderError, read_challenge


def still_of(image: Annotated) -> Still:
    """An annotated image as the start of a sweep."""
    spacing = PixelSpacingMm(image.pixel_size_mm, image.pixel_size_mm)
    return Still(image.luminance(), image.ellipse(), spacing)


def named_still(data: Path, name: str | None) -> Still:
    """The still of that name in the challenge's folder; without a name the first.

    Raises:
        ChallengeFolderError: the folder is not that of the challenge, or has no such image.
    """
    images = read_challenge(data)
    for image in images:
        if name in {None, image.name}:
            return still_of(image)
    raise ChallengeFolderError(f"no image {name} in {data}")


def still_of_phantom(phantom: PhantomImage) -> Still:
    """A phantom as the start of a sweep.

    Raises:
        CineError: no head was drawn.
    """
    if phantom.ellipse_px is None:
        raise CineError("a sweep needs a head")
    return Still(phantom.luminance, phantom.ellipse_px, phantom.spacing_mm)
