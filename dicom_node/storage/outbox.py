"""What enters the outbox: deliveries, and received objects that are sent on, in a transaction of repository.py."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from dicom_node.domain import DeliveryState, ResultKind
from dicom_node.storage import corrections
from dicom_node.storage.rows import DeliveryRow, InstanceRow, ObjectRow


def forward(session: Session, instance: InstanceRow, now: datetime) -> None:
    """One delivery for each destination that the route names; held where the instance waits for a confirmation."""
    if not instance.route.forward:
        return
    original = ObjectRow(
        instance_id=instance.id,
        kind=ResultKind.ORIGINAL,
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=instance.sop_instance_uid,
        path=instance.path,
        sha256=instance.sha256,
    )
    session.add(original)
    session.flush()
    session.add_all(new_delivery(original.id, name, now) for name in instance.route.forward)
    session.flush()
    corrections.apply(session, instance, now)


def new_delivery(object_id: int, destination: str, now: datetime) -> DeliveryRow:
    return DeliveryRow(
        object_id=object_id,
        destination=destination,
        state=DeliveryState.PENDING,
        attempts=0,
        token=0,
        available_at=now,
        waiting_since=now,
        created_at=now,
        updated_at=now,
    )
