"""What a machine and a patient do to grey levels: gain, shadow, speckle, blur. No geometry, so targets stay."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.training.augmentation_range import AugmentationRange

Grey = NDArray[np.float32]


def degrade(grey: Grey, rng: np.random.Generator, span: AugmentationRange) -> Grey:
    """Gain, gamma, gain field, depth gain, fading sides, shadow, speckle, blur, reject and boxes; levels 0..255.

    A change whose chance is 0 draws no random number, so that a narrower range gives the same views as ever.
    """
    unit = _gained(grey / np.float32(255.0), rng, span)
    if rng.random() < span.shadow:
        unit = unit * _shadow(rng, unit.shape)
    if span.speckle > 0 and rng.random() < span.speckle:
        unit = unit * _speckle(rng, unit.shape)
    if rng.random() < 0.4:
        sigma = np.float32(rng.uniform(0.01, 0.08))
        real = unit * (1 + 2 * sigma * rng.standard_normal(unit.shape, np.float32))
        real += sigma * rng.standard_normal(unit.shape, np.float32)
        unit = np.hypot(real, sigma * rng.standard_normal(unit.shape, np.float32))
    if rng.random() < 0.3:
        unit = np.asarray(cv2.GaussianBlur(unit, (0, 0), float(rng.uniform(0.4, 1.3))), np.float32)
    if span.reject > 0:
        floor = np.float32(rng.uniform(0.0, span.reject))
        unit = np.maximum(unit - floor, 0.0) / (1 - floor)
    if rng.random() < 0.3:
        unit = _boxes(unit, rng)
    clipped: Grey = np.clip(unit * 255.0, 0.0, 255.0).astype(np.float32)
    return clipped


def _gained(unit: Grey, rng: np.random.Generator, span: AugmentationRange) -> Grey:
    """Gamma and the gains: of the whole picture, of its parts, with depth, towards the sides."""
    unit = unit ** np.float32(math.exp(rng.uniform(-span.gamma, span.gamma)))
    unit = unit * np.float32(math.exp(rng.uniform(-span.gain, span.gain)))
    if rng.random() < 0.5:
        unit = unit * np.exp(
            np.float32(rng.uniform(min(0.05, span.gain_field), span.gain_field)) * _field(rng, unit.shape, 4)
        )
    if span.depth_gain > 0:
        slope = rng.uniform(-span.depth_gain, span.depth_gain)
        unit = unit * np.exp(slope * np.linspace(-0.5, 0.5, unit.shape[0], dtype=np.float32))[:, None]
    if span.side_fade > 0 and rng.random() < span.side_fade:
        unit = unit * _fading_sides(rng, unit.shape[1])
    return unit


def _field(rng: np.random.Generator, shape: tuple[int, ...], cells: int) -> Grey:
    """Smooth random field, roughly standard normal, [rows, columns]."""
    small = rng.standard_normal((cells, cells)).astype(np.float32)
    grown: Grey = np.asarray(cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float32)
    return grown


def _shadow(rng: np.random.Generator, shape: tuple[int, ...]) -> Grey:
    """A darker wedge below a random point, as an acoustic shadow is, [rows, columns]."""
    row, column = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    top, middle = rng.uniform(-0.2, 0.6) * shape[0], rng.uniform(0.05, 0.95) * shape[1]
    width = rng.uniform(0.02, 0.10) * shape[1] * (1 + np.maximum(row - top, 0) / shape[0])
    lean = rng.uniform(-0.5, 0.5)
    inside = np.exp(-(((column - middle - lean * (row - top)) / width) ** 2)) * (row > top)
    out: Grey = (1.0 - np.float32(rng.uniform(0.4, 0.95)) * inside).astype(np.float32)
    return out


def _fading_sides(rng: np.random.Generator, columns: int) -> Grey:
    """Gain that falls to a few per cent towards the left, the right or both, [1, columns]."""
    place = np.linspace(0.0, 1.0, columns, dtype=np.float32)
    gain = np.ones_like(place)
    left, right = ((True, False), (False, True), (True, True))[int(rng.integers(0, 3))]
    for from_side, chosen in ((place, left), (1.0 - place, right)):
        if chosen:
            ramp = 1.0 / (1.0 + np.exp(-(from_side - rng.uniform(0.10, 0.38)) / rng.uniform(0.01, 0.06)))
            gain = gain * (1.0 - rng.uniform(0.5, 0.97) * (1.0 - ramp))
    out: Grey = gain.astype(np.float32)[None, :]
    return out


def _speckle(rng: np.random.Generator, shape: tuple[int, ...]) -> Grey:
    """Gain of mean 1 with the grain of another transducer, [rows, columns].

    The amplitude of a circular Gaussian field (Goodman 1975), coarser across the beam than along it, diluted because
    machines compress and compound.
    """
    axial = float(rng.uniform(0.5, 1.2))
    lateral = axial * float(rng.uniform(1.0, 2.5))
    real, imaginary = (
        cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (0, 0), sigmaX=lateral, sigmaY=axial) for _ in range(2)
    )
    amplitude = np.hypot(real, imaginary)
    share = np.float32(rng.uniform(0.15, 0.5))
    out: Grey = (1 - share + share * amplitude / amplitude.mean()).astype(np.float32)
    return out


def _boxes(unit: Grey, rng: np.random.Generator) -> Grey:
    """One to four small boxes of constant grey, as menus are."""
    out = unit.copy()
    for _ in range(int(rng.integers(1, 5))):
        height, width = int(rng.integers(4, 30)), int(rng.integers(6, 60))
        top, left = int(rng.integers(0, unit.shape[0])), int(rng.integers(0, unit.shape[1]))
        out[top : top + height, left : left + width] = rng.choice([0.0, rng.uniform(0.0, 1.0)])
    return out
