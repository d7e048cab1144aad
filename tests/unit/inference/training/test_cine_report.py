"""Figures of the methods from made-up rows whose right answer is known."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from inference.training.cine_judge import CineJudgeError, CinePlace, _beside, _rows_of, renew
from inference.training.cine_report import (
    Answer,
    best_frame,
    clips_of,
    compare,
    coverage,
    freeze,
    speaking_frame,
    summarise,
    together,
    within_reach,
    write_report,
)
from inference.training.cine_rows import FrameRow, write_frame_rows
from inference.training.temporal import FinishedRun
from inference.training.temporal_recipe import TemporalRecipe

REFERENCE = 200.0


def row(image: str, share: float, frame: int, hc_mm: float | None, **changes: object) -> FrameRow:
    facts = {
        "condition": "clear",
        "hc_true_mm": hc_mm,
        "overlap": 0.97,
        "level_spread": 0.03,
        "low_mm": None if hc_mm is None else hc_mm - 4.0,
        "high_mm": None if hc_mm is None else hc_mm + 4.0,
        "status": "abstained" if hc_mm is None else "measured",
        "reason": "no_head_found" if hc_mm is None else "",
        **changes,
    }
    return FrameRow(image=image, exam=image[:3], reference_mm=REFERENCE, share=share, frame=frame, hc_mm=hc_mm, **facts)


def clip_rows(image: str, share: float, off: float = 0.0) -> list[FrameRow]:
    """Eight frames around the reference and `off`; the best overlap has the worst HC."""
    values = (-2.0, 2.0, -1.0, 1.0, 0.0, 0.5, -0.5, 6.0)
    return [
        row(image, share, n, REFERENCE + off + v, overlap=0.99 if v == 6.0 else 0.96)
        for n, v in enumerate(values, start=1)
    ]


def rows_of(images: int, off: float = 0.0) -> list[FrameRow]:
    made: list[FrameRow] = []
    for number in range(images):
        image = f"{number:03d}_HC"
        made.append(row(image, 0.0, 0, REFERENCE + 1.0))
        for share in (0.0, 0.25, 0.5):
            made += clip_rows(image, share, off)
        made += [row(image, 1.0, n, None, condition="off_plane") for n in range(1, 5)]
    return made


def test_the_methods_answer_as_they_are_described() -> None:
    clips, stills = clips_of(rows_of(1))
    clip = next(clip for clip in clips if clip.share == 0.0)
    assert stills["000_HC"].frames[0].hc_mm == REFERENCE + 1.0
    best, agreed, speaks = best_frame(clip), together(clip), speaking_frame(clip)
    assert best is not None
    assert agreed is not None
    assert speaks is not None
    assert best.error_mm == pytest.approx(6.0)
    assert agreed.error_mm < 0.3
    assert (speaks.frame, speaks.error_mm) == (5, 0.0)
    blind = next(clip for clip in clips if clip.share == 1.0)
    assert best_frame(blind) is together(blind) is speaking_frame(blind) is None


def test_a_frame_that_the_temporal_network_doubts_counts_less() -> None:
    rows = [row("001_HC", 0.0, 1, 199.0, measurable=0.99), row("001_HC", 0.0, 2, 201.0, measurable=0.2)]
    (clip,), _ = clips_of(rows)
    agreed = together(clip)
    assert agreed is not None
    assert agreed.hc_mm < 199.6


def test_differences_are_paired_and_drawn_by_exam() -> None:
    clips, _ = clips_of(rows_of(12))
    clean = [clip for clip in clips if clip.share == 0.0]
    compared = compare([together(c) for c in clean], [best_frame(c) for c in clean[:10]])
    assert (compared.clips, compared.exams) == (10, 10)
    assert compared.difference_mm is not None
    assert compared.difference_mm[2] < -5.0
    assert compare([], []).difference_mm is None


def test_coverage_is_told_as_it_is_and_scaled_by_the_other_half() -> None:
    clips, _ = clips_of(rows_of(80, off=3.0))
    told = coverage([together(clip) for clip in clips if clip.share == 0.0])
    assert told["as_the_still"] == 1.0
    assert told["calibrated"] == 1.0
    assert all(0.5 < factor < 1.0 for factor in told["factors"])  # off by about 3 of 4 mm, always
    few = coverage([together(clip) for clip in clips[:8] if clip.share == 0.0])
    assert "calibrated" not in few
    assert coverage([]) == {"clips": 0}


def test_the_best_quarter_is_of_clear_frames_near_the_reference() -> None:
    clips, _ = clips_of(rows_of(2))
    clean = [clip for clip in clips if clip.share == 0.0]
    assert freeze([speaking_frame(clip) for clip in clean]) == {"best_quarter": 1.0, "clear": 1.0, "nearly": 1.0}
    assert freeze([best_frame(clip) for clip in clean]) == {"best_quarter": 0.0, "clear": 1.0, "nearly": 0.0}


def test_a_spoilt_frame_is_not_nearly_among_the_best_however_near_it_lies() -> None:
    values = (201.0, 202.0, 200.0, 200.1)
    rows = [row("001_HC", 0.5, n, hc, condition="shadow" if hc < 200.5 else "clear") for n, hc in enumerate(values, 1)]
    (clip,), _ = clips_of(rows)
    assert freeze([Answer(clip, 200.0, 4.0, 3)]) == {"best_quarter": 0.0, "clear": 0.0, "nearly": 0.0}
    assert freeze([Answer(clip, 202.0, 4.0, 2)]) == {"best_quarter": 0.0, "clear": 1.0, "nearly": 1.0}


def test_even_who_knows_every_frames_true_hc_reaches_only_the_middle_of_the_sweep() -> None:
    values = (196.0, 197.0, 198.0, 199.0, 200.0, 200.5, 196.5, 197.5)
    (clip,), _ = clips_of([row("001_HC", 0.0, n, hc) for n, hc in enumerate(values, start=1)])
    told = within_reach([clip])
    assert told == {"clips": 1, "chance": 0.25, "knowing": {"best_quarter": 0.0, "clear": 1.0, "nearly": 0.0}}
    values = (196.0, 199.0, 201.0, 204.0, 200.0, 198.0, 202.0, 200.0)
    around, _ = clips_of([row("002_HC", 0.0, n, hc) for n, hc in enumerate(values, start=1)])
    assert within_reach(around)["knowing"]["best_quarter"] == 1.0
    assert within_reach([]) == {"clips": 0}


def test_page_and_figures_are_made_again_from_the_rows(tmp_path: Path) -> None:
    place = CinePlace(tmp_path, tmp_path)
    with pytest.raises(CineJudgeError, match="missing"):
        renew(place)
    place.rows.mkdir()
    (place.rows / "facts.json").write_text(json.dumps({"folds": {"0": {"still_sha256": "ab"}}}))
    write_frame_rows(rows_of(6), place.rows / "still.csv")
    assert renew(place) == "folds 0: 6 images of 6 exams"
    write_frame_rows(rows_of(4, off=1.0), place.rows / "temporal.csv")
    assert renew(place) == "folds 0: 6 images of 6 exams"
    write_frame_rows(rows_of(3, off=0.5), place.rows / "control.csv")
    renew(place)
    page = (tmp_path / "cine.md").read_text()
    assert "C temporal network" in page
    assert "## Fold by fold" in page
    record = json.loads((tmp_path / "cine.json").read_text())
    assert record["shares"]["0.5"]["paired"]["C - B"]["difference_mm"][0] > 0.5
    assert record["shares"]["0.5"]["paired"]["C - B"]["clips"] == 4  # those that both have looked at
    assert record["shares"]["0"]["paired"]["C - C0"]["clips"] == 3
    assert record["off_plane"]["B"] == {"clips": 6, "with_a_number": 0}
    assert record["still"]["mae_mm"][0] == 1.0


def test_the_committed_page_is_that_of_the_committed_rows(tmp_path: Path) -> None:
    evaluation = Path(__file__).parents[4] / "docs" / "evaluation"
    shutil.copytree(evaluation / "cine", tmp_path / "cine")
    renew(CinePlace(tmp_path, tmp_path))
    for name in ("cine.md", "cine.json"):
        assert (tmp_path / name).read_text() == (evaluation / name).read_text(), name


def test_where_nothing_is_measured_nothing_is_made_up(tmp_path: Path) -> None:
    silent = [row("000_HC", 0.0, n, None) for n in range(3)]
    summary = summarise(silent)
    assert summary["shares"]["0"]["B"]["mae_mm"] is None
    write_report(tmp_path, summary, {"folds": {"0": {}}})
    assert "0 of 1" in (tmp_path / "cine.md").read_text()


@pytest.mark.parametrize(("attention", "file"), [(True, "temporal.csv"), (False, "control.csv")])
def test_a_run_without_attention_is_the_control(attention: bool, file: str) -> None:
    nobody: Any = None
    assert str(_rows_of(FinishedRun(nobody, nobody, TemporalRecipe(attention=attention)))) == file


def test_rows_of_other_weights_are_not_mixed(tmp_path: Path) -> None:
    (tmp_path / "facts.json").write_text(json.dumps({"folds": {"0": {"still_sha256": "ab"}}}))
    both = _beside(tmp_path, 0, {"temporal_sha256": "cd"})["folds"]
    assert both == {"0": {"still_sha256": "ab", "temporal_sha256": "cd"}}
    with pytest.raises(CineJudgeError, match="other weights for fold 0"):
        _beside(tmp_path, 0, {"still_sha256": "ef"})
    assert set(_beside(tmp_path, 1, {"still_sha256": "ef"})["folds"]) == {"0", "1"}


def test_a_clip_of_two_sizes_has_no_answer() -> None:
    rows = [row("001_HC", 0.0, n, hc) for n, hc in enumerate((200.0, 201.0, 231.0, 230.0), start=1)]
    (clip,), _ = clips_of(rows)
    assert together(clip) is speaking_frame(clip) is None
    assert best_frame(clip) is not None


def test_each_fold_tells_its_own_figures() -> None:
    told = summarise(rows_of(12), rows_of(3))["by_fold"]
    assert len(told) > 1
    assert sum(fold["images"] for fold in told.values()) == 12
    assert sum(fold["temporal_clips"] for fold in told.values()) == 3
    assert {fold["held"] for fold in told.values()} == {1.0}
