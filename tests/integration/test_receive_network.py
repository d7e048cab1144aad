"""The receiver on the wire, with DCMTK's and pynetdicom's senders."""

from __future__ import annotations

import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, build_context
from pynetdicom.association import Association

from dicom_node.audit import AuditEntry, AuditEvent
from dicom_node.config import InferenceSection, PeerEntry
from dicom_node.errors import DatabaseUnavailable
from dicom_node.receive import server
from dicom_node.receive.contexts import KEPT_CLASSES, MEASURED_CLASSES, VERIFICATION
from sr_templates.uids import UID_ROOT
from tests.fakes import FakeRepository
from tests.receiving import (
    OUR_AE,
    SCANNER,
    eventually,
    free_port,
    make_roots,
    receiver_config,
    receiver_thread,
    send,
    wait_until_listening,
)
from tests.scu import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    Request,
    answer_to,
    associate_request,
    association,
    messages,
    store,
)
from tests.ultrasound import US_IMAGE, US_IMAGE_RETIRED, save, us_image

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"


@dataclass(frozen=True)
class Node:
    port: int
    data_dir: Path
    repository: FakeRepository

    def objects(self) -> list[Path]:
        return sorted((self.data_dir / "objects").rglob("*.dcm"))

    def leftovers(self) -> list[Path]:
        return sorted(self.data_dir.rglob("*.part"))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(free_port(), tmp_path / "data", FakeRepository())
    with receiver_thread(receiver_config(node.data_dir, node.port), node.repository):
        yield node
    assert node.leftovers() == []


def small_image(**attributes: object) -> Dataset:
    return us_image(np.full((8, 8), 100, np.uint8), **attributes)


@pytest.mark.parametrize("sop_class_uid", MEASURED_CLASSES)
def test_every_transfer_syntax_is_taken_for_ultrasound(node: Node, sop_class_uid: str) -> None:
    with association(node.port, [sop_class_uid], ALL_TRANSFER_SYNTAXES) as assoc:
        taken = {context.transfer_syntax[0] for context in assoc.accepted_contexts}

    assert taken == set(ALL_TRANSFER_SYNTAXES)


@pytest.mark.parametrize("first", ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"])
def test_of_several_transfer_syntaxes_the_senders_first_is_taken(node: Node, first: str) -> None:
    """In one context, as machines propose them that can send either."""
    others = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, "1.2.840.10008.1.2.4.50"]
    context = build_context(US_IMAGE, ["1.2.3.4.5", first, *(uid for uid in others if uid != first)])
    assoc = AE(SCANNER).associate("127.0.0.1", node.port, contexts=[context], ae_title=OUR_AE)
    taken = [accepted.transfer_syntax for accepted in assoc.accepted_contexts]
    assoc.release()

    assert taken == [[first]]


def test_what_a_scanner_sends_along_is_taken(node: Node) -> None:
    with association(node.port, [*MEASURED_CLASSES, *KEPT_CLASSES, VERIFICATION]) as assoc:
        assert assoc.rejected_contexts == []


@pytest.mark.peer("storescu", "dcmconv", "dcmcjpeg", "dcmcrle", "dcmcjpls")
@pytest.mark.parametrize(
    ("encoder", "option", "transfer_syntax"),
    [
        ((), "-xi", ImplicitVRLittleEndian),
        ((), "-xe", ExplicitVRLittleEndian),
        (("dcmconv", "+tb"), "-xb", ExplicitVRBigEndian),
        (("dcmcjpeg", "+eb"), "-xy", "1.2.840.10008.1.2.4.50"),
        (("dcmcjpeg", "+e1"), "-xs", "1.2.840.10008.1.2.4.70"),
        (("dcmcrle",), "-xr", "1.2.840.10008.1.2.5"),
        (("dcmcjpls",), "-xt", "1.2.840.10008.1.2.4.80"),
    ],
)
def test_storescu_sends_and_the_bytes_stay_as_they_were_sent(
    node: Node, tmp_path: Path, encoder: tuple[str, ...], option: str, transfer_syntax: str
) -> None:
    path = save(small_image(), tmp_path / "image.dcm")
    if encoder:
        encoded = tmp_path / "encoded.dcm"
        subprocess.run([*encoder, path, encoded], check=True)
        path = encoded

    status, said = send("storescu", node.port, path, options=[option])

    assert status == 0, said
    (instance,) = node.repository.instances
    stored = dcmread(node.data_dir / instance.path)
    assert instance.transfer_syntax_uid == stored.file_meta.TransferSyntaxUID == transfer_syntax
    assert (instance.calling_ae, instance.called_ae, instance.peer_host) == (SCANNER, OUR_AE, "127.0.0.1")
    assert instance.sop_instance_uid == stored.SOPInstanceUID == dcmread(path).SOPInstanceUID
    assert instance.size_bytes == (node.data_dir / instance.path).stat().st_size
    assert instance.measurable
    if option != "-xb":  # the one that storescu re-encodes itself
        assert stored.PixelData == dcmread(path).PixelData


@pytest.mark.peer("gdcmscu")
def test_gdcmscu_sends(node: Node, tmp_path: Path) -> None:
    """Its exit status says nothing: gdcm 3.0.21 dies after the release of any association, with storescp too.

    It speaks no TLS: it has no option for it, and its library none of OpenSSL but the ciphers. Over TLS senders are
    DCMTK, Orthanc and dcmjs-dimse.
    """
    path = save(small_image(), tmp_path / "image.dcm")
    titles = ["--aetitle", SCANNER, "--call", OUR_AE]
    command = ["gdcmscu", "--store", *titles, "-i", str(path), "127.0.0.1", str(node.port)]
    subprocess.run(command, capture_output=True, timeout=60, check=False)

    (instance,) = node.repository.instances
    assert instance.sop_instance_uid == dcmread(path).SOPInstanceUID


@pytest.mark.peer("dcmsend")
def test_two_associations_at_once_lose_and_mix_nothing(node: Node, tmp_path: Path) -> None:
    jobs = [
        [save(small_image(), tmp_path / f"{job}-{number}.dcm") for number in range(20)] for job in ("first", "second")
    ]
    results: list[tuple[int, str]] = []
    threads = [threading.Thread(target=lambda j=job: results.append(send("dcmsend", node.port, *j))) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [status for status, _ in results] == [0, 0], results
    sent = {str(dcmread(path).SOPInstanceUID) for job in jobs for path in job}
    assert {i.sop_instance_uid for i in node.repository.instances} == sent
    assert len(node.objects()) == 40
    for instance in node.repository.instances:
        assert dcmread(node.data_dir / instance.path).SOPInstanceUID == instance.sop_instance_uid


@pytest.mark.peer("storescu")
def test_the_same_object_again_is_success_and_one_file(node: Node, tmp_path: Path) -> None:
    path = save(small_image(), tmp_path / "image.dcm")

    first, second = (send("storescu", node.port, path, options=["-xe"]) for _ in range(2))

    assert (first[0], second[0]) == (0, 0)
    assert "Success" in second[1]
    assert len(node.repository.instances) == len(node.objects()) == 1


@pytest.mark.peer("storescu")
def test_the_same_uid_with_other_bytes_is_kept_beside(node: Node, tmp_path: Path) -> None:
    image = small_image(PatientName="Wrong^Name")
    first = save(image, tmp_path / "first.dcm")
    image.PatientName = "Right^Name"
    second = save(image, tmp_path / "second.dcm")

    assert send("storescu", node.port, first, second)[0] == 0
    assert len(node.repository.instances) == len(node.objects()) == 2
    assert {str(dcmread(path).PatientName) for path in node.objects()} == {"Wrong^Name", "Right^Name"}


@pytest.mark.peer("storescu")
@pytest.mark.parametrize(
    ("calling", "called", "told", "reason"),
    [
        ("STRANGER", OUR_AE, "Calling AE Title Not Recognized", "calling_ae_unknown"),
        ("scanner", OUR_AE, "Calling AE Title Not Recognized", "calling_ae_unknown"),
        (SCANNER, "OTHERPACS", "Called AE Title Not Recognized", "called_ae_unknown"),
    ],
)
def test_who_is_refused_is_told_why_and_remembered(  # noqa: PLR0917  a row of the table above
    node: Node, tmp_path: Path, calling: str, called: str, told: str, reason: str
) -> None:
    path = save(small_image(), tmp_path / "image.dcm")

    status, said = send("storescu", node.port, path, options=["-aec", called], calling=calling)

    assert status != 0
    assert "Rejected Permanent, Source: Service User" in said
    assert told in said
    eventually(lambda: node.repository.refused)
    (refused,) = node.repository.refused
    assert (refused.calling_ae, refused.called_ae, refused.host) == (calling, called, "127.0.0.1")
    assert refused.reason == reason
    assert refused.advice
    assert node.objects() == []


@pytest.mark.peer("echoscu")
def test_a_known_title_from_a_foreign_address_is_refused(tmp_path: Path) -> None:
    port, repository = free_port(), FakeRepository()
    peers = [PeerEntry(ae_title=SCANNER, hosts=("10.0.0.0/24",))]
    with receiver_thread(receiver_config(tmp_path / "data", port, peers), repository):
        status, said = echo(port, SCANNER)
        eventually(lambda: repository.refused)

    assert status != 0
    assert "Calling AE Title Not Recognized" in said
    assert "from 10.0.0.0/24; this came from 127.0.0.1" in repository.refused[0].advice


@pytest.mark.peer("echoscu")
def test_echo_is_answered(node: Node) -> None:
    status, said = echo(node.port, SCANNER)

    assert status == 0
    assert "Received Echo Response (Success)" in said


@pytest.mark.peer("echoscu", "storescu")
def test_the_health_check_may_echo_and_not_store(node: Node, tmp_path: Path) -> None:
    path = save(small_image(), tmp_path / "image.dcm")

    assert echo(node.port, OUR_AE)[0] == 0
    status, said = send("storescu", node.port, path, calling=OUR_AE)

    assert status != 0
    assert "No Acceptable Presentation Contexts" in said
    assert node.objects() == []


@pytest.mark.peer("storescu")
def test_a_ct_object_finds_no_context(node: Node, tmp_path: Path) -> None:
    path = save(small_image(SOPClassUID=CT_IMAGE), tmp_path / "ct.dcm")
    ct = dcmread(path)
    ct.file_meta.MediaStorageSOPClassUID = CT_IMAGE
    ct.save_as(path)
    image = save(small_image(), tmp_path / "image.dcm")

    status, said = send("storescu", node.port, path)
    assert status != 0, said
    assert "presentation context" in said.lower()
    assert send("storescu", node.port, image)[0] == 0
    assert len(node.objects()) == 1


def test_a_retired_class_is_stored_and_measured(node: Node) -> None:
    with association(node.port, [US_IMAGE_RETIRED]) as assoc:
        assert store(assoc, Request.of(small_image(SOPClassUID=US_IMAGE_RETIRED))).status == 0

    assert node.repository.instances[0].measurable


@pytest.mark.parametrize(
    "attributes",
    [
        {"SOPClassUID": COMPREHENSIVE_SR},
        {"SOPInstanceUID": f"{UID_ROOT}.77"},
        {"Manufacturer": "Fetal HC Node", "ManufacturerModelName": "Fetal HC Node"},
    ],
)
def test_reports_and_our_own_objects_are_stored_and_not_measured(node: Node, attributes: dict[str, str]) -> None:
    image = small_image(**attributes)
    with association(node.port, [str(image.SOPClassUID)]) as assoc:
        assert store(assoc, Request.of(image)).status == 0

    assert [i.measurable for i in node.repository.instances] == [False]
    assert len(node.objects()) == 1


@pytest.mark.parametrize("rule", ["never", "measure"])
def test_captures_are_measured_where_a_rule_says_so_and_our_own_never(rule: str, tmp_path: Path) -> None:
    inference = InferenceSection.model_validate({"secondary_captures": rule})
    repository, port = FakeRepository(), free_port()
    config = receiver_config(tmp_path / "data", port).model_copy(update={"inference": inference})
    with receiver_thread(config, repository), association(port, [SECONDARY_CAPTURE]) as assoc:
        for uid in ("1.2.3", f"{UID_ROOT}.77"):
            capture = small_image(SOPClassUID=SECONDARY_CAPTURE, SOPInstanceUID=uid)
            assert store(assoc, Request.of(capture)).status == 0

    assert [i.measurable for i in repository.instances] == [rule == "measure", False]


@pytest.mark.parametrize(
    ("calling", "called", "answer"),
    [
        (b"SCANNER\0\0\0\0\0\0\0\0\0", b"FETALHC\0\0\0\0\0\0\0\0\0", (ASSOCIATE_AC,)),
        (b"  SCANNER", b" FETALHC", (ASSOCIATE_AC,)),
        (b"", b"FETALHC", (ASSOCIATE_RJ, 1, 1, 3)),
        (bytes(16), b"FETALHC", (ASSOCIATE_RJ, 1, 1, 3)),
        (b"PR\xdcFUNG", b"FETALHC", (ASSOCIATE_RJ, 1, 1, 3)),
        (b"SCANNER", b"", (ASSOCIATE_RJ, 1, 1, 7)),
        (b"SCANNER", b"FETALHC\x01\x02", (ASSOCIATE_RJ, 1, 1, 7)),
    ],
)
def test_odd_ae_titles_get_an_answer_and_never_an_abort(
    node: Node, calling: bytes, called: bytes, answer: tuple[int, ...]
) -> None:
    pdu = answer_to(node.port, associate_request(calling, called))

    assert pdu[0] != ABORT
    assert (pdu[0], *pdu[7:10])[: len(answer)] == answer


def test_a_fault_in_authorisation_lets_nobody_in(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("dicom_node.receive.authorisation.authorise", broken)
    pdu = answer_to(node.port, associate_request(b"SCANNER", b"FETALHC"))

    assert (pdu[0], *pdu[7:10]) == (ASSOCIATE_RJ, 2, 1, 1)


def test_a_refusal_that_cannot_be_remembered_is_still_one(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_: object) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr(node.repository, "record_refusal", locked)
    pdu = answer_to(node.port, associate_request(b"STRANGER", b"FETALHC"))

    assert (pdu[0], *pdu[7:10]) == (ASSOCIATE_RJ, 1, 1, 3)


def test_an_object_on_its_way_is_finished_before_the_receiver_stops(tmp_path: Path) -> None:
    make_roots(tmp_path / "data")
    config, repository, stop = receiver_config(tmp_path / "data", free_port()), FakeRepository(), threading.Event()
    receiver = threading.Thread(target=server.run, args=(config, repository, stop))
    receiver.start()
    wait_until_listening(config.node.port)
    with association(config.node.port, [US_IMAGE]) as assoc:
        context_id = assoc.accepted_contexts[0].context_id
        assert context_id is not None
        *first, last = messages(Request.of(us_image(np.zeros((256, 256), np.uint8))), context_id)
        for pdata in first:
            assoc.dul.send_pdu(pdata)
        eventually(lambda: list((tmp_path / "data").rglob("*.part")))
        stop.set()
        time.sleep(1)
        assoc.dul.send_pdu(last)
        eventually(lambda: repository.instances)
    receiver.join(timeout=20)

    assert not receiver.is_alive()
    assert len(list((tmp_path / "data" / "objects").rglob("*.dcm"))) == 1


def test_the_receiver_stops_while_associations_come_and_go(tmp_path: Path) -> None:
    for delay_ms in range(0, 60, 5):
        config, stop = receiver_config(tmp_path / "data", free_port()), threading.Event()
        before = set(threading.enumerate())
        receiver = threading.Thread(target=server.run, args=(config, FakeRepository(), stop))
        receiver.start()
        wait_until_listening(config.node.port)
        with socket.create_connection(("127.0.0.1", config.node.port)):  # says nothing: never established
            with association(config.node.port, [US_IMAGE]):
                threading.Timer(delay_ms / 1000, stop.set).start()
            receiver.join(timeout=20)

        assert not receiver.is_alive()
        eventually(lambda known=before: not [t for t in set(threading.enumerate()) - known if not t.daemon])


def test_more_associations_than_allowed_are_rejected_for_now(tmp_path: Path) -> None:
    port = free_port()
    config = receiver_config(tmp_path / "data", port, maximum_associations=1)
    with receiver_thread(config, FakeRepository()):
        # the connection that asked whether it listens may still take the only place, or not even be accepted yet
        eventually(lambda: is_admitted(port))
        eventually(lambda: not acceptors())
        with association(port, [US_IMAGE]):
            pdu = answer_to(port, associate_request(b"SCANNER", b"FETALHC"))
        assert (pdu[0], *pdu[7:10]) == (ASSOCIATE_RJ, 2, 3, 2)


def test_a_port_probe_takes_no_place(node: Node) -> None:
    eventually(lambda: not acceptors())
    for _ in range(5):
        socket.create_connection(("127.0.0.1", node.port)).close()

    eventually(lambda: not acceptors(), seconds=15)  # half the time an association may take


def test_an_object_that_breaks_off_leaves_nothing(node: Node) -> None:
    request = Request.of(small_image())
    assert request.data is not None
    with association(node.port, [US_IMAGE]) as assoc:
        half = request.with_data(request.data * 200)
        context_id = assoc.accepted_contexts[0].context_id
        assert context_id is not None
        for pdata in list(messages(half, context_id))[:-1]:
            assoc.dul.send_pdu(pdata)
        eventually(node.leftovers)
        assoc.abort()

    eventually(lambda: not node.leftovers())
    assert node.repository.instances == []
    with association(node.port, [US_IMAGE]) as assoc:
        assert store(assoc, request).status == 0


@pytest.mark.parametrize("length", [2 * 1024 * 1024, 0xFFFFFFFF])
def test_a_pdu_of_absurd_length_closes_the_connection(node: Node, length: int) -> None:
    assert answer_to(node.port, struct.pack(">BBL", 1, 0, length) + bytes(100)) == b""
    assert answer_to(node.port, associate_request(b"SCANNER", b"FETALHC"))[0] == ASSOCIATE_AC


def test_accepted_connections_do_not_wait_to_send(node: Node) -> None:
    with association(node.port, [US_IMAGE]):
        sockets = [t.dul.socket.socket for t in acceptors() if t.dul.socket is not None]
        options = [s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for s in sockets if s is not None]

    assert options
    assert all(options)


def is_admitted(port: int) -> bool:
    assoc = AE(SCANNER).associate("127.0.0.1", port, contexts=[build_context(US_IMAGE)], ae_title=OUR_AE)
    assoc.release()
    return assoc.is_released


def acceptors() -> list[Association]:
    """The receiver's associations, in whatever state."""
    return [t for t in threading.enumerate() if isinstance(t, Association) and t.is_acceptor]


def echo(port: int, calling: str) -> tuple[int, str]:
    command = ["echoscu", "-v", "-aet", calling, "-aec", OUR_AE, "127.0.0.1", str(port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_who_got_in_and_what_was_not_stored_is_in_the_audit_trail(node: Node) -> None:
    image = small_image()
    with association(node.port, [US_IMAGE]) as assoc:
        assert store(assoc, Request.of(image).with_data(None)).status == 0xC000
        assert store(assoc, Request.of(image)).status == 0
    accepted, refused, *_ = node.repository.trail
    assert (accepted.event, accepted.actor, accepted.host) == ("association.accepted", SCANNER, "127.0.0.1")
    assert accepted.detail == {"called_ae": OUR_AE}
    assert (refused.event, refused.outcome) == ("object.refused", "no_data_set")
    assert refused.sop_instance_uid == image.SOPInstanceUID
    assert refused.detail["status"] == "0xC000"


def test_the_patient_id_goes_into_the_trail_and_into_no_log(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    image = small_image(SpecificCharacterSet="ISO_IR 192", PatientID="Pätient 17 ")
    with association(node.port, [US_IMAGE]) as assoc:
        assert store(assoc, Request.of(image)).status == 0
    (new,) = node.repository.instances
    assert new.patient_id == "Pätient 17"
    assert "tient 17" not in repr(new)
    assert "tient 17" not in caplog.text


def test_a_trail_that_cannot_be_written_keeps_nobody_out(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr(node.repository, "record", fail)
    with association(node.port, [US_IMAGE]) as assoc:
        assert store(assoc, Request.of(small_image()).with_data(None)).status == 0xC000
        assert store(assoc, Request.of(small_image())).status == 0


def test_an_object_that_no_database_took_is_not_waited_for_twice(node: Node) -> None:
    node.repository.failure = DatabaseUnavailable()
    with association(node.port, [US_IMAGE]) as assoc:
        assert store(assoc, Request.of(small_image())).status == 0xA700
    assert {entry.event for entry in node.repository.trail} <= {"association.accepted", "association.ended"}


def release(port: int) -> None:
    AE(SCANNER).associate("127.0.0.1", port, contexts=[build_context(US_IMAGE)], ae_title=OUR_AE).release()


def abort(port: int) -> None:
    AE(SCANNER).associate("127.0.0.1", port, contexts=[build_context(US_IMAGE)], ae_title=OUR_AE).abort()


def vanish(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(associate_request(SCANNER.encode(), OUR_AE.encode()))
        assert connection.recv(1)[0] == ASSOCIATE_AC


@pytest.mark.parametrize(("come_and", "outcome"), [(release, "released"), (abort, "aborted"), (vanish, "lost")])
def test_how_an_association_ended_is_in_the_audit_trail(
    node: Node, come_and: Callable[[int], None], outcome: str
) -> None:
    def endings() -> list[AuditEntry]:
        return [entry for entry in node.repository.trail if entry.event is AuditEvent.ASSOCIATION_ENDED]

    come_and(node.port)
    eventually(lambda: bool(endings()))
    (ended,) = endings()
    assert (ended.actor, ended.host, ended.outcome) == (SCANNER, "127.0.0.1", outcome)
    assert ended.detail["called_ae"] == OUR_AE
