"""Phantom families that training may see. Those of the demonstration and of the tests are others, on purpose."""

from __future__ import annotations

import numpy as np

from inference.domain import EllipseMm, PixelSpacingMm
from inference.phantom import PhantomFamily, PhantomImage, render

TRAINING_FAMILIES = (
    PhantomFamily("plain", skull_thickness_mm=(1.0, 2.4), skull_lateral_loss_db=(6.0, 20.0)),
    PhantomFamily(
        "faint",
        skull_thickness_mm=(0.8, 1.6),
        skull_echo_db=(14.0, 24.0),
        fluid_echo_db=(-16.0, -8.0),
        psf_lateral_mm=(1.2, 2.4),
        psf_axial_mm=(0.35, 0.7),
        skull_lateral_loss_db=(8.0, 24.0),
    ),
)

COUNTERPARTS = (
    PhantomFamily("hollow", midline=False, skull_thickness_mm=(1.0, 3.0), skull_lateral_loss_db=(3.0, 16.0)),
    PhantomFamily(
        "clear",
        psf_axial_mm=(0.22, 0.34),
        psf_lateral_mm=(0.5, 0.9),
        dynamic_range_db=(52.0, 64.0),
        skull_echo_db=(20.0, 32.0),
        skull_lateral_loss_db=(3.0, 12.0),
        fluid_echo_db=(-32.0, -14.0),
    ),
    PhantomFamily(
        "coarse", psf_axial_mm=(0.35, 0.7), psf_lateral_mm=(1.0, 2.2), dynamic_range_db=(44.0, 56.0), midline=False
    ),
)
"""Heads that go with negatives: seen by the same drawn machines, so that no network takes the machine for a sign, and
partly without a midline, so that it does not take that for the only one."""


def training_phantom(seed: int, *, with_head: bool, family: PhantomFamily | None = None) -> PhantomImage:
    """One seeded phantom, 540 x 800, with sizes, positions and turns like a screening exam's.

    `family`: a training family; by default they take turns.
    """
    rng = np.random.default_rng(seed)
    family = family or TRAINING_FAMILIES[seed % len(TRAINING_FAMILIES)]
    pixel = float(rng.uniform(0.08, 0.25))
    spacing = PixelSpacingMm(pixel, pixel)
    head = None
    if with_head:
        aspect = rng.uniform(0.70, 0.88)
        major = rng.uniform(80.0, 225.0)
        if major * aspect > 240.0:
            major = 240.0 / aspect
        head = EllipseMm(
            float((400 + rng.uniform(-90, 90)) * pixel),
            float((275 + rng.uniform(-30, 30)) * pixel),
            float(major * pixel),
            float(major * aspect * pixel),
            float(rng.uniform(0, 180)),
        )
    return render(family, seed, head, spacing)
