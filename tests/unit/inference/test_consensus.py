"""From frames to one answer: what strays counts nothing, what speaks is a frame, and advice has its reason."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.consensus import commonest_reason, consensus, settle, sizes_of, speaker, two_sizes
from inference.domain import ADVICE_TEXT, Advice, Finding, IntervalMm, Measurement, Reason
from tests.reports import abstention, measurement


def head(frame: int, hc_mm: float, half_width: float = 4.0) -> Measurement:
    return measurement(frame=frame, hc_mm=hc_mm, hc_interval=IntervalMm(hc_mm - half_width, hc_mm + half_width))


def silent(frame: int, reason: Reason = Reason.NO_HEAD_FOUND) -> Finding:
    return abstention(frame=frame, reason=reason)


STEADY = [head(frame, hc) for frame, hc in enumerate((200.0, 201.0, 199.0, 200.4, 199.6), start=1)]


def test_frames_that_agree_speak_through_the_one_nearest_to_their_middle() -> None:
    said = consensus(STEADY)
    assert said is not None
    assert said.hc_mm == pytest.approx(200.0, abs=0.1)
    assert (said.freeze_frame, said.reliability, said.advice, said.why) == (1, 1.0, None, None)
    assert said.frames_used == (1, 2, 3, 4, 5)
    assert sum(said.weights) == pytest.approx(1.0)


def test_a_frame_that_the_model_is_unsure_of_does_not_speak_though_it_agrees() -> None:
    shadowed = head(1, 200.0, 6.0)
    said = consensus([shadowed, *(head(frame, hc) for frame, hc in ((2, 199.0), (3, 201.0), (4, 200.6)))])
    assert said is not None
    assert (said.hc_mm, said.freeze_frame) == (pytest.approx(200.2, abs=0.1), 4)


def test_a_frame_with_a_soft_outline_does_not_speak_though_its_interval_is_no_wider() -> None:
    said = consensus(STEADY, [0.08, 0.02, 0.02, 0.05, 0.02])
    assert said is not None
    assert said.freeze_frame == 5, "the first is nearest to the middle, the fourth next"
    unmeasured = consensus([silent(6), *STEADY], [0.0, 0.08, 0.02, 0.02, 0.05, 0.02])
    assert unmeasured is not None
    assert unmeasured.freeze_frame == 5, "each doubt stays with its frame"


def test_a_frame_that_strays_counts_nothing() -> None:
    said = consensus([*STEADY, head(6, 260.0)])
    assert said is not None
    assert said.hc_mm == pytest.approx(200.0, abs=0.1)
    assert said.weights[5] == 0.0
    assert 6 not in said.frames_used
    assert said.reliability == pytest.approx(5 / 6, abs=0.01)


def test_frames_without_a_number_take_no_part() -> None:
    said = consensus([silent(1), *(head(frame, 200.0) for frame in (2, 3, 4)), silent(5)])
    assert said is not None
    assert (said.weights[0], said.weights[4], said.frames_used) == (0.0, 0.0, (2, 3, 4))
    assert said.reliability == 0.6


def test_what_the_model_is_less_sure_of_counts_less() -> None:
    said = consensus([head(1, 200.0, 2.0), head(2, 201.0, 4.0), head(3, 200.5, 2.0)])
    assert said is not None
    assert said.weights[0] > 3.0 * said.weights[1]


def test_where_no_frame_has_a_number_there_is_no_consensus() -> None:
    assert consensus([silent(1), silent(2)]) is None
    assert consensus([]) is None


def test_one_frame_is_its_own_consensus() -> None:
    said = consensus([head(7, 180.0)])
    assert said is not None
    assert (said.hc_mm, said.deviation_mm, said.freeze_frame, said.reliability) == (180.0, 0.0, 7, 1.0)


def test_advice_says_why_most_frames_have_no_number() -> None:
    silents = [silent(2, Reason.SKULL_ECHO_WEAK), silent(3, Reason.SKULL_ECHO_WEAK), silent(4)]
    said = consensus([head(1, 200.0), *silents])
    assert said is not None
    assert (said.advice, said.why) == (Advice.FEW_FRAMES_MEASURED, Reason.SKULL_ECHO_WEAK)


def test_a_plane_that_is_not_held_is_told() -> None:
    said = consensus([head(frame, hc, 30.0) for frame, hc in enumerate((180.0, 190.0, 200.0, 210.0, 220.0), start=1)])
    assert said is not None
    assert said.advice is Advice.PLANE_NOT_HELD


def test_frames_that_disagree_are_told() -> None:
    said = consensus([head(frame, hc, 0.5) for frame, hc in enumerate((196.0, 198.0, 200.0, 202.0, 204.0), start=1)])
    assert said is not None
    assert said.advice is Advice.FRAMES_DISAGREE


def test_every_advice_has_its_words() -> None:
    assert set(ADVICE_TEXT) == set(Advice)


def test_of_equal_reasons_the_first_is_told() -> None:
    assert commonest_reason([silent(1, Reason.IMAGE_BLURRED), silent(2)]) is Reason.IMAGE_BLURRED
    assert commonest_reason(STEADY) is None


def sweep(*sizes: float, half_width: float = 4.0) -> list[Finding]:
    return [head(frame, hc, half_width) for frame, hc in enumerate(sizes, start=1)]


def test_two_groups_of_frames_that_cannot_be_one_head_are_two_sizes() -> None:
    sizes = two_sizes(sizes_of([*sweep(200.0, 231.0, 201.0, 199.0, 230.0), silent(6)]))
    assert sizes == (IntervalMm(199.0, 201.0), IntervalMm(230.0, 231.0))


@pytest.mark.parametrize(
    "sizes",
    [
        (200.0, 201.0, 199.0, 230.0),  # one slip is no second head
        (200.0,) * 9 + (230.0, 231.0),  # nor are two among many
        (200.0, 204.0, 208.0, 212.0, 216.0, 220.0, 224.0),  # the plane wanders
        (200.0, 201.0, 207.9, 207.0),  # intervals that meet
        (200.0,),
        (),
    ],
)
def test_what_may_be_one_head_is_not_two(sizes: tuple[float, ...]) -> None:
    assert two_sizes(sizes_of(sweep(*sizes))) is None


VALUES = st.lists(st.floats(100.0, 350.0), min_size=1, max_size=40)


@given(VALUES, st.randoms(use_true_random=False))
def test_the_order_of_the_frames_plays_no_part(values: list[float], random: object) -> None:
    mixed = list(values)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    ones = [1.0] * len(values)
    assert settle(mixed, ones).centre == pytest.approx(settle(values, ones).centre, rel=1e-9)


@given(VALUES)
def test_the_centre_lies_among_the_values_and_weights_are_shares(values: list[float]) -> None:
    settled = settle(values, [2.0] * len(values))
    assert min(values) - 1e-9 <= settled.centre <= max(values) + 1e-9
    assert settled.weights.sum() == pytest.approx(1.0)
    assert np.all(settled.weights >= 0.0)


@given(VALUES, st.randoms(use_true_random=False))
def test_whatever_the_doubts_somebody_who_counts_speaks(values: list[float], random: object) -> None:
    settled = settle(values, [2.0] * len(values))
    one, other = ([random.random() for _ in values] for _ in range(2))  # type: ignore[attr-defined]
    assert settled.weights[speaker(settled, values, [one, other])] > 0.0


@given(st.lists(st.floats(199.0, 201.0), min_size=6, max_size=30), st.floats(-150.0, 300.0))
def test_few_that_stray_move_nothing(values: list[float], off: float) -> None:
    """A sixth of the frames may say what they like: the answer stays among the others."""
    strays = [200.0 + off] * (len(values) // 6)
    assert 198.5 <= settle([*values, *strays], [1.0] * (len(values) + len(strays))).centre <= 201.5
