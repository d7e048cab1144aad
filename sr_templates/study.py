"""What is said of a whole study: one OB-GYN report and one PDF, with every measured head and the one that speaks.

Values are listed, never merged. Where nobody can tell which head is the fetus' none is selected, and nothing that
would follow from a selection is said: no age, no BPD, no percentile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.uid import ComprehensiveSRStorage, EncapsulatedPDFStorage

from inference.agreement import Choice, Verdict
from inference.domain import REASON_TEXT
from sr_templates import identity
from sr_templates.language import ENGLISH, Words, message
from sr_templates.report import ReportInput
from sr_templates.source import Shell, is_multi_frame
from sr_templates.tid5000 import Candidate, Setting, build_tid5000, build_unidentified

SR = Shell("study_sr", ComprehensiveSRStorage, "SR", "AI unverified: study OB-GYN report", 10)
PDF = Shell("study_pdf", EncapsulatedPDFStorage, "DOC", "AI unverified: PDF of the study", 11)

VERDICT_TEXT = {
    Verdict.SELECTED: message("selected"),
    Verdict.WIDER_INTERVAL: message("agrees"),
    Verdict.DOUBTFUL_SCALE: message("agrees; scale unsure"),
    Verdict.NOT_SELECTED: message("not selected"),
}


@dataclass(frozen=True, slots=True)
class StudyReport:
    """One version of what is said of a study.

    `candidates` are its measured heads in the order of arrival, at least one, and `choice` is about them. `report` is
    about the selected head; where none is, about any of them, and only its source, its maker and its UIDs count.
    `several_heads` are the headers of the images that show more than one head; `several_fetuses`: the
    machine's own report says that there are several. `version` counts from 1.
    """

    report: ReportInput
    candidates: tuple[Candidate, ...]
    choice: Choice
    version: int
    several_heads: tuple[Dataset, ...] = ()
    several_fetuses: bool = False


def build_study_sr(study: StudyReport) -> FileDataset:
    """TID 5000 as a Comprehensive SR, ready to be written as Explicit VR Little Endian."""
    setting = Setting(SR, sentences(study))
    selected = study.choice.selected
    if selected is None:
        made = build_unidentified(study.report, study.candidates, setting)
    else:
        beside = [candidate for place, candidate in enumerate(study.candidates) if place != selected]
        made = build_tid5000(study.report, beside, setting)
    made.InstanceNumber = study.version
    return made


def sentences(study: StudyReport, words: Words = ENGLISH) -> tuple[str, ...]:
    """How the study's HC was found, or why there is none."""
    count = len(study.candidates)
    said = [words("Measured heads in this study: {count}.", count=count)]
    if study.choice.reason is None:
        return (*said, *((_rule(words),) if count > 1 else ()))
    if study.several_heads:
        shown = "; ".join(image_name(source, words=words) for source in study.several_heads)
        said.append(words("More than one head is seen in: {images}.", images=shown))
    if study.several_fetuses:
        said.append(words("The machine's report is about more than one fetus."))
    listed = words("All values are listed; none is selected, and no gestational age is given.")
    return (words(REASON_TEXT[study.choice.reason]), *said, listed)


def _rule(words: Words) -> str:
    return words(
        "The selected HC has the narrowest interval relative to its value. All values fit together, which does not "
        "show that they are of one fetus; none is merged."
    )


def image_name(source: Dataset, frame: int = 1, words: Words = ENGLISH) -> str:
    """`series 2, image 14, frame 3`, as the scanner counts; the UID where it does not."""
    number, series = (identity.text_of(source, keyword) for keyword in ("InstanceNumber", "SeriesNumber"))
    if series and number:
        name = words("series {series}, image {number}", series=series, number=number)
    else:
        name = words("image {number}", number=number or identity.text_of(source, "SOPInstanceUID"))
    return words("{image}, frame {frame}", image=name, frame=frame) if is_multi_frame(source) else name


def sources_of(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """One candidate for each picture."""
    return tuple({(c.source.SOPInstanceUID, c.measurement.frame): c for c in candidates}.values())
