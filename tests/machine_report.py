"""A structured report as an ultrasound machine sends it: TID 5000, built without any code of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian

LMP, OLD_LMP, EDD = ("8665-2", "LN"), ("11955-2", "LN"), ("11778-8", "LN")
EDD_FROM_LMP, AGE_BY_LMP, HC = ("11779-6", "LN"), ("11885-1", "LN"), ("11984-2", "LN")
FETUSES, FETUS, FETUS_SUMMARY = ("11878-6", "LN"), ("11951-1", "LN"), ("125008", "DCM")
TITLE, SUMMARY, BIOMETRY, GROUP = ("125000", "DCM"), ("121111", "DCM"), ("125002", "DCM"), ("125005", "DCM")
DERIVATION, SELECTION = ("121401", "DCM"), ("121404", "DCM")
MEAN, OLD_MEAN, USER_CHOSEN = ("373098007", "SCT"), ("R-00317", "SRT"), ("121410", "DCM")


def code(triple: tuple[str, str]) -> Dataset:
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator = triple
    made.CodeMeaning = "as the machine says it"
    return made


def item(kind: str, name: tuple[str, str], relationship: str = "CONTAINS", **values: Any) -> Dataset:
    made = Dataset()
    made.RelationshipType, made.ValueType = relationship, kind
    made.ConceptNameCodeSequence = [code(name)]
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def container(name: tuple[str, str], *children: Dataset) -> Dataset:
    return item("CONTAINER", name, ContinuityOfContent="SEPARATE", ContentSequence=list(children))


def day(name: tuple[str, str], value: str) -> Dataset:
    return item("DATE", name, Date=value)


def number(name: tuple[str, str], value: str, unit: str, *children: Dataset, time: str = "") -> Dataset:
    measured = Dataset()
    measured.NumericValue = value
    measured.MeasurementUnitsCodeSequence = [code((unit, "UCUM"))]
    made = item("NUM", name, MeasuredValueSequence=[measured])
    if children:
        made.ContentSequence = list(children)
    if time:
        made.ObservationDateTime = time
    return made


def hc(value: str, unit: str = "mm", *children: Dataset, time: str = "") -> Dataset:
    return number(HC, value, unit, *children, time=time)


def derived(how: tuple[str, str] = MEAN) -> Dataset:
    return item("CODE", DERIVATION, "HAS CONCEPT MOD", ConceptCodeSequence=[code(how)])


def chosen() -> Dataset:
    return item("CODE", SELECTION, "HAS PROPERTIES", ConceptCodeSequence=[code(USER_CHOSEN)])


def fetus(name: str) -> Dataset:
    return item("TEXT", FETUS, "HAS OBS CONTEXT", TextValue=name)


def biometry(*numbers: Dataset) -> Dataset:
    return container(BIOMETRY, container(GROUP, *numbers))


def machine_report(summary: Sequence[Dataset] = (), *sections: Dataset, **attributes: Any) -> FileDataset:
    """A report of 2 January 2026 with these items in its summary, and these sections; None takes an attribute away."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = ComprehensiveSRStorage
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    values = {
        "SOPClassUID": ComprehensiveSRStorage,
        "SOPInstanceUID": "1.2.3.70.1",
        "SeriesInstanceUID": "1.2.3.70",
        "StudyInstanceUID": "1.2.3",
        "Modality": "SR",
        "PatientID": "P-1001",
        "StudyDate": "20260102",
        "ContentDate": "20260102",
        "ContentTime": "093500",
        "Manufacturer": "Phantom Works",
        "ValueType": "CONTAINER",
        "ConceptNameCodeSequence": [code(TITLE)],
        "ContinuityOfContent": "SEPARATE",
        "ContentSequence": [container(SUMMARY, *summary), *sections],
        **attributes,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(made, keyword, value)
    meta.MediaStorageSOPInstanceUID = made.get("SOPInstanceUID", "1.2.3.70.1")
    return made
