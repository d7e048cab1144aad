"""What a scanner says of its procedure steps (PS3.4 F.7.2): the attributes that are a hint here, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pydicom import Dataset

from dicom_node.domain import StepState

MODALITY_PERFORMED_PROCEDURE_STEP = "1.2.840.10008.3.1.2.3.3"

SUCCESS = 0x0000
INVALID_VALUE = 0x0106
PROCESSING_FAILURE = 0x0110
DUPLICATE_INSTANCE = 0x0111
NO_SUCH_INSTANCE = 0x0112
INVALID_INSTANCE = 0x0117
NO_SUCH_CLASS = 0x0118
MISSING_ATTRIBUTE = 0x0120
NOT_AUTHORISED = 0x0124

NO_LONGER_UPDATED = 0xA710
"""Error ID of an N-SET of a step that is final (PS3.4 F.7.2.2.3)."""

_UID = re.compile(r"[0-9.]{1,64}")
_OBJECT_SEQUENCES = ("ReferencedImageSequence", "ReferencedNonImageCompositeSOPInstanceSequence")


class Unacceptable(Exception):
    """Not what the standard asks for; `status` is the answer."""

    def __init__(self, status: int) -> None:
        super().__init__(f"0x{status:04X}")
        self.status = status


def is_uid(text: object) -> bool:
    """Whether it has the characters of a UID (PS3.5 9.1), and no more of them."""
    return _UID.fullmatch(str(text)) is not None


def studies_of(attributes: Dataset) -> tuple[str, ...]:
    """The studies of an N-CREATE, which has to say IN PROGRESS (PS3.4 F.7.2.1.3).

    Raises:
        Unacceptable: the state is another one, or no study is named.
    """
    if _state(attributes) is not StepState.IN_PROGRESS:
        raise Unacceptable(INVALID_VALUE)
    found = (item.get("StudyInstanceUID") for item in _items(attributes, "ScheduledStepAttributesSequence"))
    studies = tuple(dict.fromkeys(str(uid) for uid in found if uid))
    if not studies:
        raise Unacceptable(MISSING_ATTRIBUTE)
    return _checked(studies)


def state_of(modification: Dataset) -> StepState | None:
    """What an N-SET says of the state; None: nothing.

    Raises:
        Unacceptable: it is none of the three.
    """
    return _state(modification) if "PerformedProcedureStepStatus" in modification else None


def objects_of(modification: Dataset) -> tuple[str, ...] | None:
    """SOP Instance UIDs of all that an N-SET names as made; None: it says nothing of series.

    Raises:
        Unacceptable: something in it is no UID.
    """
    if "PerformedSeriesSequence" not in modification:
        return None
    series = list(_items(modification, "PerformedSeriesSequence"))
    named = (item for one in series for keyword in _OBJECT_SEQUENCES for item in _items(one, keyword))
    return _checked(str(item.get("ReferencedSOPInstanceUID") or "") for item in named)


def _state(dataset: Dataset) -> StepState:
    try:
        return StepState(str(dataset.get("PerformedProcedureStepStatus") or ""))
    except ValueError:
        raise Unacceptable(INVALID_VALUE) from None


def _items(dataset: Dataset, keyword: str) -> Iterator[Dataset]:
    for item in dataset.get(keyword) or ():
        if not isinstance(item, Dataset):
            raise Unacceptable(INVALID_VALUE)
        yield item


def _checked(uids: Iterable[str]) -> tuple[str, ...]:
    found = tuple(uids)
    if not all(map(is_uid, found)):
        raise Unacceptable(INVALID_VALUE)
    return found
