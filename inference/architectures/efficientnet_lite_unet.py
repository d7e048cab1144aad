"""EfficientNet-lite0 U-Net: ImageNet encoder, four-stage decoder, two auxiliary heads.

Encoder: Tan & Le 2019 (EfficientNet), the "lite" variant without squeeze-and-excite and with ReLU6. The parameter names
are those of the published lite0 checkpoint, so that its weights load by name. Decoder: Ronneberger et al. 2015.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inference.architectures.head_network import Features, HeadNetwork, upsampled


class Stage(NamedTuple):
    """One row of the EfficientNet table: `repeats` inverted residuals of the same width."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


LITE0_STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
STEM_CHANNELS = 32
TAP_AFTER_BLOCK = (0, 2, 4, 10, 15)  # strides 2, 4, 8, 16, 32
TAP_CHANNELS = (16, 24, 40, 112, 320)
DECODER_CHANNELS = (128, 64, 48, 32)
AUXILIARY_STAGES = (2, 1)  # the third and the second decoder stage, at strides 4 and 8
BATCH_NORM_EPS = 1e-3
BATCH_NORM_MOMENTUM = 0.01


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise kxk, project 1x1 (Sandler et al. 2018), ReLU6; skip where shapes agree."""

    NORMALISED = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))

    def __init__(self, channels_in: int, stage: Stage, stride: int) -> None:
        super().__init__()
        hidden = channels_in * stage.expand
        self._expand = stage.expand != 1
        if self._expand:
            self._expand_conv = nn.Conv2d(channels_in, hidden, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(hidden, BATCH_NORM_EPS, BATCH_NORM_MOMENTUM)
        self._depthwise_conv = nn.Conv2d(
            hidden, hidden, stage.kernel, stride, stage.kernel // 2, groups=hidden, bias=False
        )
        self._bn1 = nn.BatchNorm2d(hidden, BATCH_NORM_EPS, BATCH_NORM_MOMENTUM)
        self._project_conv = nn.Conv2d(hidden, stage.channels, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(stage.channels, BATCH_NORM_EPS, BATCH_NORM_MOMENTUM)
        self._skip = stride == 1 and channels_in == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self._expand else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        out: Tensor = x + y if self._skip else y
        return out


class EfficientNetLite0Encoder(nn.Module):
    """Feature taps at strides 2, 4, 8, 16, 32 with TAP_CHANNELS channels.

    Padding is symmetric (k // 2), not TensorFlow's "same": pixel (0, 0) of every tap then sits over pixel (0, 0) of
    the input, so nothing shifts between encoder and decoder.
    """

    NORMALISED = (("_conv_stem", "_bn0"),)

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = nn.Conv2d(3, STEM_CHANNELS, 3, 2, 1, bias=False)
        self._bn0 = nn.BatchNorm2d(STEM_CHANNELS, BATCH_NORM_EPS, BATCH_NORM_MOMENTUM)
        blocks: list[nn.Module] = []
        channels = STEM_CHANNELS
        for stage in LITE0_STAGES:
            for repeat in range(stage.repeats):
                blocks.append(InvertedResidual(channels, stage, stage.stride if repeat == 0 else 1))
                channels = stage.channels
        self._blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.relu6(self._bn0(self._conv_stem(x)))
        taps: list[Tensor] = []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in TAP_AFTER_BLOCK:
                taps.append(x)
        return taps


class DecoderStage(nn.Module):
    """Upsample x2 (bilinear), concatenate the skip, two 3x3 convolutions."""

    def __init__(self, channels_in: int, channels_skip: int, channels_out: int, dropout: float) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels_in + channels_skip, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
            nn.Dropout2d(dropout),
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = F.interpolate(x, size=skip.shape[2:], mode="bilinear", align_corners=False)
        out: Tensor = self.convolutions(torch.cat([x, skip], dim=1))
        return out


class EfficientNetLiteUNet(HeadNetwork):
    """EfficientNet-lite0 encoder, four decoder stages; the auxiliary heads stand at strides 4 and 8."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = EfficientNetLite0Encoder()
        inputs = (TAP_CHANNELS[4], *DECODER_CHANNELS[:3])
        skips = (TAP_CHANNELS[3], TAP_CHANNELS[2], TAP_CHANNELS[1], TAP_CHANNELS[0])
        self.decoder = nn.ModuleList(
            DecoderStage(i, s, o, dropout) for i, s, o in zip(inputs, skips, DECODER_CHANNELS, strict=True)
        )
        self.head = nn.Conv2d(DECODER_CHANNELS[3], 1, 1)
        self.auxiliary_heads = nn.ModuleList(nn.Conv2d(DECODER_CHANNELS[i], 1, 1) for i in AUXILIARY_STAGES)

    def encode(self, x: Tensor) -> Features:
        taps: Features = self.encoder(x.expand(-1, 3, -1, -1))
        return taps

    def decoder_stages(self, features: Features) -> Features:
        x = features[4]  # [batch, 320, rows/32, columns/32]
        stages: Features = []
        for decoder_stage, skip in zip(self.decoder, reversed(features[:4]), strict=True):
            x = decoder_stage(x, skip)
            stages.append(x)
        return stages

    def last_maps(self, stages: Features) -> Tensor:
        return stages[3]  # [batch, 32, rows/2, columns/2]

    def answer(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        return upsampled(self.head(maps), size)

    def auxiliary_answers(self, stages: Features, size: tuple[int, int]) -> tuple[Tensor, ...]:
        heads = zip(self.auxiliary_heads, AUXILIARY_STAGES, strict=True)
        return tuple(upsampled(head(stages[i]), size) for head, i in heads)


def load_imagenet_encoder(network: EfficientNetLiteUNet, state: dict[str, Tensor]) -> None:
    """Load a published lite0 classification checkpoint into the encoder.

    Raises:
        RuntimeError: if any encoder parameter is missing from `state` or has another shape.
    """
    wanted = network.encoder.state_dict()
    missing = sorted(set(wanted) - set(state))
    if missing:
        raise RuntimeError(f"encoder weights missing: {missing[:3]} and {max(0, len(missing) - 3)} more")
    network.encoder.load_state_dict({name: state[name] for name in wanted})
