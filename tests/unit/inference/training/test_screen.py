"""Paired differences of a screening."""

from pathlib import Path

import pytest

from inference.training.screen import Answer, compare, figures, read_answers, write_answers


def answers(shift: float) -> list[Answer]:
    return [
        Answer(f"{i:03d}_HC", f"{i // 2:03d}", 0.1, 100.0 + i, 100.0 + i + shift * (i % 5), 0.97) for i in range(60)
    ]


def test_figures_are_those_of_the_errors() -> None:
    made = figures(answers(1.0))
    assert made["n"] == 60
    assert made["mae"] == pytest.approx(2.0)
    assert made["bias"] == pytest.approx(2.0)
    assert made["max"] == pytest.approx(4.0)
    assert len(made["thirds"]) == 3


def test_a_worse_idea_has_a_positive_difference() -> None:
    worse = compare(answers(2.0), answers(1.0))
    value, low, high = worse["mae"]
    assert low < value < high
    assert value == pytest.approx(2.0)
    assert low > 0
    assert worse["dice"] == [0.0, 0.0, 0.0]


def test_answers_come_back_from_their_file(tmp_path: Path) -> None:
    write_answers(answers(1.5), tmp_path / "answers.csv")
    assert read_answers(tmp_path / "answers.csv") == answers(1.5)
