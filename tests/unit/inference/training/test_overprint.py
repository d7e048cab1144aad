"""What stands around and over the picture never moves the truth, and never hides the head."""

from dataclasses import fields, replace

import numpy as np
import pytest

from inference.domain import EllipsePx
from inference.measure import inside_distance_px
from inference.preprocess import Grid
from inference.training.augmentation import view
from inference.training.augmentation_range import FAR, PLAIN, RANGES, AugmentationRange
from inference.training.degradation import degrade
from inference.training.overprint import SMALLEST_HEAD_SHARE, overprint

SHAPE = (160, 256)
HEAD = inside_distance_px(EllipsePx(128, 80, 60, 46, 20), *SHAPE) > 0
GREY = np.full(SHAPE, 100, np.float32)
NOTHING = AugmentationRange(*(0.0 for _ in fields(AugmentationRange)))


@pytest.mark.parametrize("switch", ["sector", "crop"])
@pytest.mark.parametrize("seed", range(6))
def test_another_field_of_view_is_black_outside_and_keeps_the_head(switch: str, seed: int) -> None:
    seen = overprint(GREY, HEAD, np.random.default_rng(seed), replace(NOTHING, **{switch: 1.0}))
    assert set(np.unique(seen)) <= {0.0, 100.0}
    assert np.mean(seen[HEAD] == 100) >= SMALLEST_HEAD_SHARE


@pytest.mark.parametrize("switch", ["sector", "crop"])
def test_another_field_of_view_takes_something_away(switch: str) -> None:
    views = [overprint(GREY, HEAD, np.random.default_rng(s), replace(NOTHING, **{switch: 1.0})) for s in range(6)]
    assert any((one == 0).any() for one in views)


@pytest.mark.parametrize("switch", ["text", "calipers"])
def test_ink_is_bright_and_thin(switch: str) -> None:
    drawn = overprint(GREY, HEAD, np.random.default_rng(3), replace(NOTHING, **{switch: 1.0}))
    changed = drawn != 100
    assert 0 < changed.mean() < 0.15
    assert drawn.max() > 140
    assert drawn.min() >= 100
    assert drawn.max() <= 255


@pytest.mark.parametrize("switch", ["depth_gain", "side_fade", "reject", "speckle"])
def test_every_switch_of_grey_does_something_and_stays_in_range(switch: str) -> None:
    plain = degrade(GREY, np.random.default_rng(4), NOTHING)
    changed = degrade(GREY, np.random.default_rng(4), replace(NOTHING, **{switch: 0.8}))
    assert not np.array_equal(plain, changed)
    assert changed.min() >= 0
    assert changed.max() <= 255


def test_reject_shows_weak_echoes_as_black() -> None:
    ramp = np.tile(np.linspace(0, 255, SHAPE[1], dtype=np.float32), (SHAPE[0], 1))
    black = [
        np.mean([(degrade(ramp, np.random.default_rng(seed), span) == 0).mean() for seed in range(8)])
        for span in (NOTHING, replace(NOTHING, reject=0.5))
    ]
    assert black[1] > black[0] + 0.1


def test_ink_does_not_touch_the_target() -> None:
    """The far range draws its ink last: with and without it, geometry and targets are those of the same head."""
    picture = (HEAD * 200).astype(np.uint8)
    ellipse = EllipsePx(128, 80, 60, 46, 20)
    without = replace(FAR, sector=0.0, crop=0.0, text=0.0, calipers=0.0)
    for seed in range(8):
        far = view(picture, ellipse, Grid(96, 160), np.random.default_rng(seed), FAR)
        bare = view(picture, ellipse, Grid(96, 160), np.random.default_rng(seed), without)
        assert np.array_equal(far.target, bare.target)
        assert np.array_equal(far.weight, bare.weight)


def test_the_ranges_that_a_recipe_may_name() -> None:
    assert RANGES == {"plain": PLAIN, "far": FAR}
    assert all(getattr(FAR, f.name) >= getattr(PLAIN, f.name) for f in fields(AugmentationRange))
