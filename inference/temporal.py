"""A clip of any length through temporal attention: windows of sixteen frames that overlap by half.

Frames are asked for one at a time and forgotten when the last window has passed them, so that a long clip takes no more
memory than a short one but for its answers. What several windows say of a frame is averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.architectures.head_network import Features
from inference.architectures.temporal import TemporalNetwork
from inference.segment import Probability

WINDOW = 16
STEP = 8


@dataclass(frozen=True, slots=True)
class ClipLook:
    """What the network says of T frames.

    `probability` has one map a frame; `measurable` [T], 0..1: whether the frame shows a head that can be measured.
    `attention` [T, T]: how much frame t (row) looked at frame s, 0 where they never shared a window; rows sum to 1.
    """

    probability: tuple[Probability, ...]
    measurable: NDArray[np.float64]
    attention: NDArray[np.float64]

    @property
    def received(self) -> NDArray[np.float64]:
        """How much attention each frame received, [T]; its mean over a clip is 1."""
        received: NDArray[np.float64] = self.attention.sum(axis=0)
        return received


def windows(count: int) -> Iterator[range]:
    """The windows over `count` frames, in order: each frame is in one at least, the last ends with the last frame."""
    starts = [*range(0, max(count - WINDOW, 0), STEP), max(count - WINDOW, 0)]
    for start in starts:
        yield range(start, min(start + WINDOW, count))


def look_at_clip(network: TemporalNetwork, frames: Callable[[int], Tensor], count: int) -> ClipLook:
    """Look at `count` frames, at least one; `frames` gives the one at a place as [1, 1, rows, columns].

    The network is in evaluation mode.
    """
    totals: list[Tensor] = []
    kind, attention, times = np.zeros(count), np.zeros((count, count)), np.zeros(count)
    encoded: dict[int, Features] = {}
    size = (0, 0)
    with torch.inference_mode():
        for window in windows(count):
            encoded = {place: features for place, features in encoded.items() if place in window}
            for place in window:
                if place not in encoded:
                    frame = frames(place)
                    size = (frame.shape[2], frame.shape[3])
                    encoded[place] = network.still.encode(frame)
            levels = zip(*(encoded[place] for place in window), strict=True)
            answer = network.decode([torch.cat(level) for level in levels], size)
            assert isinstance(answer.logits, Tensor)  # noqa: S101  a tuple comes in training mode only
            for place, logits in zip(window, answer.logits, strict=True):
                probability = torch.sigmoid(logits[0])
                if place < len(totals):
                    totals[place] += probability
                else:
                    totals.append(probability)
            span = slice(window.start, window.stop)
            kind[span] += torch.sigmoid(answer.measurable).numpy()
            attention[span, span] += answer.attention.numpy()
            times[span] += 1.0
    mean = tuple((total / times[place]).numpy() for place, total in enumerate(totals))
    return ClipLook(mean, kind / times, attention / times[:, None])
