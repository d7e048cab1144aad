"""Every transfer syntax that a test may want, written by real encoders: `encode(dataset, "jpeg_lossless_sv1", folder)`.

The encoders are DCMTK's tools, GDCM's gdcmconv, OpenJPEG and CharLS (through pydicom), OpenJPH for HTJ2K, and FFmpeg
(through PyAV, its build is GPL and therefore never more than an encoder of test files). `ENCODINGS` says which program
each one needs.
"""

from __future__ import annotations

import copy
import io
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    HEVCM10P51,
    HEVCMP51,
    HTJ2K,
    JPEG2000,
    MPEG2MPHL,
    MPEG2MPHLF,
    MPEG2MPML,
    MPEG2MPMLF,
    MPEG4HP41,
    MPEG4HP41BD,
    MPEG4HP41BDF,
    MPEG4HP41F,
    MPEG4HP42STEREO,
    MPEG4HP42STEREOF,
    MPEG4HP422D,
    MPEG4HP422DF,
    MPEG4HP423D,
    MPEG4HP423DF,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from tests.ultrasound import save

Frames = NDArray[Any]
"""uint8 or uint16, [frames, rows, columns] or [frames, rows, columns, 3]."""

Writer = Callable[[FileDataset, Path], None]
"""Writes a native dataset to a file in another transfer syntax."""


@dataclass(frozen=True)
class Encoding:
    """One transfer syntax with its encoder; `lossless` is whether no pixel changes."""

    syntax: UID
    lossless: bool
    write: Writer
    peers: tuple[str, ...] = ()

    @property
    def is_video(self) -> bool:
        return self.syntax.startswith("1.2.840.10008.1.2.4.10")


def encode(dataset: FileDataset, name: str, folder: Path) -> Path:
    """Write `dataset` (native Pixel Data, explicit little endian) in the encoding `name`; it is not changed itself.

    Raises:
        subprocess.CalledProcessError, ValueError: this encoder does not take such pixels.
    """
    path = folder / f"{name}.dcm"
    path.unlink(missing_ok=True)
    ENCODINGS[name].write(copy.deepcopy(dataset), path)
    return path


def frames_of(dataset: FileDataset) -> Frames:
    """The native pixels of a dataset, one frame or many."""
    kind = "<u2" if dataset.BitsAllocated == 16 else "u1"
    count = int(dataset.get("NumberOfFrames") or 1)
    shape = (count, dataset.Rows, dataset.Columns, *((3,) if dataset.SamplesPerPixel == 3 else ()))
    data = np.frombuffer(dataset.PixelData, kind, count=int(np.prod(shape)))
    if dataset.get("PlanarConfiguration") == 1:
        return np.moveaxis(data.reshape(count, 3, *shape[1:3]), 1, -1)
    return data.reshape(shape)


def with_frames(dataset: FileDataset, encoded: Sequence[bytes], syntax: UID) -> FileDataset:
    """Replace the pixels by encoded frames, one fragment each, with a basic offset table."""
    dataset.PixelData = encapsulate(list(encoded))
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


# --- native and through pydicom ------------------------------------------------------------------------------------


def native(syntax: UID) -> Writer:
    def write(dataset: FileDataset, path: Path) -> None:
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax != ExplicitVRBigEndian:
            save(dataset, path)
            return
        # the library converts the byte order of the header, and only when forced; words it leaves alone
        words = [e for e in dataset if e.VR == "OW" and (e.keyword != "PixelData" or dataset.BitsAllocated == 16)]
        for element in words:
            element.value = np.frombuffer(element.value, "<u2").astype(">u2").tobytes()
        dcmwrite(path, dataset, implicit_vr=False, little_endian=False, force_encoding=True)

    return write


def compressed(syntax: UID, **options: Any) -> Writer:
    """pydicom's own RLE, CharLS (pyjpegls) or OpenJPEG (pylibjpeg-openjpeg)."""

    def write(dataset: FileDataset, path: Path) -> None:
        if syntax in (JPEG2000, JPEG2000Lossless) and dataset.PhotometricInterpretation == "RGB":
            dataset.PhotometricInterpretation = "YBR_RCT" if syntax == JPEG2000Lossless else "YBR_ICT"
        dataset.compress(syntax, generate_instance_uid=False, **options)
        save(dataset, path)

    return write


def pillow_jpeg(**options: Any) -> Writer:
    """What DCMTK does not write: chroma at half the rows and columns (4:2:0), as many scanners send it."""

    def write(dataset: FileDataset, path: Path) -> None:
        streams = [io.BytesIO() for _ in range(len(frames_of(dataset)))]
        for stream, pixels in zip(streams, displayed(dataset), strict=True):
            Image.fromarray(pixels).save(stream, "JPEG", **options)
        if dataset.SamplesPerPixel == 3:
            dataset.PhotometricInterpretation = "YBR_FULL_422"
        elif dataset.PhotometricInterpretation == "MONOCHROME1":
            dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        save(with_frames(dataset, [stream.getvalue() for stream in streams], JPEGBaseline8Bit), path)

    return write


# --- DCMTK and GDCM ---------------------------------------------------------------------------------------------


def dcmtk(*command: str) -> Writer:
    """A tool that takes one DICOM file and writes another."""

    def write(dataset: FileDataset, path: Path) -> None:
        source = save(dataset, path.with_suffix(".native"))
        try:
            subprocess.run([*command, str(source), str(path)], check=True, capture_output=True, timeout=60)
        finally:
            source.unlink()

    return write


def gdcm(*options: str) -> Writer:
    return dcmtk("gdcmconv", *options)


# --- OpenJPH -------------------------------------------------------------------------------------------------------


def openjph(syntax: UID, *options: str) -> Writer:
    def write(dataset: FileDataset, path: Path) -> None:
        if dataset.PhotometricInterpretation == "RGB":
            dataset.PhotometricInterpretation = "YBR_ICT" if syntax == HTJ2K else "YBR_RCT"
        transform = "true" if dataset.PhotometricInterpretation in ("YBR_ICT", "YBR_RCT") else "false"
        command = (*options, "-colour_trans", transform)
        frames = [_htj2k(frame, dataset.BitsStored, command, path.parent) for frame in frames_of(dataset)]
        save(with_frames(dataset, frames, syntax), path)

    return write


def _htj2k(frame: Frames, bits: int, options: Sequence[str], folder: Path) -> bytes:
    """One codestream. The encoder reads PGM and PPM, whose samples are big endian."""
    source, target = folder / "frame.pgm", folder / "frame.j2c"
    if frame.ndim == 3:
        source = folder / "frame.ppm"
    rows, columns = frame.shape[:2]
    kind = "P6" if frame.ndim == 3 else "P5"
    pixels = frame.astype(">u2") if frame.dtype.itemsize == 2 else frame
    source.write_bytes(f"{kind}\n{columns} {rows}\n{2**bits - 1}\n".encode() + pixels.tobytes())
    command = ["ojph_compress", "-i", str(source), "-o", str(target), *options]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    try:
        return target.read_bytes()
    finally:
        source.unlink()
        target.unlink()


# --- FFmpeg --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class VideoStream:
    """How a video is coded and wrapped. `container`: a format name of FFmpeg; the codec's own is the bare stream."""

    codec: str
    container: str
    pixel_format: str = "yuv420p"
    options: tuple[tuple[str, str], ...] = ()


H264 = VideoStream("libx264", "mp4", options=(("crf", "12"), ("profile", "high")))
H264_BARE = VideoStream("libx264", "h264", options=(("crf", "12"), ("profile", "high")))
MPEG2 = VideoStream("mpeg2video", "mpegts", options=(("b", "40000000"), ("qmin", "1"), ("qmax", "3")))
MPEG2_BARE = VideoStream("mpeg2video", "mpeg2video", options=MPEG2.options)
HEVC = VideoStream("libx265", "hevc", options=(("crf", "10"), ("x265-params", "log-level=none")))
HEVC_10 = VideoStream("libx265", "hevc", "yuv420p10le", HEVC.options)


def video(syntax: UID, stream: VideoStream) -> Writer:
    def write(dataset: FileDataset, path: Path) -> None:
        data = video_stream(displayed(dataset), stream)
        save(with_video(dataset, [data], syntax), path)

    return write


def with_video(dataset: FileDataset, fragments: Sequence[bytes], syntax: UID) -> FileDataset:
    """Replace the pixels by a video: one stream over all fragments, an empty offset table (PS3.5 8.2.5 ff.)."""
    items = [b"", *(f + b"\0" * (len(f) % 2) for f in fragments)]
    dataset.PixelData = b"".join(b"\xfe\xff\x00\xe0" + len(f).to_bytes(4, "little") + f for f in items)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.NumberOfFrames = dataset.get("NumberOfFrames") or 1
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "YBR_PARTIAL_420"
    dataset.PlanarConfiguration, dataset.PixelRepresentation = 0, 0
    deep = syntax == HEVCM10P51
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = (16, 10, 9) if deep else (8, 8, 7)
    return dataset


def displayed(dataset: FileDataset) -> Frames:
    """8-bit grey or RGB frames of a dataset without palette, as a scanner would record its screen."""
    frames = frames_of(dataset)
    if dataset.BitsStored > 8:
        frames = (frames >> (dataset.BitsStored - 8)).astype(np.uint8)
    if dataset.PhotometricInterpretation == "YBR_FULL":
        return np.stack([np.asarray(Image.fromarray(frame, "YCbCr").convert("RGB")) for frame in frames])
    return 255 - frames if dataset.PhotometricInterpretation == "MONOCHROME1" else frames


def video_stream(frames: Frames, stream: VideoStream, rate: int = 25, sample_aspect: Fraction | None = None) -> bytes:
    """Encode uint8 frames, [frames, rows, columns] or [frames, rows, columns, 3], BT.601 limited range.

    `sample_aspect`: width over height of a sample, as video says it; DICOM says it the other way round.
    """
    import av

    file = io.BytesIO()
    rows, columns = frames.shape[1:3]
    with av.open(file, "w", format=stream.container) as container:
        track: Any = container.add_stream(stream.codec, rate=rate, options=dict(stream.options))
        track.width, track.height, track.pix_fmt = columns, rows, stream.pixel_format
        track.codec_context.thread_count = 1
        if sample_aspect is not None:
            track.codec_context.sample_aspect_ratio = sample_aspect
        track.time_base = Fraction(1, rate)
        for pixels in frames:
            rgb = np.ascontiguousarray(pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2))
            container.mux(track.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(track.encode())
    return file.getvalue()


# --- all of them ---------------------------------------------------------------------------------------------------

_GDCM = ("gdcmconv",)
_JPH = ("ojph_compress",)
_LOSSLESS_JPH = ("-reversible", "true")

ENCODINGS: dict[str, Encoding] = {
    "explicit": Encoding(ExplicitVRLittleEndian, True, native(ExplicitVRLittleEndian)),
    "implicit": Encoding(ImplicitVRLittleEndian, True, native(ImplicitVRLittleEndian)),
    "big_endian": Encoding(ExplicitVRBigEndian, True, native(ExplicitVRBigEndian)),
    "deflated": Encoding(DeflatedExplicitVRLittleEndian, True, native(DeflatedExplicitVRLittleEndian)),
    "rle": Encoding(RLELossless, True, dcmtk("dcmcrle"), ("dcmcrle",)),
    "jpeg_baseline": Encoding(JPEGBaseline8Bit, False, dcmtk("dcmcjpeg", "+eb", "+q", "90", "+s4"), ("dcmcjpeg",)),
    "jpeg_baseline_422": Encoding(JPEGBaseline8Bit, False, dcmtk("dcmcjpeg", "+eb", "+q", "90", "+s2"), ("dcmcjpeg",)),
    "jpeg_baseline_420": Encoding(JPEGBaseline8Bit, False, pillow_jpeg(quality=90, subsampling=2)),
    "jpeg_baseline_rgb": Encoding(JPEGBaseline8Bit, False, dcmtk("dcmcjpeg", "+eb", "+q", "90", "+cr"), ("dcmcjpeg",)),
    "jpeg_extended": Encoding(JPEGExtended12Bit, False, dcmtk("dcmcjpeg", "+ee", "+q", "90"), ("dcmcjpeg",)),
    "jpeg_lossless": Encoding(JPEGLossless, True, dcmtk("dcmcjpeg", "+el", "+sv", "6"), ("dcmcjpeg",)),
    "jpeg_lossless_sv1": Encoding(JPEGLosslessSV1, True, dcmtk("dcmcjpeg", "+e1"), ("dcmcjpeg",)),
    "jpeg_ls": Encoding(JPEGLSLossless, True, dcmtk("dcmcjpls", "+el"), ("dcmcjpls",)),
    "jpeg_ls_near": Encoding(JPEGLSNearLossless, False, dcmtk("dcmcjpls", "+en", "+md", "2"), ("dcmcjpls",)),
    "gdcm_rle": Encoding(RLELossless, True, gdcm("--rle"), _GDCM),
    "gdcm_jpeg_lossless": Encoding(JPEGLosslessSV1, True, gdcm("--jpeg"), _GDCM),
    "gdcm_jpeg_ls": Encoding(JPEGLSLossless, True, gdcm("--jpegls"), _GDCM),
    "gdcm_jpeg_2000": Encoding(JPEG2000Lossless, True, gdcm("--j2k"), _GDCM),
    "jpeg_2000_lossless": Encoding(JPEG2000Lossless, True, compressed(JPEG2000Lossless)),
    "jpeg_2000": Encoding(JPEG2000, False, compressed(JPEG2000, j2k_psnr=[45])),
    "htj2k_lossless": Encoding(HTJ2KLossless, True, openjph(HTJ2KLossless, *_LOSSLESS_JPH), _JPH),
    "htj2k_rpcl": Encoding(
        HTJ2KLosslessRPCL, True, openjph(HTJ2KLosslessRPCL, *_LOSSLESS_JPH, "-prog_order", "RPCL"), _JPH
    ),
    "htj2k": Encoding(HTJ2K, False, openjph(HTJ2K, "-qstep", "0.002"), _JPH),
    "mpeg2_main": Encoding(MPEG2MPML, False, video(MPEG2MPML, MPEG2)),
    "mpeg2_main_fragmentable": Encoding(MPEG2MPMLF, False, video(MPEG2MPMLF, MPEG2_BARE)),
    "mpeg2_high": Encoding(MPEG2MPHL, False, video(MPEG2MPHL, MPEG2)),
    "mpeg2_high_fragmentable": Encoding(MPEG2MPHLF, False, video(MPEG2MPHLF, MPEG2)),
    "h264": Encoding(MPEG4HP41, False, video(MPEG4HP41, H264)),
    "h264_fragmentable": Encoding(MPEG4HP41F, False, video(MPEG4HP41F, H264)),
    "h264_bd": Encoding(MPEG4HP41BD, False, video(MPEG4HP41BD, H264_BARE)),
    "h264_bd_fragmentable": Encoding(MPEG4HP41BDF, False, video(MPEG4HP41BDF, H264)),
    "h264_42_2d": Encoding(MPEG4HP422D, False, video(MPEG4HP422D, H264)),
    "h264_42_2d_fragmentable": Encoding(MPEG4HP422DF, False, video(MPEG4HP422DF, H264)),
    "h264_42_3d": Encoding(MPEG4HP423D, False, video(MPEG4HP423D, H264)),
    "h264_42_3d_fragmentable": Encoding(MPEG4HP423DF, False, video(MPEG4HP423DF, H264)),
    "h264_stereo": Encoding(MPEG4HP42STEREO, False, video(MPEG4HP42STEREO, H264)),
    "h264_stereo_fragmentable": Encoding(MPEG4HP42STEREOF, False, video(MPEG4HP42STEREOF, H264)),
    "hevc": Encoding(HEVCMP51, False, video(HEVCMP51, HEVC)),
    "hevc_10": Encoding(HEVCM10P51, False, video(HEVCM10P51, HEVC_10)),
}
"""Name -> encoding. Pixels that an encoder does not take (16 bits in JPEG baseline, say) raise in `encode`."""
