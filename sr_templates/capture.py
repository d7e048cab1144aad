"""The picture that shows why, as Secondary Capture (PS3.3 A.8.1, C.8.6).

Same rows and columns as the source. It carries no calibration at all: it is for looking, and whoever measures again
shall do it on the source image, whose scale is the scanner's own.
"""

from __future__ import annotations

from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    SecondaryCaptureImageStorage,
)

from sr_templates import codes
from sr_templates.overlay import draw_overlay
from sr_templates.report import Picture, ReportInput
from sr_templates.source import Shell, begin, copy_element, copy_request, source_reference

SHELL = Shell("overlay", SecondaryCaptureImageStorage, "OT", "AI fetal head overlay (unverified)", 2)

LOSSY_TRANSFER_SYNTAXES = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K})
"""Those that may lose; the video ones are recognised by their own prefix."""

_VIDEO_PREFIX = "1.2.840.10008.1.2.4.10"  # .100 to .108: MPEG-2, H.264, HEVC
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def build_overlay(report: ReportInput, picture: Picture) -> FileDataset:
    """The measured frame with outline, axes and figures, ready to be written as Explicit VR Little Endian.

    `picture`: RGB uint8 [rows, columns, 3], the measured frame at the source's geometry; it is not altered.
    """
    drawn = draw_overlay(report, picture)
    made = begin(report, SHELL)
    copy_request(report.source, made)
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.ConversionType = "WSD"
    made.BurnedInAnnotation = "YES"  # scanners write the patient into the frame, and we write figures
    made.PatientOrientation = ""
    made.DerivationDescription = _derivation(report)
    made.SourceImageSequence = [_source_image(report)]
    _lossy_history(report.source, made)
    _pixels(made, drawn)
    return made


def _derivation(report: ReportInput) -> str:
    """At most 1024 ASCII characters (VR ST)."""
    predecessor = report.predecessors.get(SHELL.kind)
    replaces = "" if predecessor is None else f" Replaces {predecessor.sop_instance_uid}."
    return f"Outline and figures of an AI measurement drawn into a copy of the frame; not verified.{replaces}"


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
    target.Rows, target.Columns = drawn.shape[:2]
    target.BitsAllocated = target.BitsStored = 8
    target.HighBit = 7
    target.PixelRepresentation = 0
    data = drawn.tobytes()
    target.add_new("PixelData", "OB", data + b"\0" * (len(data) % 2))
