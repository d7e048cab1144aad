"""The study is the unit that people read: one report once it is quiet, another when an image comes late.

The quiet period is short here, and the network runs on a coarse grid.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from dicom_node.domain import USUAL_OBJECTS, DeliveryState, JobKind, JobState, ResultKind
from tests.acceptance.node import Node, coarse_weights, running_node, wait_for
from tests.acceptance.pacs import Arrival, StandInPacs, source_of, stand_in_pacs
from tests.acceptance.scanner import SMALL, SUCCESS, Scanner, head_image, uid_of
from tests.integration.report_reader import biometry
from tests.ultrasound import save

QUIET_S = 1.5
OF_STUDY = (ResultKind.STUDY_SR, ResultKind.STUDY_PDF)
STUDY_RESULTS = {"objects": [kind.value for kind in USUAL_OBJECTS], "study_quiet_s": QUIET_S}
HC, SELECTION_STATUS, PREDECESSORS = "11984-2", "121404", "PredecessorDocumentsSequence"
LARGER, SMALLER = 4, 1
"""Two heads of 203 and 173 mm."""


@dataclass
class Room:
    folder: Path
    node: Node
    pacs: StandInPacs

    def study(self) -> dict[str, str]:
        """The identity of a new one."""
        return {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}

    def image(self, number: int, seed: int = LARGER, mirrored: bool = False, **study: str) -> Path:
        ds = head_image(seed, InstanceNumber=number, **study)
        if mirrored:
            rows = np.frombuffer(ds.PixelData, np.uint8)[: SMALL[0] * SMALL[1]].reshape(SMALL)
            ds.PixelData = np.fliplr(rows).tobytes()
        return save(ds, self.folder / f"{ds.SOPInstanceUID}.dcm")

    def send(self, *paths: Path) -> None:
        assert set(Scanner(self.node.port).send(*paths)) == {SUCCESS}

    def came(self, study_uid: str, kind: ResultKind) -> list[Arrival]:
        """What came about a study, of one kind, in order."""
        arrivals = [a for a in list(self.pacs.arrivals) if a.read().StudyInstanceUID == study_uid]
        return [a for a in arrivals if a.kind is kind]

    def wait(self, study_uid: str, versions: int) -> list[dict[str, Any]]:
        """Until so many versions are said, and all of them delivered."""
        results = wait_for(
            lambda: found if len(found := self.node.repository.study_results(study_uid)) == versions else None,
            f"not {versions} versions",
            120,
            self.node,
        )
        self.node.wait_settled(0)
        return [json.loads(result.document) for result in results]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    folder = tmp_path_factory.mktemp("room")
    weights = {"weights_dir": str(coarse_weights(folder / "weights"))}
    with (
        stand_in_pacs(folder / "pacs") as pacs,
        running_node(folder / "node", {"pacs": pacs}, inference=weights, results=STUDY_RESULTS) as node,
    ):
        yield Room(folder, node, pacs)


def below(item: Dataset, code: str) -> list[Dataset]:
    """Every content item of that name."""
    found = []
    for child in item.get("ContentSequence") or ():
        name = child.get("ConceptNameCodeSequence")
        if name and name[0].CodeValue == code:
            found.append(child)
        found += below(child, code)
    return found


def values(report: Dataset) -> list[float]:
    return [float(item.MeasuredValueSequence[0].NumericValue) for item in below(report, HC)]


def sources(report: Dataset) -> set[str]:
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    return {
        str(o.ReferencedSOPInstanceUID)
        for series in study.ReferencedSeriesSequence
        for o in series.ReferencedSOPSequence
    }


def predecessor(report: Dataset) -> str:
    (study,) = report[PREDECESSORS].value
    return str(study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID)


@pytest.fixture(scope="module")
def two_and_a_late_one(room: Room) -> tuple[Room, str, list[Path]]:
    """A study of two images, reported; then a third, and the next report."""
    study = room.study()
    uid = study["StudyInstanceUID"]
    images = [room.image(1, **study), room.image(2, mirrored=True, **study)]
    room.send(*images)
    room.wait(uid, 1)
    images.append(room.image(3, **study))
    room.send(images[2])
    room.wait(uid, 2)
    return room, uid, images


def test_the_number_of_each_image_does_not_wait_for_the_study(two_and_a_late_one: tuple[Room, str, list[Path]]) -> None:
    room, uid, images = two_and_a_late_one
    numbers = room.came(uid, ResultKind.TID1500)
    assert [source_of(a.read()) for a in numbers] == list(map(uid_of, images))
    first_report = room.came(uid, ResultKind.STUDY_SR)[0]
    assert [a.at < first_report.at for a in numbers] == [True, True, False]


def test_the_study_has_one_report_of_each_kind_and_a_further_one_that_names_it(
    two_and_a_late_one: tuple[Room, str, list[Path]],
) -> None:
    room, uid, images = two_and_a_late_one
    for kind in OF_STUDY:
        assert [int(a.read().InstanceNumber) for a in room.came(uid, kind)] == [1, 2]
    first, second = (a.read() for a in room.came(uid, ResultKind.STUDY_SR))
    assert PREDECESSORS not in first
    assert predecessor(second) == first.SOPInstanceUID != second.SOPInstanceUID
    assert sources(first) == set(map(uid_of, images[:2]))
    assert sources(second) == set(map(uid_of, images))


def test_the_report_lists_every_head_and_marks_the_selected_one(
    two_and_a_late_one: tuple[Room, str, list[Path]],
) -> None:
    room, uid, _ = two_and_a_late_one
    said = room.wait(uid, 2)
    for report, answer in zip((a.read() for a in room.came(uid, ResultKind.STUDY_SR)), said, strict=True):
        assert sorted(values(report)) == sorted(c["hc_mm"] for c in answer["candidates"])
        selected = [item for item in below(report, HC) if below(item, SELECTION_STATUS)]
        assert len(selected) == 1
        assert values(report)[0] == answer["selected"]["hc_mm"]
        widths = [(c["hc_high_mm"] - c["hc_low_mm"]) / c["hc_mm"] for c in answer["candidates"]]
        chosen = answer["candidates"].index(answer["selected"])
        assert widths[chosen] == min(widths)


def test_the_overlay_of_the_selected_image_came_once(two_and_a_late_one: tuple[Room, str, list[Path]]) -> None:
    room, uid, _ = two_and_a_late_one
    selected = {answer["selected"]["sop_instance_uid"] for answer in room.wait(uid, 2)}
    assert sorted(source_of(a.read()) for a in room.came(uid, ResultKind.OVERLAY)) == sorted(selected)


@pytest.mark.peer("dciodvfy")
def test_dciodvfy_finds_no_error_in_a_study_report(two_and_a_late_one: tuple[Room, str, list[Path]]) -> None:
    room, uid, _ = two_and_a_late_one
    for kind in OF_STUDY:
        for arrival in room.came(uid, kind):
            done = subprocess.run(["dciodvfy", arrival.path], capture_output=True, text=True, timeout=60, check=False)
            lines = (done.stdout + done.stderr).splitlines()
            assert [line for line in lines if line.startswith("Error")] == []
            assert any(re.fullmatch(r"ComprehensiveSR|EncapsulatedPDF", line) for line in lines), lines


@pytest.mark.peer("dsr2xml")
def test_another_reader_finds_the_selected_hc(two_and_a_late_one: tuple[Room, str, list[Path]]) -> None:
    room, uid, _ = two_and_a_late_one
    (_, answer), arrival = room.wait(uid, 2), room.came(uid, ResultKind.STUDY_SR)[1]
    assert biometry(arrival.path)["18185-9"] == (answer["selected"]["ga_days"], "d")


def test_values_that_disagree_are_listed_and_none_is_selected(room: Room) -> None:
    study = room.study()
    uid = study["StudyInstanceUID"]
    room.send(room.image(1, SMALLER, **study), room.image(2, LARGER, **study))
    (answer,) = room.wait(uid, 1)
    assert (answer["status"], answer["reason"], answer["selected"]) == ("abstained", "fetus_not_identified", None)
    (arrival,) = room.came(uid, ResultKind.STUDY_SR)
    report = arrival.read()
    assert len(values(report)) == 2
    assert below(report, SELECTION_STATUS) == []
    assert below(report, "18185-9") == []
    assert len(room.came(uid, ResultKind.STUDY_PDF)) == 1
    assert room.came(uid, ResultKind.OVERLAY) == []


def test_a_worker_that_is_killed_says_nothing_twice(room: Room) -> None:
    """Killed as soon as it has the study's job, again and again, until the report is there."""
    study = room.study()
    uid = study["StudyInstanceUID"]
    room.send(room.image(1, **study))
    kills = 0
    while kills < 2 and not room.node.repository.study_results(uid):
        if any(job.kind is JobKind.STUDY for job in room.node.repository.jobs((JobState.RUNNING,), 9)):
            room.node.kill("worker")
            kills += 1
        time.sleep(0.02)
    assert kills > 0, "the job was never seen"
    room.wait(uid, 1)
    assert [len(room.came(uid, kind)) for kind in (ResultKind.TID1500, *OF_STUDY, ResultKind.OVERLAY)] == [1, 1, 1, 1]
    assert all(len(hashes) == 1 for hashes in room.pacs.held().values())
    states = {d.state for d in room.node.repository.deliveries((), 1000)}
    assert states == {DeliveryState.SENT}
