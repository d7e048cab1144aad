"""C-STORE: from the spool to its place, into the repository, and only then an answer.

The order that makes an acknowledgement true: file synced, renamed, directory synced, ONE commit of instance and job,
then Success. The handler runs in the association's own thread; its time is the sender's waiting time.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, cast

from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event
from pynetdicom.presentation import PresentationContextTuple

from dicom_node.audit import AuditEntry
from dicom_node.domain import Action, InstanceRef, NewInstance, Registered, Route
from dicom_node.errors import DatabaseRefused, DatabaseUnavailable, NodeError, ObjectTooLarge, OutcomeUnknown, Refused
from dicom_node.receive.admission import caller_of
from dicom_node.receive.auditing import Witness
from dicom_node.receive.authorisation import Caller, Refusal
from dicom_node.receive.contexts import measurable
from dicom_node.receive.header import HeaderUnreadable, ObjectHeader, is_uid, read_header, read_values
from dicom_node.receive.known import keep_one
from dicom_node.receive.refusals import log_fields
from dicom_node.receive.spool import SpoolFile
from dicom_node.routing import CALLED_AE, CALLING_AE, HOST, NO_RULES, Facts, Router
from dicom_node.storage.files import OBJECTS, disk_error, durable_rename, random_path

_log = logging.getLogger(__name__)

SUCCESS = 0x0000

_COMMENT_LENGTH = 64

_NO_DATABASE = frozenset({DatabaseUnavailable.__name__, DatabaseRefused.__name__, OutcomeUnknown.__name__})

OWN_ROUTE = Route(action=Action.IGNORE, send=())
"""Nothing is done with an object that this node has made."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an object was not stored: a word for the log, the status of the response and its Error Comment."""

    reason: str
    status: int
    comment: str


# Statuses: PS3.4 B.2.3 (A7xx out of resources, A9xx does not match, Cxxx cannot understand), PS3.7 9.1.1.1.9
NO_DATA_SET = Fault("no_data_set", 0xC000, "The request carries no data set.")
INSTANCE_UID_INVALID = Fault("instance_uid_invalid", 0xC000, "Affected SOP Instance UID is not a UID.")
STUDY_UID_MISSING = Fault("study_uid_missing", 0xC000, "Study Instance UID is missing.")
SERIES_UID_MISSING = Fault("series_uid_missing", 0xC000, "Series Instance UID is missing.")
CONTEXT_MISMATCH = Fault("context_mismatch", 0x0122, "The SOP class is not that of the presentation context.")
CLASS_MISMATCH = Fault("class_mismatch", 0xA900, "SOP Class UID of data set and command differ.")
INSTANCE_MISMATCH = Fault("instance_mismatch", 0xA900, "SOP Instance UID of data set and command differ.")
NOT_AUTHORISED = Fault("not_authorised", 0x0124, "This peer may not store here any more.")
TOO_LARGE = Fault("object_too_large", 0x0124, "The object is larger than this peer may send.")
TOO_FAST = Fault("too_fast", 0xA700, "This peer sends more a minute than it may; send it later.")
OUR_FAULT = Fault("internal_error", 0x0110, "The node failed; its log says why.")


def header_fault(error: HeaderUnreadable) -> Fault:
    """Sending the object again will not help."""
    return Fault("header_unreadable", 0xC000, str(error))


def resource_fault(error: NodeError) -> Fault:
    """No room, no file system, no database: the sender keeps the object and sends it again.

    The peer gets the general message of the error; its own may name folders and hosts of ours.
    """
    if isinstance(error, ObjectTooLarge):
        return TOO_LARGE
    return Fault(type(error).__name__, 0xA700, (type(error).__doc__ or "").partition("\n")[0])


class Register(Protocol):
    """The end of the repository that objects go into."""

    def register(self, new: NewInstance, now: datetime) -> Registered: ...

    def versions(self, sop_instance_uid: str) -> Sequence[InstanceRef]: ...

    def known_paths(self, paths: Sequence[str]) -> set[str]: ...

    def record(self, entry: AuditEntry, now: datetime) -> None: ...


class Porter(Protocol):
    """The end of the gate that is asked for each object."""

    def may_store(self, association: Association) -> Refusal | None: ...

    def await_turn(self, association: Association) -> bool: ...


class NotStored(Refused):
    """The object was not stored."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.comment)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Shelf:
    """Takes one object after the other from the spool to its place and into the repository."""

    data_dir: Path
    register: Register
    porter: Porter
    secondary_captures: bool = False
    router: Router = NO_RULES

    def on_c_store(self, event: Event) -> Dataset:
        """EVT_C_STORE: the C-STORE response. Nothing of an object that was not stored stays behind."""
        part = cast(SpoolFile | None, event.request._dataset_file)
        caller = caller_of(event.assoc)
        try:
            new = self._store(event, part, caller)
        except NotStored as refusal:
            return self._refuse(refusal.fault, event, caller)
        except Exception:  # noqa: BLE001  a fault of ours costs this object, not the association
            _log.exception("receive.failed")
            return self._refuse(OUR_FAULT, event, caller)
        finally:
            if part is not None:
                part.discard()
        uids = {"sop_class_uid": new.sop_class_uid, "sop_instance_uid": new.sop_instance_uid}
        _log.info("receive.stored", extra={**log_fields(caller), **uids, "size_bytes": new.size_bytes})
        return _STORED

    def _refuse(self, fault: Fault, event: Event, caller: Caller) -> Dataset:
        facts = {**log_fields(caller), "reason": fault.reason, "status_word": fault.status}
        _log.warning("receive.not_stored", extra=facts)
        if fault.reason not in _NO_DATABASE:  # the peer has waited for it once already
            uid = _padding_removed(cast(C_STORE, event.request).AffectedSOPInstanceUID)
            Witness(self.register).object_refused(caller, fault.reason, fault.status, uid if is_uid(uid) else None)
        return _answer(fault.status, fault.comment)

    def _store(self, event: Event, part: SpoolFile | None, caller: Caller) -> NewInstance:
        if self.porter.may_store(event.assoc) is not None:
            raise NotStored(NOT_AUTHORISED)
        if not self.porter.await_turn(event.assoc):
            raise NotStored(TOO_FAST)
        part = _received(part)
        header = _checked_header(event, part)
        route = self._route(event, part, header)
        final = random_path(self.data_dir / OBJECTS)
        new = NewInstance(
            sop_instance_uid=header.sop_instance_uid,
            sop_class_uid=header.sop_class_uid,
            study_instance_uid=header.study_instance_uid,
            series_instance_uid=header.series_instance_uid,
            transfer_syntax_uid=str(event.context.transfer_syntax),
            path=final.relative_to(self.data_dir).as_posix(),
            size_bytes=part.size_bytes,
            sha256=part.sha256,
            calling_ae=caller.calling_ae,
            called_ae=caller.called_ae,
            peer_host=caller.host,
            measurable=is_measured(header, route, self.secondary_captures),
            route=route,
            patient_id=header.patient_id,
        )
        self._place(part, final)
        if self._register(new, final) is Registered.SAME:
            self._keep_one(new)
        return new

    def _route(self, event: Event, part: SpoolFile, header: ObjectHeader) -> Route:
        """What the rules say; one of our own objects that comes back goes nowhere, or it would come again and again."""
        if header.is_own:
            return OWN_ROUTE
        caller = caller_of(event.assoc)
        try:
            syntax = UID(event.context.transfer_syntax)
            values = read_values(part.path, part.dataset_offset, syntax, self.router.keywords)
        except OSError as error:
            raise NotStored(resource_fault(disk_error(error))) from error
        decision = self.router.decide(facts_of(values, caller))
        if decision.no_way_back:
            _log.warning("receive.no_way_back", extra=log_fields(caller))
        return decision.route

    def _place(self, part: SpoolFile, final: Path) -> None:
        try:
            durable_rename(part.path, final)
        except NodeError as error:
            final.unlink(missing_ok=True)
            raise NotStored(resource_fault(error)) from error

    def _register(self, new: NewInstance, final: Path) -> Registered:
        try:
            return self.register.register(new, datetime.now(UTC))
        except OutcomeUnknown as error:  # a server that lost us may still commit, after it said that there is no row
            _log.warning("receive.orphan_left", extra={"error": type(error).__name__})
            raise NotStored(resource_fault(error)) from error
        except NodeError as error:
            self._withdraw(new.path, final)
            raise NotStored(resource_fault(error)) from error

    def _keep_one(self, new: NewInstance) -> None:
        try:
            keep_one(self.data_dir, self.register, new)
        except NodeError as error:  # the new file stays, for a sweep after the sender has tried again
            raise NotStored(resource_fault(error)) from error

    def _withdraw(self, path: str, final: Path) -> None:
        """A failed commit may still have happened: the file goes only if the database answers that no row has it.

        What stays for want of an answer is an orphan, and swept.
        """
        try:
            if path not in self.register.known_paths([path]):
                final.unlink(missing_ok=True)
        except NodeError as error:
            _log.warning("receive.orphan_left", extra={"error": type(error).__name__})


def facts_of(values: Facts, caller: Caller) -> Facts:
    """What rules look at: the object's attributes, and who sent it."""
    about = {CALLING_AE: caller.calling_ae, CALLED_AE: caller.called_ae, HOST: caller.host}
    return {**values, **{name: (value,) for name, value in about.items() if value}}


def is_measured(header: ObjectHeader, route: Route, secondary_captures: bool) -> bool:
    """Whether there is something to measure in an object. `secondary_captures`: also in those, see configuration."""
    captures = secondary_captures or route.action is Action.MEASURE
    wanted = measurable(header.sop_class_uid, secondary_captures=captures)
    return wanted and not header.is_own and route.action is not Action.IGNORE


def on_connection_closed(event: Event) -> None:
    """EVT_CONN_CLOSE: delete what was half received, and what nobody waits for an answer to any more."""
    dimse = event.assoc.dimse
    unfinished = [dimse.message._data_set_file] if dimse.message is not None else []
    while (waiting := dimse.get_msg(block=False)) != (None, None):
        unfinished.append(getattr(waiting[1], "_dataset_file", None))
    for part in unfinished:
        if isinstance(part, SpoolFile):
            part.discard()
            _log.warning("receive.broken_off", extra={"size_bytes": part.size_bytes})


def _received(part: SpoolFile | None) -> SpoolFile:
    """The closed spool file. Raises NotStored when there is no data set or it could not be written."""
    if part is None:
        raise NotStored(NO_DATA_SET)
    part.close()
    if part.error is not None:
        raise NotStored(resource_fault(part.error))
    return part


def _checked_header(event: Event, part: SpoolFile) -> ObjectHeader:
    """The header, when it is that of the object which the command and the presentation context announce.

    One that is too long to be read to its end has the command's UIDs where it does not say, and may have no study.

    Raises:
        NotStored: it is not.
    """
    context: PresentationContextTuple = event.context
    command = cast(C_STORE, event.request)
    sop_class_uid = _padding_removed(command.AffectedSOPClassUID)
    sop_instance_uid = _padding_removed(command.AffectedSOPInstanceUID)
    if sop_class_uid != context.abstract_syntax:
        raise NotStored(CONTEXT_MISMATCH)
    if not is_uid(sop_instance_uid):
        raise NotStored(INSTANCE_UID_INVALID)
    header = _header(part, UID(context.transfer_syntax))
    if not header.is_complete:
        header = replace(
            header,
            sop_class_uid=header.sop_class_uid or sop_class_uid,
            sop_instance_uid=header.sop_instance_uid or sop_instance_uid,
        )
        _log.warning("receive.long_header", extra=log_fields(caller_of(event.assoc)))
    if header.sop_class_uid != sop_class_uid:
        raise NotStored(CLASS_MISMATCH)
    if header.sop_instance_uid != sop_instance_uid:
        raise NotStored(INSTANCE_MISMATCH)
    if header.is_complete and not header.study_instance_uid:
        raise NotStored(STUDY_UID_MISSING)
    if header.is_complete and not header.series_instance_uid:
        raise NotStored(SERIES_UID_MISSING)
    return header


def _header(part: SpoolFile, transfer_syntax: UID) -> ObjectHeader:
    try:
        return read_header(part.path, part.dataset_offset, transfer_syntax)
    except HeaderUnreadable as error:
        raise NotStored(header_fault(error)) from error
    except OSError as error:
        raise NotStored(resource_fault(disk_error(error))) from error


def _padding_removed(uid: str | None) -> str:
    return str(uid or "").rstrip("\0 ")


def _answer(status: int, comment: str = "") -> Dataset:
    """The status of a C-STORE response with Error Comment (0000,0902), LO: 64 characters (PS3.7 annex C)."""
    answer = Dataset()
    answer.Status = status
    if comment:
        answer.ErrorComment = comment[:_COMMENT_LENGTH]
    return answer


_STORED = _answer(SUCCESS)
