"""The pictures that show what was measured and why, as Secondary Captures (PS3.3 A.8.1, C.8.6).

Same rows and columns as the source. They carry no calibration at all: they are for looking, and whoever measures again
shall do it on the source image, whose scale is the scanner's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.tag import Tag
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)

from inference.domain import Explanation
from sr_templates import codes
from sr_templates.cine import Cine, draw_cine
from sr_templates.heat import draw_attention, draw_deviation
from sr_templates.overlay import draw_overlay
from sr_templates.report import Picture, ReportInput
from sr_templates.source import Shell, begin, copy_element, copy_request, source_reference

OVERLAY = Shell("overlay", SecondaryCaptureImageStorage, "OT", "AI unverified: outline of the head", 2)

_WHY = "AI unverified: why (attention and doubt)"
GRADCAM = Shell("gradcam", SecondaryCaptureImageStorage, "OT", _WHY, 4, place=0, places=2)
UNCERTAINTY = Shell("uncertainty", SecondaryCaptureImageStorage, "OT", _WHY, 4, place=1, places=2)
CINE_OVERLAY = Shell(
    "cine_overlay", MultiFrameTrueColorSecondaryCaptureImageStorage, "OT", "AI unverified: cine with outlines", 5
)

LOSSY_TRANSFER_SYNTAXES = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K})
"""Those that may lose; the video ones are recognised by their own prefix."""

_VIDEO_PREFIX = "1.2.840.10008.1.2.4.10"  # .100 to .108: MPEG-2, H.264, HEVC
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


@dataclass(frozen=True, slots=True)
class Capture:
    """What a capture `shows`, in ASCII; `flavour` is value 4 of Image Type (PS3.3 C.7.6.1.1.2), value 3 then OTHER."""

    shell: Shell
    shows: str
    flavour: str = ""


def build_overlay(report: ReportInput, picture: Picture) -> FileDataset:
    """The measured frame with outline, axes and figures, ready to be written as Explicit VR Little Endian.

    `picture`: RGB uint8 [rows, columns, 3], the measured frame at the source's geometry; it is not altered.
    """
    shows = "Outline and figures of an AI measurement drawn into a copy of the frame; not verified."
    return _build(report, draw_overlay(report, picture), Capture(OVERLAY, shows))


def build_gradcam(report: ReportInput, picture: Picture, explanation: Explanation) -> FileDataset:
    """What spoke for a head, as colour over the measured frame; see `build_overlay`."""
    shows = (
        "GradCAM++ of the last decoder convolution of the AI network, for the mean logit over the head it found,"
        " relative to its largest value; laid over a copy of the frame; not verified."
    )
    return _build(report, draw_attention(report, picture, explanation), Capture(GRADCAM, shows, "GRADCAM"))


def build_uncertainty(report: ReportInput, picture: Picture, explanation: Explanation) -> FileDataset:
    """Where answers of one network, or the frames of a cine, differ, as colour over the frame; see `build_overlay`."""
    over = f"{explanation.answers} answers (image, mirror image, dropout)"
    if explanation.frames:
        over = f"the {explanation.frames} frames of the cine that agree, each registered by its ellipse onto this one,"
    shows = (
        f"Standard deviation of the AI network's head probability over {over} and the outline; laid over a copy of"
        " the frame; not verified."
    )
    return _build(report, draw_deviation(report, picture, explanation), Capture(UNCERTAINTY, shows, "UNCERTAINTY"))


def build_cine_overlay(report: ReportInput, cine: Cine) -> FileDataset:
    """The examined frames with their outlines, HC and the strip that shows what the choice of one rests on.

    Multi-frame True Color Secondary Capture (PS3.3 A.8.5), not compressed: see `cine.MOST_FRAMES`, `MOST_BYTES`.
    """
    indices, drawn = draw_cine(cine)
    frames = [cine.findings[index].frame for index in indices]
    shows = (
        f"Outlines and HC of an AI in {len(frames)} of {len(cine.findings)} examined frames of a cine, drawn into"
        f" copies, above a strip ({cine.strip.caption}); not verified."
    )
    made = _build(report, drawn, Capture(CINE_OVERLAY, shows, "CINE"))
    made.SourceImageSequence[0].ReferencedFrameNumber = frames
    made.NumberOfFrames = len(frames)
    made.RepresentativeFrameNumber = indices.index(cine.chosen) + 1
    _play(made, cine, indices)
    return made


def _play(target: Dataset, cine: Cine, indices: Sequence[int]) -> None:
    """What sets one frame apart from the next (PS3.3 C.7.6.6): its time, else its name."""
    if cine.times_ms is None:
        target.FrameIncrementPointer = Tag("FrameLabelVector")
        target.FrameLabelVector = [f"frame {cine.findings[index].frame}" for index in indices]
        return
    step = (cine.times_ms[indices[-1]] - cine.times_ms[indices[0]]) / (len(indices) - 1)
    target.FrameIncrementPointer = Tag("FrameTime")
    target.FrameTime = f"{step:.3f}"


def _build(report: ReportInput, drawn: Picture, capture: Capture) -> FileDataset:
    """Everything around `drawn`, RGB uint8 [rows, columns, 3] at the source's geometry, or several [frames, ...]."""
    made = begin(report, capture.shell)
    copy_request(report.source, made)
    made.ImageType = ["DERIVED", "SECONDARY", *(("OTHER", capture.flavour) if capture.flavour else ())]
    made.ConversionType = "WSD"
    made.BurnedInAnnotation = "YES"  # scanners write the patient into the frame, and we write figures
    made.PatientOrientation = ""
    made.DerivationDescription = _derivation(report, capture)
    made.SourceImageSequence = [_source_image(report)]
    _lossy_history(report.source, made)
    _pixels(made, drawn)
    return made


def _derivation(report: ReportInput, capture: Capture) -> str:
    """At most 1024 ASCII characters (VR ST)."""
    predecessor = report.predecessors.get(capture.shell.kind)
    replaces = "" if predecessor is None else f" Replaces {predecessor.sop_instance_uid}."
    return f"{capture.shows}{replaces}"


def _source_image(report: ReportInput) -> Dataset:
    item = source_reference(report)
    item.PurposeOfReferenceCodeSequence = [codes.code_item(codes.SOURCE_IMAGE)]
    return item


def _lossy_history(source: Dataset, target: Dataset) -> None:
    """What was lost once stays lost (PS3.3 C.7.6.1.1.5): the source's own words, else what its transfer syntax says."""
    for keyword in _LOSSY:
        copy_element(source, target, keyword)
    meta = getattr(source, "file_meta", None)
    syntax = "" if meta is None else str(meta.get("TransferSyntaxUID", ""))
    if syntax in LOSSY_TRANSFER_SYNTAXES or syntax.startswith(_VIDEO_PREFIX):
        target.LossyImageCompression = "01"


def _pixels(target: Dataset, drawn: Picture) -> None:
    """Image Pixel module (PS3.3 C.7.6.3): RGB, colour by pixel."""
    target.SamplesPerPixel = 3
    target.PhotometricInterpretation = "RGB"
    target.PlanarConfiguration = 0
    target.Rows, target.Columns = drawn.shape[-3:-1]
    target.BitsAllocated = target.BitsStored = 8
    target.HighBit = 7
    target.PixelRepresentation = 0
    data = drawn.tobytes()
    target.add_new("PixelData", "OB", data + b"\0" if len(data) % 2 else data)
