"""Region of a frame -> head probability -> outline points."""

from __future__ import annotations

from dataclasses import dataclass

import contourpy
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from torch import Tensor, nn

from inference.domain import Luminance, PixelSpacingMm
from inference.preprocess import Grid, Letterbox, Normalisation, plan, to_grid

SMALLEST_SLOPE = 1e-3
"""Per grid pixel; a sharp outline has 0.2 to 0.4."""

Probability = NDArray[np.float32]
"""Head probability 0..1, float32 [grid rows, grid columns]."""


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The network's answer for one region, and where its grid lies in it."""

    probability: Probability
    letterbox: Letterbox


class Segmenter:
    """Runs one network on one region at a time."""

    def __init__(
        self,
        network: nn.Module,
        grid: Grid,
        normalisation: Normalisation,
        *,
        flip_average: bool,
        precise: bool = True,
    ) -> None:
        """`precise`: float32; otherwise bfloat16 where the network allows it, for processors that have it."""
        self._network = network
        self._grid = grid
        self._normalisation = normalisation
        self._flip_average = flip_average
        self._precise = precise
        self._device = next(network.parameters(), torch.empty(0)).device

    def __call__(self, luminance: Luminance, spacing: PixelSpacingMm | None) -> Segmentation:
        """`luminance` uint8 [rows, columns] of the region; `spacing` sets the aspect ratio only."""
        rows, columns = luminance.shape
        letterbox = plan(rows, columns, spacing, self._grid)
        grey = self._normalisation.apply(to_grid(luminance, letterbox, self._grid))
        batch = torch.from_numpy(grey)[None, None]  # [1, 1, rows, columns]
        if self._flip_average:
            batch = torch.cat([batch, batch.flip(3)])  # [2, 1, rows, columns]
        probability = self._run(batch.to(self._device).contiguous(memory_format=torch.channels_last))
        if self._flip_average:
            probability = (probability[:1] + probability[1:].flip(3)) / 2.0
        return Segmentation(probability[0, 0].numpy(), letterbox)

    def _run(self, batch: Tensor) -> Tensor:
        """Probabilities [batch, 1, rows, columns], float32 on the CPU."""
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=not self._precise):
            return torch.sigmoid(self._network(batch).float()).cpu()


def largest_component(probability: Probability, level: float) -> NDArray[np.bool_]:
    """The largest connected part above `level`, bool [rows, columns]; all False if there is none."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((probability > level).astype(np.uint8), connectivity=4)
    if count < 2:
        return np.zeros(probability.shape, np.bool_)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    component: NDArray[np.bool_] = labels == largest
    return component


def outline_points(probability: Probability, component: NDArray[np.bool_], level: float) -> NDArray[np.float64]:
    """Points [n, 2] (column, row) where the probability crosses `level` around `component`, in grid pixels.

    Linear interpolation between pixel centres. Other components are masked out, a border of zeros closes the curve at
    the edge of the grid, and holes are left out.
    """
    near = cv2.dilate(component.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    padded = np.pad(np.where(near, probability, 0.0), 1)
    lines = contourpy.contour_generator(z=padded).lines(level)
    if not lines:
        return np.empty((0, 2), np.float64)
    longest = max((np.asarray(line, np.float64) for line in lines), key=len)
    points: NDArray[np.float64] = longest[:-1] - 1.0  # the curve is closed, its last point repeats the first
    return points


def outline_weights(probability: Probability, points: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    """Weights [n] for points [n, 2] of a closed outline: length of curve times slope of the probability ** `power`.

    Where the network is sure of the outline the probability is steep across it; where it guesses, it is flat, and the
    place of the level wanders with the inverse of the slope. `power` 2 is weighting by inverse variance.
    """
    steps = np.hypot(*(np.roll(points, -1, axis=0) - points).T)
    length = (steps + np.roll(steps, 1)) / 2.0
    down, across = np.gradient(probability.astype(np.float64))
    places = points.T[::-1]
    slope = np.hypot(*(map_coordinates(part, places, order=1, mode="nearest") for part in (down, across)))
    weights: NDArray[np.float64] = length * (slope + SMALLEST_SLOPE) ** power
    return weights
