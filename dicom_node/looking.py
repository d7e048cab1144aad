"""Which frames of a decoded object are examined, and what is said when there is nothing to examine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dicom_node.decode import DecodedInstance, DecodedPicture
from dicom_node.examination_type import other_examination
from dicom_node.independent_age import SOURCES, independent_age
from dicom_node.operator_values import NOTHING_SAID, OperatorValues
from inference.domain import Abstention, AgeSource, CalibrationSource, Examination, Reason
from inference.examine import Examiner
from inference.growth import beside_operator, compare


def look(
    decoded: DecodedPicture,
    examiner: Examiner,
    cine_frames: int,
    age_sources: Sequence[AgeSource] = SOURCES,
    said: OperatorValues = NOTHING_SAID,
) -> Examination:
    """Examine a still, or at most `cine_frames` frames of a cine; `age_sources` may give an age to compare HC with.

    `said` is what the machine's own report of the study says.

    Raises:
        InstanceRefused: a frame cannot be decoded.
    """
    other = other_examination(decoded.header) if isinstance(decoded, DecodedInstance) else None
    if other is not None:
        return _nothing_to_examine(Reason.OTHER_EXAMINATION, examiner, f"({other})")
    if not decoded.calibration.regions:
        return _nothing_to_examine(decoded.calibration.reason or Reason.NO_TWO_DIMENSIONAL_REGION, examiner)
    examination = examiner.examine(decoded.frames(evenly_spread(decoded.frame_count, cine_frames)))
    if not isinstance(decoded, DecodedInstance):
        return examination
    compared = compare(examination, independent_age(decoded.header, age_sources, said))
    return beside_operator(compared, said.hc)


def evenly_spread(count: int, most: int) -> tuple[int, ...]:
    """At most `most` frame numbers of 1..count, evenly spread, both ends included."""
    if count <= most:
        return tuple(range(1, count + 1))
    return tuple(int(number) for number in np.unique(np.linspace(1, count, most).round()))


def _nothing_to_examine(reason: Reason, examiner: Examiner, detail: str = "") -> Examination:
    abstention = Abstention(1, None, None, CalibrationSource.NONE, reason, detail, None, None)
    return Examination((abstention,), 0, (), examiner.model, 0.0)
