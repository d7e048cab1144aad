"""Attention across the frames of a clip at the bottleneck of a head network.

After Vaswani et al. 2017 (attention) and the description of a reference system in one line: spatial pooling,
projection, eight heads, feed-forward, sigmoid gate. What a frame takes from the others is what they show *besides* it,
place by place: a clip whose frames are all alike passes unchanged, and so does any clip before training.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from inference.architectures.head_network import Features, HeadNetwork

WIDTH = 128
MESSAGE_CHANNELS = 64
HEADS = 8


class Attended(NamedTuple):
    """What the module makes of the coarsest maps of T frames.

    `maps` [T, channels, rows, columns]; `attention` [T, T], rows sum to 1: how much frame t (row) looked at frame s;
    `measurable` [T], logits: whether the frame shows a head that can be measured.
    """

    maps: Tensor
    attention: Tensor
    measurable: Tensor


class TemporalAttention(nn.Module):
    """The module: about 0.2 million parameters on 320 channels. The order of the frames plays no part."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(channels, WIDTH)
        self.before = nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.between = nn.LayerNorm(WIDTH)
        self.feed_forward = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
        self.message = nn.Conv2d(channels, MESSAGE_CHANNELS, 1, bias=False)
        self.receive = nn.Conv2d(MESSAGE_CHANNELS, channels, 1, bias=False)
        self.gate = nn.Linear(WIDTH, channels)
        self.measurable = nn.Linear(WIDTH, 1)
        nn.init.zeros_(self.receive.weight)

    def forward(self, maps: Tensor) -> Attended:
        """`maps` [T, channels, rows, columns] of one clip, any T from 1 on."""
        tokens = self.project(maps.mean(dim=(2, 3)))[None]  # [1, T, WIDTH]
        calm = self.before(tokens)
        heard, attention = self.attention(calm, calm, calm, average_attn_weights=True)
        tokens = tokens + heard
        tokens = (tokens + self.feed_forward(self.between(tokens)))[0]  # [T, WIDTH]
        own = self.message(maps)
        others = torch.einsum("ts,schw->tchw", attention[0], own)
        gate = torch.sigmoid(self.gate(tokens))[:, :, None, None]  # [T, channels, 1, 1]
        return Attended(maps + gate * self.receive(others - own), attention[0], self.measurable(tokens)[:, 0])


class ClipAnswer(NamedTuple):
    """Logits [T, 1, rows, columns] of the frames of a window; in training a tuple with the auxiliary ones as well."""

    logits: Tensor | tuple[Tensor, ...]
    attention: Tensor
    measurable: Tensor


class TemporalNetwork(nn.Module):
    """A head network whose coarsest maps pass through temporal attention: encoder and decoder are the still's."""

    def __init__(self, still: HeadNetwork, channels: int) -> None:
        super().__init__()
        self.still = still
        self.temporal = TemporalAttention(channels)

    def forward(self, frames: Tensor) -> ClipAnswer:
        """`frames` [T, 1, rows, columns] of one window."""
        return self.decode(self.still.encode(frames), (frames.shape[2], frames.shape[3]))

    def decode(self, features: Features, size: tuple[int, int], drawn: Tensor | None = None) -> ClipAnswer:
        """The answer from what the encoder gave of T frames; `size`: rows, columns of the input.

        `drawn`: places of the frames whose outlines are wanted, all where None; attention sees all of them.
        """
        attended = self.temporal(features[-1])
        levels = [*features[:-1], attended.maps]
        logits = self.still.decode(levels if drawn is None else [level[drawn] for level in levels], size)
        return ClipAnswer(logits, attended.attention, attended.measurable)


def temporal_network(still: HeadNetwork) -> TemporalNetwork:
    """Temporal attention, untrained and so without effect, in a still's network of any architecture."""
    mode = still.training
    with torch.no_grad():
        channels = still.eval().encode(torch.zeros(1, 1, 32, 32))[-1].shape[1]
    still.train(mode)
    return TemporalNetwork(still, channels)
