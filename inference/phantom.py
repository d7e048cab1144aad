"""A fetal-head ultrasound phantom with known truth: speckle, skull ring, shadow, depth gain.

The model is the usual first-order one: complex Gaussian scatterers weighted by a map of echogenicity, blurred by the
point-spread function, envelope, logarithmic compression (Wagner et al. 1983, IEEE TSU 30:156). It is not anatomy; it
serves demonstration, tests and a small part of training, each with families of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.domain import EllipseMm, EllipsePx, Luminance, PixelSpacingMm
from inference.measure import circumference_mm, inside_distance_px, to_pixels

Range = tuple[float, float]
Map = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PhantomFamily:
    """A style of picture: every range is drawn from uniformly; lengths in mm unless said otherwise."""

    name: str
    psf_axial_mm: Range = (0.25, 0.45)
    psf_lateral_mm: Range = (0.6, 1.4)
    dynamic_range_db: Range = (45.0, 60.0)
    skull_thickness_mm: Range = (1.5, 3.5)
    skull_echo_db: Range = (24.0, 34.0)
    skull_lateral_loss_db: Range = (4.0, 16.0)
    brain_echo_db: Range = (-6.0, 4.0)
    tissue_echo_db: Range = (4.0, 12.0)
    fluid_echo_db: Range = (-26.0, -14.0)
    fluid_rim_mm: Range = (2.0, 14.0)
    attenuation_db_per_cm: Range = (0.2, 1.2)
    shadow_db: Range = (2.0, 12.0)
    sector_half_angle_deg: Range = (30.0, 42.0)
    apex_above_mm: Range = (30.0, 60.0)
    midline: bool = True
    scalp_mm: Range = (1.0, 3.5)


@dataclass(frozen=True, slots=True)
class PhantomImage:
    """What was rendered and its truth; `ellipse_px` and `hc_mm` are None where no head was drawn."""

    luminance: Luminance
    spacing_mm: PixelSpacingMm
    ellipse_px: EllipsePx | None
    hc_mm: float | None


def render(
    family: PhantomFamily,
    seed: int,
    head_mm: EllipseMm | None,
    spacing: PixelSpacingMm,
    shape: tuple[int, int] = (540, 800),
) -> PhantomImage:
    """Render one phantom of `shape` (rows, columns). `head_mm`: outer border of the skull, or None for no head."""
    rng = np.random.default_rng(seed)
    echo = tissue(family, rng, shape, spacing)
    ellipse = None if head_mm is None else to_pixels(head_mm, spacing)
    shadow = np.zeros(shape, np.float32)
    if ellipse is not None:
        echo, shadow = _head(family, rng, ellipse, echo, spacing)
    luminance = scan(family, rng, echo, shadow, spacing)
    hc = None if head_mm is None else circumference_mm(head_mm)
    return PhantomImage(luminance, spacing, ellipse, hc)


def scan(
    family: PhantomFamily, rng: np.random.Generator, echo_db: Map, shadow_db: Map, spacing: PixelSpacingMm
) -> Luminance:
    """What the machine shows of a map of echogenicity and of the shadow cast on it, both in dB [rows, columns]."""
    shape = (echo_db.shape[0], echo_db.shape[1])
    depth_cm = np.arange(shape[0], dtype=np.float32)[:, None] * np.float32(spacing.row / 10.0)
    attenuation = rng.uniform(*family.attenuation_db_per_cm) * (depth_cm - depth_cm.mean())
    envelope = _speckle(family, rng, echo_db - shadow_db - attenuation, spacing)
    span = rng.uniform(*family.dynamic_range_db)
    level = 20.0 * np.log10(np.maximum(envelope, 1e-6))
    white = float(np.percentile(level, 99.7))
    grey = np.clip((level - white + span) / span, 0.0, 1.0) * 255.0
    grey *= _sector(family, rng, shape, spacing)
    return grey.astype(np.uint8)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale_px: float) -> Map:
    """Zero-mean unit-variance noise with a correlation length of `scale_px` pixels, [rows, columns]."""
    step = max(2.0, scale_px)
    small = rng.standard_normal((int(shape[0] / step) + 4, int(shape[1] / step) + 4)).astype(np.float32)
    noise: Map = cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    return noise


def tissue(family: PhantomFamily, rng: np.random.Generator, shape: tuple[int, int], spacing: PixelSpacingMm) -> Map:
    """Echogenicity in dB of everything that is not the head: layered maternal tissue."""
    base = rng.uniform(*family.tissue_echo_db)
    coarse = smooth_noise(rng, shape, 18.0 / spacing.column) * 3.0
    layers = np.sin(
        np.arange(shape[0], dtype=np.float32)[:, None] * spacing.row / rng.uniform(1.5, 5.0)
        + smooth_noise(rng, shape, 30.0 / spacing.column) * 1.5
    ) * rng.uniform(0.5, 3.5)
    tissue: Map = (base + coarse + layers).astype(np.float32)
    return tissue


def _head(
    family: PhantomFamily, rng: np.random.Generator, ellipse: EllipsePx, echo: Map, spacing: PixelSpacingMm
) -> tuple[Map, Map]:
    """Paint fluid, scalp, brain, midline and skull; return echo and the shadow cast below the skull, both in dB."""
    shape = (echo.shape[0], echo.shape[1])
    mm = math.sqrt(spacing.row * spacing.column)
    inside_mm = inside_distance_px(ellipse, *shape) * mm
    rim = rng.uniform(*family.fluid_rim_mm) * (1.0 + 0.5 * smooth_noise(rng, shape, 25.0 / mm))
    fluid = np.clip((inside_mm + rim) / 0.8, 0.0, 1.0)
    fluid_echo = rng.uniform(*family.fluid_echo_db)
    echo = (echo * (1 - fluid) + fluid_echo * fluid).astype(np.float32)
    scalp_mm = rng.uniform(*family.scalp_mm)
    scalp = np.clip((inside_mm + scalp_mm) / 0.4, 0, 1) * np.clip(-inside_mm / 0.4, 0, 1)
    echo = echo * (1 - scalp) + rng.uniform(*family.tissue_echo_db) * scalp - 3.0 * scalp
    brain = rng.uniform(*family.brain_echo_db) + 2.5 * smooth_noise(rng, shape, 7.0 / mm)
    inside = np.clip(inside_mm / 0.4 + 0.5, 0.0, 1.0)
    echo = echo * (1 - inside) + brain * inside
    if family.midline:
        echo = _midline(rng, ellipse, echo, inside_mm, mm)
    thickness = rng.uniform(*family.skull_thickness_mm) * (1.0 + 0.15 * smooth_noise(rng, shape, 12.0 / mm))
    ring = np.clip(inside_mm / 0.3 + 0.5, 0, 1) * np.clip((thickness - inside_mm) / 0.5 + 0.5, 0, 1)
    facing = beam_incidence(family, ellipse, shape, spacing)
    peak = rng.uniform(*family.skull_echo_db)
    loss = rng.uniform(*family.skull_lateral_loss_db)
    skull = peak - loss * (1.0 - facing) + 2.0 * smooth_noise(rng, shape, 9.0 / mm)
    echo = np.where(ring > 0, np.maximum(echo, echo * (1 - ring) + skull * ring), echo)
    crossed = np.cumsum(ring * (0.3 + 0.7 * (1 - facing)), axis=0) * spacing.row
    shadow = np.minimum(crossed * 0.35, 1.0) * rng.uniform(*family.shadow_db) * (ring < 0.5)
    return echo.astype(np.float32), shadow.astype(np.float32)


def _midline(rng: np.random.Generator, ellipse: EllipsePx, echo: Map, inside_mm: Map, mm: float) -> Map:
    """The falx as a broken bright line along the long axis, with a small dark box (cavum) on it."""
    turn = math.radians(ellipse.angle_deg)
    row, column = np.mgrid[0 : echo.shape[0], 0 : echo.shape[1]].astype(np.float32)
    x, y = column - ellipse.center_col_px, row - ellipse.center_row_px
    along = (x * math.cos(turn) + y * math.sin(turn)) / ellipse.semi_major_px
    across_mm = (-x * math.sin(turn) + y * math.cos(turn)) * mm
    across_mm = across_mm + rng.uniform(-1.0, 1.0)
    line = np.exp(-((across_mm / rng.uniform(0.5, 1.1)) ** 2)) * (np.abs(along) < 0.82) * (inside_mm > 2.0)
    gap = np.abs(along - rng.uniform(-0.4, 0.4)) > rng.uniform(0.06, 0.16)
    echo = echo + rng.uniform(6.0, 16.0) * line * gap
    cavum = (np.abs(along - 0.42) < 0.09) & (np.abs(across_mm) < rng.uniform(1.5, 3.5)) & (inside_mm > 2.0)
    return np.where(cavum, echo - 12.0, echo).astype(np.float32)


def beam_incidence(family: PhantomFamily, ellipse: EllipsePx, shape: tuple[int, int], spacing: PixelSpacingMm) -> Map:
    """|cos| of the angle between beam and outline normal, [rows, columns]: lateral walls reflect less."""
    apex_row = -sum(family.apex_above_mm) / 2.0 / spacing.row
    row, column = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    beam_x, beam_y = column - shape[1] / 2.0, row - apex_row
    turn = math.radians(ellipse.angle_deg)
    x, y = column - ellipse.center_col_px, row - ellipse.center_row_px
    u = (x * math.cos(turn) + y * math.sin(turn)) / ellipse.semi_major_px**2
    v = (-x * math.sin(turn) + y * math.cos(turn)) / ellipse.semi_minor_px**2
    normal_x = u * math.cos(turn) - v * math.sin(turn)
    normal_y = u * math.sin(turn) + v * math.cos(turn)
    scale = np.hypot(beam_x, beam_y) * np.maximum(np.hypot(normal_x, normal_y), 1e-12)
    facing: Map = np.abs((beam_x * normal_x + beam_y * normal_y) / np.maximum(scale, 1e-12)).astype(np.float32)
    return facing


def _speckle(family: PhantomFamily, rng: np.random.Generator, echo_db: Map, spacing: PixelSpacingMm) -> Map:
    """Envelope of blurred complex scatterers, arbitrary linear units, [rows, columns]."""
    amplitude = np.power(np.float32(10.0), echo_db / np.float32(20.0)).astype(np.float32)
    sigma_axial = max(0.5, rng.uniform(*family.psf_axial_mm) / 2.0 / spacing.row)
    sigma_lateral = max(0.6, rng.uniform(*family.psf_lateral_mm) / 2.0 / spacing.column)

    def blurred() -> Map:
        field = rng.standard_normal(echo_db.shape).astype(np.float32) * amplitude
        smooth = cv2.GaussianBlur(field, (0, 0), sigmaX=sigma_lateral, sigmaY=sigma_axial)
        out: Map = (smooth * np.float32(math.sqrt(sigma_axial * sigma_lateral))).astype(np.float32)
        return out

    return np.hypot(blurred(), blurred()).astype(np.float32)


def _sector(family: PhantomFamily, rng: np.random.Generator, shape: tuple[int, int], spacing: PixelSpacingMm) -> Map:
    """1 inside the fan of a convex probe, 0 outside, [rows, columns]."""
    half = math.radians(rng.uniform(*family.sector_half_angle_deg))
    above_mm = rng.uniform(*family.apex_above_mm)
    row, column = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    x_mm = (column - shape[1] / 2.0) * spacing.column
    width_mm = shape[1] * spacing.column
    depth_mm = shape[0] * spacing.row
    above_mm = above_mm * depth_mm / 80.0
    y_mm = row * spacing.row + above_mm
    angle = np.abs(np.arctan2(x_mm, y_mm))
    radius = np.hypot(x_mm, y_mm)
    far = depth_mm + above_mm
    fan = (angle < max(half, math.atan2(width_mm * 0.42, far))) & (radius > above_mm * 1.02) & (radius < far)
    inside: Map = fan.astype(np.float32)
    return inside
