"""Bad input to the running node: each gets a clear named answer, and the images around it are measured and delivered.

One node serves the module. Every bad object travels between two good ones, in the same association where the sender
can put it there.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom import AE, build_context
from pynetdicom.association import Association

from dicom_node.domain import DeliveryState
from dicom_node.storage.files import OBJECTS, PART_SUFFIX, SPOOL
from tests.acceptance.images import bad_images, good_image
from tests.acceptance.node import Node, coarse_weights, running_node, wait_for
from tests.acceptance.pacs import StandInPacs, stand_in_pacs
from tests.acceptance.scanner import Scanner, uid_of
from tests.objects import IMAGE_OBJECTS
from tests.receiving import OUR_AE, SCANNER, send
from tests.scu import Request, association, store
from tests.ultrasound import US_IMAGE

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000
DOES_NOT_MATCH = 0xA900
SUCCESS = 0x0000
BAD = bad_images()


@dataclass(frozen=True)
class Room:
    folder: Path
    node: Node
    pacs: StandInPacs

    def good(self) -> Path:
        """A new good image."""
        return good_image(self.folder / f"good_{time.monotonic_ns()}.dcm")

    def delivered(self, *paths: Path) -> None:
        """Each of these is measured and its three objects come to the PACS."""
        for path in paths:
            assert self.node.wait_answer(uid_of(path))["status"] == "measured"
        wanted = {uid_of(path) for path in paths}

        def all_there() -> bool:
            results = self.pacs.results()
            return all(set(results[uid]) == set(IMAGE_OBJECTS) for uid in wanted)

        wait_for(all_there, "not delivered", 60, self.node)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    folder = tmp_path_factory.mktemp("room")
    weights = {"weights_dir": str(coarse_weights(folder / "weights"))}
    with (
        stand_in_pacs(folder / "pacs") as pacs,
        running_node(folder / "node", {"pacs": pacs}, inference=weights) as node,
    ):
        yield Room(folder, node, pacs)


@pytest.mark.parametrize("name", BAD)
def test_an_object_that_is_wrong(room: Room, name: str) -> None:
    before, bad, after = room.good(), BAD[name].make(room.folder / f"{name}.dcm"), room.good()
    with association(room.node.port, [US_IMAGE]) as sender:
        for path in (before, bad, after):
            assert store(sender, request_of(path)).status == SUCCESS
    answer = room.node.wait_answer(uid_of(bad))
    assert (answer["status"], answer["reason"]) == (BAD[name].status, BAD[name].reason)
    room.delivered(before, after)


def test_no_data_set_and_an_empty_one(room: Room) -> None:
    before, after = room.good(), room.good()
    nothing = request_of(room.good()).with_data(None)
    with association(room.node.port, [US_IMAGE]) as sender:
        assert store(sender, request_of(before)).status == SUCCESS
        assert store(sender, nothing).status == CANNOT_UNDERSTAND
        assert store(sender, nothing.with_data(b"")).status == DOES_NOT_MATCH
        assert store(sender, request_of(after)).status == SUCCESS
    room.delivered(before, after)


def test_ct_is_refused_in_negotiation_and_its_neighbours_are_taken(room: Room) -> None:
    good = room.good()
    sender = AE(SCANNER)
    contexts = [build_context(CT_IMAGE), build_context(US_IMAGE, dcmread(good).file_meta.TransferSyntaxUID)]
    opened = sender.associate("127.0.0.1", room.node.port, contexts=contexts, ae_title=OUR_AE)
    assert opened.is_established
    assert [context.abstract_syntax for context in opened.rejected_contexts] == [CT_IMAGE]
    assert opened.send_c_store(good).Status == SUCCESS
    opened.release()
    room.delivered(good)


@pytest.mark.parametrize(
    ("calling", "called", "diagnostic", "reason"),
    [("STRANGER", OUR_AE, 3, "calling_ae_unknown"), (SCANNER, "SOMEBODY", 7, "called_ae_unknown")],
)
def test_a_stranger_and_a_wrong_address(room: Room, calling: str, called: str, diagnostic: int, reason: str) -> None:
    answer = associate(calling, called, room.node.port).acceptor.primitive
    assert answer is not None
    assert (answer.result, answer.result_source, answer.diagnostic) == (1, 1, diagnostic)
    told = json.loads(room.node.cli("peers", "--json").stdout)["refused"]
    assert (told[0]["calling_ae"], told[0]["called_ae"], told[0]["reason"]) == (calling, called, reason)
    good = room.good()
    assert Scanner(room.node.port).send(good) == [SUCCESS]
    room.delivered(good)


@pytest.mark.peer("dcmsend")
def test_an_empty_file_among_those_of_dcmsend(room: Room) -> None:
    before, after = room.good(), room.good()
    empty = room.folder / "empty.dcm"
    empty.touch()
    _, said = send("dcmsend", room.node.port, before, empty, after, options=["--no-halt"])
    assert "empty.dcm" in said
    room.delivered(before, after)


def test_a_disk_without_room(room: Room) -> None:
    """The receiver may write no file larger than half an image; then there is room again."""
    good = room.good()
    receiver = room.node.role("receiver")
    objects = room.node.files(OBJECTS)
    soft, hard = receiver.rlimit(resource.RLIMIT_FSIZE)
    receiver.rlimit(resource.RLIMIT_FSIZE, (good.stat().st_size // 2, hard))
    try:
        scanner = Scanner(room.node.port)
        assert scanner.send(good) == [OUT_OF_RESOURCES]
        assert [path for path in room.node.files(SPOOL) if path.suffix == PART_SUFFIX] == []
        assert room.node.files(OBJECTS) == objects
        assert room.node.repository.versions(uid_of(good)) == ()
    finally:
        receiver.rlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert scanner.send(good) == [SUCCESS]
    room.delivered(good)


def test_a_pacs_that_is_down_and_comes_back(room: Room) -> None:
    room.pacs.down()
    goods = [room.good(), room.good()]
    try:
        assert Scanner(room.node.port).send(*goods) == [SUCCESS, SUCCESS]
        uids = {o for path in goods for o in result_uids(room.node, path)}
        assert len(uids) == 2 * len(IMAGE_OBJECTS)

        def is_away() -> bool:
            """After as many failures as that takes nothing more is tried, whichever object it was the turn of."""
            waiting = [d for d in room.node.repository.deliveries([], 100) if d.sop_instance_uid in uids]
            assert not [d for d in waiting if d.state in (DeliveryState.SENT, DeliveryState.DEAD)]
            state = room.node.repository.destination_states().get("pacs")
            return state is not None and not state.reachable

        wait_for(is_away, "the PACS was not found to be away", 60, room.node)
        told = json.loads(room.node.cli("jobs", "--deliveries", "--json").stdout)
        assert {row["state"] for row in told if row["sop_instance_uid"] in uids} <= {"pending", "sending"}
    finally:
        room.pacs.up()
    room.delivered(*goods)


def test_measure_answers_for_every_file_of_a_folder(room: Room) -> None:
    folder = room.folder / "mixed"
    folder.mkdir()
    for name, bad in BAD.items():
        bad.make(folder / f"{name}.dcm")
    good_image(folder / "good.dcm")
    (folder / "empty.dcm").touch()
    (folder / "text.dcm").write_text("no DICOM here", encoding="utf-8")
    ct = dcmread(folder / "good.dcm")
    ct.SOPClassUID = ct.file_meta.MediaStorageSOPClassUID = CT_IMAGE
    ct.save_as(folder / "ct.dcm")
    done = room.node.cli("measure", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    told = {Path(a["file"]).stem: (a["status"], a["reason"]) for a in map(json.loads, done.stdout.splitlines())}
    assert told == {
        **{name: (bad.status, bad.reason) for name, bad in BAD.items()},
        "good": ("measured", None),
        "empty": ("refused", "empty_file"),
        "text": ("refused", "not_dicom"),
        "ct": ("refused", "unsupported_sop_class"),
    }


def result_uids(node: Node, path: Path) -> list[str]:
    node.wait_answer(uid_of(path))
    return [stored.sop_instance_uid for stored in node.repository.objects_of(node.instance(uid_of(path)).id)]


def request_of(path: Path) -> Request:
    """The data set as it lies in the file, however wrong it is."""
    content = path.read_bytes()
    offset = 144 + int.from_bytes(content[140:144], "little")
    return Request(US_IMAGE, uid_of(path), content[offset:])


def associate(calling: str, called: str, port: int) -> Association:
    entity = AE(calling)
    opened = entity.associate("127.0.0.1", port, contexts=[build_context(US_IMAGE)], ae_title=called)
    assert opened.is_rejected
    return opened
