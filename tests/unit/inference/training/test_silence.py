"""The count of numbers on pictures without a head: by family, with a bound, and nothing left out."""

import json
from pathlib import Path

import numpy as np
import pytest

from inference.domain import EllipsePx, PixelSpacingMm
from inference.measure import inside_distance_px
from inference.training.negatives import HELD_OUT, NonHead
from inference.training.silence import NegativeRow, judge_negatives, tally, upper_bound, write_non_heads
from tests.unit.inference.test_examine import examiner

FACTS = {"model": "bright", "sha256": "0" * 64, "calibration_sha256": "1" * 64}


def test_the_bound_is_three_over_n_and_exact_where_there_are_numbers() -> None:
    assert upper_bound(0, 1000) == pytest.approx(0.003)
    assert upper_bound(0, 2) == 1.0
    assert upper_bound(1, 100) == pytest.approx(0.0466, abs=1e-4)
    assert upper_bound(5, 5) == 1.0


def test_pictures_go_through_the_nodes_own_examiner() -> None:
    oval = (inside_distance_px(EllipsePx(400.0, 270.0, 200.0, 160.0, 10.0), 540, 800) > 0).astype(np.uint8) * 255
    pictures = [
        NonHead("abdomen-like", "a", oval, PixelSpacingMm(0.15, 0.15)),
        NonHead("noise", "b", np.zeros((540, 800), np.uint8), PixelSpacingMm(0.15, 0.15)),
    ]
    found = judge_negatives(examiner(), pictures)
    assert [(row.family, row.hc_mm is None, row.reason) for row in found] == [
        ("abdomen-like", False, ""),
        ("noise", True, "no_head_found"),
    ]


def test_families_are_counted_and_told_with_their_part_in_the_model(tmp_path: Path) -> None:
    rows = [NegativeRow("photograph", str(i), "no_head_found", None) for i in range(30)]
    rows += [NegativeRow("abdomen-like", "7", "", 210.0), NegativeRow("abdomen-like", "8", "skull_echo_weak", None)]
    photographs, abdomens = tally(rows)
    assert (photographs.pictures, photographs.numbers, photographs.bound) == (30, 0, pytest.approx(0.1))
    assert (abdomens.pictures, abdomens.numbers, abdomens.reasons) == (2, 1, {"skull_echo_weak": 1})
    assert photographs.part == "held out"
    assert "trained" in abdomens.part
    assert write_non_heads(tmp_path, rows, FACTS).startswith("1 numbers on 32")
    record = json.loads((tmp_path / "non-heads.json").read_text())
    assert record["with_a_number"] == ["abdomen-like: 7"]
    page = (tmp_path / "non-heads.md").read_text()
    assert "| photograph | held out | 30 | 0 | 10.00% |" in page
    assert "- held out: 0 of 30, below 10.00%" in page


def test_at_least_three_families_are_held_out() -> None:
    assert len(set(HELD_OUT)) >= 3
