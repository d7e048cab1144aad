"""Which frames of a cine are examined."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dicom_node.looking import evenly_spread


@given(st.integers(1, 3000), st.integers(2, 64))
def test_frames_are_spread_over_the_whole_clip(count: int, most: int) -> None:
    numbers = evenly_spread(count, most)
    assert len(numbers) == min(count, most)
    assert numbers[0] == 1
    assert numbers[-1] == count
    assert list(numbers) == sorted(set(numbers))
    steps = [b - a for a, b in pairwise(numbers)]
    assert not steps or max(steps) - min(steps) <= 1


def test_a_still_has_its_one_frame() -> None:
    assert evenly_spread(1, 16) == (1,)


def test_one_frame_of_many_is_the_first() -> None:
    assert evenly_spread(10, 1) == (1,)
