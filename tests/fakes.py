"""Stand-ins for the seams of the service, with the behaviour of the real thing and no database."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from dicom_node.audit import AuditEntry
from dicom_node.domain import InstanceRef, NewInstance, RefusalRecord, Registered, Relation


class FakeRepository:
    """The receiver's end of the repository, in memory. `failure`, if set, is what `register` raises."""

    def __init__(self) -> None:
        self.instances: list[NewInstance] = []
        self.refused: list[RefusalRecord] = []
        self.trail: list[AuditEntry] = []
        self.failure: Exception | None = None
        self.known: set[str] | Exception = set()
        self._lock = threading.Lock()

    def register(self, new: NewInstance, now: datetime) -> Registered:
        if self.failure is not None:
            raise self.failure
        with self._lock:
            same_uid = [i for i in self.instances if i.sop_instance_uid == new.sop_instance_uid]
            if any(i.sha256 == new.sha256 for i in same_uid):
                return Registered.SAME
            self.instances.append(new)
            return Registered.VERSION if same_uid else Registered.NEW

    def versions(self, sop_instance_uid: str) -> tuple[InstanceRef, ...]:
        known = [i for i in self.instances if i.sop_instance_uid == sop_instance_uid]
        shared = [field.name for field in fields(InstanceRef) if hasattr(NewInstance, field.name)]
        more: dict[str, Any] = {"relation": Relation.FIRST, "received_at": datetime.now(UTC)}
        return tuple(
            InstanceRef(id=n, revision=n, **more, **{name: getattr(i, name) for name in shared})
            for n, i in enumerate(known)
        )

    def known_paths(self, paths: Sequence[str]) -> set[str]:
        if isinstance(self.known, Exception):
            raise self.known
        return ({i.path for i in self.instances} | self.known) & set(paths)

    def record_refusal(  # noqa: PLR0917  the repository's own signature
        self, calling_ae: str, called_ae: str, host: str, reason: str, advice: str, now: datetime
    ) -> None:
        self.refused.append(RefusalRecord(len(self.refused), calling_ae, called_ae, host, reason, advice, now))

    def record(self, entry: AuditEntry, now: datetime) -> None:
        self.trail.append(entry)
