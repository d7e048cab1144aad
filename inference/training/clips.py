"""Training clips, and what a still's encoder makes of them, kept on disk: it is the same in every epoch but the last.

A clip takes about 9 MB. The cache belongs to one network and one recipe, whose hash names its folder; a clip that is
half written is made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.architectures.head_network import Features, HeadNetwork
from inference.measure import inside_distance_px, map_ellipse
from inference.preprocess import Grid, Normalisation, plan, to_grid
from inference.synthetic_cine import CineFrame, Sweep, synthesise
from inference.training.augmentation import FAR_OUTSIDE, letterbox_affine, targets
from inference.training.challenge import Annotated
from inference.training.negatives import painted_over
from inference.training.stills import still_of
from inference.training.temporal_recipe import SAMPLED, TemporalRecipe

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingClip:
    """T frames of one clip on the network's grid.

    `grey` uint8 [T, rows, columns]; `distance` [T, rows, columns], pixels to the true outline, positive inside;
    `measurable` bool [T]; `features` of the frames as they are, `clean` their coarsest maps had nothing spoilt them.
    """

    grey: Tensor
    distance: Tensor
    measurable: Tensor
    features: Features
    clean: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the network's grid."""
        return self.grey.shape[1], self.grey.shape[2]

    def targets(self, frames: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mask and weight, [T, 1, rows, columns] each, of the frames at these places or of all."""
        distances = self.distance if frames is None else self.distance[frames]
        made = [targets(distance) for distance in distances.float().numpy()]
        mask, weight = (torch.from_numpy(np.stack(part)[:, None]) for part in zip(*made, strict=True))
        return mask, weight


@dataclass(frozen=True, slots=True)
class View:
    """How a network sees a picture."""

    grid: Grid
    normalisation: Normalisation

    def grey(self, frames: Iterable[CineFrame]) -> NDArray[np.uint8]:
        """Frames on the grid, uint8 [T, rows, columns]."""
        return np.stack([self._on_grid(frame) for frame in frames])

    def batch(self, grey: NDArray[np.uint8]) -> Tensor:
        """What the network is given, [T, 1, rows, columns]."""
        seen = torch.from_numpy(self.normalisation.apply(grey.astype(np.float32)))[:, None]
        return seen.contiguous(memory_format=torch.channels_last)

    def distance(self, frames: Iterable[CineFrame]) -> NDArray[np.float16]:
        """Distance to the true outline in pixels of the grid, [T, rows, columns]; far outside where there is none."""
        return np.stack([self._distance(frame) for frame in frames])

    def _on_grid(self, frame: CineFrame) -> NDArray[np.uint8]:
        rows, columns = frame.luminance.shape
        return to_grid(frame.luminance, plan(rows, columns, None, self.grid), self.grid).astype(np.uint8)

    def _distance(self, frame: CineFrame) -> NDArray[np.float16]:
        if frame.ellipse is None:
            return np.full((self.grid.rows, self.grid.columns), FAR_OUTSIDE, np.float16)
        rows, columns = frame.luminance.shape
        ellipse = map_ellipse(frame.ellipse, letterbox_affine(rows, columns, self.grid)[:2])
        return inside_distance_px(ellipse, self.grid.rows, self.grid.columns).astype(np.float16)


def sweep_of(recipe: TemporalRecipe, index: int) -> Sweep:
    """The sweep of training clip number `index`."""
    return replace(SAMPLED, degraded=recipe.shares[index % len(recipe.shares)])


class ClipCache:
    """The training clips of one run, made once each."""

    def __init__(self, folder: Path, network: HeadNetwork, view: View, recipe: TemporalRecipe) -> None:
        decides = [recipe.still_sha256, recipe.seed, recipe.shares, asdict(SAMPLED), asdict(view.grid)]
        name = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]
        self._folder = folder / name
        self._folder.mkdir(parents=True, exist_ok=True)
        self._network = network
        self._view = view
        self._recipe = recipe

    def fill(self, images: Sequence[Annotated]) -> list[Path]:
        """Make the clips that are missing; one of each image in the order of a seeded shuffle, then again."""
        order = np.random.default_rng(self._recipe.seed).permutation(len(images))
        paths = []
        for index in range(self._recipe.clips):
            path = self._folder / f"clip-{index:04d}.pt"
            if not path.is_file():
                self._make(images[int(order[index % len(images)])], index, path)
                log.info("train.clip", extra={"count": index})
            paths.append(path)
        return paths

    def _make(self, image: Annotated, index: int, path: Path) -> None:
        sweep, seed = sweep_of(self._recipe, index), self._recipe.seed * 100_000 + index
        frames = list(synthesise(still_of(image), sweep, seed, painted_over))
        grey = self._view.grey(frames)
        features = self._encode(grey)
        clean = features[-1]
        if sweep.degraded:
            undamaged = synthesise(still_of(image), replace(sweep, degraded=0.0), seed)
            clean = self._encode(self._view.grey(undamaged))[-1]
        stored = {
            "grey": torch.from_numpy(grey),
            "distance": torch.from_numpy(self._view.distance(frames)),
            "measurable": torch.tensor([frame.ellipse is not None for frame in frames]),
            "features": [feature.half() for feature in features],
            "clean": clean.half(),
        }
        part = path.with_suffix(".part")
        torch.save(stored, part)
        part.replace(path)

    def _encode(self, grey: NDArray[np.uint8]) -> Features:
        with torch.no_grad():
            return self._network.encode(self._view.batch(grey))


def read_clip(path: Path) -> TrainingClip:
    """A clip of the cache, its features as float32."""
    stored = torch.load(path, map_location="cpu", weights_only=True)
    features = [feature.float().contiguous(memory_format=torch.channels_last) for feature in stored["features"]]
    return TrainingClip(stored["grey"], stored["distance"], stored["measurable"], features, stored["clean"].float())
