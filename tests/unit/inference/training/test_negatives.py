"""Pictures without a head: the same for the same seed, and what judges stays out of training."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.domain import EllipsePx, Luminance
from inference.erasing import erased
from inference.measure import inside_distance_px
from inference.training import negatives
from inference.training.negatives import (
    JUDGING_SEED,
    TRAINING_SEEDS,
    drawn,
    noise,
    painted_over,
    photographs,
    pictures_on_disk,
    shuffled,
    training_negatives,
    words,
)

HEAD = EllipsePx(300.0, 200.0, 110.0, 85.0, 20.0)


def _scan() -> Luminance:
    rng = np.random.default_rng(5)
    image = rng.integers(40, 90, (400, 600)).astype(np.uint8)
    image[inside_distance_px(HEAD, 400, 600) > 0] = 200
    return image


def test_training_sees_no_seed_and_no_family_that_judges() -> None:
    assert JUDGING_SEED not in TRAINING_SEEDS
    for kind in ("ABDOMENS", "BONES", "FLUIDS"):
        seen, judging = (getattr(negatives, f"{part}_{kind}") for part in ("TRAINING", "JUDGING"))
        assert not {family.name for family in seen} & {family.name for family in judging}
        assert not {family.machine.name for family in seen} & {family.machine.name for family in judging}


def test_training_negatives_are_the_same_every_time_and_differ_from_one_another() -> None:
    first, again = (list(training_negatives(4, [(_scan(), HEAD)])) for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    assert len({picture.tobytes() for picture in first}) == len(first)


def test_every_drawn_family_judges_by_as_many() -> None:
    families = [picture.family for picture in drawn(1)]
    assert sorted(families) == [
        "abdomen-like",
        "femur-like",
        "fluid-like",
        "noise",
        "phantom without skull",
        "words",
    ]


@pytest.mark.parametrize("erase", [erased, painted_over])
def test_an_erased_head_is_gone_and_the_rest_stays(erase) -> None:
    image = _scan()
    depth = inside_distance_px(HEAD, *image.shape)
    out = erase(image, HEAD, 1)
    assert out[depth > 5].mean() < 120
    assert np.array_equal(out[depth < -60], image[depth < -60])


def test_shuffled_tiles_are_those_of_the_image_and_none_stays() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(4, 6).repeat(60, axis=0).repeat(60, axis=1)
    out = shuffled(image, 3)
    assert abs(float(out.mean()) - float(image[: out.shape[0], : out.shape[1]].mean())) < 0.5
    assert np.mean(out == image[: out.shape[0], : out.shape[1]]) < 0.1


@pytest.mark.parametrize("seed", range(6))
def test_noise_and_words_are_pictures(seed: int) -> None:
    for picture in (noise(seed), words(seed)):
        assert picture.shape == negatives.SHAPE
        assert picture.dtype == np.uint8


def test_pictures_on_disk_are_found_once_each_and_tiny_ones_left_out(tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (120, 100), np.uint8)
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), picture)
    cv2.imwrite(str(tmp_path / "icon.png"), picture[:16, :16])
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert [path.name for path in pictures_on_disk([tmp_path])] == ["a.png", "broken.png", "icon.png"]
    (found,) = photographs([tmp_path])
    assert found.name == "a.png"
    assert found.luminance.shape == (360, 300)
    assert 60.0 <= found.spacing.row * 360 <= 160.0
