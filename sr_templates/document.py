"""The document around a content tree (PS3.3 C.17.2, C.17.3): flags, evidence, requests, predecessor, private codes.

highdicom's own document classes read attributes that scanners omit, and take the content time from the clock.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import Dataset
from pydicom.dataset import FileDataset

from sr_templates import codes
from sr_templates.report import ObjectInput, Predecessor
from sr_templates.source import Shell, begin, request_items


def document(report: ObjectInput, shell: Shell, root: Dataset, sources: Sequence[Dataset]) -> FileDataset:
    """A structured report, ready to be written as Explicit VR Little Endian.

    It is COMPLETE (all content is there), UNVERIFIED (no person has attested it) and PRELIMINARY (PS3.3 C.17.2).
    `root` is the whole content tree; `sources` are the headers of the images that it speaks of, all of one study.
    """
    sr = begin(report, shell)
    sr.CompletionFlag, sr.VerificationFlag, sr.PreliminaryFlag = "COMPLETE", "UNVERIFIED", "PRELIMINARY"
    sr.ReferencedPerformedProcedureStepSequence = []
    sr.PerformedProcedureCodeSequence = []
    requests = request_items(report.source)
    if requests:
        sr.ReferencedRequestSequence = requests
    sr.CurrentRequestedProcedureEvidenceSequence = [evidence([*sources, *report.beside])]
    predecessor = report.predecessors.get(shell.kind)
    if predecessor is not None:
        sr.PredecessorDocumentsSequence = [_predecessor(predecessor)]
    separate(root)
    if _says_private_code(root):
        sr.CodingSchemeIdentificationSequence = [codes.private_scheme_item()]
    for element in root:
        sr.add(element)
    return sr


def separate(item: Dataset) -> None:
    """Continuity of Content: list items, not flowing text as highdicom would have it (PS3.3 C.18.8)."""
    if item.get("ValueType") == "CONTAINER":
        item.ContinuityOfContent = "SEPARATE"
        for child in item.get("ContentSequence") or ():
            separate(child)


def _says_private_code(item: Dataset) -> bool:
    """Whether a code of our own scheme stands anywhere below; the object then has to declare the scheme."""
    spoken = [*(item.get("ConceptNameCodeSequence") or ()), *(item.get("ConceptCodeSequence") or ())]
    return any(code.CodingSchemeDesignator == codes.PRIVATE_SCHEME for code in spoken) or any(
        _says_private_code(child) for child in item.get("ContentSequence") or ()
    )


def evidence(sources: Sequence[Dataset]) -> Dataset:
    """Hierarchical SOP Instance Reference Macro (PS3.3 C.17.2.1); evidence counts whole objects, not frames."""
    by_series: dict[str, dict[str, Dataset]] = {}
    for source in sources:
        by_series.setdefault(source.SeriesInstanceUID, {})[source.SOPInstanceUID] = _reference(
            source.SOPClassUID, source.SOPInstanceUID
        )
    series = [_series(uid, [*references.values()]) for uid, references in by_series.items()]
    return _study(sources[0].StudyInstanceUID, series)


def _predecessor(old: Predecessor) -> Dataset:
    reference = _reference(old.sop_class_uid, old.sop_instance_uid)
    return _study(old.study_instance_uid, [_series(old.series_instance_uid, [reference])])


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item


def _series(series_instance_uid: str, references: list[Dataset]) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = series_instance_uid
    item.ReferencedSOPSequence = references
    return item


def _study(study_instance_uid: str, series: list[Dataset]) -> Dataset:
    item = Dataset()
    item.StudyInstanceUID = study_instance_uid
    item.ReferencedSeriesSequence = series
    return item
