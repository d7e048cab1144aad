"""The page to read first: the way of one stored object to its answer, its result objects and the outbox.

    decode -> examine -> report -> commit

Everything before the commit may be done twice: nobody sees it. The commit writes the result, its objects and one outbox
row per object and destination in one transaction, and only for the worker that still holds the job.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pydicom.dataset import Dataset

from dicom_node import answers
from dicom_node.cine import agreeing_heads, cine_of, examined_frames
from dicom_node.comparison import same_content
from dicom_node.decode import DecodedInstance, read_instance
from dicom_node.domain import (
    Action,
    Destination,
    InstanceRef,
    Job,
    JobKind,
    NewObject,
    NewResult,
    Relation,
    ResultKind,
    Route,
)
from dicom_node.errors import InstanceRefused, ModelRefused
from dicom_node.examiner import Engine
from dicom_node.independent_age import SOURCES
from dicom_node.looking import look
from dicom_node.operator_values import NOTHING_SAID, OperatorValues
from dicom_node.reporting import Evidence, NotMeasured, Reporter
from dicom_node.routing import routed
from dicom_node.stopwatch import Stopwatch
from dicom_node.storage.files import named_read_errors
from dicom_node.storage.repository import Repository
from dicom_node.study import StudyPipeline
from dicom_node.study_reports import StudyReports
from inference.domain import AgeSource, Examination, Explanation, Measurement, Reason
from inference.examine import Examiner
from sr_templates.cine import Cine
from sr_templates.source import missing_uid
from sr_templates.uids import UidEntropy

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of looking at one object: the answer, and the evidence where there is any.

    `explanation` is that of the chosen measurement, where an object is wanted that shows it; `said` is what the
    machine's own report said at the time.
    """

    answer: answers.Answer
    decoded: DecodedInstance | None
    examination: Examination | None
    explanation: Explanation | None = None
    said: OperatorValues = NOTHING_SAID


def no_other_model(name: str) -> Engine:
    """Raises ModelRefused: the one model is all there is."""
    raise ModelRefused(f"A rule asks for the model {name}, which is not loaded.")


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Turns a claimed job into a committed result.

    `examiner`, `reporter` and `destinations` are the usual ones; what the rules decided about an image goes before.
    """

    repository: Repository
    data_dir: Path
    examiner: Examiner
    reporter: Reporter
    destinations: Sequence[Destination]
    cine_frames: int
    accept_corrections: bool
    now: Callable[[], datetime]
    secondary_captures: bool = False
    age_sources: Sequence[AgeSource] = SOURCES
    study_reports: StudyReports | None = None
    other_model: Callable[[str], Engine] = no_other_model

    def run(self, job: Job) -> None:
        """Do one job.

        Raises:
            Transient: storage or database do not answer; the job may be tried again.
        """
        if job.kind is JobKind.STUDY:
            version = self.repository.study_version(job.study_version_id)
            routes = [source.instance.route for source in version.sources]
            self._on(routes)._study_pipeline().run(job)
            return
        instance = self.repository.instance(job.instance_id)
        if job.kind is JobKind.RECONCILE:
            self._reconcile(job, instance)
        else:
            self._on([instance.route])._measure(job, instance)

    def _on(self, routes: Sequence[Route]) -> Pipeline:
        """This pipeline as the rules want it for one image, or for a study whose images took these routes.

        What is said of a study goes wherever one of its images' results may go; where the images were measured by
        several models, the usual one signs.
        """
        changed = replace(self, destinations=routed(self.destinations, routes))
        models = {route.model for route in routes}
        if len(models) == 1 and (name := models.pop()) is not None:
            engine = self.other_model(name)
            protocol = replace(self.reporter.protocol, model=engine.entry)
            changed = replace(changed, examiner=engine.examiner, reporter=replace(self.reporter, protocol=protocol))
        if any(route.send is not None for route in routes):
            wanted = {kind for destination in changed.destinations for kind in destination.objects}
            usual = () if all(route.send is not None for route in routes) else self.reporter.kinds
            changed = replace(changed, reporter=replace(changed.reporter, kinds=wanted.union(usual)))
        if any(route.action is Action.MEASURE for route in routes):
            changed = replace(changed, secondary_captures=True)
        return changed

    def _study_pipeline(self) -> StudyPipeline:
        return StudyPipeline(
            repository=self.repository,
            data_dir=self.data_dir,
            reporter=self.reporter,
            destinations=self.destinations,
            age_sources=self.age_sources,
            said_beside=self._said_beside,
            explain=self._second_look,
            now=self.now,
        )

    def _measure(self, job: Job, instance: InstanceRef) -> None:
        watch = Stopwatch()
        looked = self._look(instance, watch)
        frames = looked.examination.frames_used if looked.examination else ()
        entropy = self.reporter.protocol.entropy(instance, frames, looked.said.facts())
        result = NewResult(
            fingerprint=entropy.fingerprint(),
            status=looked.answer["status"],
            reason=looked.answer["reason"],
            document=json.dumps(looked.answer),
            objects=(),
        )
        with named_read_errors(), watch("report"):
            result = replace(result, objects=self._report(instance, looked, entropy))
        with watch("commit"):
            self.repository.commit_result(job, result, self.destinations, self.now())
        _log.info(
            "pipeline.answered",
            extra={
                "job_id": job.id,
                "sop_instance_uid": instance.sop_instance_uid,
                "status": result.status,
                "reason": result.reason,
                "seconds": looked.answer["seconds"],
                **watch.seconds,
            },
        )

        if instance.relation is Relation.CORRECTION and not result.objects:
            # what was said of the earlier version is withdrawn, and nothing takes its place: somebody should know
            _log.warning(
                "pipeline.corrected_without_report",
                extra={"job_id": job.id, "sop_instance_uid": instance.sop_instance_uid, "reason": result.reason},
            )

    def _look(self, instance: InstanceRef, watch: Stopwatch) -> Looked:
        """Decode and examine; a refusal is an answer too."""
        began = time.perf_counter()
        try:
            with named_read_errors(), watch("decode"):
                path = self.data_dir / instance.path
                decoded = read_instance(path, secondary_captures=self.secondary_captures)
                _check_can_be_named(decoded)
                if decoded.calibration.regions:
                    decoded.display(1)  # always looked at, and kept: a still is decoded once
            with named_read_errors(), watch("examine"):
                said = self._said_beside(instance, decoded.header)
                examination = look(decoded, self.examiner, self.cine_frames, self.age_sources, said)
            with named_read_errors(), watch("explain"):
                explanation = self._explain(decoded, examination)
        except InstanceRefused as refusal:
            seconds = time.perf_counter() - began
            uid = instance.sop_instance_uid
            return Looked(answers.refused(None, uid, refusal, self.examiner.model, seconds), None, None)
        answer = answers.examined(None, instance.sop_instance_uid, examination, decoded.frame_times_ms)
        return Looked(answer, decoded, examination, explanation, said)

    def _said_beside(self, instance: InstanceRef, header: Dataset) -> OperatorValues:
        """What the machine's own report says, where one is stored and wanted."""
        return NOTHING_SAID if self.study_reports is None else self.study_reports.said_beside(instance, header)

    def _explain(self, decoded: DecodedInstance, examination: Examination) -> Explanation | None:
        """Why the outline lies where it lies; a second look, only where a wanted object shows it."""
        finding = examination.finding
        if not isinstance(finding, Measurement) or not self.reporter.explains:
            return None
        return self._second_look(decoded, finding, agreeing_heads(examined_frames(examination), examination.consensus))

    def _second_look(self, decoded: DecodedInstance, head: Measurement, agreeing: Sequence[Measurement]) -> Explanation:
        """Of a cine also a look at the frames that agree: how far they differ about the outline."""
        (frame,) = decoded.frames((head.frame,))
        told = self.examiner.explain(frame, head)
        if len(agreeing) < 2:
            return told
        frames = decoded.frames(tuple(other.frame for other in agreeing))
        deviation = self.examiner.differ(zip(frames, agreeing, strict=True), head)
        return replace(told, deviation=deviation, frames=len(agreeing))

    def _report(self, instance: InstanceRef, looked: Looked, entropy: UidEntropy) -> tuple[NewObject, ...]:
        """The result objects; without a number at most one that says why."""
        if looked.examination is None or looked.decoded is None:
            return ()
        finding = looked.examination.finding
        if not isinstance(finding, Measurement):
            return self._report_abstention(instance, NotMeasured(looked.decoded.header, finding), entropy)
        picture, cine = looked.decoded.display(finding.frame), self._cine(looked.decoded, looked.examination)
        beside = () if looked.said.report is None else (looked.said.report,)
        evidence = Evidence(looked.decoded.header, finding, picture, looked.explanation, cine, beside)
        frames, together = examined_frames(looked.examination), looked.examination.consensus
        evidence = replace(evidence, frames=frames, together=together)
        earlier = self.repository.predecessor_objects(instance)
        return self.reporter.report(evidence, entropy, earlier, self.now().astimezone())

    def _cine(self, decoded: DecodedInstance, examination: Examination) -> Cine | None:
        """All examined frames of the measured region; only where a wanted object shows them and there are several."""
        if ResultKind.CINE_OVERLAY not in self.reporter.kinds:
            return None
        return cine_of(decoded, examination)

    def _report_abstention(
        self, instance: InstanceRef, looked: NotMeasured, entropy: UidEntropy
    ) -> tuple[NewObject, ...]:
        earlier = self.repository.predecessor_objects(instance)
        return self.reporter.report_abstention(looked, entropy, earlier, self.now().astimezone())

    def _reconcile(self, job: Job, instance: InstanceRef) -> None:
        """The same UID came with other bytes: is it the same content, a corrected identity, or another picture?"""
        relation, refusal = self._compare(instance)
        remark = None if refusal is None else str(refusal)
        self.repository.reconcile(job, relation, self.accept_corrections, self.now(), remark)
        facts = {
            "job_id": job.id,
            "sop_instance_uid": instance.sop_instance_uid,
            "relation": str(relation),
            "reason": None if refusal is None else str(refusal.reason),
        }
        _log.warning("pipeline.reconciled", extra=facts)

    def _compare(self, instance: InstanceRef) -> tuple[Relation, InstanceRefused | None]:
        """The relation to the version that stands, and why the new one could not be read, if so."""
        standing = self.repository.standing_version(instance)
        if standing is None:  # nothing was ever read under this UID: what comes now is looked at like a first one
            return Relation.REPLACEMENT, None
        try:
            with named_read_errors():
                return same_content(self.data_dir / standing.path, self.data_dir / instance.path), None
        except InstanceRefused as refusal:
            return Relation.CONFLICT, refusal


def _check_can_be_named(decoded: DecodedInstance) -> None:
    """Every result refers to its image by class, study, series and instance; without one of them none can be made.

    Raises:
        InstanceRefused: UNREADABLE.
    """
    keyword = missing_uid(decoded.header)
    if keyword is not None:
        raise InstanceRefused(Reason.UNREADABLE, f"(no {keyword}, or several: no result could refer to the image)")
