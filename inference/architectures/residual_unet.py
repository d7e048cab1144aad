"""Residual U-Net: five levels of pre-activation blocks, four decoder stages, two auxiliary heads, no pretraining.

Written from a description in one sentence (channels 1-32-64-128-256-512, 8.11 million parameters, heads at decoder
stages 2 and 3) and from the papers: He et al. 2016, "Identity mappings in deep residual networks" (pre-activation
blocks); Ronneberger et al. 2015 (U-Net: max-pooling down, 2x2 transposed convolutions up); Lee et al. 2015 (deep
supervision). Where the description leaves a choice open, the one that gives its number of parameters was taken.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inference.architectures.head_network import Features, HeadNetwork, upsampled

CHANNELS = (32, 64, 128, 256, 512)  # at strides 1, 2, 4, 8, 16
FEWEST_CHANNELS = 4
AUXILIARY_STAGES = (2, 1)  # the third and the second decoder stage, at strides 2 and 4


class ResidualBlock(nn.Module):
    """Twice normalise, rectify, convolve 3x3; a 1x1 convolution carries the input past it.

    `raw`: the input is a picture, which must not be rectified before the first convolution has seen it.
    """

    def __init__(self, channels_in: int, channels_out: int, *, dropout: float = 0.0, raw: bool = False) -> None:
        super().__init__()
        before = [] if raw else [nn.BatchNorm2d(channels_in), nn.ReLU()]
        self.residual = nn.Sequential(
            *before,
            nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
            nn.Dropout2d(dropout),
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False),
        )
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.residual(x) + self.shortcut(x)
        return out


class ResidualEncoder(nn.Module):
    """Feature maps at strides 1, 2, 4, 8, 16."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        inputs = (1, *channels[:-1])
        self.levels = nn.ModuleList(
            ResidualBlock(i, o, raw=index == 0) for index, (i, o) in enumerate(zip(inputs, channels, strict=True))
        )

    def forward(self, x: Tensor) -> Features:
        taps: Features = []
        for index, level in enumerate(self.levels):
            x = level(F.max_pool2d(x, 2) if index else x)
            taps.append(x)
        return taps


class ResidualDecoderStage(nn.Module):
    """Upsample x2 (transposed convolution), concatenate the skip, one residual block with dropout."""

    def __init__(self, channels_in: int, channels_out: int, dropout: float) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels_in, channels_out, 2, 2)
        self.block = ResidualBlock(2 * channels_out, channels_out, dropout=dropout)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        out: Tensor = self.block(torch.cat([self.up(x), skip], dim=1))
        return out


def _head(channels: int) -> nn.Sequential:
    """Logits of a stage; its block ends in a sum, which is normalised and rectified here."""
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 1, 1))


class ResidualUNet(HeadNetwork):
    """The residual U-Net; `width` is the share of CHANNELS, for processors that cannot carry all of them."""

    def __init__(self, width: float = 1.0, dropout: float = 0.1) -> None:
        super().__init__()
        channels = tuple(max(FEWEST_CHANNELS, round(width * full)) for full in CHANNELS)
        downward = channels[::-1]
        self.encoder = ResidualEncoder(channels)
        self.decoder = nn.ModuleList(ResidualDecoderStage(i, o, dropout) for i, o in pairwise(downward))
        self.head = _head(channels[0])
        self.auxiliary_heads = nn.ModuleList(_head(downward[1 + stage]) for stage in AUXILIARY_STAGES)

    def encode(self, x: Tensor) -> Features:
        taps: Features = self.encoder(x)
        return taps

    def decoder_stages(self, features: Features) -> Features:
        x = features[4]  # [batch, 512 * width, rows/16, columns/16]
        stages: Features = []
        for stage, skip in zip(self.decoder, reversed(features[:4]), strict=True):
            x = stage(x, skip)
            stages.append(x)
        return stages

    def last_maps(self, stages: Features) -> Tensor:
        maps: Tensor = self.head[:2](stages[3])  # [batch, 32 * width, rows, columns]; a block ends in a sum
        return maps

    def answer(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        return upsampled(self.head[2](maps), size)

    def auxiliary_answers(self, stages: Features, size: tuple[int, int]) -> tuple[Tensor, ...]:
        heads = zip(self.auxiliary_heads, AUXILIARY_STAGES, strict=True)
        return tuple(upsampled(head(stages[i]), size) for head, i in heads)
