"""Outline-weighted cross-entropy plus Dice, with deep supervision; a further term that a recipe may switch on."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

AUXILIARY_WEIGHTS = (0.4, 0.2)
SMALLEST_HEAD = 50.0
HC_SCALE = 0.02


def outline_loss(logits: tuple[Tensor, ...], target: Tensor, weight: Tensor) -> Tensor:
    """Sum over the main and the auxiliary heads; all tensors [batch, 1, rows, columns]."""
    main, *auxiliary = logits
    total = _single(main, target, weight)
    for share, head in zip(AUXILIARY_WEIGHTS, auxiliary, strict=True):
        total = total + share * _single(head, target, weight)
    return total


def circumference_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Relative error of the circumference that the probability's moments give; mean over images with a head.

    A leak far from the outline hardly moves cross-entropy; it moves the second moments with the square of its distance.
    """
    present = target.sum((1, 2, 3)) > SMALLEST_HEAD
    if not bool(present.any()):
        return logits.sum() * 0.0
    found = moment_circumference(torch.sigmoid(logits[present]))
    ratio = torch.log(found) - torch.log(moment_circumference(target[present]))
    return F.smooth_l1_loss(ratio, torch.zeros_like(ratio), beta=HC_SCALE)


def moment_circumference(mask: Tensor) -> Tensor:
    """Circumference [batch] of the ellipse with the same second moments as a soft mask [batch, 1, rows, columns]."""
    rows = torch.arange(mask.shape[2], dtype=mask.dtype, device=mask.device)[:, None]
    columns = torch.arange(mask.shape[3], dtype=mask.dtype, device=mask.device)[None, :]
    share = mask[:, 0] / mask.sum((1, 2, 3)).clamp_min(1.0)[:, None, None]
    axes = (1, 2)
    y = rows - (share * rows).sum(axes)[:, None, None]
    x = columns - (share * columns).sum(axes)[:, None, None]
    xx, yy, xy = ((share * product).sum(axes) for product in (x * x, y * y, x * y))
    middle, spread = (xx + yy) / 2.0, torch.sqrt(((xx - yy) / 2.0) ** 2 + xy**2 + 1e-6)
    a, b = 2.0 * torch.sqrt(middle + spread), 2.0 * torch.sqrt((middle - spread).clamp_min(1e-3))
    h = ((a - b) / (a + b)) ** 2
    return math.pi * (a + b) * (1.0 + 3.0 * h / (10.0 + torch.sqrt(4.0 - 3.0 * h)))


def _single(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    entropy = F.binary_cross_entropy_with_logits(logits, target, weight, reduction="none").mean()
    probability = torch.sigmoid(logits)
    axes = (1, 2, 3)
    overlap = (probability * target).sum(axes)
    dice = 1.0 - (2.0 * overlap + 1.0) / (probability.sum(axes) + target.sum(axes) + 1.0)
    return entropy + dice.mean()
