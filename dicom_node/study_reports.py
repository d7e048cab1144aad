"""The machine's own reports of a study, as they are stored when an image of it is measured."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom.dataset import Dataset

from dicom_node.domain import InstanceRef
from dicom_node.errors import InstanceRefused
from dicom_node.operator_values import NOTHING_SAID, OperatorValues, operator_values, same_patient
from dicom_node.part10 import read_part10
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
        said = operator_values(report for report in self._reports(instance) if same_patient(header, report))
        return said if self.compare_hc else replace(said, hc=None)

    def _reports(self, instance: InstanceRef) -> Iterator[Dataset]:
        """Oldest first; one that cannot be parsed is passed over."""
        for stored in self.repository.reports_of_study(instance.study_instance_uid, MAXIMUM_REPORTS):
            try:
                yield read_part10(self.data_dir / stored.path).header
            except InstanceRefused as refusal:
                facts = {"sop_instance_uid": stored.sop_instance_uid, "reason": refusal.reason.value}
                _log.warning("report.not_read", extra=facts)
