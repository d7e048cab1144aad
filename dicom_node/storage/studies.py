"""Versions of studies: when one is due, what it rests on, and what is said of it, in a transaction of repository.py.

A study is due when it has been quiet (for how long, its procedure steps may tell), nothing about it is under way or
waits for a person, and its heads are others than those of its last version. What a version rests on is fixed when it
becomes due; if that is no longer what stands when its result is to be committed, the version is dropped as if it had
never been, and the next tick looks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from dicom_node.domain import (
    DeliveryState,
    Destination,
    Job,
    JobKind,
    JobState,
    NewStudyResult,
    Quiet,
    ResultKind,
    StoredObject,
    StudyResult,
    StudySource,
    StudyVersion,
)
from dicom_node.errors import LeaseLost, Refused
from dicom_node.storage import corrections, instances, jobs, outbox, results, steps
from dicom_node.storage.rows import (
    DeliveryRow,
    InstanceRow,
    JobRow,
    ObjectRow,
    ResultRow,
    StudySourceRow,
    StudyVersionRow,
)
from inference.domain import SEVERAL_HEADS, Status

UNDER_WAY = (JobState.QUEUED, JobState.RUNNING)
LEFT = (DeliveryState.SENDING, DeliveryState.SENT, DeliveryState.COMMITTED)


def to_look_at(session: Session) -> Sequence[str]:
    """The studies of which something stands, or stands no longer, that nobody has looked at.

    Not those images whose study was not read at the door, for their long header: they are not of one study.
    """
    found = select(InstanceRow.study_instance_uid).join(ResultRow, ResultRow.instance_id == InstanceRow.id)
    new = found.where(ResultRow.studied.is_(False), InstanceRow.study_instance_uid != "").distinct()
    return session.scalars(new.order_by(InstanceRow.study_instance_uid)).all()


def enqueue(session: Session, study_instance_uid: str, quiet: Quiet, now: datetime) -> bool:
    """A version and its job if the study is due; whether it was.

    Two who do so at once collide at the version's number (IntegrityError), and one of them has done it.
    """
    if not _is_quiet(session, study_instance_uid, quiet, now):
        return False
    found = _results(session, study_instance_uid)
    heads = _standing_heads(session, study_instance_uid, found)
    if heads is None:
        return False
    seen = [result.id for _, result in found]
    session.execute(update(ResultRow).where(ResultRow.id.in_(seen)).values(studied=True))
    last = _last_version(session, study_instance_uid)
    if heads == ([] if last is None else _sources(session, last)):
        return False
    number = 1 if last is None else last.version + 1
    version = StudyVersionRow(study_instance_uid=study_instance_uid, version=number, created_at=now)
    session.add(version)
    session.flush()
    session.add_all(StudySourceRow(study_version_id=version.id, result_id=result_id) for result_id in heads)
    session.add(_new_job(session, version, now))
    return True


def version_of(session: Session, version_id: int | None) -> StudyVersion:
    """Raises Refused where there is none."""
    row = None if version_id is None else session.get(StudyVersionRow, version_id)
    if row is None:
        raise Refused(f"no version {version_id} of a study")
    found = session.execute(
        select(InstanceRow, ResultRow)
        .join(ResultRow, ResultRow.instance_id == InstanceRow.id)
        .join(StudySourceRow, StudySourceRow.result_id == ResultRow.id)
        .where(StudySourceRow.study_version_id == row.id)
        .order_by(InstanceRow.id)
    )
    sources = tuple(StudySource(instances.reference(i), results.reference(r)) for i, r in found)
    return StudyVersion(row.id, row.study_instance_uid, row.version, sources)


def commit(session: Session, job: Job, new: NewStudyResult, destinations: Sequence[Destination], now: datetime) -> bool:
    """See Repository.commit_study."""
    version = session.get(StudyVersionRow, job.study_version_id)
    if version is None:
        raise LeaseLost(f"job {job.id} is gone: another worker found its version of the study overtaken")
    corrections.lock(session, version)
    row = jobs.owned(session, job)
    uid = version.study_instance_uid
    if _standing_heads(session, uid, _results(session, uid)) != _sources(session, version):
        _drop(session, version, row)
        return False
    answer = results.new_row(new.answer, now)
    answer.study_version_id, answer.studied = version.id, True
    session.add(answer)
    session.flush()
    results.store_objects(session, answer.id, new.answer.objects, destinations, now)
    if new.selected is not None:
        _send_overlay(session, version, new, destinations, now)
    jobs.change(row, JobState.DONE, now)
    row.error = None
    session.flush()
    for one in _versions(session, uid):
        corrections.apply(session, one, now)
    return True


def predecessor_objects(session: Session, version: StudyVersion) -> tuple[StoredObject, ...]:
    """Of each kind the object of the latest earlier version of which it was sent, or is being sent.

    What nobody has received is nobody's predecessor: what it waits with is cancelled when this version is committed.
    """
    left = exists().where(DeliveryRow.object_id == ObjectRow.id, DeliveryRow.state.in_(LEFT))
    earlier = (
        select(ObjectRow)
        .join(ResultRow, ObjectRow.result_id == ResultRow.id)
        .join(StudyVersionRow, ResultRow.study_version_id == StudyVersionRow.id)
        .where(
            StudyVersionRow.study_instance_uid == version.study_instance_uid,
            StudyVersionRow.version < version.version,
            left,
        )
        .order_by(StudyVersionRow.version, ObjectRow.id)
    )
    return tuple({row.kind: results.object_reference(row) for row in session.scalars(earlier)}.values())


def answers(session: Session, study_instance_uid: str) -> tuple[StudyResult, ...]:
    """What was said of a study, first version first."""
    found = session.execute(
        select(StudyVersionRow.version, ResultRow)
        .join(ResultRow, ResultRow.study_version_id == StudyVersionRow.id)
        .where(StudyVersionRow.study_instance_uid == study_instance_uid)
        .order_by(StudyVersionRow.version)
    ).all()
    return tuple(
        StudyResult(number, row.status, row.reason, row.document, results.objects_of_result(session, row.id))
        for number, row in found
    )


def count(session: Session) -> int:
    """Versions that were answered."""
    return session.scalar(select(func.count(ResultRow.study_version_id))) or 0


def _is_quiet(session: Session, study_instance_uid: str, quiet: Quiet, now: datetime) -> bool:
    """Nothing was received for long enough, and no version of the study is under way.

    What seems to come from a future farther away than the quiet period came before a clock was set back.
    """
    newest = session.scalar(
        select(func.max(InstanceRow.received_at)).where(InstanceRow.study_instance_uid == study_instance_uid)
    )
    long_enough, ended_at = _long_enough(session, study_instance_uid, quiet)
    if newest is not None and ended_at is not None:
        newest = max(newest, ended_at)
    version = (
        select(JobRow.id)
        .join(StudyVersionRow, JobRow.study_version_id == StudyVersionRow.id)
        .where(StudyVersionRow.study_instance_uid == study_instance_uid, JobRow.state.in_(UNDER_WAY))
    )
    ahead = max(long_enough, timedelta(seconds=quiet.usual_s))
    silent = newest is not None and not now - long_enough < newest <= now + ahead
    return silent and not session.scalar(select(version.exists()))


def _long_enough(session: Session, study_instance_uid: str, quiet: Quiet) -> tuple[timedelta, datetime | None]:
    """The quiet period of this study and, where its steps have ended, when that was: it begins no earlier."""
    if quiet.ended_s is None or quiet.missing_s is None:
        return timedelta(seconds=quiet.usual_s), None
    match steps.hint(session, study_instance_uid):
        case steps.Hint.ENDED, ended_at:
            return timedelta(seconds=min(quiet.ended_s, quiet.usual_s)), ended_at
        case steps.Hint.MISSING, _:
            return timedelta(seconds=max(quiet.missing_s, quiet.usual_s)), None
    return timedelta(seconds=quiet.usual_s), None


def _results(session: Session, study_instance_uid: str) -> Sequence[tuple[InstanceRow, ResultRow]]:
    """All that was said of the study's images, in the order of arrival."""
    found = session.execute(
        select(InstanceRow, ResultRow)
        .join(ResultRow, ResultRow.instance_id == InstanceRow.id)
        .where(InstanceRow.study_instance_uid == study_instance_uid)
        .order_by(ResultRow.id)
    )
    return [(instance, result) for instance, result in found]


def _standing_heads(
    session: Session, study_instance_uid: str, found: Sequence[tuple[InstanceRow, ResultRow]]
) -> list[int] | None:
    """Ids of the results that a report would rest on; None where something is under way or waits for a person."""
    waiting = (
        select(JobRow.id)
        .join(InstanceRow, JobRow.instance_id == InstanceRow.id)
        .where(InstanceRow.study_instance_uid == study_instance_uid, JobRow.state.in_((*UNDER_WAY, JobState.HELD)))
    )
    if session.scalar(select(waiting.exists())):
        return None
    heads = []
    for instance, result in {instance.id: (instance, result) for instance, result in found}.values():
        state = corrections.permitted(session, instance)
        if state is DeliveryState.HELD:
            return None
        if state is DeliveryState.PENDING and _tells_of_a_head(result):
            heads.append(result.id)
    return sorted(heads)


def _tells_of_a_head(result: ResultRow) -> bool:
    return result.status == Status.MEASURED or (result.status == Status.ABSTAINED and result.reason in SEVERAL_HEADS)


def _sources(session: Session, version: StudyVersionRow) -> list[int]:
    sources = select(StudySourceRow.result_id).where(StudySourceRow.study_version_id == version.id)
    return sorted(session.scalars(sources))


def _versions(session: Session, study_instance_uid: str) -> Sequence[StudyVersionRow]:
    """Newest first."""
    of_study = select(StudyVersionRow).where(StudyVersionRow.study_instance_uid == study_instance_uid)
    return session.scalars(of_study.order_by(StudyVersionRow.version.desc())).all()


def _last_version(session: Session, study_instance_uid: str) -> StudyVersionRow | None:
    return next(iter(_versions(session, study_instance_uid)), None)


def _new_job(session: Session, version: StudyVersionRow, now: datetime) -> JobRow:
    """As urgent as the most urgent of its images."""
    session.flush()
    ranks = (instance.route.priority.rank for instance in corrections.instances_behind(session, version))
    return JobRow(
        kind=JobKind.STUDY,
        study_version_id=version.id,
        state=JobState.QUEUED,
        priority=min(ranks, default=0),
        attempts=0,
        excused=0,
        token=0,
        available_at=now,
        created_at=now,
        updated_at=now,
    )


def _drop(session: Session, version: StudyVersionRow, job: JobRow) -> None:
    """It was overtaken before anything was said of it."""
    of_study = select(InstanceRow.id).where(InstanceRow.study_instance_uid == version.study_instance_uid)
    session.execute(update(ResultRow).where(ResultRow.instance_id.in_(of_study)).values(studied=False))
    session.delete(job)
    session.flush()
    session.execute(delete(StudySourceRow).where(StudySourceRow.study_version_id == version.id))
    session.delete(version)


def _send_overlay(
    session: Session, version: StudyVersionRow, new: NewStudyResult, destinations: Sequence[Destination], now: datetime
) -> None:
    """The overlay belongs to the image, whichever version of the study selects it: it is stored and sent once.

    What had not left for an earlier version is this one's now; what another version left behind is no longer wanted.
    """
    image = session.get_one(ResultRow, new.selected)
    stored = session.scalars(
        select(ObjectRow).where(ObjectRow.result_id == image.id, ObjectRow.kind == ResultKind.OVERLAY)
    ).first()
    if stored is None:
        if new.overlay is None:
            return
        stored = results.store_object(session, image.id, new.overlay)
    known = {d.destination: d for d in session.scalars(select(DeliveryRow).where(DeliveryRow.object_id == stored.id))}
    for name in (d.name for d in destinations if ResultKind.STUDY_OVERLAY in d.objects):
        if name not in known:
            delivery = outbox.new_delivery(stored.id, name, now)
            delivery.study_version_id = version.id
            session.add(delivery)
        elif known[name].study_version_id is not None:
            _adopt(known[name], version, now)


def _adopt(delivery: DeliveryRow, version: StudyVersionRow, now: datetime) -> None:
    """Another version asks for it too."""
    delivery.study_version_id = version.id
    if delivery.state is DeliveryState.CANCELLED:
        corrections.change(delivery, DeliveryState.PENDING, now)
        delivery.attempts = 0
        delivery.available_at = delivery.waiting_since = now
