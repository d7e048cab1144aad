"""Windows over a clip of any length: every frame is seen, few are held at once, and one window is the network's own."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from inference.architectures.registry import RESIDUAL, build_network
from inference.architectures.temporal import TemporalNetwork, temporal_network
from inference.temporal import WINDOW, look_at_clip, windows


@pytest.fixture(scope="module")
def network() -> TemporalNetwork:
    torch.manual_seed(4)
    made = temporal_network(build_network(RESIDUAL, 0.125)).eval()
    torch.nn.init.normal_(made.temporal.receive.weight, std=0.1)
    return made


def frames(count: int) -> Tensor:
    return torch.randn(count, 1, 32, 32, generator=torch.Generator().manual_seed(count))


@given(st.integers(1, 300))
def test_windows_leave_no_frame_out_and_end_with_the_last(count: int) -> None:
    every = list(windows(count))
    assert {place for window in every for place in window} == set(range(count))
    assert all(len(window) == min(WINDOW, count) for window in every)
    assert every[-1].stop == count
    assert len(set(every)) == len(every)


@pytest.mark.parametrize("count", [1, 5, WINDOW])
def test_one_window_is_what_the_network_says(network: TemporalNetwork, count: int) -> None:
    clip = frames(count)
    look = look_at_clip(network, lambda place: clip[place : place + 1], count)
    with torch.no_grad():
        answer = network(clip)
    assert np.stack(look.probability) == pytest.approx(torch.sigmoid(answer.logits)[:, 0].numpy(), abs=1e-5)
    assert look.attention == pytest.approx(answer.attention.numpy(), abs=1e-5)


def test_a_long_clip_asks_for_each_frame_once_and_its_attention_stays_a_share(network: TemporalNetwork) -> None:
    clip, asked = frames(40), []

    def frame(place: int) -> Tensor:
        asked.append(place)
        return clip[place : place + 1]

    look = look_at_clip(network, frame, 40)
    assert asked == list(range(40))
    assert len(look.probability) == 40
    assert look.attention.sum(axis=1) == pytest.approx(np.ones(40), abs=1e-5)
    assert look.attention[0, 39] == 0.0
    assert look.received.mean() == pytest.approx(1.0, abs=1e-5)
    assert np.all((look.measurable > 0.0) & (look.measurable < 1.0))
