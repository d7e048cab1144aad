"""One measurement becomes files on disk, one for each kind that is wanted: built, written durably, ready to commit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset

from dicom_node.domain import (
    EXPLANATIONS,
    USUAL_OBJECTS,
    InstanceRef,
    NewObject,
    ResultKind,
    StoredObject,
    StudyVersion,
)
from dicom_node.storage.files import RESULTS, durable_write
from inference.agreement import Choice
from inference.domain import Abstention, Consensus, Explanation, Finding, Measurement, ModelIdentity
from inference.models import ModelEntry
from sr_templates.abstention import SHELL as ABSTENTION
from sr_templates.abstention import build_abstention
from sr_templates.capture import build_cine_overlay, build_gradcam, build_overlay, build_uncertainty
from sr_templates.cine import Cine
from sr_templates.key_object import build_key_object
from sr_templates.language import Language
from sr_templates.narrative import from_template
from sr_templates.pdf import build_pdf
from sr_templates.presentation import build_presentation_state
from sr_templates.report import (
    NOTHING_FURTHER,
    AbstentionInput,
    Further,
    Narrative,
    PageSize,
    Predecessor,
    ReportInput,
    SrClass,
)
from sr_templates.study import StudyReport, build_study_sr
from sr_templates.study_page import build_study_pdf
from sr_templates.tid1500 import build_tid1500
from sr_templates.tid5000 import Candidate, build_tid5000
from sr_templates.uids import Equipment, ResultUids, StudyEntropy, UidEntropy, result_uids, with_study

AbstentionRule = Literal["never", "heads", "all"]
"""Of which looks without a number a report is made: of none, of those at a head, of all."""

Picture = NDArray[np.uint8]
"""RGB uint8 [rows, columns, 3]."""

Narrate = Callable[[ReportInput], Narrative]
"""Words the two paragraphs of the PDF; always answers."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A measurement, the header of its source and its frame; why, and all examined frames, where an object shows it.

    `beside`: headers of other objects of the study that the measurement leans on. `frames`: the findings of all
    examined frames, `together` what those of a cine say together.
    """

    source: Dataset
    measurement: Measurement
    picture: Picture
    explanation: Explanation | None = None
    cine: Cine | None = None
    beside: tuple[Dataset, ...] = ()
    frames: tuple[Finding, ...] = ()
    together: Consensus | None = None


@dataclass(frozen=True, slots=True)
class NotMeasured:
    """A look without a number, and the header of its source."""

    source: Dataset
    abstention: Abstention


@dataclass(frozen=True, slots=True)
class StudyEvidence:
    """The measured heads of a study, at least one, and the choice among them; see sr_templates.study.StudyReport.

    `image` is the entropy of the image that the report is about: that of the selected head or, where none is, of the
    first. `picture` is the selected head's frame; None where none is. `has_overlay`: that image's is stored already.
    `several_fetuses`: the machine's own report says so.
    `beside` as in `Evidence`; `further` is what the page shows of the selected head.
    """

    candidates: tuple[Candidate, ...]
    choice: Choice
    version: int
    several_heads: tuple[Dataset, ...]
    entropy: StudyEntropy
    image: UidEntropy
    picture: Picture | None
    has_overlay: bool
    beside: tuple[Dataset, ...] = ()
    further: Further = NOTHING_FURTHER
    several_fetuses: bool = False


@dataclass(frozen=True, slots=True)
class Protocol:
    """What, besides the pixels, decides a result."""

    model: ModelEntry
    backend: str
    configuration: tuple[tuple[str, str], ...]
    software_version: str

    def entropy(self, instance: InstanceRef, frames: Sequence[int], beside: str = "") -> UidEntropy:
        """The seed of the UIDs of everything that is said about `instance`; `beside`: what other objects said."""
        return UidEntropy(
            study_instance_uid=instance.study_instance_uid,
            source_sop_instance_uid=instance.sop_instance_uid,
            revision=instance.revision,
            frames=tuple(frames),
            weights_sha256=self.model.sha256,
            software_version=self.software_version,
            backend=self.backend,
            configuration=(*self.configuration, *self._model_settings()),
            beside=beside,
        )

    def study_entropy(self, version: StudyVersion, beside: str = "") -> StudyEntropy:
        """The seed of the UIDs of what is said about a version of a study; `beside` as for an image."""
        return StudyEntropy(
            study_instance_uid=version.study_instance_uid,
            version=version.version,
            results=tuple(source.result.fingerprint for source in version.sources),
            software_version=self.software_version,
            configuration=self.configuration,
            beside=beside,
        )

    def coverage(self, model: ModelIdentity) -> float | None:
        """What the intervals promise, if they are those of the model in use."""
        interval = self.model.interval
        return interval.coverage if interval is not None and model == self.model.identity else None

    def _model_settings(self) -> tuple[tuple[str, str], ...]:
        """What the manifest adds to the weights: limits that decide a number, and sizes that add a remark to it."""
        calibration = ("calibration", self.model.calibration_sha256)
        if not self.model.weak_sizes:
            return (calibration,)
        weak = ", ".join(f"{size.from_mm} to {size.below_mm}" for size in self.model.weak_sizes)
        return calibration, ("weak_sizes", weak)


@dataclass(frozen=True, slots=True)
class Reporter:
    """Builds those objects of one measurement that are in `kinds`, and writes them below `data_dir`."""

    data_dir: Path
    equipment: Equipment
    protocol: Protocol
    series_number: int
    kinds: Collection[ResultKind] = USUAL_OBJECTS
    page_size: PageSize = PageSize.A4
    language: Language = Language.ENGLISH
    narrate: Narrate = from_template
    sr_class: SrClass = SrClass.COMPREHENSIVE
    abstentions: AbstentionRule = "never"
    pdf_pictures: bool = False

    def report_abstention(
        self, looked: NotMeasured, entropy: UidEntropy, earlier: Sequence[StoredObject], created: datetime
    ) -> tuple[NewObject, ...]:
        """The report of a look without a number, where that is wanted; it goes where measurement reports go."""
        wanted = self.abstentions == "all" or (self.abstentions == "heads" and looked.abstention.saw_head)
        if not wanted or ResultKind.TID1500 not in self.kinds:
            return ()
        replaced = [self._predecessor(old) for old in earlier if old.kind is ResultKind.TID1500]
        facts = AbstentionInput(
            source=looked.source,
            abstention=looked.abstention,
            model=self.protocol.model.identity,
            equipment=self.equipment,
            uids=result_uids(entropy),
            created=created,
            series_number=self.series_number,
            predecessors={ABSTENTION.kind: replaced[0]} if replaced else {},
            sr_class=self.sr_class,
        )
        return (self._write(ResultKind.TID1500, build_abstention(facts)),)

    def report(
        self, evidence: Evidence, entropy: UidEntropy, earlier: Sequence[StoredObject], created: datetime
    ) -> tuple[NewObject, ...]:
        """The objects in the order of their kinds; `earlier` are those that these replace."""
        head = Candidate(evidence.source, evidence.measurement)
        facts = self._facts(head, result_uids(entropy), earlier, created)
        facts = replace(facts, beside=evidence.beside, together=evidence.together)
        builders: dict[ResultKind, Callable[[], Dataset]] = {
            ResultKind.TID1500: lambda: build_tid1500(facts),
            ResultKind.PDF: partial(self._pdf, facts, evidence),
            ResultKind.OVERLAY: lambda: build_overlay(facts, evidence.picture),
            ResultKind.TID5000: lambda: build_tid5000(facts),
            ResultKind.PRESENTATION: lambda: build_presentation_state(facts, evidence.picture),
            ResultKind.KEY_OBJECT: lambda: build_key_object(facts),
            **_explanations(facts, evidence),
            **_cine(facts, evidence),
        }
        return tuple(self._write(kind, build()) for kind, build in builders.items() if kind in self.kinds)

    def report_study(
        self, evidence: StudyEvidence, earlier: Sequence[StoredObject], created: datetime
    ) -> tuple[NewObject, ...]:
        """The objects of a study that are wanted; the overlay of the selected image as an OVERLAY of that image."""
        spoken = evidence.candidates[evidence.choice.selected or 0]
        uids = with_study(result_uids(evidence.image), evidence.entropy)
        facts = replace(self._facts(spoken, uids, earlier, created), beside=evidence.beside)
        study = StudyReport(
            report=facts,
            candidates=evidence.candidates,
            choice=evidence.choice,
            version=evidence.version,
            several_heads=evidence.several_heads,
            several_fetuses=evidence.several_fetuses,
        )
        made = []
        if ResultKind.STUDY_SR in self.kinds:
            made.append(self._write(ResultKind.STUDY_SR, build_study_sr(study)))
        if ResultKind.STUDY_PDF in self.kinds:
            worded = study if evidence.picture is None else replace(study, report=self._worded(facts))
            made.append(self._write(ResultKind.STUDY_PDF, build_study_pdf(worded, evidence.picture, evidence.further)))
        if ResultKind.STUDY_OVERLAY in self.kinds and evidence.picture is not None and not evidence.has_overlay:
            made.append(self._write(ResultKind.OVERLAY, build_overlay(facts, evidence.picture)))
        return tuple(made)

    def _facts(
        self, head: Candidate, uids: ResultUids, earlier: Sequence[StoredObject], created: datetime
    ) -> ReportInput:
        model = head.model or self.protocol.model.identity
        return ReportInput(
            source=head.source,
            measurement=head.measurement,
            model=model,
            equipment=self.equipment,
            uids=uids,
            created=created,
            series_number=self.series_number,
            page_size=self.page_size,
            language=self.language,
            sr_class=self.sr_class,
            predecessors={str(old.kind): self._predecessor(old) for old in earlier},
            interval_coverage=self.protocol.coverage(model),
        )

    @property
    def explains(self) -> bool:
        """Whether a wanted object shows why the outline lies where it lies."""
        return not EXPLANATIONS.isdisjoint(self.kinds) or (self.pdf_pictures and ResultKind.PDF in self.kinds)

    @property
    def explains_study(self) -> bool:
        """Whether the page of a study shows why the outline of its selected head lies where it lies."""
        return self.pdf_pictures and ResultKind.STUDY_PDF in self.kinds

    def _pdf(self, facts: ReportInput, evidence: Evidence) -> Dataset:
        why = evidence.explanation if self.pdf_pictures else None
        return build_pdf(self._worded(facts), evidence.picture, Further(why, evidence.frames, evidence.together))

    def _worded(self, facts: ReportInput) -> ReportInput:
        """With its two paragraphs: a language model is asked here and nowhere else."""
        return replace(facts, narrative=self.narrate(facts))

    def _write(self, kind: ResultKind, dataset: Dataset) -> NewObject:
        buffer = BytesIO()
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
        content = buffer.getvalue()
        path = durable_write(self.data_dir / RESULTS, content)
        return NewObject(
            kind=kind,
            sop_class_uid=str(dataset.SOPClassUID),
            sop_instance_uid=str(dataset.SOPInstanceUID),
            path=path.relative_to(self.data_dir).as_posix(),
            sha256=hashlib.sha256(content).hexdigest(),
        )

    def _predecessor(self, old: StoredObject) -> Predecessor:
        return Predecessor.of(pydicom.dcmread(self.data_dir / old.path, stop_before_pixels=True))


def _explanations(facts: ReportInput, evidence: Evidence) -> dict[ResultKind, Callable[[], Dataset]]:
    """The captures that tell why; empty where nobody asked."""
    if evidence.explanation is None:
        return {}
    return {
        ResultKind.GRADCAM: partial(build_gradcam, facts, evidence.picture, evidence.explanation),
        ResultKind.UNCERTAINTY: partial(build_uncertainty, facts, evidence.picture, evidence.explanation),
    }


def _cine(facts: ReportInput, evidence: Evidence) -> dict[ResultKind, Callable[[], Dataset]]:
    """The capture of all examined frames; empty for a still, and where nobody asked."""
    return {} if evidence.cine is None else {ResultKind.CINE_OVERLAY: partial(build_cine_overlay, facts, evidence.cine)}
