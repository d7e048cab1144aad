"""Who we are in DICOM, and the UIDs of what we make: the same question always gets the same UID.

The root is ours alone: a version 4 UUID under 2.25 (PS3.5 B.2), picked short so that 25 digits of a hash fit behind
it within the 64 characters of VR UI (PS3.5 9.1). docs/decisions/0001-uid-root.md has the reasons.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace

from pydicom import Dataset
from pydicom.uid import UID

UID_ROOT = "2.25.473925948349511451002940949205300"
"""UUID 0000175d-c954-42b1-a9fa-b1ff64ab1134 as an integer; every UID that this product makes starts with it."""

IMPLEMENTATION_CLASS_UID = UID(f"{UID_ROOT}.1")
"""(0002,0012) of our files and our associations."""

IMPLEMENTATION_VERSION_NAME = "FETALHC_1"
"""(0002,0013): at most 16 characters."""

MANUFACTURER = "Fetal HC Node"
MODEL_NAME = "Fetal HC Node"
SOFTWARE_NAME = "fetal-hc-node"

RESULT_SCHEMA_VERSION = 6
"""Grows when the content of our objects changes for the same measurement, so that old objects keep their UIDs."""

SHARED_SERIES = {"gradcam": "why", "uncertainty": "why"}
"""Kinds that are read side by side stand in one series."""

_HASH_DIGITS = 64 - len(UID_ROOT) - 1


@dataclass(frozen=True, slots=True)
class Equipment:
    """What the General Equipment module and the device observer say about this node (PS3.3 C.7.5.1)."""

    manufacturer: str
    model_name: str
    software_version: str
    device_uid: str
    serial: str


@dataclass(frozen=True, slots=True)
class UidEntropy:
    """All that makes a result the result it is, and nothing else.

    `revision` counts the versions of the source's SOP Instance UID, `frames` are the 1-based frames that were examined,
    `backend` names back end and precision ("torch-cpu/fp32"), `configuration` holds the keys that change a result.
    `beside` is what other objects of the study said at the time, as far as it stands in the result.
    """

    study_instance_uid: str
    source_sop_instance_uid: str
    revision: int
    frames: tuple[int, ...]
    weights_sha256: str
    software_version: str
    backend: str
    configuration: tuple[tuple[str, str], ...] = ()
    schema_version: int = field(default=RESULT_SCHEMA_VERSION)
    beside: str = ""

    def fingerprint(self) -> str:
        """SHA-256 in hex over every field; the order of `configuration` does not matter."""
        return hashlib.sha256(_canonical(_facts(self)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class StudyEntropy:
    """All that makes a version of a study's report what it is.

    `version` counts from 1; `results` are the fingerprints of the results that it rests on, in any order;
    `configuration` holds the keys that change the report and none of these; `beside` as in UidEntropy.
    """

    study_instance_uid: str
    version: int
    results: tuple[str, ...]
    software_version: str
    configuration: tuple[tuple[str, str], ...] = ()
    schema_version: int = field(default=RESULT_SCHEMA_VERSION)
    beside: str = ""

    def fingerprint(self) -> str:
        """SHA-256 in hex over every field."""
        return hashlib.sha256(_canonical(_facts(self)).encode()).hexdigest()


Entropy = UidEntropy | StudyEntropy


@dataclass(frozen=True, slots=True)
class ObjectUids:
    """Where one result object lives."""

    series_instance_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class ResultUids:
    """The UIDs of all objects of one measurement; `tracking` names the head, whatever model looked at it.

    Those of its study are there where the measurement speaks for it: see `with_study`.
    """

    tid1500: ObjectUids
    pdf: ObjectUids
    overlay: ObjectUids
    tid5000: ObjectUids
    gradcam: ObjectUids
    uncertainty: ObjectUids
    cine_overlay: ObjectUids
    presentation: ObjectUids
    key_object: ObjectUids
    tracking: str
    abstention: ObjectUids
    study_sr: ObjectUids | None = None
    study_pdf: ObjectUids | None = None


def result_uid(entropy: Entropy, kind: str) -> UID:
    """SOP Instance UID of the result of one kind ("tid1500", "pdf", ...; see ResultUids)."""
    return _derived("instance", {"kind": kind, **_facts(entropy)})


def series_uid(entropy: Entropy, kind: str) -> UID:
    """Series Instance UID: one series per study, kind, software and model; corrected versions have their own.

    Each version of a study's report has its own too: the patient may have been corrected in between, and a viewer
    that opens the first object of a series would show the oldest.
    """
    facts = _facts(entropy)
    if isinstance(entropy, UidEntropy):  # an image that came before the machine's report stays beside the others
        facts.pop("beside", None)
        del facts["source_sop_instance_uid"], facts["frames"]
    return _derived("series", {"kind": kind, **facts})


def tracking_uid(source_sop_instance_uid: str, head: int = 1) -> UID:
    """Tracking Unique Identifier (112040, DCM) of the head-th head in one source object."""
    return _derived("tracking", {"source": source_sop_instance_uid, "head": head})


def result_uids(entropy: UidEntropy) -> ResultUids:
    """Every UID that the objects of one measurement need."""

    def of(kind: str) -> ObjectUids:
        return ObjectUids(series_uid(entropy, SHARED_SERIES.get(kind, kind)), result_uid(entropy, kind))

    return ResultUids(
        tid1500=of("tid1500"),
        pdf=of("pdf"),
        overlay=of("overlay"),
        tid5000=of("tid5000"),
        gradcam=of("gradcam"),
        uncertainty=of("uncertainty"),
        cine_overlay=of("cine_overlay"),
        presentation=of("presentation"),
        key_object=of("key_object"),
        tracking=tracking_uid(entropy.source_sop_instance_uid),
        abstention=of("abstention"),
    )


def with_study(uids: ResultUids, entropy: StudyEntropy) -> ResultUids:
    """The same, with those of the study's own objects."""

    def of(kind: str) -> ObjectUids:
        return ObjectUids(series_uid(entropy, kind), result_uid(entropy, kind))

    return replace(uids, study_sr=of("study_sr"), study_pdf=of("study_pdf"))


def equipment(software_version: str, serial: str) -> Equipment:
    """This product as equipment; `serial` tells installations apart and decides the device observer UID."""
    device = _derived("device", {"model": MODEL_NAME, "serial": serial})
    return Equipment(MANUFACTURER, MODEL_NAME, software_version, device, serial)


def is_own_object(header: Dataset) -> bool:
    """Whether this product made the object, even after an archive gave it another UID.

    True if the SOP Instance UID stands under our root, if Manufacturer and model are ours, or if an item of the
    Contributing Equipment Sequence (0018,A001) is. Malformed values count as not ours.
    """
    if str(header.get("SOPInstanceUID", "")).startswith(f"{UID_ROOT}."):
        return True
    contributing = header.get("ContributingEquipmentSequence") or ()
    items: Iterable[object] = contributing if not isinstance(contributing, str | bytes) else ()
    return _is_our_equipment(header) or any(isinstance(i, Dataset) and _is_our_equipment(i) for i in items)


def _is_our_equipment(item: Dataset) -> bool:
    names = (str(item.get("Manufacturer", "")).strip(), str(item.get("ManufacturerModelName", "")).strip())
    return names == (MANUFACTURER, MODEL_NAME)


def _facts(entropy: Entropy) -> dict[str, object]:
    facts = {**asdict(entropy), "configuration": dict(entropy.configuration)}
    if isinstance(entropy, StudyEntropy):
        return {**facts, "results": sorted(entropy.results)}
    if not entropy.beside:
        del facts["beside"]
    return facts


def _canonical(facts: dict[str, object]) -> str:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _derived(purpose: str, facts: dict[str, object]) -> UID:
    """Our root, a dot and a fixed number of digits of which the first is not zero (PS3.5 9.1)."""
    digest = hashlib.sha512(f"{purpose}:{_canonical(facts)}".encode()).digest()
    first = 10 ** (_HASH_DIGITS - 1)
    return UID(f"{UID_ROOT}.{first + int.from_bytes(digest) % (9 * first)}")
