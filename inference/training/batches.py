"""Shuffled batches of augmented views, drawn in a thread of their own while the network takes its step."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from inference.preprocess import Grid
from inference.training.augmentation import view
from inference.training.examples import Example
from inference.training.recipe import Recipe

Batch = tuple[Tensor, Tensor, Tensor]
"""Grey, target and weight, each [batch, 1, rows, columns]."""

Item = TypeVar("Item")
AHEAD = 2


def batches(examples: list[Example], grid: Grid, recipe: Recipe, epoch: int) -> Iterator[Batch]:
    """The batches of one epoch; seed and epoch decide every view."""
    rng = np.random.default_rng([recipe.seed, epoch])
    order = rng.permutation(len(examples))[: recipe.examples_per_epoch(len(examples))]
    for start in range(0, len(order) - recipe.batch + 1, recipe.batch):
        chosen = [examples[i] for i in order[start : start + recipe.batch]]
        samples = [view(image, truth, grid, rng, recipe.augmentation) for image, truth in chosen]
        grey = recipe.normalisation.apply(np.stack([s.grey for s in samples]))
        yield (
            torch.from_numpy(grey[:, None]),
            torch.from_numpy(np.stack([s.target for s in samples])[:, None]),
            torch.from_numpy(np.stack([s.weight for s in samples])[:, None]),
        )


def ahead(items: Iterator[Item], count: int = AHEAD) -> Iterator[Item]:
    """The same items in the same order, up to `count` of them made before they are asked for.

    One thread, because a generator has one thread of events: random views come out as they would without it.
    """
    with ThreadPoolExecutor(1) as pool:
        waiting = deque(pool.submit(next, items, None) for _ in range(count))
        while (item := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, items, None))
            yield item
