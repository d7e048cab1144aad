"""From a probability map to outline points, with a network whose answer is known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from inference.architectures.head_network import HeadNetwork
from inference.domain import EllipseMm, EllipsePx, PixelSpacingMm
from inference.look import Look
from inference.measure import circumference_mm, fit_ellipse_mm, inside_distance_px
from inference.preprocess import Grid, Normalisation
from inference.segment import (
    Segmentation,
    Segmenter,
    hesitation,
    largest_component,
    outline_points,
    outline_weights,
    second_part,
)

NORMALISATION = Normalisation(0.18, 0.2)


class BrightIsHead(nn.Module):
    """Logit 0 at grey 127.5: the 0.5 contour lies where the picture is half bright."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * 0.2 + 0.18 - 0.5) * 8.0


def soft(ellipse: EllipsePx, rows: int, columns: int) -> np.ndarray:
    return np.clip(0.5 + inside_distance_px(ellipse, rows, columns), 0, 1).astype(np.float32)


@settings(max_examples=40)
@given(st.floats(45, 95), st.floats(0.65, 0.95), st.floats(0, 180), st.floats(-8, 8), st.floats(-8, 8))
def test_circumference_from_a_soft_mask_to_a_thousandth(
    major: float, ratio: float, angle: float, right: float, down: float
) -> None:
    ellipse = EllipsePx(192 + right, 128 + down, major, major * ratio, angle)
    probability = soft(ellipse, 256, 384)
    points = outline_points(probability, largest_component(probability, 0.5), 0.5)
    fitted = fit_ellipse_mm(points)
    expected = fit_ellipse_mm(points).__class__(0, 0, major, major * ratio, angle)
    assert circumference_mm(fitted) == pytest.approx(circumference_mm(expected), rel=1e-3)


@pytest.mark.parametrize("spacing", [PixelSpacingMm(0.15, 0.15), PixelSpacingMm(0.1, 0.2), PixelSpacingMm(0.21, 0.13)])
def test_segmenter_finds_the_ellipse_in_unequal_pixels(spacing: PixelSpacingMm) -> None:
    truth = EllipsePx(400.3, 260.8, 200, 150, 25)
    picture = (soft(truth, 540, 800) * 255).astype(np.uint8)
    segmentation = Segmenter(BrightIsHead(), Grid(256, 384), NORMALISATION, Look())(picture, spacing)
    component = largest_component(segmentation.probability, 0.5)
    points = segmentation.letterbox.to_region(outline_points(segmentation.probability, component, 0.5))
    fitted = fit_ellipse_mm(points)
    assert fitted.center_x_mm == pytest.approx(400.3, abs=0.25)
    assert fitted.center_y_mm == pytest.approx(260.8, abs=0.25)
    assert fitted.semi_major_mm == pytest.approx(200, rel=3e-3)
    assert fitted.semi_minor_mm == pytest.approx(150, rel=3e-3)


def test_flip_average_agrees_with_a_network_that_has_no_side() -> None:
    picture = (soft(EllipsePx(300, 260, 180, 140, 60), 540, 800) * 255).astype(np.uint8)
    plain = Segmenter(BrightIsHead(), Grid(256, 384), NORMALISATION, Look())(picture, None)
    flipped = Segmenter(BrightIsHead(), Grid(256, 384), NORMALISATION, Look(flip_average=True))(picture, None)
    assert flipped.probability == pytest.approx(plain.probability, abs=1e-6)


def test_only_the_largest_component_is_outlined() -> None:
    probability = np.maximum(
        soft(EllipsePx(120, 120, 60, 50, 0), 256, 384), soft(EllipsePx(300, 60, 30, 20, 0), 256, 384)
    )
    points = outline_points(probability, largest_component(probability, 0.5), 0.5)
    assert points[:, 0].max() < 200


def test_an_empty_map_has_no_component_and_no_points() -> None:
    empty = np.zeros((256, 384), np.float32)
    component = largest_component(empty, 0.5)
    assert not component.any()
    assert outline_points(empty, component, 0.5).shape == (0, 2)


def test_a_head_at_the_edge_still_has_a_closed_outline() -> None:
    probability = soft(EllipsePx(10, 128, 80, 60, 0), 256, 384)
    points = outline_points(probability, largest_component(probability, 0.5), 0.5)
    assert points[:, 0].min() >= -1.0
    assert len(points) > 100


def test_weights_favour_the_part_of_the_outline_that_the_network_is_sure_of() -> None:
    """A head whose left end is guessed too far out and soft: weighting brings the circumference nearer."""
    truth, guessed = EllipsePx(190.3, 128.6, 90, 70, 0), EllipsePx(180.3, 128.6, 100, 70, 0)
    sharp = soft(truth, 256, 384)
    vague = np.clip(0.5 + inside_distance_px(guessed, 256, 384) / 12.0, 0, 1).astype(np.float32)
    left = np.arange(384)[None, :] < 150
    probability = np.where(left, vague, sharp)
    points = outline_points(probability, largest_component(probability, 0.5), 0.5)
    plain, weighted = fit_ellipse_mm(points), fit_ellipse_mm(points, outline_weights(probability, points, 2.0))
    true = circumference_mm(EllipseMm(0, 0, 90, 70, 0))
    assert circumference_mm(plain) > true + 5
    assert abs(circumference_mm(weighted) - true) < 0.6 * (circumference_mm(plain) - true)


def test_weights_change_nothing_on_a_clean_outline() -> None:
    truth = EllipsePx(190.3, 128.6, 90, 70, 33)
    probability = soft(truth, 256, 384)
    points = outline_points(probability, largest_component(probability, 0.5), 0.5)
    fitted = fit_ellipse_mm(points, outline_weights(probability, points, 3.0))
    assert circumference_mm(fitted) == pytest.approx(circumference_mm(EllipseMm(0, 0, 90, 70, 33)), rel=1e-3)


class Doubting(HeadNetwork):
    """Bright is head; one of two channels, the dropped ones, moves the outline. Dropout stands in the decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout2d(0.5)
        self.encoded = 0

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        self.encoded += 1
        return [torch.cat([(x * 0.2 + 0.18 - 0.5) * 8.0, torch.full_like(x, 0.5)], dim=1)]

    def decoder_stages(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        assert not self.training
        return [torch.cat([features[0][:, :1], self.dropout(features[0])[:, 1:]], dim=1)]

    def last_maps(self, stages: list[torch.Tensor]) -> torch.Tensor:
        return stages[0]

    def answer(self, maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        assert size == maps.shape[2:]
        return maps.sum(dim=1, keepdim=True)

    def auxiliary_answers(
        self, stages: list[torch.Tensor], size: tuple[int, int]
    ) -> tuple[torch.Tensor, ...]:  # pragma: no cover
        raise AssertionError("never in training")


PICTURE = (soft(EllipsePx(300, 260, 180, 140, 60), 540, 800) * 255).astype(np.uint8)


PICTURE_OF_NOTHING = np.zeros((540, 800), np.uint8)
RECORDED = ["dropped", "kept", "dropped", "dropped", "kept", "kept"]


class TestPasses:
    def look(self, network: nn.Module, picture: np.ndarray = PICTURE, flip: bool = False) -> Segmentation:
        return Segmenter(network, Grid(256, 384), NORMALISATION, Look(flip, 6))(picture, None)

    def test_the_answer_is_that_of_a_network_asked_once(self) -> None:
        once = Segmenter(Doubting().eval(), Grid(256, 384), NORMALISATION, Look())(PICTURE, None)
        assert np.array_equal(self.look(Doubting().eval()).probability, once.probability)
        assert once.passes == ()

    def test_it_encodes_once_and_decodes_as_often_as_asked(self) -> None:
        network = Doubting().eval()
        segmentation = self.look(network)
        assert network.encoded == 1
        assert len(segmentation.passes) == 1 + 6
        assert segmentation.passes[0] == pytest.approx(
            segmentation.probability, abs=1e-6
        )  # the mirror image, turned back

    def test_the_same_picture_gives_the_same_doubt_and_another_another(self) -> None:
        network = Doubting().eval()
        first = self.look(network)
        torch.manual_seed(99)
        torch.rand(5)
        again = self.look(network)
        assert all(np.array_equal(a, b) for a, b in zip(first.passes, again.passes, strict=True))
        assert first.deviation().max() > 0.01
        other = self.look(network, PICTURE.T.copy())
        draws = [[bool((p > q).any()) for p, q in zip(s.passes, s.passes[1:], strict=False)] for s in (first, other)]
        assert draws[0] != draws[1]

    def test_what_is_dropped_is_the_same_on_every_processor(self) -> None:
        """Recorded once: torch's own dropout draws by another method on an Intel processor than elsewhere."""
        passes = self.look(Doubting().eval(), PICTURE_OF_NOTHING).passes[1:]
        assert ["kept" if float(p.max()) > 0.03 else "dropped" for p in passes] == RECORDED

    def test_it_leaves_the_random_numbers_of_others_alone(self) -> None:
        torch.manual_seed(7)
        expected = torch.rand(3)
        torch.manual_seed(7)
        self.look(Doubting().eval())
        assert torch.equal(torch.rand(3), expected)

    def test_the_network_sleeps_again_afterwards(self) -> None:
        network = Doubting().eval()
        self.look(network)
        assert not network.dropout.training
        assert not network.dropout._forward_hooks


def test_hesitation_is_what_the_inside_lacks_and_the_border_does_not_count() -> None:
    distance = inside_distance_px(EllipsePx(190.0, 120.0, 100.0, 80.0, 30.0), 256, 384)
    for height in (1.0, 0.8):
        probability = (height * np.clip(0.5 + distance / 8.0, 0.0, 1.0)).astype(np.float32)
        component = largest_component(probability, 0.5)
        assert hesitation(probability, component) == pytest.approx(1.0 - height, abs=0.01)


def test_the_second_part_is_measured_against_the_first() -> None:
    probability = np.zeros((60, 80), np.float32)
    probability[5:25, 5:25] = probability[40:50, 40:50] = 0.9
    assert second_part(probability, 0.5) == pytest.approx(0.25)
    probability[40:50, 40:50] = 0.4
    assert second_part(probability, 0.5) == 0.0
