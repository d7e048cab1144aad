"""A still becomes a cine: the picture moved about the outline that was found in it, as if the probe were."""

from __future__ import annotations

from pathlib import Path

from dicom_node.decode import DecodedInstance, DecodedPicture, read_instance
from dicom_node.demo.cine import CineFile, write_cine
from dicom_node.errors import Refused
from inference.domain import Finding, Frame
from inference.measure import shift
from inference.synthetic_cine import Still, Sweep, synthesise

FRAMES = 16
"""As many as the node examines of a cine unless it is told otherwise."""

SEED = 1
_MILLISECONDS = 1000.0


class NoSweep(Refused):
    """A sweep is made of a still in which a head and a scale were found."""


def swept(decoded: DecodedPicture, finding: Finding, spoilt: float, path: Path) -> DecodedInstance:
    """The sweep over the region in which `finding` lies, written to `path` as an object of an invented patient.

    `spoilt`: share of its frames that are in shadow, blurred, out of contact or off the plane. The same still and
    finding give the same pictures.

    Raises:
        NoSweep: it is a cine already, or there is no outline or no scale in it.
    """
    if decoded.frame_count != 1 or finding.ellipse is None or finding.spacing_mm is None:
        raise NoSweep
    (frame,) = decoded.frames((1,))
    sweep = Sweep(frames=FRAMES, degraded=spoilt)
    pictures = (moved.luminance for moved in synthesise(_still(frame, finding), sweep, SEED))
    write_cine(pictures, CineFile(finding.spacing_mm, sweep.frame_time_s * _MILLISECONDS, jpeg=False), path)
    return read_instance(path)


def _still(frame: Frame, finding: Finding) -> Still:
    """Raises NoSweep."""
    ellipse, spacing, box = finding.ellipse, finding.spacing_mm, finding.region
    if ellipse is None or spacing is None:
        raise NoSweep
    if box is None:
        return Still(frame.luminance, ellipse, spacing)
    return Still(frame.within(box), shift(ellipse, -box.min_column, -box.min_row), spacing)
