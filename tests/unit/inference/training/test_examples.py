"""What training sees, and where it is told that the head is."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from inference.architectures.registry import RESIDUAL, build_network
from inference.domain import EllipsePx, Luminance
from inference.measure import fit_ellipse_mm, inside_distance_px, outline_px
from inference.preprocess import Grid
from inference.segment import largest_component, outline_points
from inference.training.augmentation import mask_distance_px, view
from inference.training.augmentation_range import AugmentationRange
from inference.training.challenge import Annotated, Split, read_challenge, split_of
from inference.training.examples import filled_outline, images_to_see, load_examples, truth_by
from inference.training.folds import fold_of, read_folds
from inference.training.recipe import AVERAGE, Recipe, Target, write_recipe
from tests.unit.inference.training.test_export import challenge_folder

HEAD = EllipsePx(200.3, 135.6, 90, 70, 20)
KNOWN = [name for name in read_folds() if name.endswith("_HC")][:12]
STILL = AugmentationRange(turn_deg=0, scale=0, aspect=0, shift=0, gamma=0, gain=0, gain_field=0, shadow=0)


def drawn(ellipse: EllipsePx, thickness: int = 3) -> Luminance:
    picture = np.zeros((270, 400), np.uint8)
    points = np.round(outline_px(ellipse, 720) * 16).astype(np.int32)
    cv2.polylines(picture, [points], True, 255, thickness, cv2.LINE_8, 4)
    return picture


@pytest.mark.parametrize("thickness", [1, 3, 5])
def test_a_filled_line_is_as_large_as_the_middle_of_the_line(thickness: int) -> None:
    """Filled with its line it would be larger by the line's width, which is a bias of a millimetre and more."""
    filled = filled_outline(drawn(HEAD, thickness))
    assert filled is not None
    for seed in range(3):
        target = view(np.zeros_like(filled), filled, Grid(256, 384), np.random.default_rng(seed), STILL).target
        fitted = fit_ellipse_mm(outline_points(target, largest_component(target, 0.5), 0.5))
        assert fitted.semi_major_mm == pytest.approx(HEAD.semi_major_px * 256 / 270, abs=0.35)
        assert fitted.semi_minor_mm == pytest.approx(HEAD.semi_minor_px * 256 / 270, abs=0.35)


def test_a_line_that_leaves_the_picture_encloses_nothing() -> None:
    assert filled_outline(drawn(EllipsePx(380, 135, 90, 70, 0))) is None


def test_the_weight_of_a_mask_is_that_of_its_ellipse_near_the_outline() -> None:
    distance = inside_distance_px(HEAD, 270, 400)
    near = np.abs(distance) < 6
    measured = mask_distance_px((distance > 0).astype(np.float32))
    assert np.abs(measured - distance)[near].max() < 0.8
    assert np.all(mask_distance_px(np.zeros((8, 8), np.float32)) < -1000)
    assert np.all(mask_distance_px(np.ones((8, 8), np.float32)) > 1000)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Annotated]:
    folder = challenge_folder(tmp_path_factory.mktemp("hc18"), [name.removesuffix("_HC") for name in KNOWN])
    return read_challenge(folder)


def test_a_run_sees_what_its_recipe_lets_it_see(images: list[Annotated]) -> None:
    def seen(recipe: Recipe) -> set[str]:
        return {image.exam for image in images_to_see(images, recipe)}

    everything = {image.exam for image in images}
    assert seen(Recipe(every_exam=True)) == everything
    assert seen(Recipe(held_out_fold=2)) == {exam for exam in everything if fold_of(exam) != 2} < everything
    assert seen(Recipe()) == {exam for exam in everything if split_of(exam) is Split.TRAIN} < everything


def test_a_share_of_the_exams_is_a_part_of_a_larger_share(images: list[Annotated]) -> None:
    def seen(share: float) -> set[str]:
        return {image.exam for image in images_to_see(images, Recipe(every_exam=True, exam_share=share))}

    assert set() < seen(0.4) < seen(0.8) < seen(1.0)


def test_examples_are_exams_phantoms_and_other_things(images: list[Annotated]) -> None:
    recipe = Recipe(every_exam=True, phantoms_with_head=1, phantoms_without_head=1, negatives=4)
    examples = load_examples(images[0].path.parents[1], recipe)
    assert len(examples) == 12 + 2 + 4 + 1
    assert sum(truth is None for _, truth in examples) == 1 + 4


def test_the_target_is_the_ellipse_or_the_filled_line(images: list[Annotated]) -> None:
    assert truth_by(Recipe())(images[0]) == images[0].ellipse()
    filled = truth_by(Recipe(target=Target.OUTLINE))(images[0])
    assert isinstance(filled, np.ndarray)
    assert 0.9 * np.mean(filled > 0) < np.mean(filled == 255) < 0.5


def test_teachers_say_where_the_head_is_in_source_pixels(images: list[Annotated], tmp_path: Path) -> None:
    """A teacher that is sure everywhere, taught beside one that is sure nowhere, leaves a half everywhere."""
    runs = []
    for name, bias in (("sure", 20.0), ("never", -20.0)):
        recipe = Recipe(architecture=RESIDUAL, width=0.125, fine_epochs=0, coarse_grid=Grid(32, 64))
        (tmp_path / name).mkdir()
        write_recipe(recipe, tmp_path / name)
        state = build_network(RESIDUAL, 0.125).state_dict()
        state["head.2.weight"].zero_()
        state["head.2.bias"].fill_(bias)
        torch.save(state, tmp_path / name / AVERAGE)
        runs.append(str(tmp_path / name / AVERAGE))
    taught = truth_by(Recipe(teachers=tuple(runs)))(images[0])
    assert isinstance(taught, np.ndarray)
    assert taught.shape == images[0].luminance().shape
    assert set(np.unique(taught)) <= {127, 128}
