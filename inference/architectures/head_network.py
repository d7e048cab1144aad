"""What every architecture offers: a dear encoder that runs once, and a cheap decoder that may run many times."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

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

    @abstractmethod
    def decode(self, features: Features, size: tuple[int, int]) -> Tensor | tuple[Tensor, ...]:
        """Logits [batch, 1, *size]; in training mode a tuple of three. `size`: rows, columns of the input."""
