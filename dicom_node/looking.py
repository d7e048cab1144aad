"""Which frames of a decoded object are examined, and what is said when there is nothing to examine."""

from __future__ import annotations

import numpy as np

from dicom_node.decode import DecodedPicture
from inference.domain import Abstention, CalibrationSource, Examination, Reason
from inference.examine import Examiner


def look(decoded: DecodedPicture, examiner: Examiner, cine_frames: int) -> Examination:
    """Examine a still, or at most `cine_frames` frames of a cine.

    Raises:
        InstanceRefused: a frame cannot be decoded.
    """
    if not decoded.calibration.regions:
        return _nothing_to_examine(decoded.calibration.reason or Reason.NO_TWO_DIMENSIONAL_REGION, examiner)
    return examiner.examine(decoded.frames(evenly_spread(decoded.frame_count, cine_frames)))


def evenly_spread(count: int, most: int) -> tuple[int, ...]:
    """At most `most` frame numbers of 1..count, evenly spread, both ends included."""
    if count <= most:
        return tuple(range(1, count + 1))
    return tuple(int(number) for number in np.unique(np.linspace(1, count, most).round()))


def _nothing_to_examine(reason: Reason, examiner: Examiner) -> Examination:
    abstention = Abstention(1, None, None, CalibrationSource.NONE, reason, "", None, None)
    return Examination((abstention,), 0, (), examiner.model, 0.0)
