"""The further loss term points the right way."""

import pytest
import torch

from inference.domain import EllipsePx, PixelSpacingMm
from inference.measure import circumference_mm, inside_distance_px, to_millimetres
from inference.training.augmentation import targets
from inference.training.losses import circumference_loss, moment_circumference

HEAD = EllipsePx(60.3, 40.6, 34, 26, 20)


def mask(ellipse: EllipsePx) -> torch.Tensor:
    target, _ = targets(inside_distance_px(ellipse, 80, 128))
    return torch.from_numpy(target)[None, None]


def test_moments_give_the_circumference_of_an_ellipse() -> None:
    true = circumference_mm(to_millimetres(HEAD, PixelSpacingMm(1.0, 1.0)))
    assert float(moment_circumference(mask(HEAD))) == pytest.approx(true, rel=2e-3)


def test_a_leak_costs_and_its_gradient_removes_it() -> None:
    target = mask(HEAD)
    logits = torch.where(target > 0.5, 8.0, -8.0)
    clean = float(circumference_loss(logits, target))
    logits[:, :, 30:50, 95:110] = 2.0
    logits.requires_grad_(True)
    loss = circumference_loss(logits, target)
    loss.backward()
    assert float(loss.detach()) > clean + 0.05
    assert logits.grad is not None
    assert bool((logits.grad[:, :, 30:50, 95:110] > 0).all())


def test_without_a_head_the_circumference_costs_nothing() -> None:
    empty = torch.zeros(2, 1, 80, 128)
    logits = torch.zeros(2, 1, 80, 128, requires_grad=True)
    loss = circumference_loss(logits, empty)
    loss.backward()
    assert float(loss.detach()) == 0.0
