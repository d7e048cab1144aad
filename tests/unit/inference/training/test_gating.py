"""Limits follow from rows: they cut the bad end off, no more of it than asked, and never from the fold they judge."""

from dataclasses import replace

import numpy as np
import pytest

from inference.appearance import UNSEEN
from inference.domain import EllipseMm, Reason
from inference.quality import Mask
from inference.training.evaluate import Row
from inference.training.export import GATE
from inference.training.gating import FIXED, calibrate_gate, cross_gated, judge, regate, risk_coverage
from inference.uncertainty import Evidence


def rows(count: int = 400, seed: int = 3) -> list[Row]:
    """Rows whose doubt grows with their error; a few are very doubtful."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(count):
        error = float(rng.gamma(1.0, 2.0))
        doubt = 0.01 + 0.002 * error
        picture = replace(UNSEEN, weak_echo=float(rng.normal(0.3, 0.02)), sharpness=0.3, bright_level=100.0)
        made.append(
            Row(
                str(index), str(index), 0.1, 200.0, 200.0 + error, None, None, "measured", "", 0.98, 1.0, 0.98,
                fold=index % 5, evidence=Evidence(doubt, 0.03, 0.01), appearance=picture,
                mask=Mask(residual=0.01 + 0.001 * error, hesitation=0.001 + 0.001 * error),
            )
        )  # fmt: skip
    return made


@pytest.mark.parametrize("share", [0.01, 0.025])
def test_limits_refuse_no_more_than_asked_and_the_worse_half(share: float) -> None:
    given = rows()
    gate = calibrate_gate(given, GATE, share)
    found = judge(regate(given, gate))
    assert 0 < found.refused <= share * len(given)
    assert found.mae_refused_mm is not None
    assert found.mae_refused_mm > 2 * found.mae_kept_mm


def test_the_fixed_limits_hold_whatever_the_rows_say() -> None:
    gate = calibrate_gate(rows(50), GATE)
    assert {name: getattr(gate, name) for name in FIXED} == FIXED
    assert gate.lowest_overlap == GATE.lowest_overlap


def test_a_row_gets_its_number_back_from_a_wider_gate_and_a_cut_head_does_not() -> None:
    doubtful = replace(rows(1)[0], status="abstained", reason=str(Reason.UNSURE_OUTLINE))
    cut = replace(rows(1)[0], status="abstained", reason=str(Reason.HEAD_CUT_BY_BORDER))
    assert [row.status for row in regate([doubtful, cut], GATE)] == ["measured", "abstained"]


def test_size_and_shape_are_asked_last_as_the_examiner_does() -> None:
    """A row that the rows' own gate refused for its shape, and that a later gate refuses for its outline first."""
    narrow = EllipseMm(60.0, 50.0, 40.0, 20.0, 0.0)
    row = replace(rows(1)[0], found=narrow, status="abstained", reason=str(Reason.IMPLAUSIBLE_SHAPE))
    assert regate([row], GATE)[0].reason == str(Reason.IMPLAUSIBLE_SHAPE)
    assert regate([row], replace(GATE, highest_blur=0.001))[0].reason == str(Reason.UNSURE_OUTLINE)
    doubtful = replace(row, reason=str(Reason.UNSURE_OUTLINE))
    assert regate([doubtful], GATE)[0].reason == str(Reason.IMPLAUSIBLE_SHAPE)


def test_a_fold_is_judged_by_limits_that_it_took_no_part_in() -> None:
    given = rows()
    worst = replace(given[0], mask=Mask(residual=0.9))
    alone = [worst, *given[1:]]
    assert cross_gated(alone, GATE)[0].reason == str(Reason.UNEVEN_OUTLINE)
    others = [row for row in alone if row.fold != worst.fold]
    assert cross_gated(alone, GATE)[0] == regate([worst], calibrate_gate(others, GATE))[0]


def test_the_curve_of_risk_falls_as_the_doubtful_go() -> None:
    given = rows()
    curve = risk_coverage(given, calibrate_gate(given, GATE), (0.5, 0.9, 1.0))
    risks = [risk for _, risk in curve]
    assert risks == sorted(risks)
    assert risks[0] < 0.95 * risks[-1]
