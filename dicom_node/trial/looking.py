"""What the process does with a file: the look of `measure`, and what a page shows of it. Brings torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from dicom_node import __version__, answers
from dicom_node.cine import examined_frames
from dicom_node.config import Config
from dicom_node.decode import DecodedInstance, DecodedPicture, read_instance, read_picture
from dicom_node.demo.study import SCENES, us_object
from dicom_node.errors import InstanceRefused, Refused
from dicom_node.examiner import Engine, build_examiner, find_entry
from dicom_node.looking import look
from dicom_node.measuring import PICTURE_SUFFIXES, measure_file
from dicom_node.narrator import narrator_of
from dicom_node.queue import utc_now
from dicom_node.trial.asked import Asked, Settings, TrialAsked
from dicom_node.trial.source import as_object
from dicom_node.trial.sweep import swept
from dicom_node.worker import protocol_of
from inference.domain import Abstention, Examination, Explanation, Finding, Measurement, PixelSpacingMm
from inference.examine import Examiner
from inference.models import ModelEntry
from inference.overlap import Overlap, filled, overlap_with
from sr_templates.abstention import build_abstention
from sr_templates.heat import DEVIATION_TOP, blended
from sr_templates.narrative import from_template
from sr_templates.pdf import build_pdf
from sr_templates.report import AbstentionInput, Further, Narrative, PageSize, ReportInput
from sr_templates.source import missing_uid
from sr_templates.tid1500 import build_tid1500
from sr_templates.tid5000 import build_tid5000
from sr_templates.uids import UidEntropy, equipment, result_uids

Picture = np.ndarray[Any, np.dtype[np.uint8]]
"""RGB uint8 [rows, columns, 3]."""

SERIAL = "TRIED OUT"
"""Stands in Device Serial Number of reports that are made here: they are no results of the installation."""

BOTH, ONLY_FOUND, ONLY_TRUE = (0, 158, 115), (230, 159, 0), (204, 121, 167)
"""Okabe & Ito 2008; the page names them."""

_MOST_FRAMES_SHOWN = 64
_TINT = 0.45


@dataclass
class Looker:
    """One process's models, loaded when they are first asked for."""

    config: Config
    build: Callable[[Config, ModelEntry], Examiner] = build_examiner

    def __post_init__(self) -> None:
        self._loaded: dict[Settings, Engine] = {}

    def measure(self, asked: Asked) -> answers.Answer:
        """The answer of `dicom-node measure` for the file, under its sender's name.

        Raises:
            ModelRefused: there is no such model.
            Refused: only one of the two spacings was given.
        """
        config, engine = self.config, self.engine(asked.settings)
        ages = config.dating.independent_ages
        answer = measure_file(asked.file, engine.examiner, config.inference.cine_frames, _spacing(asked), ages)
        return {**answer, "file": asked.name}

    def try_out(self, asked: TrialAsked) -> dict[str, Any]:
        """Look once with each of the settings, and write what the page shows into `asked.out`.

        Raises:
            ModelRefused, Refused: as above.
            NoSweep: a cine cannot be made of it.
        """
        scene = None if asked.example is None else SCENES[asked.example]
        told: dict[str, Any] = {"known_hc_mm": None if scene is None else scene.hc_mm, "looks": []}
        try:
            decoded = _example(asked) if scene is not None else _opened(asked)
            told |= {"rows": decoded.rows, "columns": decoded.columns, "frame_count": decoded.frame_count}
            decoded.display(1)
        except InstanceRefused as refusal:
            model = self.engine(asked.looks[0]).examiner.model
            told["looks"] = [{"answer": answers.refused(asked.name, None, refusal, model, 0.0), "files": []}]
            return told
        if asked.sweep is not None:
            decoded = self._swept(decoded, asked)
            told |= {"rows": decoded.rows, "columns": decoded.columns, "frame_count": decoded.frame_count}
        source = _header(decoded, _spacing(asked), asked.out)
        for number, settings in enumerate(asked.looks):
            folder = asked.out / str(number)
            folder.mkdir()
            told["looks"].append(_Look(self, asked, decoded, source, folder).run(settings))
        return told

    def _swept(self, decoded: DecodedPicture, asked: TrialAsked) -> DecodedPicture:
        """The cine that is made of the still, about the outline that the first of the looks finds in it."""
        finding = look(decoded, self.engine(asked.looks[0]).examiner, 1).finding
        return swept(decoded, finding, asked.sweep or 0.0, asked.out / "source.dcm")

    def engine(self, settings: Settings) -> Engine:
        """The loaded model with its outline at the level that is asked for. Raises ModelRefused."""
        if settings not in self._loaded:
            model = settings.model or self.config.inference.model
            inference = self.config.inference.model_copy(update={"model": model})
            config = self.config.model_copy(update={"inference": inference})
            entry = at_level(find_entry(config), settings.level)
            self._loaded[settings] = Engine(self.build(config, entry), entry)
            while len(self._loaded) > _ENGINES:
                del self._loaded[next(iter(self._loaded))]
        return self._loaded[settings]


_ENGINES = 4
"""Somebody who plays with the level must not fill the memory with networks."""


def at_level(entry: ModelEntry, level: float | None) -> ModelEntry:
    """The model with its outline at another probability: what its interval promises was measured at its own."""
    if level is None or level == entry.probability:
        return entry
    return replace(entry, probability=level, interval=None)


@dataclass
class _Look:
    """One look at one file."""

    looker: Looker
    asked: TrialAsked
    decoded: DecodedPicture
    source: Dataset | None
    folder: Path
    files: list[str] = field(default_factory=list)
    explanation: Explanation | None = None
    author: str | None = None

    def run(self, settings: Settings) -> dict[str, Any]:
        engine = self.looker.engine(settings)
        config = self.looker.config
        try:
            frames, ages = config.inference.cine_frames, config.dating.independent_ages
            examination = look(self.decoded, engine.examiner, frames, ages)
        except InstanceRefused as refusal:
            return {"answer": answers.refused(self.asked.name, None, refusal, engine.examiner.model, 0.0), "files": []}
        uid = None if self.source is None else str(self.source.SOPInstanceUID)
        answer = answers.examined(self.asked.name, uid, examination, self.decoded.frame_times_ms)
        self._frames(examination)
        finding = examination.finding
        picture = self.decoded.display(finding.frame)
        if isinstance(finding, Measurement):
            self._explain(engine.examiner, finding)
        truth = self._truth(finding, picture)
        if self.source is not None:
            self._report(engine.entry, examination, picture)
        told = {"level": engine.entry.probability, "truth": truth, "author": self.author}
        return {"answer": answer, **told, "files": self.files}

    def _frames(self, examination: Examination) -> None:
        for number in examination.frames_used[:_MOST_FRAMES_SHOWN] or (1,):
            self._picture(f"frame-{number}.png", self.decoded.display(number))

    def _explain(self, examiner: Examiner, head: Measurement) -> None:
        """What spoke for the head, and where repeated answers differ, over copies of the measured frame."""
        (frame,) = self.decoded.frames((head.frame,))
        why = self.explanation = examiner.explain(frame, head)
        for name, values in (("attention", why.attention), ("deviation", why.deviation / np.float32(DEVIATION_TOP))):
            drawn, box = self.decoded.display(head.frame), why.region
            below = drawn[box.min_row : box.max_row + 1, box.min_column : box.max_column + 1]
            below[:] = blended(below, values)
            self._picture(f"{name}.png", drawn)

    def _truth(self, finding: Finding, picture: Picture) -> dict[str, Any] | None:
        """How far the outline agrees with the mask that came along."""
        if self.asked.truth is None:
            return None
        if self.asked.sweep is not None:
            return {"reason": "the mask is of the still, and its frames are moved"}
        try:
            mask = _mask(self.asked.truth, picture.shape[:2])
            if finding.ellipse is None:
                return {"reason": "there is no outline to compare with"}
            overlap = overlap_with(finding.ellipse, mask, finding.spacing_mm)
        except (ValueError, InstanceRefused) as error:
            return {"reason": str(error)}
        self._picture("truth.png", tinted(picture, overlap))
        hc_mm = finding.hc_mm if isinstance(finding, Measurement) else None
        difference = None if hc_mm is None or overlap.true_hc_mm is None else round(hc_mm - overlap.true_hc_mm, 1)
        return {"dice": overlap.dice, "hc_mm": overlap.true_hc_mm, "difference_mm": difference, "reason": None}

    def _report(self, entry: ModelEntry, examination: Examination, picture: Picture) -> None:
        """SR and page, as the node would make them of the object."""
        assert self.source is not None  # noqa: S101  the caller has checked
        finding = examination.finding
        shared: dict[str, Any] = {
            "source": self.source,
            "model": entry.identity,
            "equipment": equipment(__version__, SERIAL),
            "uids": result_uids(_entropy(self.looker.config, entry, self.source, examination)),
            "created": utc_now().astimezone(),
            "series_number": self.looker.config.results.series_number,
        }
        if isinstance(finding, Abstention):
            self._object("report.sr.dcm", build_abstention(AbstentionInput(**shared, abstention=finding)))
            return
        results = self.looker.config.results
        report = ReportInput(
            **shared,
            measurement=finding,
            interval_coverage=None if entry.interval is None else entry.interval.coverage,
            page_size=PageSize(results.page_size),
            language=results.language,
        )
        report = replace(report, narrative=self._words(report))
        self._object("report.sr.dcm", build_tid1500(report))
        self._object("report.ob-gyn.sr.dcm", build_tid5000(report))
        page = build_pdf(report, picture, Further(self.explanation, examined_frames(examination)))
        content = bytes(page.EncapsulatedDocument)[: int(page.EncapsulatedDocumentLength)]
        self._write("report.pdf", content)

    def _words(self, report: ReportInput) -> Narrative:
        """Of the language model, where one is configured and was asked for, and its text passes."""
        if not self.asked.worded:
            return from_template(report)
        narrative = narrator_of(self.looker.config.narrative)(report)
        self.author = narrative.author
        return narrative

    def _picture(self, name: str, picture: Picture) -> None:
        Image.fromarray(picture).save(self.folder / name, compress_level=1)
        self.files.append(name)

    def _object(self, name: str, made: Dataset) -> None:
        dcmwrite(self.folder / name, made, enforce_file_format=True)
        self.files.append(name)

    def _write(self, name: str, content: bytes) -> None:
        (self.folder / name).write_bytes(content)
        self.files.append(name)


def tinted(picture: Picture, overlap: Overlap) -> Picture:
    """The frame with the pixels of both, of the ellipse alone, and of the mask alone in three colours."""
    drawn = picture.astype(np.float32)
    found, true = overlap.found, overlap.true
    for where, colour in ((found & true, BOTH), (found & ~true, ONLY_FOUND), (~found & true, ONLY_TRUE)):
        drawn[where] = drawn[where] * (1.0 - _TINT) + np.array(colour, np.float32) * _TINT
    return np.round(drawn).astype(np.uint8)


def _spacing(asked: Asked) -> PixelSpacingMm | None:
    """Raises Refused: one of the two is missing."""
    if asked.row_mm is None and asked.column_mm is None:
        return None
    if asked.row_mm is None or asked.column_mm is None:
        raise Refused("Give the millimetres of a pixel for rows and for columns, or for neither.")
    return PixelSpacingMm(asked.row_mm, asked.column_mm)


def _opened(asked: Asked) -> DecodedPicture:
    if asked.file.suffix in PICTURE_SUFFIXES:
        return read_picture(asked.file, _spacing(asked))
    return read_instance(asked.file, secondary_captures=True)


def _example(asked: TrialAsked) -> DecodedPicture:
    """A made-up scene; its study and series are the same each time."""
    assert asked.example is not None  # noqa: S101  the caller has checked
    scene = SCENES[asked.example]
    made = us_object(scene)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(made, keyword, generate_uid(entropy_srcs=["example", scene.title, keyword]))
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.InstanceNumber = 1
    made.save_as(asked.out / "source.dcm", enforce_file_format=True)
    return read_instance(asked.out / "source.dcm")


def _header(decoded: DecodedPicture, spacing: PixelSpacingMm | None, out: Path) -> Dataset | None:
    """What reports refer to: the object's own header, or that of one made of the picture; None where neither can be."""
    if isinstance(decoded, DecodedInstance):
        return None if missing_uid(decoded.header) else decoded.header
    made = as_object(decoded.display(1), spacing)
    made.save_as(out / "source.dcm", enforce_file_format=True)
    return read_instance(out / "source.dcm").header


def _mask(path: Path, shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Raises ValueError: it is of another size or empty; InstanceRefused: it is no picture."""
    try:
        drawn = read_picture(path, None).display(1).max(axis=2) > 127
    except InstanceRefused as error:
        raise ValueError(f"the mask: {error}") from error
    if drawn.shape != shape:
        raise ValueError(f"the mask has {drawn.shape[1]} x {drawn.shape[0]} pixels, the frame {shape[1]} x {shape[0]}")
    return filled(drawn)


def _entropy(config: Config, entry: ModelEntry, source: Dataset, examination: Examination) -> UidEntropy:
    """Of reports that are no results of this installation: no UID of theirs may ever be one of these."""
    protocol = protocol_of(config, entry)
    return UidEntropy(
        study_instance_uid=str(source.StudyInstanceUID),
        source_sop_instance_uid=str(source.SOPInstanceUID),
        revision=0,
        frames=examination.frames_used,
        weights_sha256=entry.sha256,
        software_version=protocol.software_version,
        backend=protocol.backend,
        configuration=(*protocol.configuration, ("calibration", entry.calibration_sha256), ("tried_out", SERIAL)),
    )
