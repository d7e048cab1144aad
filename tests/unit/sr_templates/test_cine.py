"""The frames of a cine: each with what was seen there, the chosen one marked, over pixels that stay where they were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.consensus import consensus
from inference.domain import Finding
from inference.measure import outline_px
from sr_templates import cine as module
from sr_templates import drawing
from sr_templates.cine import Cine, consensus_strip, draw_cine, shown
from sr_templates.strip import Strip, strip_rows
from tests.reports import COLUMNS, ELLIPSE, ROWS, abstention, agreed_strip, cine, measurement


def long(frames: int, chosen: int) -> Cine:
    findings: list[Finding] = [measurement(frame=number + 1) for number in range(frames)]
    return cine(findings=tuple(findings), chosen=chosen, times_ms=None, strip=agreed_strip(findings))


def black(made: Cine) -> Cine:
    return replace(made, picture=lambda _number: np.zeros((600, 800, 3), np.uint8))


def near(pixels: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return np.abs(pixels.astype(int) - color).max(axis=-1) < 60


COLORS = (drawing.OUTLINE_COLOR, drawing.OUTLINE_COLOR, drawing.UNMEASURED_COLOR)


def test_each_frame_has_its_outline_where_the_head_is_and_the_chosen_one_is_marked() -> None:
    indices, frames = draw_cine(black(cine()))
    assert indices == (0, 1, 2)
    columns, rows = np.round(outline_px(ELLIPSE, 360)).astype(int).T
    seen = [near(frame[rows, columns], color).mean() for frame, color in zip(frames, COLORS, strict=True)]
    assert min(seen) > 0.7  # thin lines are drawn at part cover
    assert seen[1] > 0.95
    framed = [near(frame[:600, 799], drawing.OUTLINE_COLOR).mean() for frame in frames]
    assert [share > 0.95 for share in framed] == [False, True, False]


def test_a_frame_without_an_outline_shows_none() -> None:
    made = cine()
    findings = (*made.findings[:2], abstention(frame=3, ellipse=None))
    _, frames = draw_cine(black(replace(made, findings=findings)))
    columns, rows = np.round(outline_px(ELLIPSE, 360)).astype(int).T
    assert not frames[2][rows, columns].any()
    assert frames[1][rows, columns].any()


def test_the_picture_keeps_its_place_and_the_strip_lies_below_it() -> None:
    made = cine()
    _, frames = draw_cine(made)
    assert frames.shape == (3, ROWS + strip_rows(ROWS), COLUMNS, 3)
    middle = slice(round(ELLIPSE.center_row_px) - 20, round(ELLIPSE.center_row_px) + 20), slice(160, 200)
    for frame in frames:
        assert np.array_equal(frame[middle], made.picture(1)[middle])


def test_frames_are_asked_for_by_their_own_numbers() -> None:
    asked: list[int] = []

    def picture(number: int) -> np.ndarray:
        asked.append(number)
        return np.zeros((ROWS, COLUMNS, 3), np.uint8)

    draw_cine(cine(frames=(1, 5, 9), picture=picture))
    assert sorted(asked) == [1, 5, 9]


def test_the_panel_says_frame_hc_or_why_there_is_none() -> None:
    made = cine(frames=(1, 5, 9))
    texts = [[line.text for line in module._lines(made, index)] for index in range(3)]
    assert texts[0][1:4] == ["Frame 1 of 9", "HC 197.1 mm", "overlap 0.960"]
    assert texts[1][1:3] == ["Frame 5 of 9: chosen", "HC 198.4 mm"]
    assert texts[2][1:4] == ["Frame 9 of 9", "no HC", "unsure outline"]
    assert {line[0] for line in texts} == {"AI - research use"}
    assert {line[-1] for line in texts} == {"Not verified by a clinician"}


@pytest.mark.parametrize(("frames", "chosen"), [(16, 3), (32, 31), (100, 0), (100, 37), (512, 511)])
def test_a_long_cine_is_thinned_and_keeps_the_chosen_frame(frames: int, chosen: int) -> None:
    indices = shown(long(frames, chosen), 600, 800)
    assert len(indices) == min(frames, module.MOST_FRAMES)
    assert chosen in indices
    assert list(indices) == sorted(set(indices))
    assert indices[0] == 0 or chosen < frames / module.MOST_FRAMES
    gaps = np.diff(indices)
    assert gaps.max() <= 2 * frames / len(indices)


def test_large_frames_are_bounded_by_their_bytes() -> None:
    indices = shown(long(32, 7), 1080, 1920)
    assert 2 < len(indices) * 1080 * 1920 * 3 <= module.MOST_BYTES
    assert len(shown(long(32, 7), 20_000, 20_000)) == 2


def test_the_strip_has_the_weight_of_each_measured_frame_as_a_share_of_the_largest() -> None:
    findings: list[Finding] = [
        measurement(hc_mm=200.0),
        abstention(),
        measurement(hc_mm=200.5),
        measurement(hc_mm=260.0),
    ]
    together = consensus(findings)
    assert together is not None
    made = consensus_strip(findings, together)
    first, missing, second, stray = made.weights
    assert (missing, stray, made.low, made.high) == (None, 0.0, 0.0, 1.0)
    assert max(first or 0.0, second or 0.0) == 1.0
    assert min(first or 0.0, second or 0.0) > 0.5


def test_weights_and_frames_belong_together() -> None:
    with pytest.raises(ValueError, match="2 weights for 3 frames"):
        cine(strip=Strip((0.5, 0.5), "weights", 0.0, 1.0))
    with pytest.raises(ValueError, match="no measurement"):
        cine(chosen=2)
