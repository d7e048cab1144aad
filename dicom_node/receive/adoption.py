"""Objects that lie in their place and of which the database knows nothing, registered as if they came now.

That is so after an older database was restored: they were acknowledged after the backup was made. Who sent them is no
longer known. An object whose sender was never answered may be among them; it is measured too, once.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from pydicom.dataset import FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID

from dicom_node.config import Config
from dicom_node.domain import NewInstance, Registered
from dicom_node.queue import utc_now
from dicom_node.receive.header import HeaderUnreadable, ObjectHeader, read_header, read_values
from dicom_node.receive.store import OWN_ROUTE, Register, is_measured
from dicom_node.storage.files import OBJECTS, named_read_errors, orphans

_log = logging.getLogger(__name__)

_AHEAD = timedelta(days=36500)
_META_START = 128 + 4 + 12
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Adopted:
    """How many objects were registered, were known under another path, and could not be read."""

    registered: int = 0
    known: int = 0
    unreadable: int = 0


def adopt(config: Config, repository: Register) -> Adopted:
    """Register every object of the data folder that has no row; one that cannot be read stays where it is.

    Nobody else may work on the data folder meanwhile, see pairing.alone: what is just being received has no row yet.

    Raises:
        DatabaseUnavailable, StorageUnavailable: broken off; asking again goes on.
    """
    data_dir = config.node.data_dir.resolve()
    counts = dict.fromkeys(("registered", "known", "unreadable"), 0)
    for path in orphans(data_dir, repository.known_paths, utc_now() + _AHEAD):
        if not path.is_relative_to(data_dir / OBJECTS):
            continue
        try:
            new = _described(config, data_dir, path)
        except (HeaderUnreadable, InvalidDicomError, ValueError, KeyError, AttributeError) as error:
            _log.warning("adopt.unreadable", extra={"error": type(error).__name__})
            counts["unreadable"] += 1
            continue
        if repository.register(new, utc_now()) is Registered.SAME:
            path.unlink(missing_ok=True)
            counts["known"] += 1
        else:
            counts["registered"] += 1
    return Adopted(**counts)


def _described(config: Config, data_dir: Path, path: Path) -> NewInstance:
    """Raises HeaderUnreadable, or what pydicom raises about a file that is none."""
    with named_read_errors():
        meta = read_file_meta_info(path)
        syntax = UID(meta.TransferSyntaxUID)
        offset = _META_START + int(meta.FileMetaInformationGroupLength)
        header = _complete(read_header(path, offset, syntax), meta)
        router = config.router()
        values = read_values(path, offset, syntax, router.keywords)
        sha256 = _hash(path, offset)
        size_bytes = path.stat().st_size
    route = OWN_ROUTE if header.is_own else router.decide(dict(values)).route
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
        calling_ae="",
        called_ae=config.node.ae_title,
        peer_host="",
        measurable=is_measured(header, route, captures),
        route=route,
    )


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
