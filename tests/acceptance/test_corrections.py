"""The same SOP Instance UID again: as it was, in other clothes, with another name, with another picture.

And what is never measured: results of our own that a PACS routes back, and what a scanner sends along.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from dicom_node.domain import DeliveryState, JobState, Relation, ResultKind
from tests.acceptance.node import Node, coarse_weights, running_node, wait_for
from tests.acceptance.pacs import Arrival, StandInPacs, stand_in_pacs
from tests.acceptance.scanner import Scanner, head_image, uid_of
from tests.objects import IMAGE_OBJECTS
from tests.ultrasound import save

SUCCESS = 0x0000
HELD_NAME, RIGHT_NAME = "Wrong^Name", "Right^Name"


@dataclass(frozen=True)
class Room:
    folder: Path
    node: Node
    pacs: StandInPacs

    def send(self, *paths: Path) -> None:
        """Send, and wait until everything that follows from it is done."""
        before = self.node.counts()["instances"]
        assert set(Scanner(self.node.port).send(*paths)) == {SUCCESS}
        self.node.wait_settled(before, 60)

    def image(self, name: str, seed: int = 4, **attributes: Any) -> Path:
        return save(head_image(seed, **attributes), self.folder / f"{name}.dcm")

    def variant(self, path: Path, name: str, **attributes: Any) -> Path:
        """The same object with other attributes."""
        ds = dcmread(path)
        for keyword, value in attributes.items():
            setattr(ds, keyword, value)
        ds.save_as(self.folder / f"{name}.dcm")
        return self.folder / f"{name}.dcm"

    def relation(self, path: Path, revision: int) -> Relation:
        return self.node.instance(uid_of(path), revision).relation

    def arrived(self, path: Path) -> list[Arrival]:
        """All that ever came about an image, in order."""
        kinds = self.pacs.results()[uid_of(path)].values()
        uids = {uid for kind in kinds for uid in kind}
        return [arrival for arrival in self.pacs.arrivals if arrival.sop_instance_uid in uids]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    folder = tmp_path_factory.mktemp("room")
    weights = {"weights_dir": str(coarse_weights(folder / "weights"))}
    with (
        stand_in_pacs(folder / "pacs") as pacs,
        running_node(folder / "node", {"pacs": pacs}, inference=weights) as node,
    ):
        yield Room(folder, node, pacs)


def test_the_same_object_again_changes_nothing(room: Room) -> None:
    image = room.image("twice")
    room.send(image)
    room.send(image)
    assert len(room.node.repository.versions(uid_of(image))) == 1
    assert len(room.arrived(image)) == len(IMAGE_OBJECTS)


@pytest.mark.peer("dcmcrle")
def test_the_same_pixels_compressed_are_a_duplicate(room: Room) -> None:
    image, compressed = room.image("plain"), room.folder / "rle.dcm"
    room.send(image)
    subprocess.run(["dcmcrle", str(image), str(compressed)], check=True, timeout=30)
    assert dcmread(compressed).file_meta.TransferSyntaxUID.is_compressed
    assert uid_of(compressed) == uid_of(image)
    room.send(compressed)
    assert room.relation(image, 1) is Relation.DUPLICATE
    assert room.node.repository.result_of(room.node.instance(uid_of(image), 1).id) is None
    assert len(room.arrived(image)) == len(IMAGE_OBJECTS)


def test_other_pixels_are_kept_aside(room: Room) -> None:
    image = room.image("first", seed=4)
    other = room.image("other", seed=5, **identity_of(image))
    room.send(image)
    kept = (room.node.data_dir / room.node.instance(uid_of(image)).path).read_bytes()
    room.send(other)
    assert room.relation(image, 1) is Relation.CONFLICT
    assert room.node.repository.result_of(room.node.instance(uid_of(image), 1).id) is None
    assert len(room.arrived(image)) == len(IMAGE_OBJECTS)
    first, second = (room.node.data_dir / v.path for v in room.node.repository.versions(uid_of(image)))
    assert first.read_bytes() == kept
    assert dcmread(second).PixelData == dcmread(other).PixelData


def test_a_corrected_name_waits_for_a_person_and_then_replaces_what_was_said(room: Room) -> None:
    image = room.image("named", PatientName=HELD_NAME)
    room.send(image)
    before = {arrival.kind: arrival for arrival in room.arrived(image)}
    room.send(room.variant(image, "renamed", PatientName=RIGHT_NAME))
    assert room.relation(image, 1) is Relation.CORRECTION
    held = held_job(room.node, image)
    assert len(room.arrived(image)) == len(IMAGE_OBJECTS)

    confirm(room.node, held["id"])
    assert room.node.wait_answer(uid_of(image), revision=1)["status"] == "measured"
    room.node.wait_settled(0, 60)
    after = {arrival.kind: arrival for arrival in room.arrived(image)[len(IMAGE_OBJECTS) :]}
    assert set(after) == set(IMAGE_OBJECTS)
    assert not {a.sop_instance_uid for a in after.values()} & {a.sop_instance_uid for a in before.values()}
    assert {str(a.read().PatientName) for a in after.values()} == {RIGHT_NAME}
    assert predecessor_of(after[ResultKind.TID1500].read()) == before[ResultKind.TID1500].sop_instance_uid


def test_what_was_not_delivered_when_the_correction_came_is_never_delivered(room: Room) -> None:
    room.pacs.down()
    try:
        image = room.image("undelivered", PatientName=HELD_NAME)
        assert Scanner(room.node.port).send(image) == [SUCCESS]
        room.node.wait_answer(uid_of(image))
        old = result_uids(room.node, image, 0)
        assert Scanner(room.node.port).send(room.variant(image, "late", PatientName=RIGHT_NAME)) == [SUCCESS]
        held = wait_for(lambda: find_held_job(room.node, image), "no held job", 30, room.node)
        wait_for(lambda: states(room.node, old) == {DeliveryState.HELD}, "not held", 30, room.node)
    finally:
        room.pacs.up()
    confirm(room.node, held["id"])
    room.node.wait_answer(uid_of(image), revision=1)
    room.node.wait_settled(0, 60)
    assert states(room.node, old) == {DeliveryState.CANCELLED}
    assert states(room.node, result_uids(room.node, image, 1)) == {DeliveryState.SENT}
    assert not old & set(room.pacs.held())
    assert {str(arrival.read().PatientName) for arrival in room.arrived(image)} == {RIGHT_NAME}


def test_a_cancelled_correction_lets_the_first_result_go(room: Room) -> None:
    room.pacs.down()
    try:
        image = room.image("kept", PatientName=RIGHT_NAME)
        assert Scanner(room.node.port).send(image) == [SUCCESS]
        room.node.wait_answer(uid_of(image))
        assert Scanner(room.node.port).send(room.variant(image, "mistaken", PatientName=HELD_NAME)) == [SUCCESS]
        held = wait_for(lambda: find_held_job(room.node, image), "no held job", 30, room.node)
    finally:
        room.pacs.up()
    assert room.node.cli("jobs", "cancel", str(held["id"])).returncode == 0
    room.node.wait_settled(0, 60)
    assert {arrival.sop_instance_uid for arrival in room.arrived(image)} == result_uids(room.node, image, 0)
    assert {str(arrival.read().PatientName) for arrival in room.arrived(image)} == {RIGHT_NAME}


def test_a_damaged_image_that_is_sent_again_is_measured(room: Room) -> None:
    whole = room.image("whole")
    cut = room.folder / "cut.dcm"
    cut.write_bytes(whole.read_bytes()[:-5000])
    room.send(cut)
    assert room.node.wait_answer(uid_of(whole))["reason"] == "truncated"
    room.send(whole)
    assert room.relation(whole, 1) is Relation.REPLACEMENT
    assert room.node.wait_answer(uid_of(whole), revision=1)["status"] == "measured"
    assert len(room.arrived(whole)) == len(IMAGE_OBJECTS)


def test_our_own_results_are_stored_and_not_measured(room: Room) -> None:
    image = room.image("own")
    room.send(image)
    results = room.arrived(image)
    jobs = room.node.repository.jobs([], 1000)
    sent_before = len(room.pacs.arrivals)
    room.send(*(arrival.path for arrival in results))
    for arrival in results:
        stored = room.node.instance(arrival.sop_instance_uid)
        assert room.node.repository.result_of(stored.id) is None
    assert len(room.node.repository.jobs([], 1000)) == len(jobs)
    assert len(room.pacs.arrivals) == sent_before


def test_our_overlay_under_another_uid_is_not_measured_either(room: Room) -> None:
    """An archive that makes a US Image of it: the equipment still says whose it is."""
    image = room.image("again")
    room.send(image)
    overlay = next(arrival for arrival in room.arrived(image) if arrival.kind is ResultKind.OVERLAY)
    ds = head_image(4)
    for keyword in ("Manufacturer", "ManufacturerModelName"):
        setattr(ds, keyword, overlay.read()[keyword].value)
    disguised = save(ds, room.folder / "disguised.dcm")
    jobs = len(room.node.repository.jobs([], 1000))
    room.send(disguised)
    assert len(room.node.repository.jobs([], 1000)) == jobs


@pytest.mark.parametrize(
    "sop_class_uid",
    [
        "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR
        "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
        "1.2.840.10008.5.1.4.1.1.88.59",  # Key Object Selection
        "1.2.840.10008.5.1.4.1.1.11.1",  # Grayscale Softcopy Presentation State
    ],
)
def test_what_a_scanner_sends_along_is_stored_and_not_measured(room: Room, sop_class_uid: str) -> None:
    along = room.image(f"along_{sop_class_uid}", SOPClassUID=sop_class_uid)
    jobs = len(room.node.repository.jobs([], 1000))
    room.send(along)
    assert len(room.node.repository.versions(uid_of(along))) == 1
    assert len(room.node.repository.jobs([], 1000)) == jobs


def identity_of(path: Path) -> dict[str, str]:
    ds = dcmread(path, stop_before_pixels=True)
    keywords = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
    return {keyword: str(ds[keyword].value) for keyword in keywords}


def held_job(node: Node, image: Path) -> dict[str, Any]:
    """The held job of an image as `jobs` shows it."""
    found = find_held_job(node, image)
    assert found is not None
    assert (found["kind"], found["state"], found["relation"]) == ("measure", JobState.HELD, Relation.CORRECTION)
    return found


def find_held_job(node: Node, image: Path) -> dict[str, Any] | None:
    done = node.cli("jobs", "--state", "held", "--json")
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return next((row for row in rows if row["sop_instance_uid"] == uid_of(image)), None)


def confirm(node: Node, job_id: int) -> None:
    done = node.cli("jobs", "confirm", str(job_id))
    assert done.returncode == 0, done.stderr


def result_uids(node: Node, image: Path, revision: int) -> set[str]:
    objects = node.repository.objects_of(node.instance(uid_of(image), revision).id)
    assert len(objects) == len(IMAGE_OBJECTS)
    return {stored.sop_instance_uid for stored in objects}


def states(node: Node, uids: set[str]) -> set[DeliveryState]:
    return {d.state for d in node.repository.deliveries([], 1000) if d.sop_instance_uid in uids}


def predecessor_of(report: Dataset) -> str:
    study = report.PredecessorDocumentsSequence[0]
    return str(study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
