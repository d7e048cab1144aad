"""`rules test` says what the receiver would decide, with the reasons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicom_node.config import Config
from dicom_node.errors import InstanceRefused
from dicom_node.explaining import Explained, Sender, explain
from sr_templates.uids import UID_ROOT
from tests.ultrasound import save, us_image

SCANNER = Sender("VOLUSON1", "FETALHC", "192.0.2.7")
RULES = {
    "destinations": [
        {"name": "pacs", "ae_title": "PACS", "host": "h", "port": 104, "objects": ["tid1500"]},
        {"name": "archive", "ae_title": "VNA", "host": "h", "port": 104, "objects": ["original"]},
    ],
    "rules": [
        {"name": "echo", "when": {"series_description": "*echo*"}, "action": "ignore", "send": {}},
        {"name": "room", "when": {"calling_ae": "VOLUSON*"}, "model": "other", "priority": "urgent"},
        {"name": "rest"},
    ],
}


def explained(folder: Path, sender: Sender = SCANNER, rules: Any = RULES, **attributes: Any) -> Explained:
    image = us_image(np.zeros((40, 60), np.uint8))
    for keyword, value in attributes.items():
        setattr(image, keyword, value)
    return explain(save(image, folder / "image.dcm"), Config.model_validate(rules), sender)


def test_what_is_measured_says_with_what_and_goes_where(tmp_path: Path) -> None:
    document = explained(tmp_path).document()
    assert document["rules"] == ["room"]
    assert (document["measured"], document["model"], document["priority"]) == (True, "other", "urgent")
    assert document["send"] == {"pacs": ["tid1500"], "archive": ["original"]}
    assert [(one["rule"], one["holds"]) for one in document["answers"]] == [
        ("echo", False),
        ("room", True),
        ("rest", True),
    ]


def test_what_is_ignored_says_why(tmp_path: Path) -> None:
    told = explained(tmp_path, SeriesDescription="Fetal ECHO")
    text = "\n".join(told.lines())
    assert told.document()["send"] == {}
    assert "yes  SeriesDescription like *echo* (it is Fetal ECHO)" in text
    assert "rule room: an earlier rule spoke already" in text
    assert "measured: no" in text
    assert "to nobody" in text


def test_results_go_nowhere_where_there_are_none(tmp_path: Path) -> None:
    document = explained(tmp_path, SOPClassUID="1.2.840.10008.5.1.4.1.1.7").document()
    assert (document["measured"], document["send"]) == (False, {"archive": ["original"]})


def test_an_object_of_ours_goes_nowhere(tmp_path: Path) -> None:
    told = explained(tmp_path, SOPInstanceUID=f"{UID_ROOT}.1.2")
    assert told.document()["own_object"]
    assert not told.document()["measured"]
    assert told.document()["send"] == {}
    assert "neither measured nor sent on" in "\n".join(told.lines())


def test_a_sender_that_no_destination_is_is_told(tmp_path: Path) -> None:
    rules = {"rules": [{"name": "back", "send": {"sender": ["pdf"]}}]}
    assert "no destination has its AE title" in "\n".join(explained(tmp_path, rules=rules).lines())


def test_what_nobody_said_of_the_association_does_not_match(tmp_path: Path) -> None:
    assert explained(tmp_path, Sender(None, None, None)).document()["rules"] == ["rest"]


def test_what_is_no_dicom_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("no image")
    with pytest.raises(InstanceRefused):
        explain(tmp_path / "note.txt", Config(), SCANNER)
