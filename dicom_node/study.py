"""The way of a study that has been quiet to its report.

    recall -> choose -> report -> commit

The heads are those that the answers of its images told; no image is measured again. Only what another age and the
sonographer say of the head that speaks is asked anew: the machine's own report often comes last. As with an image,
everything before the commit may be done twice, and the commit is fenced. If more came meanwhile, nothing is said: the
study is due again when it has been quiet.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from dicom_node.cine import agreeing_heads
from dicom_node.decode import DecodedInstance, read_header, read_instance
from dicom_node.domain import (
    Destination,
    InstanceRef,
    Job,
    NewResult,
    NewStudyResult,
    ResultKind,
    StudySource,
    StudyVersion,
)
from dicom_node.independent_age import independent_age
from dicom_node.operator_values import NOTHING_SAID, OperatorValues
from dicom_node.patients import contradictions
from dicom_node.recall import told_by, told_consensus, told_frames, told_heads
from dicom_node.reporting import Reporter, StudyEvidence
from dicom_node.storage.files import named_read_errors
from dicom_node.storage.repository import Repository
from inference.agreement import Choice, Verdict, choose
from inference.domain import (
    REASON_TEXT,
    SEVERAL_HEADS,
    AgeSource,
    Examination,
    Explanation,
    Measurement,
    Reason,
    Status,
)
from inference.growth import beside_operator, compare
from sr_templates.report import NOTHING_FURTHER, Further
from sr_templates.tid5000 import Candidate

_log = logging.getLogger(__name__)

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Image:
    """One source of a study's version: its answer, and its object's header read again.

    Of a hundred images only that which speaks is opened for its picture: an open one holds a file, or a decoder.
    """

    source: StudySource
    answer: Facts
    header: Dataset

    @property
    def shows_several_heads(self) -> bool:
        return self.answer["reason"] in SEVERAL_HEADS


@dataclass(frozen=True, slots=True)
class Head:
    """One measured head and the image that it was measured on."""

    image: Image
    measurement: Measurement

    @property
    def candidate(self) -> Candidate:
        return Candidate(self.image.header, self.measurement, told_by(self.image.answer))


@dataclass(frozen=True, slots=True)
class Chosen:
    """The head that speaks, if any, and what the machine's own report says of it."""

    choice: Choice
    said: OperatorValues


@dataclass(frozen=True, slots=True)
class StudyPipeline:
    """Turns the claimed job of a study's version into a committed result."""

    repository: Repository
    data_dir: Path
    reporter: Reporter
    destinations: Sequence[Destination]
    age_sources: Sequence[AgeSource]
    said_beside: Callable[[InstanceRef, Dataset], OperatorValues]
    explain: Callable[[DecodedInstance, Measurement, Sequence[Measurement]], Explanation]
    now: Callable[[], datetime]

    def run(self, job: Job) -> None:
        """Do one job.

        Raises:
            Transient: storage or database do not answer; the job may be tried again.
        """
        version = self.repository.study_version(job.study_version_id)
        with named_read_errors():
            images = tuple(map(self._open, version.sources))
            heads = tuple(Head(image, told) for image in images for told in told_heads(image.answer))
            choice = _choose(images, heads)
            said = NOTHING_SAID if choice.selected is None else self._said(heads[choice.selected])
            if said.several_fetuses:  # heads of the same size are no sign of one fetus
                choice = choose([head.measurement for head in heads], several_heads=True)
            result = self._report(version, images, heads, Chosen(choice, said))
        facts = {
            "job_id": job.id,
            "study_instance_uid": version.study_instance_uid,
            "version": version.version,
            "count": len(heads),
            "status": result.answer.status,
            "reason": result.answer.reason,
        }
        if not self.repository.commit_study(job, result, self.destinations, self.now()):
            _log.info("study.overtaken", extra=facts)
        elif not result.answer.objects and self.repository.study_predecessor_objects(version):
            # what was said of the study is withdrawn, and nothing takes its place: somebody should know
            _log.warning("study.withdrawn", extra=facts)
        else:
            _log.info("study.answered", extra=facts)

    def _open(self, source: StudySource) -> Image:
        header = read_header(self.data_dir / source.instance.path)
        return Image(source, json.loads(source.result.document), header)

    def _decoded(self, image: Image) -> DecodedInstance:
        # it was measured once: whether captures are measured now is no longer the question
        return read_instance(self.data_dir / image.source.instance.path, secondary_captures=True)

    def _report(
        self, version: StudyVersion, images: Sequence[Image], heads: Sequence[Head], chosen: Chosen
    ) -> NewStudyResult:
        choice, said = chosen.choice, chosen.said
        spoken = None if not heads or choice.reason is Reason.PATIENTS_DISAGREE else heads[choice.selected or 0]
        entropy = self.reporter.protocol.study_entropy(version, said.facts())
        told = _document(version, images, heads, chosen)
        answer = NewResult(entropy.fingerprint(), told["status"], told["reason"], json.dumps(told), ())
        if spoken is None:
            return NewStudyResult(answer)
        instance = spoken.image.source.instance
        decoded = None if choice.selected is None else self._decoded(spoken.image)
        evidence = StudyEvidence(
            candidates=tuple(self._compared(heads, choice.selected, said)),
            choice=choice,
            version=version.version,
            several_heads=tuple(image.header for image in images if image.shows_several_heads),
            several_fetuses=said.several_fetuses,
            entropy=entropy,
            image=self.reporter.protocol.entropy(instance, spoken.image.answer["frames_used"]),
            picture=None if decoded is None else decoded.display(spoken.measurement.frame),
            has_overlay=any(o.kind is ResultKind.OVERLAY for o in self.repository.objects_of(instance.id)),
            beside=() if said.report is None else (said.report,),
            further=NOTHING_FURTHER if decoded is None else self._further(spoken, decoded),
        )
        earlier = (
            *self.repository.study_predecessor_objects(version),
            *self.repository.predecessor_objects(instance),
        )
        objects = self.reporter.report_study(evidence, earlier, self.now().astimezone())
        own = tuple(new for new in objects if new.kind is not ResultKind.OVERLAY)
        overlay = next((new for new in objects if new.kind is ResultKind.OVERLAY), None)
        selected = None if choice.selected is None else spoken.image.source.result.id
        return NewStudyResult(replace(answer, objects=own), selected, overlay)

    def _further(self, head: Head, decoded: DecodedInstance) -> Further:
        """What the page shows of the head that speaks; why, only by the weights that measured it."""
        why, frames, together = None, told_frames(head.image.answer), told_consensus(head.image.answer)
        if self.reporter.explains_study and told_by(head.image.answer) == self.reporter.protocol.model.identity:
            why = self.explain(decoded, head.measurement, agreeing_heads(frames, together))
        return Further(why, frames, together)

    def _said(self, head: Head) -> OperatorValues:
        """What the machine's own report says by now: it often comes when the last image has been measured."""
        return self.said_beside(head.image.source.instance, head.image.header)

    def _compared(self, heads: Sequence[Head], selected: int | None, said: OperatorValues) -> Iterator[Candidate]:
        """The heads; that which speaks beside an age that does not come from it, and the sonographer's HC."""
        for place, head in enumerate(heads):
            yield (self._beside(head, said) if place == selected else head).candidate

    def _beside(self, head: Head, said: OperatorValues) -> Head:
        measured = head.measurement
        looked = Examination((measured,), 0, (measured.frame,), told_by(head.image.answer), 0.0)
        age = independent_age(head.image.header, self.age_sources, said)
        finding = beside_operator(compare(looked, age), said.hc).finding
        assert isinstance(finding, Measurement)  # noqa: S101  it was one
        return replace(head, measurement=finding)


def _choose(images: Sequence[Image], heads: Sequence[Head]) -> Choice:
    """As `choose`; but of images that name different patients none speaks."""
    different = contradictions([image.header for image in images])
    if different:
        uid = images[0].source.instance.study_instance_uid
        _log.warning("study.patients_disagree", extra={"study_instance_uid": uid, "what": "/".join(different)})
        return Choice(None, Reason.PATIENTS_DISAGREE, (Verdict.NOT_SELECTED,) * len(heads))
    several = any(image.shows_several_heads for image in images)
    return choose([head.measurement for head in heads], several)


def _document(version: StudyVersion, images: Sequence[Image], heads: Sequence[Head], chosen: Chosen) -> Facts:
    """What is stored of the answer: the selected head at the top, all of them in `candidates`."""
    choice = chosen.choice
    facts = [_facts(head, verdict) for head, verdict in zip(heads, choice.verdicts, strict=True)]
    reason = choice.reason
    return {
        "study_instance_uid": version.study_instance_uid,
        "version": version.version,
        "status": str(Status.MEASURED if reason is None else Status.ABSTAINED),
        "reason": None if reason is None else str(reason),
        "reason_text": None if reason is None else REASON_TEXT[reason],
        "selected": None if choice.selected is None else facts[choice.selected],
        "candidates": facts,
        "several_heads": [i.source.instance.sop_instance_uid for i in images if i.shows_several_heads],
        "several_fetuses": chosen.said.several_fetuses,
    }


def _facts(head: Head, verdict: Verdict) -> Facts:
    measurement, interval = head.measurement, head.measurement.hc_interval
    return {
        "sop_instance_uid": head.image.source.instance.sop_instance_uid,
        "frame": measurement.frame,
        "hc_mm": measurement.hc_mm,
        "hc_low_mm": None if interval is None else interval.low,
        "hc_high_mm": None if interval is None else interval.high,
        "ga_days": measurement.age.days,
        "verdict": str(verdict),
    }
