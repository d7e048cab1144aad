"""The examined frames of a cine, each with its outline and HC, over a strip that shows why one of them was chosen.

The strip lies below the picture, not over it: pixel (column, row) of the source is pixel (column, row) here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from inference.domain import Abstention, Consensus, Finding, Measurement
from inference.measure import outline_px
from sr_templates import drawing, wording
from sr_templates.drawing import OUTLINE_POINTS
from sr_templates.panel import SOFT_TEXT, Corner, Panel, PanelLine, draw_panel, place_panel
from sr_templates.report import Picture
from sr_templates.strip import Strip, draw_strip, strip_rows
from sr_templates.strokes import draw_closed, draw_frame, draw_thin

MOST_FRAMES = 32
MOST_BYTES = 64 * 2**20
"""A cine capture is not compressed; of a longer or larger one some frames are left out, but never all but one."""


@dataclass(frozen=True, slots=True)
class Cine:
    """What was seen in the examined frames of one region, in their order, and what the choice of one rests on.

    `findings`: one for each examined frame. `chosen` indexes them. `frame_count` is that of the source, `picture` gives
    its frame of a number (1-based) as uint8 RGB [rows, columns, 3]. `times_ms`: when each of the findings' frames was
    taken; None where nobody knows. `strip` has a weight for each of the findings.
    """

    findings: tuple[Finding, ...]
    chosen: int
    frame_count: int
    picture: Callable[[int], Picture]
    times_ms: tuple[float, ...] | None
    strip: Strip

    def __post_init__(self) -> None:
        if len(self.strip.weights) != len(self.findings):
            raise ValueError(f"{len(self.strip.weights)} weights for {len(self.findings)} frames")
        if not isinstance(self.findings[self.chosen], Measurement):
            raise ValueError("the chosen frame has no measurement")

    @property
    def head(self) -> Measurement:
        """The chosen finding."""
        head = self.findings[self.chosen]
        assert isinstance(head, Measurement)  # noqa: S101  see __post_init__
        return head


def consensus_strip(findings: Sequence[Finding], together: Consensus) -> Strip:
    """What the choice rests on: the weight of each measured frame in the consensus, as a share of the largest."""
    largest = max(together.weights)
    shares = [weight / largest for weight in together.weights]
    weights = tuple(
        share if isinstance(finding, Measurement) else None for finding, share in zip(findings, shares, strict=True)
    )
    return Strip(weights, wording.CONSENSUS_CAPTION, 0.0, 1.0)


def shown(cine: Cine, rows: int, columns: int) -> tuple[int, ...]:
    """Which of the findings are shown, as indices: all, or evenly spread ones with the chosen one among them.

    `rows`, `columns`: of a frame of the capture, its strip included.
    """
    most = max(2, min(MOST_FRAMES, MOST_BYTES // (rows * columns * 3)))
    count = len(cine.findings)
    if count <= most:
        return tuple(range(count))
    spread = np.unique(np.linspace(0, count - 1, most).round().astype(int))
    if cine.chosen not in spread:
        spread[np.abs(spread - cine.chosen).argmin()] = cine.chosen
    return tuple(int(index) for index in spread)


def draw_cine(cine: Cine) -> tuple[tuple[int, ...], Picture]:
    """The indices of the findings that are shown, and their frames, RGB uint8 [frames, rows + strip, columns, 3]."""
    best = cine.picture(cine.head.frame)
    rows, columns = best.shape[:2]
    below = strip_rows(rows)
    indices = shown(cine, rows + below, columns)
    panel, corner = _place(cine, best)
    drawn = np.zeros((len(indices), rows + below, columns, 3), np.uint8)
    for frame, index in zip(drawn, indices, strict=True):
        frame[:rows] = best if index == cine.chosen else cine.picture(cine.findings[index].frame)
        _draw_frame(frame[:rows], cine, index)
        draw_panel(frame[:rows], replace(panel, lines=_kept(_lines(cine, index), panel)), corner)
        frame[rows:] = draw_strip(cine.strip, (rows, columns), index, cine.chosen)
    return indices, drawn


def _place(cine: Cine, picture: Picture) -> tuple[Panel, Corner]:
    """One place and size of the panel for all frames: a panel that jumps cannot be read. It fits the longest lines."""
    every = [_lines(cine, index) for index in range(len(cine.findings))]
    longest = tuple(max(same, key=lambda line: len(line.text)) for same in zip(*every, strict=True))
    return place_panel(longest, picture, cine.head)


def _kept(lines: tuple[PanelLine, ...], panel: Panel) -> tuple[PanelLine, ...]:
    return lines if len(lines) == len(panel.lines) else tuple(line for line in lines if not line.spare)


def _lines(cine: Cine, index: int) -> tuple[PanelLine, ...]:
    """What the panel says of a frame, top to bottom; as many lines for each."""
    finding, is_chosen = cine.findings[index], index == cine.chosen
    place = f"Frame {finding.frame} of {cine.frame_count}"
    return (
        PanelLine(wording.RESEARCH_MARK, drawing.OUTLINE_COLOR, bold=True),
        PanelLine(f"{place}: chosen" if is_chosen else place, bold=is_chosen),
        PanelLine(_hc(finding), bold=True, scale=1.35),
        PanelLine(_why(finding), SOFT_TEXT, spare=True),
        PanelLine("Not verified by a clinician"),
    )


def _hc(finding: Finding) -> str:
    return f"HC {wording.millimetres(finding.hc_mm)}" if isinstance(finding, Measurement) else "no HC"


def _why(finding: Finding) -> str:
    """Why there is no number, else how well the ellipse fits."""
    if isinstance(finding, Abstention):
        return str(finding.reason).replace("_", " ")
    return f"overlap {finding.quality:.3f}"


def _draw_frame(picture: Picture, cine: Cine, index: int) -> None:
    """The outline, in place: bold and framed where chosen, thin where measured, in another colour where not."""
    finding = cine.findings[index]
    if finding.ellipse is None:
        return
    points = outline_px(finding.ellipse, OUTLINE_POINTS)
    color = drawing.OUTLINE_COLOR if isinstance(finding, Measurement) else drawing.UNMEASURED_COLOR
    if index == cine.chosen:
        draw_closed(picture, points, color)
        draw_frame(picture, color)
    else:
        draw_thin(picture, points, color)
