"""What the capture of a cine is given: the findings of the measured region, and the times of their frames."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dicom_node.calibration import Calibration
from dicom_node.cine import cine_of
from dicom_node.decode import DecodedPicture
from inference.consensus import consensus
from inference.domain import Examination, Finding, ModelIdentity, RegionPx
from tests.reports import SHA256, abstention, measurement

OTHER_REGION = RegionPx(0, 0, 9, 9)


def decoded(times_ms: tuple[float, ...] | None = None) -> DecodedPicture:
    def picture(number: int) -> Any:
        return np.full((4, 4, 3), number, np.uint8)

    return DecodedPicture(4, 4, 9, Calibration((), None), times_ms, picture)


def examined(*findings: Finding, chosen: int = 0) -> Examination:
    frames = tuple(dict.fromkeys(finding.frame for finding in findings))
    beside = [finding for finding in findings if finding.region == findings[chosen].region]
    together = consensus(beside) if len(beside) > 1 else None
    return Examination(findings, chosen, frames, ModelIdentity("model", SHA256), 0.1, consensus=together)


def test_it_has_the_findings_of_the_measured_region_alone() -> None:
    beside = [measurement(frame=frame, region=OTHER_REGION) for frame in (1, 5, 9)]
    measured = [measurement(frame=frame, quality=0.9 + frame / 100) for frame in (1, 5, 9)]
    findings = [found for pair in zip(beside, measured, strict=True) for found in pair]
    made = cine_of(decoded(), examined(*findings, chosen=5))
    assert made is not None
    assert made.findings == tuple(measured)
    assert (made.chosen, made.frame_count, made.times_ms) == (2, 9, None)
    assert made.strip.weights == pytest.approx((1.0, 1.0, 1.0))
    assert (made.picture(5) == 5).all()


def test_times_are_those_of_the_examined_frames() -> None:
    examination = examined(abstention(frame=1), measurement(frame=5), chosen=1)
    made = cine_of(decoded(tuple(33.0 * n for n in range(9))), examination)
    assert made is not None
    assert made.times_ms == (0.0, 132.0)


def test_a_still_and_what_was_not_measured_give_none() -> None:
    assert cine_of(decoded(), examined(measurement(frame=1))) is None
    assert cine_of(decoded(), examined(abstention(frame=1), abstention(frame=5))) is None
    both = examined(measurement(frame=1), measurement(frame=5))
    assert cine_of(decoded(), replace(both, objection=abstention())) is None
    assert cine_of(decoded(), examined(measurement(frame=1), measurement(frame=1, region=OTHER_REGION))) is None
