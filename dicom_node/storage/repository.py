"""The only owner of database sessions: each method is one transaction.

Every time is an aware datetime that the caller gives; the repository has no clock. Every method may raise
DatabaseUnavailable (locked or unreachable), DiskFull, or DatabaseRefused (tables missing). Methods that take a claimed
job or delivery are fenced: where a newer claim exists they raise LeaseLost and change nothing. Those that take an id
raise Refused where there is none, and IllegalTransition where the state does not allow it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast
from uuid import uuid4

from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dicom_node.audit import NODE, AuditBatch, AuditEntry, AuditRecord, ChainVerdict
from dicom_node.domain import (
    Attempt,
    CommitmentOutcome,
    CommitmentQuestion,
    CommitmentReply,
    CommitmentReport,
    CommitmentRequest,
    CommitmentTerms,
    Delivery,
    DeliveryState,
    Destination,
    DestinationState,
    InstanceRef,
    Job,
    JobState,
    NewInstance,
    NewResult,
    NewStudyResult,
    Quiet,
    RefusalRecord,
    Registered,
    Relation,
    StepAnswer,
    StepBegun,
    StepChange,
    StoredObject,
    StoredResult,
    StudyResult,
    StudyVersion,
)
from dicom_node.errors import DatabaseUnavailable
from dicom_node.storage import (
    clock,
    collecting,
    commitments,
    corrections,
    deliveries,
    instances,
    jobs,
    questions,
    results,
    retention,
    schema,
    steps,
    studies,
    trail,
)
from dicom_node.storage.accounts import Accounts
from dicom_node.storage.added_entries import AddedEntries
from dicom_node.storage.browsing import Browsing
from dicom_node.storage.engine import PASSING, WRITES, hurried, masked, named_errors, open_engine
from dicom_node.storage.fhir_posts import FhirPosts
from dicom_node.storage.incidents import Incidents
from dicom_node.storage.retention import Cutoffs
from dicom_node.storage.rows import InstallationRow, RefusalRow
from dicom_node.storage.together import Together
from dicom_node.storage.trail import ACTOR, Wanted
from dicom_node.storage.wakeup import Patience, Work, Writing

if TYPE_CHECKING:
    from dicom_node.storage.bell import Bell

Arrival = tuple[NewInstance, datetime]
"""An object and when it came."""

Act = tuple[AuditEntry, datetime]
"""What the audit trail is to remember, and when it was."""

_REGISTER_TRIES = 5
_REMARK_CHARACTERS = 1000
_THE_ONE = 1


class Repository:
    """What the node remembers. Threads may share it; a forked child must open its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer, self._passing = engine.execution_options(**WRITES), engine.execution_options(**PASSING)
        self._bell = _bell_of(engine)
        self._actor: str | None = None
        self._shared = Together(self._write_all, self._write_one)
        self._has_one_writer = engine.dialect.name == "sqlite"

    @classmethod
    def open(cls, url: str) -> Repository:
        """Open `sqlite:///path` (created if missing) or `postgresql+psycopg://...`; connects at the first use.

        Raises:
            ConfigError: the URL cannot be used.
        """
        return cls(open_engine(url))

    def close(self) -> None:
        """Give the connections back."""
        if self._bell is not None:
            self._bell.close()
        self._engine.dispose()

    def patience(self, work: Work) -> Patience:
        """How somebody idle waits for work of a kind; to be closed."""
        return Patience() if self._bell is None else self._bell.ear(work)

    def migrate(self) -> None:
        """Bring the tables to this software's; safe when several processes start at once.

        Raises:
            DatabaseRefused: a newer version of the software made this database.
        """
        with named_errors(self._engine.url):
            schema.migrate(self._engine)

    def check_tables(self) -> None:
        """Only look. Raises DatabaseRefused where the tables are not this version's."""
        with named_errors(self._engine.url):
            schema.check(self._engine)

    def installation_serial(self) -> str:
        """What this installation calls itself in Device Serial Number; drawn at the first use, the same ever after."""
        with self._read() as session:
            row = session.get(InstallationRow, _THE_ONE)
        if row is not None:
            return row.serial
        with suppress(IntegrityError), self._write() as session:  # another process may draw first
            session.add(InstallationRow(id=_THE_ONE, serial=uuid4().hex))
        with self._read() as session:
            return session.get_one(InstallationRow, _THE_ONE).serial

    def call_installation(self, serial: str) -> None:
        """Give the installation a serial number that it had before."""
        self.installation_serial()
        with self._write() as session:
            session.get_one(InstallationRow, _THE_ONE).serial = serial

    def has_instances(self) -> bool:
        """Whether any object was ever received."""
        with self._read() as session:
            return instances.any_stored(session)

    def acting_as(self, actor: str) -> Repository:
        """The same repository for a person: what is changed through it is an administrative act of the audit trail."""
        acting = copy(self)
        acting._actor = actor
        return acting

    @property
    def accounts(self) -> Accounts:
        """Users, sessions and tokens of the console."""
        return Accounts(self._read, self._write, self._actor or NODE)

    @property
    def additions(self) -> AddedEntries:
        """Peers and destinations that were added while the node runs."""
        return AddedEntries(self._read, self._write, self._actor or NODE)

    @property
    def incidents(self) -> Incidents:
        """What an administrator is told of."""
        return Incidents(self._read, self._write)

    @property
    def fhir_posts(self) -> FhirPosts:
        """Reports on their way to a FHIR server."""
        return FhirPosts(self._read, self._write, self._actor or NODE)

    @property
    def browsing(self) -> Browsing:
        """What the node holds, page by page."""
        return Browsing(self._read)

    # Audit trail

    def record(self, entry: AuditEntry, now: datetime) -> None:
        """Remember an act that leaves no row of its own; all others are recorded in their own transaction."""
        self._shared.commit((entry, now))

    def seal_trail(self) -> int:
        """Append to the hash chain what was recorded since; how many records, at most trail.SEAL_AT_ONCE.

        Several processes may do so at once.
        """
        with self._read() as session:
            if not trail.any_unsealed(session):
                return 0
        with suppress(IntegrityError), self._write() as session:  # another process was quicker
            return trail.seal(session)
        return 0

    def audit_trail(self, wanted: Wanted, limit: int) -> tuple[AuditRecord, ...]:
        """Newest first."""
        with self._read() as session:
            return trail.newest(session, wanted, limit)

    def whole_audit_trail(self, wanted: Wanted) -> Iterator[AuditRecord]:
        """Oldest first, read page by page."""
        behind = 0
        while True:
            with self._read() as session:
                found = trail.page(session, wanted, behind)
            if not found:
                return
            yield from found
            behind = found[-1].id

    def verify_trail(self) -> ChainVerdict:
        """Whether every sealed record is as it was written."""
        with self._read() as session:
            return trail.verify(session)

    def begin_collecting(self) -> bool:
        """The trail is sent to a collector from now on; False where it was before."""
        with suppress(IntegrityError), self._write() as session:  # another courier was quicker
            return collecting.begin(session)
        return False

    def claim_audit(self, limit: int, lease_s: float, now: datetime) -> AuditBatch | None:
        """What the collector has not been sent, leased to the caller; None: nothing, or another one sends."""
        with self._read() as session:
            if not collecting.waiting(session):
                return None
        with self._write() as session:
            return collecting.claim(session, limit, timedelta(seconds=lease_s), now)

    def audit_settled(self, batch: AuditBatch, sent: bool) -> None:
        """The collector has the batch, or has not. Raises LeaseLost."""
        with self._write() as session:
            collecting.settle(session, batch, sent)

    # Received objects

    def register(self, new: NewInstance, now: datetime) -> Registered:
        """Commit instance and job in one; after this returns, Success may be said. Threads share transactions.

        NEW: job MEASURE if measurable. VERSION (known UID, other bytes): next revision, UNEXAMINED, job RECONCILE, and
        waiting deliveries of earlier revisions are HELD until it is reconciled.
        SAME (known UID, known bytes): nothing is inserted; which file stays, receive/known.py says.
        """
        for _ in range(_REGISTER_TRIES):
            try:
                return cast(Registered, self._shared.commit((new, now)))
            except IntegrityError:  # a twin was quicker: look again
                continue
        raise DatabaseUnavailable(f"The database {masked(self._engine.url)} let every attempt to register collide.")

    def _write_all(self, wishes: Sequence[Arrival | Act]) -> Sequence[Registered | None]:
        """Arrivals in the order of their UIDs: two receivers that were sent the same must not wait for each other.

        What is known of them is locked first, in the order in which everybody locks versions.
        """
        in_order = sorted(range(len(wishes)), key=lambda place: _uid(wishes[place]))
        uids = {_uid(wish) for wish in wishes if isinstance(wish[0], NewInstance)}
        with self._write() as session:
            if uids:
                hurried(session.connection())
            if len(uids) > 1:
                corrections.lock_versions(session, *uids)
            outcomes = {place: _write_down(session, wishes[place]) for place in in_order}
        return [outcomes[place] for place in range(len(wishes))]

    def _write_one(self, wish: Arrival | Act) -> Registered | None:
        """However long it takes."""
        with self._write() as session:
            return _write_down(session, wish)

    def instance(self, instance_id: int | None) -> InstanceRef:
        with self._read() as session:
            return instances.reference(instances.get(session, instance_id))

    def versions(self, sop_instance_uid: str) -> tuple[InstanceRef, ...]:
        """All revisions of a UID, first one first; empty where the UID is unknown."""
        with self._read() as session:
            return tuple(map(instances.reference, instances.versions(session, sop_instance_uid)))

    def standing_version(self, instance: InstanceRef) -> InstanceRef | None:
        """The latest earlier revision that a new one must be compared with: see corrections.standing."""
        with self._read() as session:
            row = corrections.standing(session, instance)
            return None if row is None else instances.reference(row)

    def reports_of_study(self, study_instance_uid: str, most: int) -> tuple[InstanceRef, ...]:
        """The standing version of each structured report that was received for a study, at most the last ones so many.

        In the order in which they arrived; without those of this product.
        """
        with self._read() as session:
            return tuple(map(instances.reference, instances.reports_of_study(session, study_instance_uid, most)))

    def known_paths(self, paths: Sequence[str]) -> set[str]:
        """Those of `paths` (relative to the data folder) that a row knows."""
        with self._read() as session:
            return instances.known_paths(session, paths)

    def record_refusal(  # noqa: PLR0913, PLR0917  what an association request is made of
        self, calling_ae: str, called_ae: str, host: str, reason: str, advice: str, now: datetime
    ) -> None:
        """Remember a refused association; the last 200 are kept."""
        remarks = (_remark(text) for text in (calling_ae, called_ae, host, reason, advice))
        fields = ("calling_ae", "called_ae", "host", "reason", "advice")
        with self._write() as session:
            instances.record_refusal(session, RefusalRow(**dict(zip(fields, remarks, strict=True)), refused_at=now))

    def refusals(self, limit: int) -> tuple[RefusalRecord, ...]:
        """Newest first."""
        with self._read() as session:
            return instances.refusals(session, limit)

    def refusal(self, refusal_id: int) -> RefusalRecord:
        """Raises Refused where it is not listed any more."""
        with self._read() as session:
            return instances.refusal(session, refusal_id)

    # Jobs, for workers

    def claim_job(self, worker: str, lease_s: float, now: datetime) -> Job | None:
        """Lease the job that waits the longest; those whose worker fell silent come first. None: nothing is due.

        A power cut may take a claim back where the worker loses power, too (engine.PASSING): the job is due again.
        """
        if self._has_one_writer and not self._is_job_claimable(now):
            return None
        with self._write(self._passing) as session:
            return jobs.claim(session, worker, now + timedelta(seconds=lease_s), now)

    def _is_job_claimable(self, now: datetime) -> bool:
        with self._read() as session:
            return jobs.any_claimable(session, now)

    def renew_job(self, job: Job, lease_s: float, now: datetime) -> None:
        """Raises LeaseLost."""
        with self._write() as session:
            jobs.renew(session, job, timedelta(seconds=lease_s), now)

    def commit_result(self, job: Job, result: NewResult, destinations: Sequence[Destination], now: datetime) -> None:
        """Commit result, objects, one delivery for each object and destination that wants it, and job DONE, in one.

        A result with that fingerprint for the instance: the stored one wins and the job is DONE. Held deliveries of
        earlier revisions are cancelled; where a later correction stands, the new deliveries are held or cancelled.

        Raises:
            LeaseLost: another worker owns the job; nothing was stored.
            Permanent: an object with that UID is stored for another result.
        """
        with self._write() as session:
            results.commit(session, job, result, destinations, now)

    def reconcile(self, job: Job, relation: Relation, accept: bool, now: datetime, remark: str | None = None) -> None:
        """Say what a version is; its RECONCILE job is DONE, with `remark` as its error where there is one.

        CORRECTION (of a measurable object): a MEASURE job, HELD, or QUEUED if `accept`; waiting deliveries of earlier
        revisions stay HELD. REPLACEMENT: the same, QUEUED. Of one that is not measured: a SUPERSEDE job, HELD, or DONE,
        with which waiting deliveries of earlier revisions are cancelled. DUPLICATE and CONFLICT: nothing is measured,
        and the deliveries are released.

        Raises:
            LeaseLost: another worker owns the job.
        """
        with self._write() as session:
            jobs.reconcile(session, job, jobs.Verdict(relation, accept, _remark(remark)), now)

    def postpone_job(self, job: Job, error: str, available_at: datetime, now: datetime, excused: bool = False) -> None:
        """Back to QUEUED, due at `available_at`; `excused`: this attempt is not the job's fault. Raises LeaseLost."""
        with self._write() as session:
            row = jobs.owned(session, job)
            jobs.change(row, JobState.QUEUED, now)
            row.available_at = available_at
            row.excused += excused
            row.error = _remark(error)

    def bury_job(self, job: Job, error: str, now: datetime) -> None:
        """DEAD, until a person retries or cancels it. Raises LeaseLost."""
        with self._write() as session:
            row = jobs.owned(session, job)
            jobs.change(row, JobState.DEAD, now)
            row.error = _remark(error)

    # Jobs, for operators

    def jobs(self, states: Sequence[JobState], limit: int) -> tuple[Job, ...]:
        """Newest first; no states means all."""
        with self._read() as session:
            return tuple(map(jobs.reference, jobs.listing(session, states, limit)))

    def retry_job(self, job_id: int, now: datetime) -> None:
        """A DEAD or CANCELLED job starts afresh; a QUEUED one that waits is due now. Raises Refused.

        A CANCELLED correction is HELD again, to be confirmed.
        """
        with self._write() as session:
            jobs.retry(session, job_id, now)

    def rerun_job(self, job_id: int, now: datetime) -> None:
        """Have the image of a DONE job looked at once more, as a model or settings have changed since. Raises Refused.

        Where neither has, the stored answer stays; else the new objects name those of the answer before.
        """
        with self._write() as session:
            jobs.rerun(session, job_id, now)

    def cancel_job(self, job_id: int, now: datetime) -> None:
        """Cancelling a later revision's job releases what it held of earlier revisions. Raises Refused."""
        with self._write() as session:
            jobs.cancel(session, job_id, now)

    def confirm_job(self, job_id: int, now: datetime) -> None:
        """A HELD correction is measured; its result cancels what it held of earlier revisions. Raises Refused.

        What is not measured cancels that at once.
        """
        with self._write() as session:
            jobs.confirm(session, job_id, now)

    # Results

    def result_of(self, instance_id: int | None) -> StoredResult | None:
        """The newest result of an instance."""
        with self._read() as session:
            return results.latest(session, instance_id)

    def objects_of(self, instance_id: int) -> tuple[StoredObject, ...]:
        """The objects of the newest result of an instance."""
        with self._read() as session:
            return results.objects_of(session, instance_id)

    def predecessor_objects(self, instance: InstanceRef) -> tuple[StoredObject, ...]:
        """What a new answer about an image takes the place of: the objects of the latest answer that has any."""
        with self._read() as session:
            return results.predecessor_objects(session, instance)

    # Studies

    def enqueue_quiet_studies(self, quiet: Quiet, now: datetime) -> int:
        """A STUDY job for each study that is due; how many. Several processes may do so at once.

        Due: nothing was received for so long, nothing about the study is under way or waits for a person, and the
        heads that stand are others than those of its last version.
        """
        with self._read() as session:
            waiting = studies.to_look_at(session)
        enqueued = 0
        for study_instance_uid in waiting:
            with suppress(IntegrityError), self._write() as session:  # another process was quicker
                enqueued += studies.enqueue(session, study_instance_uid, quiet, now)
        return enqueued

    def step_begun(self, step: StepBegun, now: datetime) -> StepAnswer:
        """A peer began a procedure step; after TAKEN, Success may be said."""
        for _ in range(_REGISTER_TRIES):
            with suppress(IntegrityError), self._write() as session:  # the same on another association
                return steps.begin(session, step, now)
        raise DatabaseUnavailable(f"The database {masked(self._engine.url)} let every attempt to begin collide.")

    def step_changed(self, step: StepChange, now: datetime) -> StepAnswer:
        """A peer told more of its step, mostly that it has ended; after TAKEN, Success may be said."""
        with self._write() as session:
            return steps.change(session, step, now)

    def study_version(self, version_id: int | None) -> StudyVersion:
        """What a version of a study rests on. Raises Refused where there is none."""
        with self._read() as session:
            return studies.version_of(session, version_id)

    def commit_study(
        self, job: Job, result: NewStudyResult, destinations: Sequence[Destination], now: datetime
    ) -> bool:
        """Commit result, objects, deliveries and job DONE in one; what earlier versions had not sent is cancelled.

        False where the version was overtaken: what it rests on no longer stands, or more is under way. Then the
        version and its job are gone.

        Raises:
            LeaseLost: another worker owns the job; nothing was stored.
            Permanent: an object with that UID is stored for another result.
        """
        with self._write() as session:
            return studies.commit(session, job, result, destinations, now)

    def study_predecessor_objects(self, version: StudyVersion) -> tuple[StoredObject, ...]:
        """Of each kind the object of the latest earlier version of which it was sent, or is being sent."""
        with self._read() as session:
            return studies.predecessor_objects(session, version)

    def study_results(self, study_instance_uid: str) -> tuple[StudyResult, ...]:
        """What was said of a study, first version first."""
        with self._read() as session:
            return studies.answers(session, study_instance_uid)

    # Deliveries

    def claim_deliveries(
        self, courier: str, lease_s: float, limit: int, now: datetime, destination: str
    ) -> tuple[Delivery, ...]:
        """Lease a batch for one destination, oldest first."""
        with self._read() as session:
            if not deliveries.any_claimable(session, destination, now):
                return ()
        lease = deliveries.Lease(courier, destination, limit, now + timedelta(seconds=lease_s))
        with self._write() as session:
            return deliveries.references(session, deliveries.claim(session, lease, now))

    def renew_delivery(self, delivery: Delivery, lease_s: float, now: datetime) -> None:
        """Raises LeaseLost."""
        with self._write() as session:
            deliveries.renew(session, delivery, timedelta(seconds=lease_s), now)

    def mark_sent(self, delivery: Delivery, attempt: Attempt, now: datetime) -> None:
        """The destination said Success (or a warning that means stored). Raises LeaseLost."""
        with self._write() as session:
            deliveries.finish(session, delivery, DeliveryState.SENT, _cut(attempt), now)

    def postpone_delivery(
        self, delivery: Delivery, attempt: Attempt | None, available_at: datetime, now: datetime
    ) -> None:
        """To be sent again at `available_at`, unless a correction came meanwhile. Raises LeaseLost.

        Without an `attempt` nothing was tried since it was claimed, and the claim does not count.
        """
        with self._write() as session:
            deliveries.postpone(session, delivery, None if attempt is None else _cut(attempt), available_at, now)

    def bury_delivery(self, delivery: Delivery, attempt: Attempt, reason: str, now: datetime) -> None:
        """DEAD for `reason`, until a person retries it. Raises LeaseLost."""
        with self._write() as session:
            row = deliveries.finish(session, delivery, DeliveryState.DEAD, _cut(attempt), now)
            row.comment = _remark(reason)

    def expire_deliveries(self, destination: str, waiting_since: datetime, reason: str, now: datetime) -> int:
        """DEAD for `reason` what waits for a destination since then or longer; how many."""
        with self._write() as session:
            return deliveries.expire(session, destination, waiting_since, reason, now)

    def attempts(self, delivery_id: int) -> tuple[Attempt, ...]:
        """All attempts of a delivery, first one first."""
        with self._read() as session:
            return deliveries.attempts(session, delivery_id)

    def tell_destination(self, state: DestinationState) -> None:
        """Remember whether a destination answers; `since` counts where that has changed."""
        with suppress(IntegrityError), self._write() as session:  # another courier told it first, for the first time
            deliveries.tell_state(session, replace(state, comment=_remark(state.comment)))

    def destination_states(self) -> dict[str, DestinationState]:
        """By name; a destination that was never asked is absent."""
        with self._read() as session:
            return deliveries.destination_states(session)

    # Storage commitment

    def ask_commitment(
        self, transaction_uid: str, destination: str, limit: int, now: datetime
    ) -> CommitmentRequest | None:
        """Open a request about what the destination was sent; None where there is nothing to ask about."""
        with self._write() as session:
            return commitments.ask(session, transaction_uid, destination, limit, now)

    def commitment_taken(self, transaction_uid: str, now: datetime) -> None:
        """The destination took the request, and will report."""
        with self._write() as session:
            commitments.taken(session, transaction_uid, now)

    def forget_untaken_commitments(self, destination: str, asked_before: datetime) -> int:
        """Requests that were to go out by then and did not, for whoever asked is gone; how many."""
        with self._write() as session:
            return commitments.forget_untaken(session, destination, asked_before)

    def withdraw_commitment(self, transaction_uid: str, reason: str) -> None:
        """The request did not reach the destination, or was refused; its objects can be asked about again."""
        with self._write() as session:
            commitments.withdraw(session, transaction_uid, reason[:_REMARK_CHARACTERS])

    def expire_commitments(self, destination: str, asked_before: datetime, now: datetime) -> int:
        """Give up waiting for answers to requests that are older; how many."""
        with self._write() as session:
            return commitments.expire(session, destination, asked_before, now)

    def commitment_asked_of(self, transaction_uid: str) -> str | None:
        """The destination that was asked; None where nobody was, or too long ago."""
        with self._read() as session:
            request = commitments.request_of(session, transaction_uid)
            return None if request is None else request.destination

    def commitment_answered(self, report: CommitmentReport, now: datetime) -> CommitmentOutcome | None:
        """What was committed is COMMITTED, what was not is sent again, or DEAD; None for an unknown transaction.

        A report that settles nothing is none: what was asked about is asked about again when the time for it is over.
        Not one transaction: a report that was taken in part may come again and says the same.
        """
        reasons = dict(report.failed)
        with self._read() as session:
            request = commitments.request_of(session, report.transaction_uid)
            if request is None:
                return None
            destination = request.destination
            missing = {uid: commitments.meant_by(session, request, [uid]) for uid in reasons}
            held = commitments.meant_by(session, request, report.committed)
        became = []
        for uid, delivery_ids in missing.items():
            for delivery_id in delivery_ids:
                with self._write() as session:
                    became.append(commitments.send_again(session, delivery_id, reasons[uid], now))
        with self._write() as session:
            committed = commitments.commit(session, report.transaction_uid, held, now)
            if committed or any(became):
                commitments.close(session, report.transaction_uid, now)
        resent, given_up = (became.count(state) for state in (DeliveryState.PENDING, DeliveryState.DEAD))
        return CommitmentOutcome(destination, committed, resent, given_up)

    def ask_for_commitment(self, question: CommitmentQuestion, now: datetime) -> bool:
        """Keep what a peer asks; False where it used that transaction UID for other objects before."""
        for _ in range(_REGISTER_TRIES):
            with suppress(IntegrityError), self._write() as session:  # the same question on another association
                return questions.ask(session, question, now)
        raise DatabaseUnavailable(f"The database {masked(self._engine.url)} let every attempt to ask collide.")

    def commitment_answer(self, peer: str, terms: CommitmentTerms, now: datetime) -> CommitmentReply | None:
        """What a peer can be told now, leased to the caller; None: nothing yet."""
        with self._read() as session:
            if not questions.any_due(session, peer, now):
                return None
        with self._write() as session:
            return questions.answer(session, peer, terms, now)

    def commitment_told(self, question_id: int, now: datetime, comment: str | None = None) -> None:
        """The peer has heard the answer or, for the reason in `comment`, never will."""
        with self._write() as session:
            questions.told(session, question_id, _remark(comment), now)

    def postpone_commitment_answer(self, question_id: int, comment: str, available_at: datetime) -> None:
        """The peer could not be told; again at `available_at`."""
        with self._write() as session:
            questions.postpone(session, question_id, comment[:_REMARK_CHARACTERS], available_at)

    def deliveries(self, states: Sequence[DeliveryState], limit: int) -> tuple[Delivery, ...]:
        """Newest first; no states means all."""
        with self._read() as session:
            return deliveries.listing(session, states, limit)

    def retry_delivery(self, delivery_id: int, now: datetime) -> None:
        """A DEAD delivery starts afresh; a PENDING one that waits is due now. Raises Refused."""
        with self._write() as session:
            deliveries.retry(session, delivery_id, now)

    def resend_delivery(self, delivery_id: int, now: datetime) -> None:
        """A SENT delivery waits again, with the stored bytes; not what a later version has superseded. Raises Refused.

        What is COMMITTED stays so: the archive has said that it keeps it.
        """
        with self._write() as session:
            deliveries.resend(session, delivery_id, now)

    # Age

    def forget_old_studies(self, cutoffs: Cutoffs, now: datetime) -> Iterator[tuple[str, ...]]:
        """Delete each study that is due, see retention.py; gives the paths of its files once that is committed."""
        before, behind = cutoffs.latest, None
        while before is not None:
            with self._read() as session:
                units = retention.old_units(session, before, behind)
            for unit in units:
                with self._write() as session:
                    paths = retention.remove(session, unit, cutoffs)
                    if paths is not None:
                        trail.record(session, trail.deleted(unit, len(paths)), now)
                if paths is not None:
                    yield paths
            if not units:
                return
            behind = units[-1]

    def mend_times(self, longest_wait_s: float, now: datetime) -> int:
        """Bring back what a clock that was ahead has put off: due now, or a lease of at most so long; how many rows."""
        with self._write() as session:
            return clock.mend(session, timedelta(seconds=longest_wait_s), now)

    # Progress

    def delivery_counts(self) -> dict[str, dict[DeliveryState, int]]:
        """How many deliveries each destination has in each state; absent means none."""
        with self._read() as session:
            return deliveries.counts_by_destination(session)

    def counts(self, now: datetime) -> dict[str, int]:
        """`instances`, `results`, `studies`, `objects`, `jobs_<state>`, `deliveries_<state>`, and what waits or is due.

        `studies` counts reports, `studies_waiting` studies of which something is new. `jobs_due` and `deliveries_due`
        are what a claim at `now` could take.
        """
        with self._read() as session:
            number_of_results, number_of_objects = results.counts(session)
            by_job, by_delivery = jobs.counts(session), deliveries.counts(session)
            return {
                "instances": instances.count(session),
                "results": number_of_results,
                "studies": studies.count(session),
                "studies_waiting": len(studies.to_look_at(session)),
                "objects": number_of_objects,
                **{f"jobs_{state}": by_job.get(state, 0) for state in JobState},
                **{f"deliveries_{state}": by_delivery.get(state, 0) for state in DeliveryState},
                "jobs_due": jobs.count_claimable(session, now),
                "deliveries_due": deliveries.count_claimable(session, now),
            }

    @contextmanager
    def _read(self) -> Iterator[Session]:
        with named_errors(self._engine.url), Session(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def _write(self, engine: Engine | None = None) -> Iterator[Session]:
        with named_errors(self._engine.url), Writing(engine or self._writer, expire_on_commit=False) as session:
            session.info[ACTOR] = self._actor
            with session.begin():
                yield session
            if self._bell is not None:
                self._bell.ring(session.work_made)


def _uid(wish: Arrival | Act) -> str:
    """Of an arrival."""
    return wish[0].sop_instance_uid if isinstance(wish[0], NewInstance) else ""


def _write_down(session: Session, wish: Arrival | Act) -> Registered | None:
    what, now = wish
    if isinstance(what, NewInstance):
        return instances.register(session, what, now)
    trail.write(session, what, now)
    return None


def _bell_of(engine: Engine) -> Bell | None:
    """SQLite has none; its driver is loaded only where it is used."""
    if engine.dialect.name == "sqlite":
        return None
    from dicom_node.storage.bell import Bell  # noqa: PLC0415

    return Bell(engine.url)


def _cut(attempt: Attempt) -> Attempt:
    return replace(attempt, comment=_remark(attempt.comment))


def _remark(text: str | None) -> str | None:
    """Text from elsewhere, cut, and without NUL, which PostgreSQL does not store."""
    return None if text is None else text.replace("\x00", "")[:_REMARK_CHARACTERS]
