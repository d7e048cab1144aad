"""What every builder is given: the facts of one measurement, where they came from, and who says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from inference.domain import Abstention, Consensus, Explanation, Finding, Measurement, ModelIdentity
from sr_templates.language import Language, Words
from sr_templates.uids import Equipment, ResultUids

Picture = NDArray[np.uint8]
"""The frame as a person sees it, RGB uint8 [rows, columns, 3], at the source's own geometry."""


class PageSize(StrEnum):
    """Paper of the PDF."""

    A4 = "a4"
    LETTER = "letter"


@dataclass(frozen=True, slots=True)
class Predecessor:
    """An earlier object of ours that a new one replaces; the four UIDs of PS3.3 C.17.2.1's reference."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str

    @classmethod
    def of(cls, header: Dataset) -> Predecessor:
        """From the header of the stored object."""
        return cls(header.SOPClassUID, header.SOPInstanceUID, header.StudyInstanceUID, header.SeriesInstanceUID)


@dataclass(frozen=True, slots=True)
class Narrative:
    """The measurement in two paragraphs; `author` names the language model that wrote them, None for the template."""

    findings: str
    interpretation: str
    author: str | None = None


class SrClass(StrEnum):
    """SOP class of TID 1500; the content is the same (PS3.3 A.35.3, A.35.13)."""

    COMPREHENSIVE = "comprehensive"
    COMPREHENSIVE_3D = "comprehensive_3d"


@dataclass(frozen=True, slots=True)
class Further:
    """What the page shows below the measured frame where it is there.

    `explanation`: why the outline lies where it lies; `frames`: the findings of all examined frames in the measured
    region of a cine, `together` what they say together, with a weight for each of them.
    """

    explanation: Explanation | None = None
    frames: tuple[Finding, ...] = ()
    together: Consensus | None = None


NOTHING_FURTHER = Further()


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInput:
    """What every object needs, whatever it says.

    `source` is the header of the image (no pixel data needed); `created` is aware and stands in the objects in the
    source's own time zone where the source names one, else as given; `predecessors` has the kinds of `ResultUids`
    as keys; `series_number` is the first of several; `beside` are headers of other objects of the study that the
    content leans on: the machine's own report.
    """

    source: Dataset
    model: ModelIdentity
    equipment: Equipment
    uids: ResultUids
    created: datetime
    series_number: int = 901
    predecessors: Mapping[str, Predecessor] = field(default_factory=dict)
    beside: tuple[Dataset, ...] = ()
    sr_class: SrClass = SrClass.COMPREHENSIVE

    def __post_init__(self) -> None:
        if self.created.tzinfo is None:
            raise ValueError("`created` needs a time zone")


@dataclass(frozen=True, slots=True, kw_only=True)
class AbstentionInput(ObjectInput):
    """A look without a number on its way into an object."""

    abstention: Abstention


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportInput(ObjectInput):
    """One measurement on its way into objects.

    `interval_coverage` is what HC's interval promises (0..1); `language` is the page's, since the text of other
    objects is English in any repertoire; `narrative` is its two paragraphs, those of the template where there are none.
    `together`: what the frames of a cine agree on, one of which is that of `measurement`.
    """

    measurement: Measurement
    together: Consensus | None = None
    interval_coverage: float | None = None
    page_size: PageSize = PageSize.A4
    language: Language = Language.ENGLISH
    narrative: Narrative | None = None

    @property
    def words(self) -> Words:
        """Says things in the page's language."""
        return Words(self.language)
