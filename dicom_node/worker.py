"""The worker process: claims a job, holds its lease while the pipeline runs, and tells the queue how it ended."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import closing
from functools import partial
from threading import Event

from dicom_node import __version__
from dicom_node.config import Config, NarrativeSection
from dicom_node.domain import Job
from dicom_node.errors import InstanceRefused, LeaseLost, NodeError
from dicom_node.examiner import build_examiner, find_entry, other_models
from dicom_node.lease import renewed
from dicom_node.narrator import narrator_of
from dicom_node.pipeline import Pipeline
from dicom_node.queue import JobQueue, QueuePolicy, utc_now
from dicom_node.reporting import Protocol, Reporter
from dicom_node.retry import GiveUp
from dicom_node.storage.repository import Repository
from dicom_node.storage.wakeup import Work
from dicom_node.study_reports import StudyReports
from inference.models import ModelEntry
from sr_templates.report import PageSize
from sr_templates.uids import equipment

_log = logging.getLogger(__name__)


def run(config: Config, repository: Repository, stop: Event) -> None:
    """Work until `stop` is set.

    Raises:
        ModelRefused: the configured model is missing or altered.
    """
    pipeline = build_pipeline(config, repository)
    queue = JobQueue(repository, QueuePolicy.of(config.queue))
    name = f"{socket.gethostname()}/{os.getpid()}"
    _log.info("worker.ready", extra={"model": config.inference.model})
    with closing(repository.patience(Work.JOB)) as patience:
        while not stop.is_set():
            if not work_once(queue, pipeline, name, config.queue.lease_s):
                patience.wait(stop, config.queue.poll_s)


def work_once(queue: JobQueue, pipeline: Pipeline, name: str, lease_s: float) -> bool:
    """Claim and do one job; False when there was none or the database did not answer."""
    try:
        job = queue.claim(name)
    except NodeError as error:
        _log.warning("worker.no_database", extra=_named(error))
        return False
    if job is None:
        return False
    try:
        with renewed(partial(_renew, queue, job), lease_s):
            pipeline.run(job)
    except LeaseLost:
        _log.warning("worker.lease_lost", extra={"job_id": job.id})
    except Exception as error:  # noqa: BLE001  one bad object never stops the next
        _fail(queue, job, error)
    return True


def _fail(queue: JobQueue, job: Job, error: Exception) -> None:
    expected = isinstance(error, NodeError)
    facts = {"job_id": job.id, "attempts": job.attempts, **_named(error)}
    _log.warning("worker.job_failed", extra=facts, exc_info=not expected)
    try:
        decision = queue.fail(job, error)
    except LeaseLost:
        _log.warning("worker.lease_lost", extra={"job_id": job.id})
        return
    except NodeError as second:  # the job stays RUNNING until its lease ends, and is then tried again
        _log.warning("worker.not_written", extra={"job_id": job.id, **_named(second)})
        return
    if isinstance(decision, GiveUp):
        _log.error("worker.job_dead", extra=facts)


def _renew(queue: JobQueue, job: Job) -> bool:
    """Whether there is still a lease to hold; where it was lost, the commit is fenced and will find out."""
    try:
        queue.renew(job)
    except LeaseLost:
        return False
    except NodeError as error:
        _log.warning("worker.not_renewed", extra={"job_id": job.id, **_named(error)})
    return True


def _named(error: Exception) -> dict[str, str]:
    """An error as words that may be logged: its class and, of a refused object, the reason. Sentences stay in rows."""
    named = {"error": type(error).__name__}
    return {**named, "reason": error.reason.value} if isinstance(error, InstanceRefused) else named


def protocol_of(config: Config, entry: ModelEntry) -> Protocol:
    """All of the configuration that changes a result, and nothing else of it."""
    inference = config.inference
    return Protocol(
        model=entry,
        backend=f"torch-{inference.device}/{inference.precision}",
        configuration=(
            ("cine_frames", str(inference.cine_frames)),
            ("equation", inference.equation),
            ("independent_ages", ",".join(config.dating.independent_ages)),
            ("page_size", config.results.page_size),
            ("language", config.results.language),
            ("operator_hc", config.results.operator_hc),
            ("narrative", _author(config.narrative)),
            ("sr_class", config.results.sr_class),
            ("pdf_pictures", str(config.results.pdf_pictures)),
        ),
        software_version=__version__,
    )


def _author(narrative: NarrativeSection) -> str:
    """Who writes: the model counts only where it is asked."""
    return f"llm {narrative.model}" if narrative.mode == "llm" else narrative.mode


def build_pipeline(config: Config, repository: Repository) -> Pipeline:
    """The pipeline as configured.

    Raises:
        ModelRefused: the configured model is missing or altered.
    """
    entry = find_entry(config)
    inference = config.inference
    protocol = protocol_of(config, entry)
    device = equipment(__version__, repository.installation_serial())
    return Pipeline(
        repository=repository,
        data_dir=config.node.data_dir,
        examiner=build_examiner(config, entry),
        reporter=Reporter(
            config.node.data_dir,
            device,
            protocol,
            config.results.series_number,
            config.wanted_objects(),
            PageSize(config.results.page_size),
            config.results.language,
            narrator_of(config.narrative),
            config.results.sr_class,
            config.results.abstentions,
            config.results.pdf_pictures,
        ),
        destinations=config.destination_list(),
        cine_frames=inference.cine_frames,
        accept_corrections=config.results.identity_corrections == "accept",
        secondary_captures=inference.secondary_captures == "measure",
        age_sources=config.dating.independent_ages,
        study_reports=StudyReports(
            repository, config.node.data_dir, config.dating.independent_ages, config.results.operator_hc == "compare"
        ),
        now=utc_now,
        other_model=other_models(config),
    )
