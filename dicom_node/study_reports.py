"""The machine's own reports of a study, as they are stored when an image of it is measured."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from pydicom.dataset import Dataset

from dicom_node.domain import InstanceRef
from dicom_node.errors import InstanceRefused
from dicom_node.operator_values import (
    LAST_OF_START,
    NOTHING_SAID,
    OperatorValues,
    made_at,
    operator_values,
    same_patient,
)
from dicom_node.part10 import read_part10, read_start
from dicom_node.storage.repository import Repository
from inference.domain import AgeSource

_log = logging.getLogger(__name__)

REPORTED_AGES = frozenset({AgeSource.REPORTED_LMP, AgeSource.REPORTED_EDD})

MAXIMUM_REPORTS = 50
"""The newest ones: a machine that sends its report after every image sends some dozens for a study."""


@dataclass(frozen=True, slots=True)
class StudyReports:
    """`age_sources` and `compare_hc` are those of the configuration; where neither wants a report, none is read."""

    repository: Repository
    data_dir: Path
    age_sources: Sequence[AgeSource]
    compare_hc: bool

    def said_beside(self, instance: InstanceRef, header: Dataset) -> OperatorValues:
        """What the newest report says of the patient of `header` and the study of `instance`.

        Raises:
            OSError: a file cannot be read.
        """
        if not self.compare_hc and REPORTED_AGES.isdisjoint(self.age_sources):
            return NOTHING_SAID
        said = self._said(instance, header)
        return said if self.compare_hc else replace(said, hc=None)

    def _said(self, instance: InstanceRef, header: Dataset) -> OperatorValues:
        """By the newest one that can be read; only that one is read as a whole, which takes much longer."""
        for stored in self._newest_first(instance, header):
            try:
                said = _read(self.data_dir / stored.path, stored.sha256)
            except InstanceRefused as refusal:
                _not_read(stored, refusal)
                continue
            if said.report is not None:
                return said
        return NOTHING_SAID

    def _newest_first(self, instance: InstanceRef, header: Dataset) -> list[InstanceRef]:
        """Obstetric reports that may be of the patient; of equally new ones the last to arrive first."""
        found = []
        for place, stored in enumerate(self.repository.reports_of_study(instance.study_instance_uid, MAXIMUM_REPORTS)):
            try:
                start = read_start(self.data_dir / stored.path, LAST_OF_START)
            except InstanceRefused as refusal:
                _not_read(stored, refusal)
                continue
            made = made_at(start)
            if made is not None and same_patient(header, start):
                found.append((made, place, stored))
        return [stored for *_, stored in sorted(found, key=lambda each: each[:2], reverse=True)]


@lru_cache(maxsize=1)
def _read(path: Path, _sha256: str) -> OperatorValues:
    """What one stored report says. The images of a study ask for the same one after each other."""
    return operator_values([read_part10(path).header])


def _not_read(stored: InstanceRef, refusal: InstanceRefused) -> None:
    facts = {"sop_instance_uid": stored.sop_instance_uid, "reason": refusal.reason.value}
    _log.warning("report.not_read", extra=facts)
