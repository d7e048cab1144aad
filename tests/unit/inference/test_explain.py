"""What spoke for a head, and where the answers differ, on networks whose reasons are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inference.architectures.efficientnet_lite_unet import EfficientNetLiteUNet
from inference.architectures.head_network import Features, HeadNetwork, upsampled
from inference.architectures.residual_unet import ResidualUNet
from inference.domain import EllipsePx, Explanation, Frame, PixelSpacingMm, RegionPx
from inference.explain import DROPOUT_PASSES, deviation_among_frames, explain, grad_cam_plus_plus
from inference.look import Look
from inference.measure import inside_distance_px
from inference.preprocess import Grid, Normalisation
from inference.segment import Segmenter
from tests.reports import measurement

NORMALISATION = Normalisation(0.18, 0.2)
GRID = Grid(64, 96)
REGION = RegionPx(70, 30, 329, 189)
SPACING = PixelSpacingMm(0.2, 0.1)
BLOB = EllipsePx(180.0, 90.0, 46.0, 24.0, 0.0)
"""In pixels of the frame: left of and above the middle of the region."""

MEASURED = measurement(region=REGION, spacing_mm=SPACING)


class BrightIsHead(HeadNetwork):
    """Two maps at stride 2: how bright, which speaks for a head, and how dark, which speaks against one.

    Dropout takes away a whole map, as in the networks that learn.
    """

    def __init__(self, dropout: float = 0.5) -> None:
        super().__init__()
        self.dropout = nn.Dropout2d(dropout)
        self.encoded = 0

    def encode(self, x: Tensor) -> Features:
        self.encoded += 1
        return [F.avg_pool2d(x * 0.2 + 0.18, 2)]

    def decoder_stages(self, features: Features) -> Features:
        bright = torch.relu(features[0])
        return [self.dropout(torch.cat([bright, 1.0 - bright], dim=1))]

    def last_maps(self, stages: Features) -> Tensor:
        return torch.relu(stages[0])

    def answer(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        return upsampled(8.0 * maps[:, :1] - 8.0 * maps[:, 1:], size)

    def auxiliary_answers(self, stages: Features, size: tuple[int, int]) -> tuple[Tensor, ...]:
        raise AssertionError("only in training")


def frame() -> Frame:
    """A bright blob in the region, and a brighter one outside it that must not be seen."""
    soft = np.clip(0.5 + inside_distance_px(BLOB, 220, 400) / 6.0, 0.0, 1.0)
    grey = (soft * 240).astype(np.uint8)
    grey[:20] = 255
    return Frame(1, grey, ())


def explained(network: HeadNetwork | None = None, level: float = 0.5) -> Explanation:
    network = (BrightIsHead() if network is None else network).eval()
    return explain(Segmenter(network, GRID, NORMALISATION, Look()), frame(), MEASURED, level)


def naive(maps: Tensor, score: Tensor) -> Tensor:
    """GradCAM++ as the paper writes it, from the derivatives of Y = exp(score), one feature-map pixel at a time."""
    y = torch.exp(score)
    (first,) = torch.autograd.grad(y, maps, create_graph=True)
    heat = torch.zeros(maps.shape[2:], dtype=maps.dtype)
    for channel in range(maps.shape[1]):
        weight = 0.0
        for row in range(maps.shape[2]):
            for column in range(maps.shape[3]):
                at = (0, channel, row, column)
                second = torch.autograd.grad(first[at], maps, create_graph=True)[0][at]
                third = torch.autograd.grad(second, maps, retain_graph=True)[0][at]
                below = 2.0 * second + maps[0, channel].sum() * third
                alpha = second / below if float(below.detach()) != 0.0 else torch.zeros(())
                weight += float((alpha * torch.relu(first[at])).detach())
        heat += weight * maps[0, channel].detach()
    return torch.relu(heat)


def test_it_is_the_published_formula() -> None:
    generator = torch.Generator().manual_seed(5)
    maps = torch.rand((1, 2, 3, 4), generator=generator, dtype=torch.float64)
    above = torch.randn((4, 2, 3, 3), generator=generator, dtype=torch.float64) * 0.4
    last = torch.randn((1, 4, 1, 1), generator=generator, dtype=torch.float64)
    head = torch.zeros((3, 4), dtype=torch.bool)
    head[1:, 1:] = True

    def score(a: Tensor) -> Tensor:
        return F.conv2d(torch.relu(F.conv2d(a, above, padding=1)), last)[0, 0][head].mean()

    leaf = maps.clone().requires_grad_()
    (slope,) = torch.autograd.grad(score(leaf), leaf)
    assert (slope > 0).any()
    assert (slope < 0).any()
    expected = naive(leaf, score(leaf))
    heat = grad_cam_plus_plus(maps, score)
    factor = torch.exp(score(maps))  # Y itself, the same for every pixel
    assert heat.max() > 0
    assert torch.allclose(heat * factor, expected, rtol=1e-9, atol=1e-12)


def test_nothing_that_speaks_for_a_head_is_no_heat() -> None:
    maps = torch.rand((1, 2, 3, 4))
    assert not grad_cam_plus_plus(maps, lambda a: -a.mean()).any()


def test_attention_lies_over_the_blob_where_it_is_in_the_source() -> None:
    """Unequal pixels, a region off the corner: the map has the geometry of the region, not of the grid."""
    attention = explained().attention
    assert attention.shape == (REGION.rows, REGION.columns)
    assert attention.max() == pytest.approx(1.0, abs=0.02)
    strong = attention > 0.5
    rows, columns = np.nonzero(strong)
    assert columns.mean() + REGION.min_column == pytest.approx(BLOB.center_col_px, abs=1.0)
    assert rows.mean() + REGION.min_row == pytest.approx(BLOB.center_row_px, abs=1.0)
    assert np.ptp(columns) + 1 == pytest.approx(2 * BLOB.semi_major_px, abs=6.0)
    assert np.ptp(rows) + 1 == pytest.approx(2 * BLOB.semi_minor_px, abs=6.0)


def test_doubt_is_a_deviation_over_all_answers() -> None:
    told = explained()
    assert told.answers == 2 + DROPOUT_PASSES
    assert told.deviation.shape == (REGION.rows, REGION.columns)
    assert 0.0 < told.deviation.max() <= 0.5
    sure = explained(BrightIsHead(dropout=0.0))
    assert sure.deviation.max() < 1e-5  # a network without a side, which drops nothing, is never in doubt


def test_the_same_picture_gives_the_same_maps_whatever_was_drawn_before() -> None:
    first = explained()
    torch.manual_seed(99)
    second = explained()
    assert np.array_equal(first.attention, second.attention)
    assert np.array_equal(first.deviation, second.deviation)


def test_the_network_is_left_as_it_was_and_encodes_once() -> None:
    network = EfficientNetLiteUNet().eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    explained(network, level=0.0)
    assert not network.training
    assert not any(module.training for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    toy = BrightIsHead()
    explained(toy)
    assert toy.encoded == 1


@pytest.mark.parametrize(
    "network", [EfficientNetLiteUNet, lambda: ResidualUNet(0.125)], ids=["efficientnet", "residual"]
)
def test_every_architecture_can_be_explained(network: type[HeadNetwork]) -> None:
    torch.manual_seed(3)
    made = network().eval()
    with torch.inference_mode():
        x = torch.randn(1, 1, GRID.rows, GRID.columns)
        maps = made.last_maps(made.decoder_stages(made.encode(x)))
        assert (maps >= 0).all()
        assert torch.equal(made.answer(maps, (GRID.rows, GRID.columns)), made(x))
        told = explained(made, level=0.0)  # also within somebody's inference mode
    assert np.isfinite(told.attention).all()
    assert told.attention.min() >= 0.0
    assert told.deviation.max() > 0.0


def test_without_a_head_there_is_nothing_to_explain() -> None:
    with pytest.raises(ValueError, match="no head"):
        explained(level=1.0)


def test_frames_that_show_the_same_head_elsewhere_do_not_differ() -> None:
    network = BrightIsHead(dropout=0.0).eval()
    segmenter = Segmenter(network, GRID, NORMALISATION, Look())
    moved = replace(frame(), luminance=np.roll(frame().luminance, 8, axis=1))
    head = replace(MEASURED, ellipse=BLOB)
    away = replace(MEASURED, ellipse=replace(BLOB, center_col_px=BLOB.center_col_px + 8))
    registered = deviation_among_frames(segmenter, [(frame(), head), (moved, away)], head)
    assert registered.shape == (REGION.rows, REGION.columns)
    assert registered.max() < 0.15  # the grid is coarse
    assert deviation_among_frames(segmenter, [(frame(), head), (moved, head)], head).max() > 0.3
