"""Procedure steps that peers tell of (MPPS, PS3.4 F.7.2): kept before Success is said, and a hint only."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, cast

from pydicom import Dataset
from pydicom.uid import generate_uid
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_CREATE, N_SET

from dicom_node import procedure_step
from dicom_node.domain import Peer, Right, StepAnswer, StepBegun, StepChange
from dicom_node.errors import NodeError
from dicom_node.procedure_step import Unacceptable
from dicom_node.receive.admission import caller_of
from dicom_node.receive.refusals import log_fields

_log = logging.getLogger(__name__)

_STATUS = {
    StepAnswer.TAKEN: procedure_step.SUCCESS,
    StepAnswer.DUPLICATE: procedure_step.DUPLICATE_INSTANCE,
    StepAnswer.UNKNOWN: procedure_step.NO_SUCH_INSTANCE,
    StepAnswer.FINAL: procedure_step.PROCESSING_FAILURE,
}


class Steps(Protocol):
    """The end of the repository that keeps what peers tell of their steps; all may raise DatabaseUnavailable."""

    def step_begun(self, step: StepBegun, now: datetime) -> StepAnswer: ...
    def step_changed(self, step: StepChange, now: datetime) -> StepAnswer: ...


@dataclass(frozen=True, slots=True)
class StepDesk:
    """Takes what peers tell. `open`: whether anybody may."""

    repository: Steps
    open: bool
    peer_of: Callable[[Association], Peer | None]
    now: Callable[[], datetime]

    def handlers(self) -> list[evt.EventHandlerType]:
        """What the receiver has to bind."""
        return [(evt.EVT_N_CREATE, self.on_n_create), (evt.EVT_N_SET, self.on_n_set)]

    def on_n_create(self, event: evt.Event) -> tuple[Dataset, Dataset | None]:
        """EVT_N_CREATE: an examination begins. Without a UID it is given one (PS3.7 10.1.5.1.4)."""
        given = cast(N_CREATE, event.request).AffectedSOPInstanceUID
        uid = str(given or generate_uid(None))
        answer = self._answer(event, uid, lambda peer: self._begun(event, uid, peer))
        if given is not None or answer.Status != procedure_step.SUCCESS:
            return answer, None
        named = Dataset()
        named.AffectedSOPInstanceUID = uid
        return answer, named

    def on_n_set(self, event: evt.Event) -> tuple[Dataset, None]:
        """EVT_N_SET: more is known of it, or it has ended."""
        uid = str(cast(N_SET, event.request).RequestedSOPInstanceUID or "")
        return self._answer(event, uid, lambda peer: self._changed(event, uid, peer)), None

    def _begun(self, event: evt.Event, uid: str, peer: Peer) -> StepAnswer:
        studies = procedure_step.studies_of(event.attribute_list)
        host = caller_of(event.assoc).host
        return self.repository.step_begun(StepBegun(uid, peer.ae_title, host, studies), self.now())

    def _changed(self, event: evt.Event, uid: str, peer: Peer) -> StepAnswer:
        told = event.modification_list
        state, objects = procedure_step.state_of(told), procedure_step.objects_of(told)
        host = caller_of(event.assoc).host
        return self.repository.step_changed(StepChange(uid, peer.ae_title, host, state, objects), self.now())

    def _answer(self, event: evt.Event, uid: str, take: Callable[[Peer], StepAnswer]) -> Dataset:
        """The status of the response, which comes after the commit."""
        peer, facts = self.peer_of(event.assoc), log_fields(caller_of(event.assoc))
        if not self.open:
            return _refused(procedure_step.NO_SUCH_CLASS, facts)
        if peer is None or Right.MPPS not in peer.may:
            return _refused(procedure_step.NOT_AUTHORISED, facts)
        if not procedure_step.is_uid(uid):
            return _refused(procedure_step.INVALID_INSTANCE, facts)
        try:
            answer = take(peer)
        except Unacceptable as error:
            return _refused(error.status, facts)
        except NodeError as error:
            _log.warning("step.not_kept", extra={"error": type(error).__name__})
            return _status(procedure_step.PROCESSING_FAILURE)
        if answer is not StepAnswer.TAKEN:
            return _refused(_STATUS[answer], facts, final=answer is StepAnswer.FINAL)
        _log.info("step.told", extra={**facts, "sop_instance_uid": uid})
        return _status(procedure_step.SUCCESS)


def _refused(status: int, facts: dict[str, str], final: bool = False) -> Dataset:
    _log.warning("step.refused", extra={**facts, "status_word": status})
    answer = _status(status)
    if final:
        answer.ErrorID = procedure_step.NO_LONGER_UPDATED
        answer.ErrorComment = "Performed Procedure Step Object may no longer be updated"
    return answer


def _status(status: int) -> Dataset:
    answer = Dataset()
    answer.Status = status
    return answer
