"""Limits of the gate from out-of-fold rows, and what refusing by them does: who is refused, and how wrong they were.

    python -m inference.training.gating docs/evaluation/folds/<model>.csv [--weights weights --model <model>]

A few limits are fixed beforehand, where an experiment on perturbed images says that numbers go wrong
(docs/decisions/0017). The others follow from the rows: each cuts off a small share of the images at its own bad end,
strangeness most, as large as the whole may be. Judged crosswise: each fold by limits from the other folds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.domain import Reason, Status
from inference.evidence import LOST
from inference.models import find_model
from inference.quality import (
    Gate,
    Objection,
    object_to_doubt,
    object_to_mask,
    object_to_picture,
    object_to_size,
    object_to_strangeness,
    strangeness,
)
from inference.training.evaluate import Row, read_rows
from inference.training.export import GATE, write_entry

REFUSED_SHARE = 0.027
"""Of the images that limits follow from; on others they refuse a little more, and three in a hundred is the most."""

TAILS = tuple(np.arange(0.0250, 0.0, -0.0005))
SPARE = 1.001
"""A limit lies a little beyond the last image that it lets through, whatever the rounding in the file."""

FIXED: dict[str, float] = {
    "highest_second_part": 0.25,
    "highest_outside_sector": 0.12,
    "lowest_bright_level": 12.0,
    "highest_saturated": 0.20,
    "lowest_sharpness": 0.065,
    "lowest_echo_variation": 0.10,
}

FOLLOWING: dict[str, Callable[[Row], float]] = {
    "highest_residual": lambda row: LOST if row.mask is None else row.mask.residual,
    "highest_strangeness": lambda row: (
        LOST if row.mask is None or row.appearance is None else strangeness(row.mask, row.appearance)
    ),
    "highest_spread": lambda row: LOST if row.evidence is None else row.evidence.relative_spread,
    "highest_level_spread": lambda row: LOST if row.evidence is None else row.evidence.relative_level_spread,
    "highest_blur": lambda row: LOST if row.evidence is None else row.evidence.relative_blur,
}
"""Limits that follow from the rows, and what of a row they are held against."""

SMALLER_TAIL = 0.2
"""The tail of every other limit, as a share of that of strangeness, which tells non-heads and gets most refusals."""

LATE = frozenset(
    {
        Reason.TWO_HEADS,
        Reason.UNEVEN_OUTLINE,
        Reason.HEAD_OUTSIDE_SECTOR,
        Reason.IMAGE_TOO_DARK,
        Reason.IMAGE_SATURATED,
        Reason.IMAGE_BLURRED,
        Reason.SKULL_ECHO_WEAK,
        Reason.ECHO_TOO_EVEN,
        Reason.SPREAD_TOO_LARGE,
        Reason.UNSURE_HEAD,
        Reason.UNSURE_OUTLINE,
        Reason.IMPLAUSIBLE_SIZE,
        Reason.IMPLAUSIBLE_SHAPE,
    }
)
"""Reasons that follow from a row alone, so that they can be given and taken without looking again."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a gate does to rows: how many it refuses, and the mean absolute error, mm and relative, on both sides."""

    images: int
    refused: int
    reasons: dict[str, int]
    mae_kept_mm: float
    mae_refused_mm: float | None
    relative_kept: float
    relative_refused: float | None


def calibrate_gate(rows: Sequence[Row], gate: Gate, share: float = REFUSED_SHARE) -> Gate:
    """`gate` with the fixed limits and those that follow from rows; together they refuse at most `share` of them.

    Raises:
        ValueError: there are no rows.
    """
    if not rows:
        raise ValueError("limits need rows")
    fixed = replace(gate, **FIXED)
    for tail in TAILS:
        limited = replace(fixed, **_limits(rows, float(tail)))
        if judge(regate(rows, limited)).refused <= share * len(rows):
            return limited
    return replace(fixed, **_limits(rows, 0.0))


def _limits(rows: Sequence[Row], tail: float) -> dict[str, Any]:
    """Each limit at its own quantile, rounded to four digits; none for what no row has (a spread without passes)."""
    limits: dict[str, Any] = {}
    for name, value in FOLLOWING.items():
        share = tail if name == "highest_strangeness" else SMALLER_TAIL * tail
        quantile = float(np.quantile([value(row) for row in rows], 1.0 - share, method="higher"))
        limits[name] = float(f"{quantile * SPARE:.4g}") if quantile > 0 else None
    return limits


def regate(rows: Sequence[Row], gate: Gate) -> list[Row]:
    """The rows as `gate` would have them; what another look alone could tell stays as it is."""
    return [_regated(row, gate) for row in rows]


def _regated(row: Row, gate: Gate) -> Row:
    refused_early = row.status != Status.MEASURED and Reason(row.reason) not in LATE
    if refused_early or row.evidence is None or row.appearance is None or row.mask is None:
        return row
    objection = late_objection(row, gate)
    if objection is None:
        return replace(row, status=str(Status.MEASURED), reason="")
    return replace(row, status=str(Status.ABSTAINED), reason=str(objection.reason), hc_low_mm=None, hc_high_mm=None)


def late_objection(row: Row, gate: Gate) -> Objection | None:
    """The first objection that follows from the row alone, in the examiner's order."""
    assert row.evidence is not None  # noqa: S101  the caller has checked
    assert row.appearance is not None  # noqa: S101
    assert row.mask is not None  # noqa: S101
    return (
        object_to_mask(gate, row.mask)
        or object_to_picture(gate, row.appearance)
        or object_to_strangeness(gate, row.mask, row.appearance)
        or object_to_doubt(gate, row.evidence)
        or (None if row.found is None else object_to_size(gate, row.found))
    )


def cross_gated(rows: Sequence[Row], gate: Gate, share: float = REFUSED_SHARE) -> list[Row]:
    """The rows of each fold by limits from the other folds. Needs rows of two folds or more."""
    gates = {
        fold: calibrate_gate([row for row in rows if row.fold != fold], gate, share) for fold in {r.fold for r in rows}
    }
    return [_regated(row, gates[row.fold]) for row in rows]


def strains(rows: Sequence[Row], gate: Gate) -> NDArray[np.float64]:
    """How near each row is to its nearest limit, [n]: 0 is typical of these rows, 1 the limit itself."""
    limits: dict[str, float | None] = asdict(gate)
    parts = []
    for name, value in FOLLOWING.items():
        if limit := limits[name]:
            values = np.array([value(row) for row in rows])
            typical = float(np.median(values))
            parts.append((values - typical) / max(limit - typical, 1e-9))
    nearest: NDArray[np.float64] = np.max(parts, axis=0)
    return nearest


def risk_coverage(rows: Sequence[Row], gate: Gate, shares: Sequence[float]) -> list[tuple[float, float]]:
    """(share kept, mean absolute error in mm of the kept) when images are refused in order of their strain."""
    errors = np.abs([row.error_mm for row in rows])[np.argsort(strains(rows, gate), kind="stable")]
    return [(share, float(errors[: max(1, round(share * len(errors)))].mean())) for share in shares]


def judge(rows: Sequence[Row]) -> Judgement:
    """Count the refused and compare their forced answers with those of the others."""
    kept = [row for row in rows if row.status == Status.MEASURED]
    refused = [row for row in rows if row.status != Status.MEASURED]
    reasons = [row.reason for row in refused]
    mae_kept, relative_kept = _errors(kept) or (0.0, 0.0)
    mae_refused, relative_refused = _errors(refused) or (None, None)
    return Judgement(
        images=len(rows),
        refused=len(refused),
        reasons={reason: reasons.count(reason) for reason in sorted(set(reasons))},
        mae_kept_mm=mae_kept,
        mae_refused_mm=mae_refused,
        relative_kept=relative_kept,
        relative_refused=relative_refused,
    )


def _errors(rows: Sequence[Row]) -> tuple[float, float] | None:
    if not rows:
        return None
    errors = np.abs([row.error_mm for row in rows])
    return float(errors.mean()), float((errors / np.array([row.hc_true_mm for row in rows])).mean())


SHARES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)


def report(rows: Sequence[Row], gate: Gate) -> dict[str, Any]:
    """The limits from all rows, what they do to these, what limits from the other folds do, and the curve of risk."""
    limited = calibrate_gate(rows, gate)
    return {
        "images": len(rows),
        "exams": len({row.exam for row in rows}),
        "gate": asdict(limited),
        "same_rows": asdict(judge(regate(rows, limited))),
        "crosswise": asdict(judge(cross_gated(rows, gate))),
        "risk_coverage": risk_coverage(rows, limited, SHARES),
    }


def main() -> None:
    """Command line: prints the report; with a weights folder also writes the gate into its manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path, help="out-of-fold rows, as `dicom-node evaluate --runs` writes them")
    parser.add_argument("--weights", type=Path, help="folder whose manifest gets the gate")
    parser.add_argument("--model", help="name in that manifest")
    chosen = parser.parse_args()
    if chosen.weights is not None and chosen.model is None:
        parser.error("--weights needs --model, the name of the entry that gets the gate")
    told = report(read_rows(chosen.rows), GATE)
    if chosen.weights is not None:
        write_entry(chosen.weights, replace(find_model(chosen.weights, chosen.model), gate=Gate(**told["gate"])))
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
