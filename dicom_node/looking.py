"""Which frames of a decoded object are examined, and what is said when there is nothing to examine."""

from __future__ import annotations

import numpy as np

from dicom_node.decode import DecodedInstance, DecodedPicture
from dicom_node.examination_type import other_examination
from inference.domain import Abstention, CalibrationSource, Examination, Reason
from inference.examine import Examiner


def look(decoded: DecodedPicture, examiner: Examiner, cine_frames: int) -> Examination:
    """Examine a still, or at most `cine_frames` frames of a cine.

    Raises:
        InstanceRefused: a frame cannot be decoded.
    """
    other = other_examination(decoded.header) if isinstance(decoded, DecodedInstance) else None
    if other is not None:
        return _nothing_to_examine(Reason.OTHER_EXAMINATION, examiner, f"({other})")
    if not decoded.calibration.regions:
        return _nothing_to_examine(decoded.calibration.reason or Reason.NO_TWO_DIMENSIONAL_REGION, examiner)
    return examiner.examine(decoded.frames(evenly_spread(decoded.frame_count, cine_frames)))


def evenly_spread(count: int, most: int) -> tuple[int, ...]:
    """At most `most` frame numbers of 1..count, evenly spread, both ends included."""
    if count <= most:
        return tuple(range(1, count + 1))
    return tuple(int(number) for number in np.unique(np.linspace(1, count, most).round()))


def _nothing_to_examine(reason: Reason, examiner: Examiner, detail: str = "") -> Examination:
    abstention = Abstention(1, None, None, CalibrationSource.NONE, reason, detail, None, None)
    return Examination((abstention,), 0, (), examiner.model, 0.0)
