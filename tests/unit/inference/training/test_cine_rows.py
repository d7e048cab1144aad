"""Rows of the judging clips: each image once, every frame, and what stands in the file is what was seen."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.architectures.registry import RESIDUAL, build_network
from inference.architectures.temporal import temporal_network
from inference.domain import EllipsePx, PixelSpacingMm
from inference.preprocess import Grid
from inference.segment import Segmenter
from inference.synthetic_cine import CineFrame, Condition, Still, Sweep, synthesise
from inference.training import cine_rows
from inference.training.challenge import read_challenge
from inference.training.cine_rows import (
    CineRowsError,
    FrameRow,
    StillByStill,
    Temporal,
    judge_clips,
    judging_sweeps,
    read_frame_rows,
    row_of,
)
from inference.training.clips import View
from inference.training.recipe import NORMALISATION
from inference.training.stills import still_of
from inference.training.temporal import FinishedRun
from inference.training.temporal_recipe import TemporalRecipe
from tests.unit.inference.test_examine import examiner
from tests.unit.inference.training.test_export import challenge_folder

HEAD = EllipsePx(30.0, 20.0, 12.0, 9.0, 0.0)
SHORT = Sweep(frames=4, frame_time_s=0.2)


@pytest.fixture(autouse=True)
def _short_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cine_rows, "SAMPLED", SHORT)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return challenge_folder(tmp_path_factory.mktemp("hc18"), ["001", "002", "003"])


def test_every_image_has_its_still_and_its_clips_and_a_cut_off_run_goes_on(data: Path, tmp_path: Path) -> None:
    path, looked = tmp_path / "rows.csv", []

    class Watched(StillByStill):
        def __call__(self, frames: Sequence[CineFrame], still: Still) -> Sequence[FrameRow]:
            looked.append(len(frames))
            return super().__call__(frames, still)

    images = read_challenge(data)
    first = judge_clips(images, Watched(examiner()), path, most=2)
    assert len({row.image for row in first}) == 2
    assert looked == [1, 4, 4, 4, 4] * 2
    rows = judge_clips(images, Watched(examiner()), path)
    assert looked == [1, 4, 4, 4, 4] * 3
    assert {row.image for row in rows} == {image.name for image in images}
    (image,) = [image for image in images if image.name == rows[0].image]
    still = rows[0]
    assert (still.frame, still.reference_mm, still.hc_true_mm) == (0, pytest.approx(image.hc_mm), still.reference_mm)
    assert still.measured
    assert still.hc_mm == pytest.approx(image.hc_mm, abs=1.0)
    assert still.low_mm is not None
    clean = [row for row in rows if row.image == image.name and row.share == 0.0 and row.frame]
    assert [row.frame for row in clean] == [1, 2, 3, 4]
    for row in clean:
        assert row.hc_mm == pytest.approx(row.hc_true_mm, rel=0.03)  # the moving truth of the frame, not the still's
    again = read_frame_rows(path)
    words = [(row.image, row.exam, row.frame, row.condition, row.status, row.reason) for row in rows]
    assert [(row.image, row.exam, row.frame, row.condition, row.status, row.reason) for row in again] == words
    assert [row.hc_mm for row in again] == [
        None if row.hc_mm is None else pytest.approx(row.hc_mm, rel=1e-5) for row in rows
    ]


def test_a_frame_that_was_seen_is_not_looked_at_again(data: Path) -> None:
    asked = []

    class Counting(Segmenter):
        def __call__(self, *arguments: object) -> object:
            asked.append(1)
            return super().__call__(*arguments)

    inner = examiner()
    inner._segmenter.__class__ = Counting
    method = StillByStill(inner)
    still = still_of(read_challenge(data)[0])
    for share in (0.0, 0.5):
        method(list(synthesise(still, replace(SHORT, degraded=share), 3)), still)
    assert len(asked) == 4 + 2
    method.forget()
    method(list(synthesise(still, SHORT, 3)), still)
    assert len(asked) == 4 + 2 + 4


def test_the_temporal_network_says_what_it_received_and_how_sure_it_is(data: Path) -> None:
    torch.manual_seed(1)
    network = temporal_network(build_network(RESIDUAL, 0.125)).eval()
    run = FinishedRun(network, View(Grid(32, 64), NORMALISATION), TemporalRecipe())
    still = still_of(read_challenge(data)[0])
    rows = Temporal(run, examiner())(list(synthesise(still, SHORT, 3)), still)
    assert [row.frame for row in rows] == [1, 2, 3, 4]
    assert all(0.0 < (row.measurable or 0.0) < 1.0 for row in rows)
    assert sum(row.received or 0.0 for row in rows) == pytest.approx(4.0, abs=1e-4)


def test_nothing_found_is_a_row_without_a_number() -> None:
    frame = CineFrame(3, np.zeros((40, 60), np.uint8), None, None, Condition.DROP_OUT, np.eye(3)[:2])
    seen = cine_rows.frame_of(frame, Still(frame.luminance, HEAD, PixelSpacingMm(0.5, 0.5)))
    outline = examiner().outline(seen, seen.regions[0])
    row = row_of(frame, outline, examiner().judge(3, seen.regions[0], outline))
    assert (row.measured, row.hc_mm, row.low_mm, row.reason) == (False, None, None, "no_head_found")


def test_clips_that_judge_spoil_as_many_frames_as_they_say() -> None:
    assert [sweep.degraded for sweep in judging_sweeps()] == [0.0, 0.25, 0.5, 1.0]
    assert judging_sweeps()[-1].conditions == (Condition.OFF_PLANE,)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("image,exam\n1,2\n")
    with pytest.raises(CineRowsError, match="not a file of frame rows"):
        read_frame_rows(tmp_path / "other.csv")
