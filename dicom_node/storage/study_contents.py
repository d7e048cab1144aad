"""What stands of studies, as whoever reads objects should see it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from dicom_node.domain import Relation
from dicom_node.storage.rows import InstanceRow, ObjectRow, ResultRow, StudyVersionRow

_STANDING = (Relation.FIRST, Relation.CORRECTION, Relation.REPLACEMENT)


def held_of(session: Session, uids: Sequence[str]) -> dict[str, dict[str, str]]:
    """See Browsing.held; three questions, however many studies."""
    found: dict[str, dict[str, str]] = {uid: {} for uid in uids}
    images: dict[tuple[str, str], int] = {}
    study = InstanceRow.study_instance_uid
    received = select(study, InstanceRow.sop_instance_uid, InstanceRow.id, InstanceRow.path)
    received = received.where(study.in_(uids), InstanceRow.relation.in_(_STANDING)).order_by(InstanceRow.id)
    for uid, object_uid, key, path in session.execute(received):
        found[uid][object_uid] = path  # a later version takes the place of an earlier one
        images[uid, object_uid] = key
    standing = {*images.values()}
    for uid, image, object_uid, path in session.execute(_of_images(uids)):
        if image in standing:
            found[uid][object_uid] = path
    newest: dict[str, int] = {}
    for uid, version, object_uid, path in session.execute(_of_reports(uids)):
        if newest.setdefault(uid, version) == version and object_uid is not None:
            found[uid][object_uid] = path
    return found


def _of_images(uids: Sequence[str]) -> Select[str, int, str, str]:
    study = InstanceRow.study_instance_uid
    latest = select(func.max(ResultRow.id)).join(InstanceRow, InstanceRow.id == ResultRow.instance_id)
    latest = latest.where(study.in_(uids)).group_by(ResultRow.instance_id)
    query = select(study, InstanceRow.id, ObjectRow.sop_instance_uid, ObjectRow.path)
    query = query.join(ResultRow, ResultRow.instance_id == InstanceRow.id)
    return (
        query.join(ObjectRow, ObjectRow.result_id == ResultRow.id)
        .where(ResultRow.id.in_(latest))
        .order_by(ObjectRow.id)
    )


def _of_reports(uids: Sequence[str]) -> Select[str, int, str, str]:
    """Newest version first; a version whose report has no objects counts, too."""
    study = StudyVersionRow.study_instance_uid
    query = select(study, StudyVersionRow.version, ObjectRow.sop_instance_uid, ObjectRow.path)
    query = query.join(ResultRow, ResultRow.study_version_id == StudyVersionRow.id)
    query = query.outerjoin(ObjectRow, ObjectRow.result_id == ResultRow.id).where(study.in_(uids))
    return query.order_by(StudyVersionRow.version.desc(), ObjectRow.id)
