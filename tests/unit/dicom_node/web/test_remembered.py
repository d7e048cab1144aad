"""However many ask: a look is made so often and no more, and less often where it takes long."""

from __future__ import annotations

from collections.abc import Callable

from dicom_node.web.remembered import MOST_SHARE, Remembered


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def looking(clock: Clock, takes_s: float) -> tuple[Callable[[], int], list[int]]:
    looks: list[int] = []

    def look() -> int:
        clock.now_s += takes_s
        looks.append(len(looks))
        return looks[-1]

    return Remembered(look, 1.0, clock), looks


def test_a_quick_look_is_made_once_a_second() -> None:
    clock = Clock()
    asked, looks = looking(clock, 0.001)
    assert [asked(), asked()] == [0, 0]
    clock.now_s = 0.99
    assert asked() == 0
    clock.now_s = 1.0
    assert [asked(), asked()] == [1, 1]
    assert looks == [0, 1]


def test_a_slow_look_takes_no_more_than_its_share() -> None:
    clock = Clock()
    asked, looks = looking(clock, 0.5)
    while clock.now_s < 100.0:
        asked()
        clock.now_s += 0.01
    assert len(looks) * 0.5 <= 100.0 * MOST_SHARE + 0.5


def test_nothing_is_a_value_too() -> None:
    looks: list[None] = []
    asked = Remembered(lambda: looks.append(None), 1.0, lambda: 0.0)
    assert [asked(), asked()] == [None, None]
    assert len(looks) == 1
