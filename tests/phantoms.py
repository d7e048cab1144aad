"""Phantom families of the tests; training (inference/training/phantoms.py) and the demonstration have others."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.domain import EllipseMm, Luminance, PixelSpacingMm
from inference.phantom import PhantomFamily, PhantomImage, render

Box = tuple[int, int, int, int]
"""Min column, min row, max column, max row; inclusive."""

TEST_FAMILIES = (
    PhantomFamily(
        "thick",
        skull_thickness_mm=(2.6, 3.8),
        skull_echo_db=(26.0, 32.0),
        skull_lateral_loss_db=(25.0, 29.0),
        brain_echo_db=(-12.0, -7.0),
        dynamic_range_db=(61.0, 66.0),
        attenuation_db_per_cm=(0.1, 0.3),
    ),
    PhantomFamily(
        "fine",
        psf_axial_mm=(0.15, 0.24),
        psf_lateral_mm=(0.35, 0.58),
        skull_thickness_mm=(2.5, 3.0),
        skull_lateral_loss_db=(26.0, 30.0),
        shadow_db=(0.5, 1.9),
        sector_half_angle_deg=(43.0, 48.0),
        midline=False,
    ),
)


def head_phantom(seed: int, *, with_head: bool = True, shape: tuple[int, int] = (540, 800)) -> PhantomImage:
    """One seeded phantom with a head that lies wholly inside the picture; `shape`: rows, columns."""
    rng = np.random.default_rng(seed)
    family = TEST_FAMILIES[seed % len(TEST_FAMILIES)]
    rows, columns = shape
    pixel = float(rng.uniform(0.10, 0.22)) * 540.0 / rows
    head = None
    if with_head:
        major_px = rng.uniform(0.26, 0.36) * rows
        head = EllipseMm(
            float((columns / 2 + rng.uniform(-0.06, 0.06) * columns) * pixel),
            float((rows / 2 + rng.uniform(-0.04, 0.04) * rows) * pixel),
            float(major_px * pixel),
            float(major_px * rng.uniform(0.74, 0.84) * pixel),
            float(rng.uniform(0, 180)),
        )
    return render(family, seed, head, PixelSpacingMm(pixel, pixel), shape)


def screen(luminance: Luminance, shape: tuple[int, int] = (768, 1024)) -> tuple[NDArray[np.uint8], Box]:
    """Put a picture on an RGB interface screen of `shape` (rows, columns).

    Returns uint8 RGB [rows, columns, 3] and the picture's box: min column, min row, max column, max row, inclusive.
    """
    rows, columns = luminance.shape
    top, left = (shape[0] - rows) * 2 // 3, (shape[1] - columns) // 3
    picture = np.zeros((*shape, 3), np.uint8)
    picture[:, :] = (14, 16, 22)
    picture[top : top + rows, left : left + columns] = luminance[:, :, None]
    cv2.putText(picture, "OB  MI 0.9  TIs 0.4  12.0cm", (20, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (210, 220, 120), 1)
    return picture, (left, top, left + columns - 1, top + rows - 1)
