"""Phantom families of the demonstration; those of training and of the tests are others, on purpose."""

from __future__ import annotations

import math
from dataclasses import replace

from inference.domain import EllipseMm, PixelSpacingMm
from inference.measure import circumference_mm
from inference.phantom import PhantomFamily, PhantomImage, render

DEMO_FAMILIES = (
    PhantomFamily(
        "demo-clear",
        psf_axial_mm=(0.24, 0.32),
        psf_lateral_mm=(0.58, 0.78),
        dynamic_range_db=(57.0, 60.5),
        skull_thickness_mm=(2.0, 2.5),
        skull_echo_db=(22.0, 25.5),
        skull_lateral_loss_db=(26.0, 29.0),
        brain_echo_db=(-11.0, -8.0),
        tissue_echo_db=(2.0, 5.0),
        fluid_echo_db=(-30.0, -27.0),
        fluid_rim_mm=(5.0, 10.0),
        attenuation_db_per_cm=(0.35, 0.6),
        shadow_db=(2.0, 4.0),
    ),
    PhantomFamily(
        "demo-soft",
        psf_axial_mm=(0.32, 0.38),
        psf_lateral_mm=(0.8, 1.1),
        dynamic_range_db=(60.5, 64.0),
        skull_thickness_mm=(2.4, 2.6),
        skull_echo_db=(24.0, 26.0),
        skull_lateral_loss_db=(26.0, 29.0),
        brain_echo_db=(-9.5, -7.0),
        tissue_echo_db=(3.0, 6.0),
        fluid_echo_db=(-26.5, -24.0),
        fluid_rim_mm=(9.0, 14.0),
        attenuation_db_per_cm=(0.7, 0.9),
        shadow_db=(4.0, 6.0),
    ),
)

_UNIT_ASPECT = 0.785  # a common cephalic index
_GROWN_HC_MM = 220.0  # the ranges above are those of a head of this size and more


def head_with(hc_mm: float, shape: tuple[int, int], spacing: PixelSpacingMm, turn_deg: float) -> EllipseMm:
    """An ellipse of circumference `hc_mm` in the middle of a picture of `shape` (rows, columns)."""
    unit = EllipseMm(0.0, 0.0, 1.0, _UNIT_ASPECT, 0.0)
    major = hc_mm / circumference_mm(unit)
    rows, columns = shape
    return EllipseMm(
        (columns - 1) / 2.0 * spacing.column,
        (rows - 1) * 0.52 * spacing.row,
        major,
        major * _UNIT_ASPECT,
        turn_deg % 180.0,
    )


def spacing_for(hc_mm: float, rows: int) -> PixelSpacingMm:
    """A depth setting at which a head of that size fills about six tenths of the picture's height."""
    long_axis_mm = hc_mm / math.pi * 1.13
    pixel = round(long_axis_mm / (0.62 * rows), 4)
    return PixelSpacingMm(pixel, pixel)


def demo_phantom(seed: int, shape: tuple[int, int], spacing: PixelSpacingMm, head: EllipseMm | None) -> PhantomImage:
    """One seeded phantom; without a head where `head` is None."""
    family = DEMO_FAMILIES[seed % len(DEMO_FAMILIES)]
    if head is not None:
        family = grown(family, circumference_mm(head))
    return render(family, seed, head, spacing, shape)


def grown(family: PhantomFamily, hc_mm: float) -> PhantomFamily:
    """The family at that head size: a young skull is thin, and is looked at with a finer beam from nearby."""
    part = min(1.0, max(0.35, hc_mm / _GROWN_HC_MM))

    def scaled(span: tuple[float, float]) -> tuple[float, float]:
        return span[0] * part, span[1] * part

    return replace(
        family,
        skull_thickness_mm=scaled(family.skull_thickness_mm),
        scalp_mm=scaled(family.scalp_mm),
        fluid_rim_mm=scaled(family.fluid_rim_mm),
        psf_axial_mm=scaled(family.psf_axial_mm),
        psf_lateral_mm=scaled(family.psf_lateral_mm),
    )
