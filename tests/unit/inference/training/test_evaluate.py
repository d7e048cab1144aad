"""Figures from known rows, and the whole written evaluation from a small folder."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inference.domain import EllipsePx
from inference.training.evaluate import Row, dice, hausdorff_px, write_rows
from inference.training.figures import draw_all, draw_learning_curve
from inference.training.page import write_page
from inference.training.report import OPENINGS, record_opening
from inference.training.summary import summarise
from inference.training.tables import figure_table, groups_of
from tests.unit.inference.test_examine import MODEL

ROW = Row("000_HC", "000", 0.1, 100.0, 101.0, 98.0, 103.0, "measured", "", 0.98, 1.0, 0.99, 0.01, 0.02, 0.03)


def rows(errors: list[float]) -> list[Row]:
    return [
        replace(ROW, image=f"{i:03d}_HC", exam=f"{i // 2:03d}", hc_true_mm=100.0 + i, hc_forced_mm=100.0 + i + e)
        for i, e in enumerate(errors)
    ]


def test_figures_of_known_errors() -> None:
    figures = summarise(rows([1.0, -1.0, 2.0, -2.0, 4.0, 2.0]))
    forced = figures["forced"]
    assert forced["n"] == 6
    assert forced["exams"] == 3
    assert forced["mae_mm"][0] == 2.0
    assert forced["median_mm"][0] == 2.0
    assert forced["bias_mm"][0] == 1.0
    assert forced["max_mm"] == [4.0]
    assert forced["within_3mm"][0] == pytest.approx(5 / 6, abs=1e-3)
    assert forced["mae_mm"][1] <= 2.0 <= forced["mae_mm"][2]
    assert figures["abstention_rate"] == 0.0


def test_abstaining_buys_no_forced_figure() -> None:
    some = rows([1.0, 9.0, 1.0, 1.0, 1.0, 1.0])
    some[1] = replace(some[1], status="abstained", reason="poor_ellipse_fit", hc_low_mm=None, hc_high_mm=None)
    figures = summarise(some)
    assert figures["forced"]["max_mm"][0] == 9.0
    assert figures["measured"]["max_mm"][0] == 1.0
    assert figures["abstention_rate"] == pytest.approx(1 / 6)


def test_coverage_counts_the_true_value_in_the_interval() -> None:
    inside = replace(ROW, hc_true_mm=100.0, hc_low_mm=98.0, hc_high_mm=103.0)
    outside = replace(ROW, exam="001", hc_true_mm=97.9, hc_low_mm=98.0, hc_high_mm=103.0)
    third = replace(ROW, exam="002", hc_true_mm=99.0)
    coverage = summarise([inside, outside, third])["interval_coverage"]
    assert coverage["n"] == 3
    assert coverage["share"][0] == pytest.approx(2 / 3, abs=1e-3)


def test_bootstrap_draws_whole_exams() -> None:
    """Two images of each exam carry the same error: the interval must be that of exams, not of images."""
    paired = summarise([replace(r, hc_forced_mm=r.hc_true_mm + (i // 2)) for i, r in enumerate(rows([0.0] * 20))])
    single = summarise(
        [replace(r, exam=str(i), hc_forced_mm=r.hc_true_mm + (i // 2)) for i, r in enumerate(rows([0.0] * 20))]
    )
    width = [f["forced"]["mae_mm"][2] - f["forced"]["mae_mm"][1] for f in (paired, single)]
    assert width[0] > width[1] * 1.2


def test_overlap_and_distance_of_ellipses() -> None:
    one = EllipsePx(100, 80, 40, 30, 0)
    assert dice(one, one, (160, 200)) == 1.0
    assert dice(one, EllipsePx(100, 80, 40, 15, 0), (160, 200)) == pytest.approx(2 / 3, abs=0.02)
    assert hausdorff_px(one, replace(one, center_col_px=105)) == pytest.approx(5.0, abs=0.5)


def test_rows_and_openings_are_written_and_the_page_tells_split_and_n(tmp_path: Path) -> None:
    some = rows(list(np.linspace(-3, 3, 12)))
    write_rows(some, tmp_path / "m-test.csv")
    with (tmp_path / "m-test.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 12
    summary = {"model": "m", "sha256": "ab" * 32, "split": "test", "caveat": "c", "figures": summarise(some)}
    (tmp_path / "m-test.json").write_text(json.dumps(summary))
    record_opening(tmp_path / OPENINGS, MODEL, [])
    record_opening(tmp_path / OPENINGS, MODEL, [])
    write_page(tmp_path, tmp_path / OPENINGS)
    page = (tmp_path / "README.md").read_text()
    assert "12 images of 6 exams" in page
    assert page.count(MODEL.sha256[:16]) == 2
    assert "98.00 % [98.00 %, 98.00 %]" in page
    assert "(n = 12)" in page


def test_when_everything_abstains_there_is_still_a_summary() -> None:
    none = [replace(r, status="abstained", hc_low_mm=None, hc_high_mm=None) for r in rows([1.0, 2.0, 3.0])]
    figures = summarise(none)
    assert figures["measured"] == {"n": 0, "exams": 0}
    assert figures["interval_coverage"] is None
    assert "–" in "".join(figure_table(groups_of(figures)))


def test_figures_are_drawn(tmp_path: Path) -> None:
    for path in draw_all(rows(list(np.linspace(-3, 3, 12))), tmp_path, "m-test", "m, test exams"):
        assert path.stat().st_size > 5000
    history = tmp_path / "history.jsonl"
    history.write_text("".join(json.dumps({"epoch": e, "loss": 1 / (e + 1)}) + "\n" for e in range(5)))
    assert draw_learning_curve(history, tmp_path / "curve.png").stat().st_size > 5000
