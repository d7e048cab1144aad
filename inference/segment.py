"""Region of a frame -> head probability -> outline points."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import contourpy
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from torch import Tensor, nn

from inference.architectures.head_network import HeadNetwork
from inference.domain import Luminance, PixelSpacingMm
from inference.look import Look
from inference.preprocess import Grid, Letterbox, Normalisation, plan, to_grid

INNER_DEPTH = 0.25

SMALLEST_SLOPE = 1e-3
"""Per grid pixel; a sharp outline has 0.2 to 0.4."""

Probability = NDArray[np.float32]
"""Head probability 0..1, float32 [grid rows, grid columns]."""


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The network's answer for one region, and where its grid lies in it.

    `passes` are the answers of the mirrored picture and of each dropout pass, turned back: their spread is the doubt.
    Empty where the model is asked once only.
    """

    probability: Probability
    letterbox: Letterbox
    passes: tuple[Probability, ...] = ()

    def deviation(self) -> Probability:
        """Standard deviation of the probability over all answers, 0..0.5, float32 [grid rows, grid columns]."""
        deviation: Probability = np.std(np.stack([self.probability, *self.passes]), axis=0)
        return deviation


@dataclass(frozen=True, slots=True)
class Insight:
    """An answer and what it was made of: `last_maps` of `network`, float32 [1, channels, rows, columns]."""

    segmentation: Segmentation
    maps: Tensor
    network: HeadNetwork


@dataclass(frozen=True, slots=True)
class _View:
    """A region as the network sees it: [1 or 2, 1, rows, columns], its mirror image second; the seed for dropout."""

    letterbox: Letterbox
    batch: Tensor
    seed: int


class Segmenter:
    """Runs one network on one region at a time."""

    def __init__(
        self,
        network: nn.Module,
        grid: Grid,
        normalisation: Normalisation,
        look: Look,
        *,
        precise: bool = True,
    ) -> None:
        """`precise`: float32; otherwise bfloat16 where the network allows it, for processors that have it.

        Dropout passes need a HeadNetwork.
        """
        self._network = network
        self._grid = grid
        self._normalisation = normalisation
        self._look = look
        self._precise = precise
        self._device = next(network.parameters(), torch.empty(0)).device

    def __call__(self, luminance: Luminance, spacing: PixelSpacingMm | None) -> Segmentation:
        """`luminance` uint8 [rows, columns] of the region; `spacing` sets the aspect ratio only."""
        view = self._view(luminance, spacing, self._look)
        with self._inference():
            if not self._look.dropout_passes:
                return self._segmentation(view, _turned_back(self._network(view.batch)))
            return self._doubted(view, self._look).segmentation

    def look_into(self, luminance: Luminance, spacing: PixelSpacingMm | None, passes: int) -> Insight:
        """The same answer with what explains it; at least `passes` dropout passes. The network is a HeadNetwork."""
        look = replace(self._look, dropout_passes=max(self._look.dropout_passes, passes))
        with self._inference():
            insight = self._doubted(self._view(luminance, spacing, look), look)
        return replace(insight, maps=insight.maps.float())

    def _view(self, luminance: Luminance, spacing: PixelSpacingMm | None, look: Look) -> _View:
        rows, columns = luminance.shape
        letterbox = plan(rows, columns, spacing, self._grid)
        grey = self._normalisation.apply(to_grid(luminance, letterbox, self._grid))
        batch = torch.from_numpy(grey)[None, None]  # [1, 1, rows, columns]
        if look.mirrored:
            batch = torch.cat([batch, batch.flip(3)])  # [2, 1, rows, columns]
        batch = batch.to(self._device).contiguous(memory_format=torch.channels_last)
        return _View(letterbox, batch, _seed_of(luminance))

    @contextmanager
    def _inference(self) -> Iterator[None]:
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=not self._precise):
            yield

    def _doubted(self, view: _View, look: Look) -> Insight:
        """Answers of the picture and of its mirror image, and of the picture once per dropout pass; encoded once."""
        network = self._network
        assert isinstance(network, HeadNetwork)  # noqa: S101  what the constructor asks for
        features = network.encode(view.batch)
        size = (self._grid.rows, self._grid.columns)
        with _watched(network) as widths:
            maps = network.last_maps(network.decoder_stages(features))
        answers = _turned_back(network.answer(maps, size))
        if look.dropout_passes:
            upright = [_repeated(feature[:1], look.dropout_passes) for feature in features]
            with _dropping_out(_factors(widths, look.dropout_passes, view.seed)):
                answers += _as_they_are(network.decode(upright, size))
        return Insight(self._segmentation(view, answers), maps[:1], network)

    def _segmentation(self, view: _View, answers: list[Probability]) -> Segmentation:
        """The answer, and the others where there are dropout passes."""
        plain, *others = answers
        passes = tuple(others) if len(others) > 1 else ()
        if self._look.flip_average:
            plain = (plain + others[0]) / 2.0
        return Segmentation(plain, view.letterbox, passes)


def _turned_back(logits: Tensor | tuple[Tensor, ...]) -> list[Probability]:
    """Probabilities of a picture and, if there, of its mirror image turned back, float32 [rows, columns] each."""
    plain, *mirrored = _as_they_are(logits)
    return [plain, *(np.ascontiguousarray(answer[:, ::-1]) for answer in mirrored)]


def _as_they_are(logits: Tensor | tuple[Tensor, ...]) -> list[Probability]:
    """Probabilities of a batch, float32 [rows, columns] each."""
    assert isinstance(logits, Tensor)  # noqa: S101  a tuple comes in training mode only
    return list(torch.sigmoid(logits.float()).cpu().numpy()[:, 0])


def _repeated(feature: Tensor, times: int) -> Tensor:
    """[1, channels, rows, columns] to [times, ...]."""
    return feature.expand(times, -1, -1, -1).contiguous(memory_format=torch.channels_last)


def _seed_of(luminance: Luminance) -> int:
    """From the pixels as they came: what is resampled from them may differ in its last bit from machine to machine."""
    return int.from_bytes(hashlib.sha256(np.ascontiguousarray(luminance).tobytes()).digest()[:8], "big")


@contextmanager
def _hooked(layers: Iterable[nn.Module], hook: Callable[[nn.Module, Any, Tensor], Tensor | None]) -> Iterator[None]:
    """`hook` is called with what each of the layers gives, and may give something else instead."""
    hooks = [layer.register_forward_hook(hook) for layer in layers]
    try:
        yield
    finally:
        for each in hooks:
            each.remove()


@contextmanager
def _watched(network: nn.Module) -> Iterator[dict[nn.Dropout2d, int]]:
    """Fills in the channels of every dropout layer, in the order in which the network comes by them."""
    widths: dict[nn.Dropout2d, int] = {}

    def note(layer: nn.Module, _: tuple[Tensor, ...], features: Tensor) -> None:
        assert isinstance(layer, nn.Dropout2d)  # noqa: S101  no other is hooked
        widths[layer] = features.shape[1]

    with _hooked((m for m in network.modules() if isinstance(m, nn.Dropout2d)), note):
        yield widths


def _factors(widths: Mapping[nn.Dropout2d, int], passes: int, seed: int) -> dict[nn.Dropout2d, Tensor]:
    """What each layer multiplies its channels by, float32 [passes, channels]: 0, or what keeps the mean.

    Drawn pass by pass, and not by torch: that draws by another method on an Intel processor than elsewhere, so that the
    same seed would give another interval on another machine.
    """
    draws = np.random.Generator(np.random.PCG64(seed))
    kept = [[draws.random(width) >= layer.p for layer, width in widths.items()] for _ in range(passes)]
    return {
        layer: torch.from_numpy(np.stack(rows).astype(np.float32) / np.float32(1.0 - layer.p))
        for layer, rows in zip(widths, zip(*kept, strict=True), strict=True)
    }


@contextmanager
def _dropping_out(factors: Mapping[nn.Dropout2d, Tensor]) -> Iterator[None]:
    """Dropout layers drop channels, all else is as in evaluation; one row of `factors` for each of the batch."""

    def drop(layer: nn.Module, _: tuple[Tensor, ...], features: Tensor) -> Tensor:
        assert isinstance(layer, nn.Dropout2d)  # noqa: S101  no other is hooked
        return features * factors[layer].to(features)[:, :, None, None]

    with _hooked(factors, drop):
        yield


def largest_component(probability: Probability, level: float) -> NDArray[np.bool_]:
    """The largest connected part above `level`, bool [rows, columns]; all False if there is none."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((probability > level).astype(np.uint8), connectivity=4)
    if count < 2:
        return np.zeros(probability.shape, np.bool_)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    component: NDArray[np.bool_] = labels == largest
    return component


def second_part(probability: Probability, level: float) -> float:
    """Area of the second largest connected part above `level` over that of the largest, 0..1."""
    _, _, stats, _ = cv2.connectedComponentsWithStats((probability > level).astype(np.uint8), connectivity=4)
    areas = np.sort(stats[1:, cv2.CC_STAT_AREA])[::-1]
    return float(areas[1] / areas[0]) if len(areas) > 1 else 0.0


def hesitation(probability: Probability, component: NDArray[np.bool_]) -> float:
    """What the mean probability lacks to 1 in the inner part of a component, a quarter of its depth and deeper."""
    depth = cv2.distanceTransform(np.pad(component.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    return 1.0 - float(probability[depth > INNER_DEPTH * float(depth.max())].mean())


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


@dataclass(frozen=True, slots=True)
class Trace:
    """The largest part of a probability map above a level, and the outline around it.

    `component` bool [rows, columns]; `points` [n, 2] (column, row) in grid pixels; `weights` [n] or None: all alike.
    """

    component: NDArray[np.bool_]
    points: NDArray[np.float64]
    weights: NDArray[np.float64] | None


def trace(probability: Probability, level: float, slope_power: float) -> Trace | None:
    """What lies above `level`, its points weighted by slope ** `slope_power` (0: all alike); None for nothing."""
    component = largest_component(probability, level)
    points = outline_points(probability, component, level)
    if not len(points):
        return None
    return Trace(component, points, outline_weights(probability, points, slope_power) if slope_power else None)
