"""When each frame of a cine was taken (Cine module, PS3.3 C.7.6.5), or nothing where the header does not truly say."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom_node.spacing import number_of

FRAME_TIME = Tag("FrameTime")
FRAME_TIME_VECTOR = Tag("FrameTimeVector")

PLAUSIBLE_STEP_MS = (0.1, 60_000.0)
"""From ten thousand frames a second to one a minute; what lies outside was written in another unit."""


def frame_times_ms(header: Dataset, frames: int) -> tuple[float, ...] | None:
    """Milliseconds since the first frame, one for each; None for a still, and where the header is silent or wrong.

    The attribute that Frame Increment Pointer (0028,0009) names comes first, then Frame Time Vector, Frame Time, Cine
    Rate and Recommended Display Frame Rate. The first one that is there decides: if it is malformed, none is believed.
    Zero in Frame Time or a rate means "not known" and is passed over.
    """
    if frames < 2:
        return None
    first = ("FrameTimeVector", "FrameTime")
    if header.get("FrameIncrementPointer") == FRAME_TIME:
        first = ("FrameTime", "FrameTimeVector")
    for keyword in (*first, "CineRate", "RecommendedDisplayFrameRate"):
        value = header.get(keyword)
        if value in (None, "", []) or (value == 0 and keyword != "FrameTimeVector"):
            continue
        if keyword == "FrameTimeVector":
            return _from_vector(value, frames)
        step = number_of(value)
        if step is None or step <= 0:
            return None
        return _evenly(step if keyword == "FrameTime" else 1000.0 / step, frames)
    return None


def _from_vector(value: object, frames: int) -> tuple[float, ...] | None:
    """Increments between frames, the first of them zero; some machines leave that one out, and have one fewer."""
    items = list(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else [value]
    steps = [step for item in items if (step := number_of(item)) is not None]
    if len(steps) != len(items) or len(steps) not in (frames - 1, frames):
        return None
    between = steps[-(frames - 1) :]
    if not all(PLAUSIBLE_STEP_MS[0] <= step <= PLAUSIBLE_STEP_MS[1] for step in between):
        return None
    return tuple(accumulate(between, initial=0.0))


def _evenly(step_ms: float, frames: int) -> tuple[float, ...] | None:
    if not PLAUSIBLE_STEP_MS[0] <= step_ms <= PLAUSIBLE_STEP_MS[1]:
        return None
    return tuple(number * step_ms for number in range(frames))
