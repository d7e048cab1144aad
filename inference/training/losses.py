"""Outline-weighted cross-entropy plus Dice, with deep supervision."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

AUXILIARY_WEIGHTS = (0.4, 0.2)


def outline_loss(logits: tuple[Tensor, ...], target: Tensor, weight: Tensor) -> Tensor:
    """Sum over the main and the auxiliary heads; all tensors [batch, 1, rows, columns]."""
    main, *auxiliary = logits
    total = _single(main, target, weight)
    for share, head in zip(AUXILIARY_WEIGHTS, auxiliary, strict=True):
        total = total + share * _single(head, target, weight)
    return total


def _single(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    entropy = F.binary_cross_entropy_with_logits(logits, target, weight, reduction="none").mean()
    probability = torch.sigmoid(logits)
    axes = (1, 2, 3)
    overlap = (probability * target).sum(axes)
    dice = 1.0 - (2.0 * overlap + 1.0) / (probability.sum(axes) + target.sum(axes) + 1.0)
    return entropy + dice.mean()
