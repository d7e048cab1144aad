"""Clips made of a still and its ellipse, whose truth moves with the picture.

Every frame is the still under one affine map, and its true ellipse is the still's under the same map: the probe moves
(shift, turn, scale) and the cross-section changes (both semi-axes), each an Ornstein-Uhlenbeck process around the
still (Uhlenbeck & Ornstein 1930, Phys. Rev. 36:823), which is therefore the mean of the sweep and its reference. Grey
levels are those of a logarithmic display: a gain in dB adds to them, and black stays black.

A picture of one plane shows nothing of the planes beside it, so a change of the cross-section is a stretch, and an
out-of-plane frame is the still without its head. Clips like these show whether a method uses its frames well, not how
well it does on a real sweep.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.domain import EllipsePx, Luminance, PixelSpacingMm
from inference.erasing import erased
from inference.measure import circumference_mm, map_ellipse, to_millimetres

Affine = NDArray[np.float64]
"""A map of pixel centres, still to frame, [2, 3]."""
Track = NDArray[np.float64]
"""One value a frame, [frames]."""
Decibels = NDArray[np.float32]
Erase = Callable[[Luminance, EllipsePx, int], Luminance]
"""A way to take the head out of a picture: picture, head, seed."""

DISPLAYED_DB = 60.0
"""Dynamic range that grey levels 0 to 255 stand for."""
BLACK = 2
"""Grey level up to which the display showed nothing; no gain brings it back."""
SLIDERS = 6
"""Of the time-gain compensation, evenly spread over depth."""
SMALLEST_RATIO = 1e-3


class CineError(ValueError):
    """A sweep cannot be drawn as asked."""


class Condition(StrEnum):
    """What was done to a frame besides moving it."""

    CLEAR = "clear"
    SHADOW = "shadow"
    BLUR = "blur"
    DROP_OUT = "drop_out"  # the probe lost contact: most of the picture is dark
    OFF_PLANE = "off_plane"  # the plane left the head


NO_HEAD = frozenset({Condition.DROP_OUT, Condition.OFF_PLANE})
"""Frames without a measurable head."""

DEGRADED = tuple(condition for condition in Condition if condition is not Condition.CLEAR)


class Still(NamedTuple):
    """What a sweep is made of: uint8 [rows, columns], the head in its pixels, and the scale."""

    luminance: Luminance
    ellipse: EllipsePx
    spacing: PixelSpacingMm


@dataclass(frozen=True, slots=True)
class Sweep:
    """How a clip is drawn. Deviations are those of the stationary process; times in s, ratios dimensionless.

    `plane`: deviation of the ratio of each semi-axis to the still's, which never leaves 1 +/- `most_plane`. `diffuse`:
    amplitude of the changing part of the speckle over that of the still's own (Rician, K = 1 / (2 diffuse^2)), with a
    grain of `axial_mm` by `lateral_mm` (standard deviation) and a correlation that falls by e in `speckle_s`.
    `attenuation_db_cm` and `tgc_db`: deviations of the attenuation and of each slider of the gain. `degraded`: share of
    frames that are spoilt, in runs of `run_frames` on average, by one of `conditions` each.
    """

    frames: int = 60
    frame_time_s: float = 0.05
    relaxation_s: float = 0.3
    shift_mm: float = 2.0
    turn_deg: float = 2.5
    scale: float = 0.003
    plane: float = 0.010
    most_plane: float = 0.025
    diffuse: float = 0.25
    speckle_s: float = 0.1
    axial_mm: float = 0.3
    lateral_mm: float = 0.7
    attenuation_db_cm: float = 0.15
    tgc_db: float = 1.5
    tgc_relaxation_s: float = 2.0
    degraded: float = 0.0
    run_frames: float = 3.0
    conditions: tuple[Condition, ...] = DEGRADED

    def __post_init__(self) -> None:
        if self.frames < 1 or not 0.0 <= self.degraded <= 1.0:
            raise CineError("a sweep has at least one frame and spoils a share of 0 to 1 of them")
        if not self.conditions or not set(self.conditions) <= set(DEGRADED):
            raise CineError(f"frames can be spoilt by {', '.join(DEGRADED)}")


@dataclass(frozen=True, slots=True)
class CineFrame:
    """One frame and its truth: uint8 [rows, columns], `number` 1-based.

    `ellipse` and `hc_mm` are None where there is no measurable head; `affine` is the map from the still.
    """

    number: int
    luminance: Luminance
    ellipse: EllipsePx | None
    hc_mm: float | None
    condition: Condition
    affine: Affine


@dataclass(frozen=True, slots=True)
class Motion:
    """Where the probe is in each frame, [frames] each: mm, degrees, logarithm, and ratios of the two semi-axes."""

    right_mm: Track
    down_mm: Track
    turn_deg: Track
    log_scale: Track
    major: Track
    minor: Track


def ornstein_uhlenbeck(rng: np.random.Generator, frames: int, deviation: float, step: float) -> Track:
    """A stationary path around 0, [frames]; `step` is the time between frames over the relaxation time."""
    kept = math.exp(-step)
    path = np.empty(frames)
    value = rng.standard_normal()
    for frame in range(frames):
        path[frame] = value
        value = kept * value + math.sqrt(1.0 - kept * kept) * rng.standard_normal()
    return deviation * path


def move(sweep: Sweep, rng: np.random.Generator) -> Motion:
    """The motion of one sweep."""
    step = sweep.frame_time_s / sweep.relaxation_s

    def path(deviation: float) -> Track:
        return ornstein_uhlenbeck(rng, sweep.frames, deviation, step)

    limits = (1.0 - sweep.most_plane, 1.0 + sweep.most_plane)
    return Motion(
        right_mm=path(sweep.shift_mm),
        down_mm=path(sweep.shift_mm),
        turn_deg=path(sweep.turn_deg),
        log_scale=path(sweep.scale),
        major=np.clip(1.0 + path(sweep.plane), *limits),
        minor=np.clip(1.0 + path(sweep.plane), *limits),
    )


def affine_of(still: Still, motion: Motion, frame: int) -> Affine:
    """The map of frame number `frame` (from 0): in mm about the head's centre, along its axes first, then moved."""
    spacing, head = still.spacing, still.ellipse
    to_mm = np.diag([spacing.column, spacing.row])
    head_mm = to_millimetres(head, spacing)
    along = _rotation(head_mm.angle_deg)
    stretch = along @ np.diag([motion.major[frame], motion.minor[frame]]) @ along.T
    turned = math.exp(motion.log_scale[frame]) * _rotation(float(motion.turn_deg[frame])) @ stretch
    linear = np.linalg.inv(to_mm) @ turned @ to_mm
    centre = np.array([head.center_col_px, head.center_row_px])
    shift = np.array([motion.right_mm[frame] / spacing.column, motion.down_mm[frame] / spacing.row])
    return np.column_stack([linear, centre + shift - linear @ centre])


def _rotation(angle_deg: float) -> NDArray[np.float64]:
    turn = math.radians(angle_deg)
    return np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])


def degradations(sweep: Sweep, rng: np.random.Generator) -> list[Condition]:
    """What happens to each frame: exactly the asked share is spoilt, in runs."""
    wanted = round(sweep.degraded * sweep.frames)
    conditions = [Condition.CLEAR] * sweep.frames
    while (spoilt := sum(condition is not Condition.CLEAR for condition in conditions)) < wanted:
        kind = sweep.conditions[int(rng.integers(len(sweep.conditions)))]
        start = int(rng.integers(sweep.frames))
        free = [f for f in range(start, sweep.frames) if conditions[f] is Condition.CLEAR]
        for frame in free[: min(wanted - spoilt, int(rng.geometric(1.0 / sweep.run_frames)))]:
            conditions[frame] = kind
    return conditions


def synthesise(still: Still, sweep: Sweep, seed: int, erase: Erase = erased) -> Iterator[CineFrame]:
    """The frames of a clip, made one at a time; the same for the same arguments.

    Motion, speckle, gain and damage draw from streams of their own: with another share of spoilt frames the same seed
    gives the same sweep, and its clear frames are the same to the last grey level. `erase` makes the picture that is
    shown where the plane has left the head.
    """
    moving, grain, gains, damage = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(4))
    motion = move(sweep, moving)
    gain = _gains(still, sweep, gains)
    conditions = degradations(sweep, damage)
    without_head = erase(still.luminance, still.ellipse, seed) if Condition.OFF_PLANE in conditions else None
    spoil = Spoiler(still, damage)
    for frame, (speckle, condition) in enumerate(zip(_speckle(still, sweep, grain), conditions, strict=True)):
        affine = affine_of(still, motion, frame)
        shown = without_head if condition is Condition.OFF_PLANE and without_head is not None else still.luminance
        rows, columns = shown.shape
        moved = np.asarray(cv2.warpAffine(shown, affine, (columns, rows), flags=cv2.INTER_CUBIC), np.uint8)
        grey = _brightened(moved, gain[frame] + speckle)
        picture = spoil(grey, condition, fresh=frame == 0 or conditions[frame - 1] is not condition)
        ellipse = None if condition in NO_HEAD else map_ellipse(still.ellipse, affine)
        hc_mm = None if ellipse is None else circumference_mm(to_millimetres(ellipse, still.spacing))
        yield CineFrame(frame + 1, picture, ellipse, hc_mm, condition, affine)


def reference_hc_mm(still: Still) -> float:
    """HC of the undistorted reference, around which the sweep moves."""
    return circumference_mm(to_millimetres(still.ellipse, still.spacing))


def hc_deviation_mm(hc_mm: Sequence[float]) -> float | None:
    """Temporal standard deviation of the true HC over the frames that have one; None where none has."""
    return float(np.std(hc_mm)) if len(hc_mm) else None


def _brightened(grey: Luminance, gain_db: Decibels) -> Luminance:
    """Grey levels under a gain in dB, [rows, columns]; what the display showed black stays black."""
    lit = grey.astype(np.float32) + gain_db * np.float32(255.0 / DISPLAYED_DB)
    brightened: Luminance = np.where(grey > BLACK, np.clip(lit, 0.0, 255.0), grey).astype(np.uint8)
    return brightened


def _gains(still: Still, sweep: Sweep, rng: np.random.Generator) -> Decibels:
    """Gain by depth, [frames, rows, 1] in dB: attenuation from the middle of the picture, and sliders that drift."""
    rows = still.luminance.shape[0]
    slow = sweep.frame_time_s / sweep.tgc_relaxation_s
    depth_cm = (np.arange(rows) - (rows - 1) / 2.0) * still.spacing.row / 10.0
    attenuation = ornstein_uhlenbeck(rng, sweep.frames, sweep.attenuation_db_cm, slow)[:, None] * -depth_cm
    sliders = np.stack([ornstein_uhlenbeck(rng, sweep.frames, sweep.tgc_db, slow) for _ in range(SLIDERS)], axis=1)
    places = np.linspace(0.0, rows - 1.0, SLIDERS)
    between = np.stack([np.interp(np.arange(rows), places, row) for row in sliders])  # [frames, rows]
    gains: Decibels = (attenuation + between).astype(np.float32)[:, :, None]
    return gains


def _speckle(still: Still, sweep: Sweep, rng: np.random.Generator) -> Iterator[Decibels]:
    """Change of level by speckle, one [rows, columns] in dB for each frame.

    The amplitude is Rician, |1 + diffuse (x + iy)|: the still's own echo plus a part of circular Gaussian scatterers
    that follow a first-order autoregression from frame to frame. Drawn at half the resolution, which its grain allows.
    """
    rows, columns = still.luminance.shape
    half = (max(1, rows // 2), max(1, columns // 2))
    sigma = (sweep.lateral_mm / still.spacing.column / 2.0, sweep.axial_mm / still.spacing.row / 2.0)
    kept = math.exp(-sweep.frame_time_s / sweep.speckle_s)

    def fresh() -> NDArray[np.complex64]:
        parts = [
            cv2.GaussianBlur(rng.standard_normal(half, np.float32), (0, 0), sigmaX=max(sigma[0], 0.1),
                             sigmaY=max(sigma[1], 0.1)) for _ in range(2)
        ]  # fmt: skip
        return np.asarray(parts[0] / parts[0].std() + 1j * (parts[1] / parts[1].std()), np.complex64)

    field = fresh()
    for _ in range(sweep.frames):
        ratio = np.maximum(np.abs(1.0 + np.float32(sweep.diffuse) * field), SMALLEST_RATIO)
        level = (20.0 * np.log10(ratio)).astype(np.float32)
        yield np.asarray(cv2.resize(level, (columns, rows), interpolation=cv2.INTER_LINEAR), np.float32)
        field = np.asarray(kept * field + math.sqrt(1.0 - kept * kept) * fresh(), np.complex64)


class Spoiler:
    """Damages frames; what spoils a run of frames stays the same through the run."""

    def __init__(self, still: Still, rng: np.random.Generator) -> None:
        self._still = still
        self._rng = rng
        self._loss = np.zeros((1, 1), np.float32)
        self._sigma = (0.0, 0.0)

    def __call__(self, grey: Luminance, condition: Condition, *, fresh: bool) -> Luminance:
        """The damaged picture; `fresh`: a run begins with it."""
        if condition is Condition.SHADOW:
            self._loss = self._shadow() if fresh else self._loss
            return _brightened(grey, -self._loss)
        if condition is Condition.DROP_OUT:
            self._loss = self._lost_contact() if fresh else self._loss
            return _brightened(grey, -self._loss)
        if condition is Condition.BLUR:
            self._sigma = self._defocus() if fresh else self._sigma
            return np.asarray(cv2.GaussianBlur(grey, (0, 0), sigmaX=self._sigma[0], sigmaY=self._sigma[1]), np.uint8)
        return grey

    def _shadow(self) -> Decibels:
        """Behind bone: 15 to 40 dB in one or two wedges that begin at the near skull, [rows, columns]."""
        rng, head = self._rng, self._still.ellipse
        rows, columns = self._still.luminance.shape
        row, column = np.mgrid[0:rows, 0:columns].astype(np.float32)
        loss = np.zeros((rows, columns), np.float32)
        for _ in range(int(rng.integers(1, 3))):
            middle = head.center_col_px + rng.uniform(-1.0, 1.0) * head.semi_minor_px
            top = head.center_row_px - rng.uniform(0.6, 1.1) * head.semi_minor_px
            width = rng.uniform(0.15, 0.40) * head.semi_minor_px * (1.0 + np.maximum(row - top, 0.0) / rows)
            lean = rng.uniform(-0.4, 0.4)
            inside = np.exp(-(((column - middle - lean * (row - top)) / width) ** 4))
            edge = np.clip((row - top) / (0.05 * rows), 0.0, 1.0)
            loss = np.maximum(loss, np.float32(rng.uniform(15.0, 40.0)) * inside * edge)
        return loss.astype(np.float32)

    def _lost_contact(self) -> Decibels:
        """30 to 60 dB over 60 to 100 % of the width, from one side, [1, columns]."""
        rng, columns = self._rng, self._still.luminance.shape[1]
        edge, ramp = rng.uniform(0.6, 1.0) * columns, 0.05 * columns
        lost = np.clip((edge - np.arange(columns)) / ramp + 0.5, 0.0, 1.0)
        lost = lost[::-1] if rng.random() < 0.5 else lost
        return np.asarray(rng.uniform(30.0, 60.0) * lost, np.float32)[None, :]

    def _defocus(self) -> tuple[float, float]:
        """Standard deviations in pixels: across the beam 1 to 3 mm, along it half as much."""
        across_mm, spacing = self._rng.uniform(1.0, 3.0), self._still.spacing
        return across_mm / spacing.column, across_mm / 2.0 / spacing.row
