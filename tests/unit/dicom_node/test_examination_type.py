"""Which examinations are never looked at for a head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicom_node.decode import read_instance
from dicom_node.examination_type import other_examination
from dicom_node.looking import look
from inference.domain import Abstention, Reason
from tests.ultrasound import save, us_image
from tests.unit.inference.test_examine import examiner


@pytest.mark.parametrize("term", ["EPICARDIAL", "TTE", "NEONATAL HEAD", "cardiology "])
def test_an_examination_without_a_fetus_is_named(term: str) -> None:
    header: Any = {"ImageType": ["ORIGINAL", "PRIMARY", term, "0001"]}
    assert other_examination(header) == term.strip().upper()


@pytest.mark.parametrize(
    "value",
    [
        *(
            ["ORIGINAL", "PRIMARY", term]
            for term in ("OBSTETRICAL", "OB", "ABDOMINAL", "FETAL HEART", "GYNECOLOGY", "")
        ),
        ["ORIGINAL", "PRIMARY"],
        ["TTE", "TTE"],
        "TTE",
        b"ORIGINAL\\PRIMARY\\TTE",
        None,
    ],
)
def test_what_may_be_one_is_looked_at(value: Any) -> None:
    header: Any = {"ImageType": value}
    assert other_examination(header) is None


def test_the_answer_names_the_examination(tmp_path: Path) -> None:
    image = us_image(np.zeros((60, 80), np.uint8), ImageType=["ORIGINAL", "PRIMARY", "TTE"])
    finding = look(read_instance(save(image, tmp_path / "a.dcm")), examiner(), 16).finding
    assert isinstance(finding, Abstention)
    assert (finding.reason, finding.detail) == (Reason.OTHER_EXAMINATION, "(TTE)")
