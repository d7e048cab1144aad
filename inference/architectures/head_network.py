"""What every architecture offers: a dear encoder that runs once, and a cheap decoder that may run many times."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn import functional as F

Features = list[Tensor]
"""Feature maps [batch, channels, rows, columns], finest first."""


class HeadNetwork(nn.Module, ABC):
    """Head-probability network. Input [batch, 1, rows, columns], rows and columns divisible by 32.

    Output: logits [batch, 1, rows, columns]. In training mode a tuple of logits of that size: the answer, then two
    auxiliary ones (deep supervision). Dropout stands in the decoder only, so that Monte-Carlo dropout (Gal & Ghahramani
    2016) encodes an image once and decodes it as often as it likes.
    """

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.decode(self.encode(x), (x.shape[2], x.shape[3]))

    @abstractmethod
    def encode(self, x: Tensor) -> Features:
        """What the decoder reads of images [batch, 1, rows, columns]."""

    def decode(self, features: Features, size: tuple[int, int]) -> Tensor | tuple[Tensor, ...]:
        """Logits [batch, 1, *size]; in training mode a tuple of three. `size`: rows, columns of the input."""
        stages = self.decoder_stages(features)
        main = self.answer(self.last_maps(stages), size)
        return (main, *self.auxiliary_answers(stages, size)) if self.training else main

    @abstractmethod
    def decoder_stages(self, features: Features) -> Features:
        """What every stage of the decoder gives, coarsest first."""

    @abstractmethod
    def last_maps(self, stages: Features) -> Tensor:
        """Maps of the last decoder convolution, normalised and rectified: [batch, channels, rows, columns], >= 0.

        All that the answer sees of the picture, and what an explanation weighs (inference.explain).
        """

    @abstractmethod
    def answer(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits [batch, 1, *size] of the last maps."""

    @abstractmethod
    def auxiliary_answers(self, stages: Features, size: tuple[int, int]) -> tuple[Tensor, ...]:
        """Logits [batch, 1, *size] of two earlier stages, for training."""


def upsampled(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits at `size` (rows, columns), bilinear by pixel centres; unchanged where they have it."""
    if logits.shape[2:] == size:
        return logits
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
