"""Temporal attention: without effect before training, for any number of frames, and blind to their order."""

import pytest
import torch

from inference.architectures.registry import RESIDUAL, build_network
from inference.architectures.temporal import TemporalAttention, temporal_network


@pytest.fixture(scope="module")
def trained() -> TemporalAttention:
    """As if trained: messages are heard."""
    torch.manual_seed(2)
    module = TemporalAttention(320).eval()
    torch.nn.init.normal_(module.receive.weight, std=0.1)
    return module


def test_the_module_has_about_a_fifth_of_a_million_parameters() -> None:
    assert sum(p.numel() for p in TemporalAttention(320).parameters()) == pytest.approx(2e5, rel=0.15)


def test_an_untrained_module_changes_no_answer() -> None:
    torch.manual_seed(1)
    still = build_network(RESIDUAL, 0.125).eval()
    network = temporal_network(still).eval()
    frames = torch.randn(3, 1, 32, 64)
    with torch.no_grad():
        assert torch.allclose(network(frames).logits, still(frames), atol=1e-6)


@pytest.mark.parametrize("frames", [1, 2, 16, 23])
def test_any_number_of_frames_has_its_attention(trained: TemporalAttention, frames: int) -> None:
    with torch.no_grad():
        attended = trained(torch.randn(frames, 320, 5, 8))
    assert attended.maps.shape == (frames, 320, 5, 8)
    assert attended.attention.shape == (frames, frames)
    assert attended.attention.sum(dim=1) == pytest.approx(torch.ones(frames), abs=1e-5)
    assert attended.measurable.shape == (frames,)


def test_the_order_of_the_frames_plays_no_part(trained: TemporalAttention) -> None:
    maps, order = torch.randn(6, 320, 5, 8), torch.tensor([3, 0, 5, 1, 4, 2])
    with torch.no_grad():
        straight, mixed = trained(maps), trained(maps[order])
    assert torch.allclose(straight.maps[order], mixed.maps, atol=1e-4)
    assert torch.allclose(straight.attention[order][:, order], mixed.attention, atol=1e-5)


def test_frames_that_are_all_alike_pass_unchanged(trained: TemporalAttention) -> None:
    maps = torch.randn(1, 320, 5, 8).expand(8, -1, -1, -1)
    with torch.no_grad():
        assert torch.allclose(trained(maps).maps, maps, atol=1e-4)


def test_a_frame_hears_the_others(trained: TemporalAttention) -> None:
    maps = torch.randn(4, 320, 5, 8)
    other = maps.clone()
    other[3] += 1.0
    with torch.no_grad():
        assert not torch.allclose(trained(maps).maps[0], trained(other).maps[0], atol=1e-3)
