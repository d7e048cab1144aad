"""Objects that are not what they claim: each gets its own answer, leaves nothing, and harms no other."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom_node.errors import DatabaseUnavailable
from dicom_node.receive import walk
from dicom_node.receive.spool import LOCK
from tests.fakes import FakeRepository
from tests.receiving import ReceivingNode as Node
from tests.receiving import eventually, free_port, receiver_config, receiver_thread, receiving_node
from tests.scu import Answer, Request, answer_to, associate_request, association, messages, store
from tests.ultrasound import US_IMAGE, US_MULTIFRAME, us_image

OTHER_UID = "1.2.826.0.1.3680043.8.498.1"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with receiving_node(tmp_path / "data") as node:
        yield node


def image(**attributes: object) -> FileDataset:
    return us_image(np.full((8, 8), 100, np.uint8), **attributes)


def cut(request: Request, length: int) -> Request:
    assert request.data is not None
    return request.with_data(request.data[:length])


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def refused(node: Node, request: Request) -> Answer:
    """Send it, then a good image in the same association, which must be taken; only that one may leave a file."""
    with association(node.port, [US_IMAGE]) as assoc:
        answer = store(assoc, request)
        assert node.files() == []
        good = Request.of(image())
        assert store(assoc, good) == Answer(0x0000, "")
    assert [i.sop_instance_uid for i in node.repository.instances] == [good.sop_instance_uid]
    assert len(node.files()) == 1
    return answer


def test_another_class_than_announced(node: Node) -> None:
    answer = refused(node, Request.of(image(SOPClassUID=US_MULTIFRAME)).announced_as(sop_class_uid=US_IMAGE))

    assert answer == Answer(0xA900, "SOP Class UID of data set and command differ.")


def test_another_class_than_its_presentation_context(node: Node) -> None:
    answer = refused(node, Request.of(image(SOPClassUID=US_MULTIFRAME)))

    assert answer == Answer(0x0122, "The SOP class is not that of the presentation context.")


def test_another_instance_than_announced(node: Node) -> None:
    answer = refused(node, Request.of(image()).announced_as(sop_instance_uid=OTHER_UID))

    assert answer == Answer(0xA900, "SOP Instance UID of data set and command differ.")


@pytest.mark.parametrize("uid", ["../../../tmp/x", "1.2.840.abc", "/etc/passwd", "1." * 40 + "1"])
def test_an_instance_uid_that_is_none(node: Node, uid: str) -> None:
    answer = refused(node, Request.of(image()).announced_as(sop_instance_uid=uid))

    assert answer == Answer(0xC000, "Affected SOP Instance UID is not a UID.")


def test_a_data_set_whose_uid_is_a_path(node: Node) -> None:
    data = element(0x0008, 0x0016, b"UI", US_IMAGE.encode() + b"\0" * (len(US_IMAGE) % 2))
    data += element(0x0008, 0x0018, b"UI", b"../../../evil\0")

    answer = refused(node, Request(US_IMAGE, OTHER_UID, data))

    assert answer == Answer(0xC000, "SOPInstanceUID is not a UID.")


@pytest.mark.parametrize(
    ("keyword", "comment"),
    [
        ("StudyInstanceUID", "Study Instance UID is missing."),
        ("SeriesInstanceUID", "Series Instance UID is missing."),
    ],
)
def test_an_identity_that_is_missing(node: Node, keyword: str, comment: str) -> None:
    assert refused(node, Request.of(image(**{keyword: None}))) == Answer(0xC000, comment)


def test_no_data_set_at_all(node: Node) -> None:
    answer = refused(node, Request.of(image()).with_data(None))

    assert answer == Answer(0xC000, "The request carries no data set.")


def test_a_data_set_of_no_bytes(node: Node) -> None:
    assert refused(node, Request.of(image()).with_data(b"")).status == 0xA900


@pytest.mark.parametrize("noise", [b"\xff" * 1000, bytes(1000), b"GIF89a" * 100, bytes(range(256)) * 4])
def test_noise(node: Node, noise: bytes) -> None:
    assert refused(node, Request.of(image()).with_data(noise)).status in {0xC000, 0xA900}


def test_a_header_that_breaks_off_inside_an_identity(node: Node) -> None:
    request = Request.of(image(SeriesInstanceUID="1.2.3.4.5.6.7.8.9.10"))
    assert request.data is not None
    end = request.data.index(b"1.2.3.4.5.6.7.8.9.10") + 10

    assert refused(node, cut(request, end)) == Answer(0xC000, "The data set ends inside its header.")


def test_a_deflated_context_with_a_data_set_that_is_not(node: Node) -> None:
    with association(node.port, [US_IMAGE], [DeflatedExplicitVRLittleEndian]) as assoc:
        answer = store(assoc, Request.of(image()))

    assert answer == Answer(0xC000, "The data set cannot be parsed.")
    assert node.files() == []


def test_a_header_too_long_to_be_read_to_its_end_is_taken_under_the_names_of_the_command(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "MAXIMUM_STEPS", 50)
    dataset = image(SourceImageSequence=[Dataset() for _ in range(100)])
    dataset["SourceImageSequence"].is_undefined_length = True
    request = Request.of(dataset)

    with association(node.port, [US_IMAGE]) as assoc:
        assert store(assoc, request) == Answer(0x0000, "")

    (stored,) = node.repository.instances
    assert (stored.sop_class_uid, stored.sop_instance_uid) == (US_IMAGE, request.sop_instance_uid)
    assert (stored.study_instance_uid, stored.measurable) == ("", True)


def test_many_source_images_are_taken(node: Node) -> None:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = US_IMAGE, OTHER_UID
    dataset = image(SourceImageSequence=[reference] * 20_000)
    dataset["SourceImageSequence"].is_undefined_length = True
    reference.is_undefined_length_sequence_item = True

    with association(node.port, [US_IMAGE]) as assoc:
        assert store(assoc, Request.of(dataset)) == Answer(0x0000, "")

    assert len(node.repository.instances) == 1


def test_truncated_pixel_data_is_taken_for_the_worker_to_name(node: Node) -> None:
    whole = Request.of(us_image(np.zeros((64, 64), np.uint8)))
    assert whole.data is not None
    with association(node.port, [US_IMAGE]) as assoc:
        assert store(assoc, cut(whole, len(whole.data) - 1000)).status == 0x0000

    assert [i.measurable for i in node.repository.instances] == [True]


def test_without_a_database_the_sender_keeps_its_object(node: Node) -> None:
    node.repository.failure = DatabaseUnavailable("The database sqlite:////srv/secret/node.sqlite3 is locked.")
    with association(node.port, [US_IMAGE]) as assoc:
        request = Request.of(image())
        assert store(assoc, request) == Answer(0xA700, "The database is locked or cannot be reached.")
        assert node.files() == []
        node.repository.failure = None
        assert store(assoc, request).status == 0x0000
    assert len(node.files()) == 1


def test_a_commit_that_may_have_happened_keeps_its_file(node: Node) -> None:
    node.repository.failure = DatabaseUnavailable("gone in the middle of the commit")
    node.repository.known = DatabaseUnavailable("still gone")
    with association(node.port, [US_IMAGE]) as assoc:
        assert store(assoc, Request.of(image())).status == 0xA700

    assert len(node.files()) == 1


def test_a_fault_of_ours_costs_one_object(node: Node) -> None:
    node.repository.failure = ZeroDivisionError()
    with association(node.port, [US_IMAGE]) as assoc:
        assert store(assoc, Request.of(image())) == Answer(0x0110, "The node failed; its log says why.")
        node.repository.failure = None
        assert store(assoc, Request.of(image())).status == 0x0000


def test_below_the_reserve_of_free_space(tmp_path: Path) -> None:
    port, repository = free_port(), FakeRepository()
    config = receiver_config(tmp_path / "data", port, minimum_free_mb=1 << 40)
    with receiver_thread(config, repository), association(port, [US_IMAGE]) as assoc:
        answer = store(assoc, Request.of(image()))

    assert answer == Answer(0xA700, "There is no room left on the storage file system.")
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file() and path.name != LOCK] == []


@pytest.mark.parametrize("missing", [0x0002, 0x0100, 0x0800, 0x1000])
def test_a_command_without_a_required_element_aborts_only_its_association(node: Node, missing: int) -> None:
    with association(node.port, [US_IMAGE]) as assoc:
        context_id = assoc.accepted_contexts[0].context_id
        assert context_id is not None
        for pdata in messages(Request.of(image()), context_id, without=missing):
            assoc.dul.send_pdu(pdata)
        eventually(lambda: not assoc.is_established)

    eventually(lambda: node.files() == [])
    refused(node, Request.of(image()).with_data(b""))


@pytest.mark.parametrize("seed", range(6))
def test_damaged_association_requests_harm_nobody(node: Node, seed: int) -> None:
    request = associate_request(b"SCANNER", b"FETALHC")
    noise = random.Random(seed)
    for _ in range(50):
        damaged = bytearray(request)
        for _ in range(noise.randrange(1, 4)):
            damaged[noise.randrange(len(damaged))] = noise.randrange(256)
        answer_to(node.port, bytes(damaged), seconds=0.2)

    refused(node, Request.of(image()).with_data(b""))


def test_refusals_name_no_patient(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    bad = image(PatientName="Doe^Jane", PatientID="HOSPITAL-4711", StudyInstanceUID=None)
    answer = refused(node, Request.of(bad))

    said = answer.comment + caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert "Doe" not in said
    assert "HOSPITAL" not in said
