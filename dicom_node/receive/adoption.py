"""Objects that lie in their place and of which the database knows nothing, registered in the order in which they came.

That is so after an older database was restored: they were acknowledged after the backup was made. Who sent them says
their file meta information (see toolkit.py). An object whose sender was never answered may be among them; it is
measured too, once, unless the database knows a version that came after it.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from pydicom.dataset import FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID

from dicom_node.config import Config
from dicom_node.domain import NewInstance, Registered
from dicom_node.queue import utc_now
from dicom_node.receive.authorisation import Caller
from dicom_node.receive.header import HeaderUnreadable, ObjectHeader, read_header, read_values
from dicom_node.receive.known import keep_one
from dicom_node.receive.store import OWN_ROUTE, Register, facts_of, is_measured
from dicom_node.storage.files import OBJECT_SUFFIX, OBJECTS, bring_back, clear_away, named_read_errors, orphans

_log = logging.getLogger(__name__)

_AHEAD = timedelta(days=36500)
_META_START = 128 + 4 + 12
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Adopted:
    """How many objects were registered, were known under another path, could not be read, and were overtaken.

    Overtaken: the database knows a version that came later, so what has no row is none that was acknowledged.
    """

    registered: int = 0
    known: int = 0
    unreadable: int = 0
    overtaken: int = 0


def adopt(config: Config, repository: Register) -> Adopted:
    """Register every object of the data folder that has no row, also what the sweep set aside.

    In the order of their arrival, so that a correction stays one. What cannot be read, or was overtaken, is set aside.

    Nobody else may work on the data folder meanwhile, see pairing.alone: what is just being received has no row yet.

    Raises:
        DatabaseUnavailable, StorageUnavailable: broken off; asking again goes on.
    """
    data_dir = config.node.data_dir.resolve()
    bring_back(data_dir)
    counts = Counter(_adopt_one(config, repository, path) for path in _objects(data_dir, repository))
    return Adopted(**counts)


def _adopt_one(config: Config, repository: Register, path: Path) -> str:
    """What became of it, as Adopted calls it."""
    data_dir = config.node.data_dir.resolve()
    try:
        new = _described(config, data_dir, path)
    except (HeaderUnreadable, InvalidDicomError, ValueError, KeyError, AttributeError) as error:
        _log.warning("adopt.unreadable", extra={"error": type(error).__name__})
        clear_away(data_dir, path)
        return "unreadable"
    known = repository.versions(new.sop_instance_uid)
    is_same = any(version.sha256 == new.sha256 for version in known)
    if not is_same and any(version.received_at > _arrived_at(path) for version in known):
        _log.warning("adopt.overtaken", extra={"sop_instance_uid": new.sop_instance_uid})
        clear_away(data_dir, path)
        return "overtaken"
    if repository.register(new, utc_now()) is Registered.SAME:
        keep_one(data_dir, repository, new)
        return "known"
    return "registered"


def _objects(data_dir: Path, repository: Register) -> Sequence[Path]:
    """Whole objects without a row, as they came."""
    found = orphans(data_dir, repository.known_paths, utc_now() + _AHEAD)
    objects = (path for path in found if path.is_relative_to(data_dir / OBJECTS) and path.suffix == OBJECT_SUFFIX)
    return sorted(objects, key=lambda path: (_arrived_at(path), path))


def _arrived_at(path: Path) -> datetime:
    """When the last byte was written; moving a file leaves that."""
    with named_read_errors():
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _described(config: Config, data_dir: Path, path: Path) -> NewInstance:
    """Raises HeaderUnreadable, or what pydicom raises about a file that is none."""
    with named_read_errors():
        meta = read_file_meta_info(path)
        syntax = UID(meta.TransferSyntaxUID)
        offset = _META_START + int(meta.FileMetaInformationGroupLength)
        header = _complete(read_header(path, offset, syntax), meta)
        router = config.router()
        facts = facts_of(read_values(path, offset, syntax, router.keywords), sender := _sender(config, meta))
        sha256 = _hash(path, offset)
        size_bytes = path.stat().st_size
    route = OWN_ROUTE if header.is_own else router.decide(facts).route
    captures = config.inference.secondary_captures == "measure"
    return NewInstance(
        sop_instance_uid=header.sop_instance_uid,
        sop_class_uid=header.sop_class_uid,
        study_instance_uid=header.study_instance_uid,
        series_instance_uid=header.series_instance_uid,
        transfer_syntax_uid=str(syntax),
        path=path.relative_to(data_dir).as_posix(),
        size_bytes=size_bytes,
        sha256=sha256,
        calling_ae=sender.calling_ae,
        called_ae=sender.called_ae,
        peer_host=sender.host,
        measurable=is_measured(header, route, captures),
        route=route,
        patient_id=header.patient_id,
        arrived_at=min(_arrived_at(path), utc_now()),
    )


def _sender(config: Config, meta: FileMetaDataset) -> Caller:
    """Blank where the file does not say."""
    called_ae = str(meta.get("ReceivingApplicationEntityTitle", "")) or config.node.ae_title
    host = urlsplit(str(meta.get("SourcePresentationAddress", ""))).hostname or ""
    return Caller(str(meta.get("SourceApplicationEntityTitle", "")), called_ae, host)


def _complete(header: ObjectHeader, meta: FileMetaDataset) -> ObjectHeader:
    """One that was too long to be read to its end has the UIDs of the command, which the receiver wrote before it."""
    return replace(
        header,
        sop_class_uid=header.sop_class_uid or str(meta.MediaStorageSOPClassUID),
        sop_instance_uid=header.sop_instance_uid or str(meta.MediaStorageSOPInstanceUID),
    )


def _hash(path: Path, offset: int) -> str:
    """Of the data set without the file meta information, as SpoolFile has it."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        stream.seek(offset)
        while data := stream.read(_CHUNK):
            digest.update(data)
    return digest.hexdigest()
