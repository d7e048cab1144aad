"""The examined frames of a cine, as the capture of them wants them."""

from __future__ import annotations

from collections.abc import Iterable

from dicom_node.decode import DecodedPicture
from inference.domain import Consensus, Examination, Finding, Measurement
from sr_templates.cine import Cine, consensus_strip


def examined_frames(examination: Examination) -> tuple[Finding, ...]:
    """The findings of all examined frames in the region of the one that speaks for the object."""
    return tuple(finding for finding in examination.findings if finding.region == examination.finding.region)


def agreeing_heads(frames: Iterable[Finding], together: Consensus | None) -> tuple[Measurement, ...]:
    """The heads of the frames that made the consensus, in their order; empty without one."""
    used = () if together is None else together.frames_used
    return tuple(head for head in frames if isinstance(head, Measurement) and head.frame in used)


def cine_of(decoded: DecodedPicture, examination: Examination) -> Cine | None:
    """Every finding of the region that was measured; None where fewer than two frames were examined there.

    Frames are decoded again when they are drawn, one at a time: all of a cine would not fit in memory.
    """
    head = examination.finding
    if not isinstance(head, Measurement):
        return None
    findings, together = examined_frames(examination), examination.consensus
    if together is None:
        return None
    times = decoded.frame_times_ms
    return Cine(
        findings=findings,
        chosen=next(place for place, finding in enumerate(findings) if finding.frame == head.frame),
        frame_count=decoded.frame_count,
        picture=decoded.display,
        times_ms=None if times is None else tuple(times[finding.frame - 1] for finding in findings),
        strip=consensus_strip(findings, together),
    )
