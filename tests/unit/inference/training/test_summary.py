"""Groups, coverage, refusals and known weakness from rows whose errors are known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq

from inference.training.evaluate import Row
from inference.training.summary import (
    WEAK_LEAST_IMAGES,
    coverage,
    details,
    expert_weeks,
    groupings,
    hc_at,
    reasons,
    risk_coverage,
    scores,
    summarise,
    weak_sizes,
)
from inference.weakness import WeakSize, is_weak
from tests.unit.inference.training.rows import row, rows

SIXTY = rows([(-1) ** k * (1.0 + k % 4) for k in range(60)])


def test_every_row_stands_in_one_group_of_every_grouping() -> None:
    for grouping in groupings(SIXTY):
        assert sorted(r.image for g in grouping.groups for r in g.rows) == sorted(r.image for r in SIXTY)
    assert [g.name for g in groupings(SIXTY)] == ["trimester", "reference_trimester", "size", "pixel_size", "sharpness"]


def test_ages_are_cut_as_the_classes_say() -> None:
    """14 and 28 weeks open the next class; 20 and 30 weeks both belong to the middle one."""
    hc = {weeks: brentq(lambda h, at=weeks: age(h) - at, 60.0, 340.0) + 1e-6 for weeks in (14, 28, 20)}
    trimester, reference, *_ = groupings([row(k, h, 0.0) for k, h in enumerate([hc[14], hc[28], hc[20]])])
    assert [len(g.rows) for g in trimester.groups] == [0, 2, 1]
    assert [len(g.rows) for g in reference.groups] == [1, 2, 0]
    just_below, just_above = (row(k, h, 0.0) for k, h in enumerate([hc[14] - 1e-4, 300.0]))
    trimester, reference, *_ = groupings([just_below, just_above])
    assert [len(g.rows) for g in trimester.groups] == [1, 0, 1]
    assert [len(g.rows) for g in reference.groups] == [1, 0, 1]


def age(hc_mm: float) -> float:
    return expert_weeks(row(0, hc_mm, 0.0))


def test_without_sharpness_there_is_no_such_group() -> None:
    old = [replace(r, sharpness=None) for r in SIXTY]
    assert "sharpness" not in [g.name for g in groupings(old)]


def test_size_thirds_stand_in_the_figures_and_in_the_details() -> None:
    figures = summarise(SIXTY)
    (size,) = [g for g in details(SIXTY)["groups"] if g["name"] == "size"]
    assert [g["n"] for g in size["groups"]] == [20, 20, 20]
    assert [g["mae_mm"] for g in size["groups"]] == [third["mae_mm"] for third in figures["by_size"].values()]


def with_half_width(some: Row, half_mm: float) -> Row:
    return replace(some, hc_low_mm=some.hc_forced_mm - half_mm, hc_high_mm=some.hc_forced_mm + half_mm)


def test_coverage_by_third_and_rank_correlation_of_width_and_error() -> None:
    """Intervals as wide as the error hold; those of the largest third are too narrow."""
    told = [with_half_width(r, abs(r.error_mm) * (0.5 if k >= 40 else 1.1)) for k, r in enumerate(SIXTY)]
    found = coverage(told, np.quantile([r.hc_true_mm for r in told], [1 / 3, 2 / 3]))
    assert found is not None
    assert found["share"][0] == pytest.approx(2 / 3, abs=1e-3)
    assert [third["share"][0] for third in found["by_size"].values()] == [1.0, 1.0, 0.0]
    assert found["spearman_width_error"][0] > 0.5
    assert found["by_size"]["smallest_third"]["mean_width_mm"][0] == pytest.approx(2 * 1.1 * 2.5, abs=0.1)


def test_refusing_by_a_doubt_that_knows_the_error_lowers_it() -> None:
    some = rows([9.0, *[1.0] * 99])
    by_spread = risk_coverage(some, scores(some)["relative spread"])
    assert [p["mae_mm"] for p in by_spread[:2]] == [1.08, 1.0]
    assert by_spread[1]["max_mm"] == 1.0
    assert set(scores(some)) == {"relative spread"}, "a doubt that is the same for all orders nothing"


def test_doubtful_outlines_are_named_and_left_in() -> None:
    some = rows([8.0, *[1.0] * 29])
    made = details(some, ["000_HC", "not_there"])
    assert made["doubtful_outlines"] == ["000_HC"]
    assert made["without_doubtful_outlines"]["n"] == 29
    assert made["without_doubtful_outlines"]["mae_mm"][0] == pytest.approx(1.0)
    assert made["worst"][0]["image"] == "000_HC"
    assert made["worst"][0]["doubtful_outline"]
    assert summarise(some)["forced"]["n"] == 30


def test_reasons_are_counted_the_commonest_first() -> None:
    some = [replace(r, status="abstained", reason="no_head_found" if k else "poor_ellipse_fit")
            for k, r in enumerate(SIXTY[:3])]  # fmt: skip
    assert list(reasons([*some, *SIXTY[3:]]).items()) == [("no_head_found", 2), ("poor_ellipse_fit", 1)]


def test_a_size_with_a_larger_error_is_a_known_weakness() -> None:
    late = hc_at(28.0)
    some = rows([3.0 if r.hc_true_mm > late else 1.0 for r in rows([0.0] * 200)])
    assert weak_sizes(some) == (WeakSize(late, None),)
    assert age(late) == pytest.approx(28.0, abs=0.02)
    assert not weak_sizes(rows([1.0] * 200))


def test_a_small_group_proves_no_weakness() -> None:
    few = [row(k, 300.0, 6.0) for k in range(WEAK_LEAST_IMAGES - 1)]
    many = [row(100 + k, 180.0, 1.0) for k in range(200)]
    assert weak_sizes([*few, *many]) == ()
    assert weak_sizes([*few, row(99, 300.0, 6.0), *many]) == (WeakSize(hc_at(28.0), None),)


def test_the_ends_of_a_weak_size() -> None:
    sizes = (WeakSize(0.0, 98.0), WeakSize(262.0, None))
    assert [is_weak(sizes, hc) for hc in (97.9, 98.0, 261.9, 262.0, 400.0)] == [True, False, False, True, True]
