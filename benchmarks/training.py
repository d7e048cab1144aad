"""Processor time of one training step (forward, loss, backward) per image, for every network that can be trained.

Batch of 8 at the coarse grid, 160 x 256, fp32, one thread. Processor time, not time on the wall: a training takes hours
on machines that do other things too. The peer is the network that ships.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.record import Record
from inference.architectures.head_network import HeadNetwork
from inference.architectures.registry import EFFICIENTNET, RESIDUAL, build_network
from inference.checkpoint import channels_last
from inference.training.losses import outline_loss
from inference.training.recipe import COARSE_GRID

WIDTHS = (0.25, 0.375, 0.5, 1.0)
BATCH = 8
STEPS = 5


def run() -> Iterator[Record]:
    torch.set_num_threads(1)
    names = [(EFFICIENTNET, 1.0), *((RESIDUAL, width) for width in WIDTHS)]
    networks = [build_network(architecture, width).train() for architecture, width in names]
    for network in networks:
        channels_last(network)
    rounds = [[milliseconds(network) for network in networks] for _ in range(1 + STEPS)][1:]  # the first warms up
    shipped, *others = (round(statistics.median(column), 1) for column in zip(*rounds, strict=True))
    for width, value in zip(WIDTHS, others, strict=True):
        what = f"training step of one image, {RESIDUAL} of width {width:g}, processor time"
        yield Record(what, value, "ms", STEPS, EFFICIENTNET, shipped)


def milliseconds(network: HeadNetwork) -> float:
    """Processor time per image of one step on a random batch."""
    grey, target = batch()
    network.zero_grad(set_to_none=True)
    began = time.process_time()
    outline_loss(network(grey), target, torch.ones_like(target)).backward()  # type: ignore[no-untyped-call]
    return 1000.0 * (time.process_time() - began) / BATCH


def batch() -> tuple[Tensor, Tensor]:
    """Grey and target [batch, 1, rows, columns]."""
    noise = torch.randn(BATCH, 1, COARSE_GRID.rows, COARSE_GRID.columns)
    return noise.contiguous(memory_format=torch.channels_last), (noise > 0).float()
