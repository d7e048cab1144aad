"""What we offer in association negotiation: every storage class of an ultrasound send job, in every transfer syntax.

Ultrasound machines send their own reports, captures, key objects and presentation states along with the images. One
refused presentation context makes many of them fail the whole job, so all of these are taken; only images are measured.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache

from pynetdicom import ALL_TRANSFER_SYNTAXES
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import register_uid, uid_to_service_class

from dicom_node.commitment import PUSH_MODEL
from dicom_node.domain import Right
from dicom_node.procedure_step import MODALITY_PERFORMED_PROCEDURE_STEP

VERIFICATION = "1.2.840.10008.1.1"

US_IMAGE = "1.2.840.10008.5.1.4.1.1.6.1"
US_MULTIFRAME_IMAGE = "1.2.840.10008.5.1.4.1.1.3.1"
US_IMAGE_RETIRED = "1.2.840.10008.5.1.4.1.1.6"
US_MULTIFRAME_IMAGE_RETIRED = "1.2.840.10008.5.1.4.1.1.3"

MEASURED_CLASSES = (US_IMAGE, US_MULTIFRAME_IMAGE, US_IMAGE_RETIRED, US_MULTIFRAME_IMAGE_RETIRED)
"""PS3.4 B.5 (current) and the two of PS3.4-1993 that older machines still send."""

SECONDARY_CAPTURES = (
    "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
    "1.2.840.10008.5.1.4.1.1.7.2",  # Multi-frame Grayscale Byte Secondary Capture
    "1.2.840.10008.5.1.4.1.1.7.3",  # Multi-frame Grayscale Word Secondary Capture
    "1.2.840.10008.5.1.4.1.1.7.4",  # Multi-frame True Color Secondary Capture
)
"""Screenshots and scans: measured only where a rule says so."""

KEPT_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.6.2",  # Enhanced US Volume
    *SECONDARY_CAPTURES,
    "1.2.840.10008.5.1.4.1.1.7.1",  # Multi-frame Single Bit Secondary Capture
    "1.2.840.10008.5.1.4.1.1.11.1",  # Grayscale Softcopy Presentation State
    "1.2.840.10008.5.1.4.1.1.11.2",  # Color Softcopy Presentation State
    "1.2.840.10008.5.1.4.1.1.11.3",  # Pseudo-color Softcopy Presentation State
    "1.2.840.10008.5.1.4.1.1.11.4",  # Blending Softcopy Presentation State
    "1.2.840.10008.5.1.4.1.1.11.8",  # Advanced Blending Presentation State
    "1.2.840.10008.5.1.4.1.1.66",  # Raw Data: volumes of some machines
    "1.2.840.10008.5.1.4.1.1.88.11",  # Basic Text SR
    "1.2.840.10008.5.1.4.1.1.88.22",  # Enhanced SR
    "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR
    "1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR
    "1.2.840.10008.5.1.4.1.1.88.35",  # Extensible SR
    "1.2.840.10008.5.1.4.1.1.88.40",  # Procedure Log
    "1.2.840.10008.5.1.4.1.1.88.59",  # Key Object Selection Document
    "1.2.840.10008.5.1.4.1.1.88.71",  # Acquisition Context SR
    "1.2.840.10008.5.1.4.1.1.88.72",  # Simplified Adult Echo SR
    "1.2.840.10008.5.1.4.1.1.104.1",  # Encapsulated PDF
)

_RETIRED_KEYWORDS = {
    US_IMAGE_RETIRED: "UltrasoundImageStorageRetired",
    US_MULTIFRAME_IMAGE_RETIRED: "UltrasoundMultiFrameImageStorageRetired",
}


def measurable(sop_class_uid: str, *, secondary_captures: bool = False) -> bool:
    """Whether objects of this SOP class are ultrasound images or, where these are wanted, secondary captures."""
    return sop_class_uid in MEASURED_CLASSES or (secondary_captures and is_secondary_capture(sop_class_uid))


def is_secondary_capture(sop_class_uid: str) -> bool:
    """Whether objects of this SOP class are pictures that no ultrasound machine vouches for."""
    return sop_class_uid in SECONDARY_CAPTURES


def verification_context() -> PresentationContext:
    """C-ECHO (PS3.4 annex A)."""
    return build_context(VERIFICATION)


def supported_contexts() -> list[PresentationContext]:
    """Verification, the services that a right opens, and every storage class above with all transfer syntaxes."""
    _register_retired_classes()
    storage = [build_context(uid, ALL_TRANSFER_SYNTAXES) for uid in (*MEASURED_CLASSES, *KEPT_CLASSES)]
    return [verification_context(), _commitment_context(), build_context(MODALITY_PERFORMED_PROCEDURE_STEP), *storage]


def _commitment_context() -> PresentationContext:
    """Storage commitment (PS3.4 J). Who reports opens the association in the role of the SCP, mostly."""
    context = build_context(PUSH_MODEL)
    context.scu_role = context.scp_role = True
    return context


def contexts_for(may: Collection[Right]) -> list[PresentationContext]:
    """Those of the above that these rights open. The contexts are shared: negotiation only reads them."""
    return list(_contexts_for(frozenset(may)))


def in_the_order_of(
    proposed: Iterable[PresentationContext], offered: Iterable[PresentationContext]
) -> list[PresentationContext]:
    """What is offered, with the transfer syntaxes in the sender's order: negotiation takes the first that both have.

    By default the order of the acceptor counts, and a machine that would rather send JPEG would have to unpack it.
    """
    wanted: dict[str, dict[str, None]] = {}
    for context in proposed:
        syntaxes = dict.fromkeys(map(str, context.transfer_syntax))
        wanted[str(context.abstract_syntax)] = wanted.get(str(context.abstract_syntax), {}) | syntaxes
    return [_reordered(context, wanted.get(str(context.abstract_syntax), {})) for context in offered]


def _reordered(context: PresentationContext, wanted: Iterable[str]) -> PresentationContext:
    known = set(context.transfer_syntax or ())
    common = [syntax for syntax in wanted if syntax in known]
    return build_context(str(context.abstract_syntax), common) if common else context


@cache
def _contexts_for(may: frozenset[Right]) -> tuple[PresentationContext, ...]:
    """Made once: they hold a thousand UIDs, which cost 15 ms."""
    return tuple(context for context in supported_contexts() if _right_of(str(context.abstract_syntax)) in may)


def missing_rights(may: Collection[Right], sop_class_uids: Collection[str]) -> tuple[Right, ...]:
    """The rights that would have opened some of these classes.

    Not those for storage commitment and procedure steps: many scanners propose them for what we do not do.
    """
    wanted = {_right_of(uid) for uid in sop_class_uids if uid in (VERIFICATION, *MEASURED_CLASSES, *KEPT_CLASSES)}
    return tuple(right for right in Right if right in wanted and right not in may)


def _right_of(sop_class_uid: str) -> Right:
    return _RIGHTS.get(sop_class_uid, Right.STORE)


_RIGHTS = {VERIFICATION: Right.ECHO, PUSH_MODEL: Right.COMMITMENT, MODALITY_PERFORMED_PROCEDURE_STEP: Right.MPPS}


def _register_retired_classes() -> None:
    """pynetdicom looks up the service of a SOP class in its own table, which does not have the retired ones."""
    for uid, keyword in _RETIRED_KEYWORDS.items():
        if uid_to_service_class(uid) is not StorageServiceClass:
            register_uid(uid, keyword, StorageServiceClass)
