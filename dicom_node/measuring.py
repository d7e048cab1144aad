"""`dicom-node measure`: the node's own way of looking, without a server, a database or a trace."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from dicom_node import answers
from dicom_node.config import Config
from dicom_node.decode import DecodedInstance, DecodedPicture, read_instance, read_picture
from dicom_node.errors import InstanceRefused
from dicom_node.examiner import build_examiner, find_entry
from dicom_node.filewalk import files_below
from dicom_node.independent_age import SOURCES
from dicom_node.looking import look
from inference.domain import AgeSource, PixelSpacingMm, Reason
from inference.examine import Examiner

_log = logging.getLogger(__name__)

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})


def measure_paths(paths: Sequence[Path], config: Config, spacing: PixelSpacingMm | None) -> Iterator[answers.Answer]:
    """One answer per file, folders walked in name order. `spacing` is for pictures, which carry none.

    Raises:
        ModelRefused: the configured model is missing or altered.
    """
    examiner = build_examiner(config, find_entry(config))
    for path in files_below(paths):
        yield measure_file(path, examiner, config.inference.cine_frames, spacing, config.dating.independent_ages)


def measure_file(
    path: Path,
    examiner: Examiner,
    cine_frames: int,
    spacing: PixelSpacingMm | None,
    age_sources: Sequence[AgeSource] = SOURCES,
) -> answers.Answer:
    """The answer for one file; whatever is wrong with it is a refusal by name."""
    began = time.perf_counter()
    uid: str | None = None
    try:
        decoded = _open(path, spacing)
        uid = str(decoded.header.get("SOPInstanceUID", "")) or None if isinstance(decoded, DecodedInstance) else None
        examination = look(decoded, examiner, cine_frames, age_sources)
    except InstanceRefused as error:
        return answers.refused(str(path), uid, error, examiner.model, time.perf_counter() - began)
    except OSError as error:
        unreadable = InstanceRefused(Reason.UNREADABLE, f"({error.strerror or type(error).__name__})")
        return answers.refused(str(path), uid, unreadable, examiner.model, time.perf_counter() - began)
    except Exception as error:  # noqa: BLE001  one file that nobody foresaw never stops the others
        _log.exception("measure.failed", extra={"error": type(error).__name__})
        unforeseen = InstanceRefused(Reason.UNREADABLE, f"(unexpected {type(error).__name__})")
        return answers.refused(str(path), uid, unforeseen, examiner.model, time.perf_counter() - began)
    return answers.examined(str(path), uid, examination, decoded.frame_times_ms)


def _open(path: Path, spacing: PixelSpacingMm | None) -> DecodedPicture:
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return read_picture(path, spacing)
    return read_instance(path, secondary_captures=True)  # whoever names a file wants it looked at
