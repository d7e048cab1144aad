"""DICOM over TLS: DCMTK and pynetdicom as callers, plain and secure ports side by side."""

from __future__ import annotations

import socket
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pynetdicom import AE, build_context

from dicom_node.config import Config, PeerEntry
from dicom_node.errors import ConfigError
from dicom_node.receive import server
from dicom_node.tls import TlsFiles, calling_context
from tests.certificates import Authority, Issued, make_authority
from tests.fakes import FakeRepository
from tests.integration.orthanc import running_orthanc
from tests.receiving import OUR_AE, SCANNER, eventually, free_port, receiver_config, receiver_thread, send
from tests.scu import ABORT, ASSOCIATE_AC, ASSOCIATE_RJ, answer_to, associate_request
from tests.ultrasound import US_IMAGE, save, us_image

pytestmark = pytest.mark.peer("openssl")


@dataclass(frozen=True)
class House:
    """An authority, the node's certificate, a scanner's, and a stranger's by an authority that nobody knows."""

    authority: Authority
    node: Issued
    scanner: Issued
    stranger: Issued


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    folder = tmp_path_factory.mktemp("certificates")
    authority, other = make_authority(folder / "ca"), make_authority(folder / "other")
    scanner = authority.issue("us1", san="DNS:us1.example.org")
    return House(authority, authority.issue("node"), scanner, other.issue("stranger"))


@dataclass(frozen=True)
class Node:
    port: int
    tls_port: int
    repository: FakeRepository
    config: Config

    def refused(self) -> list[tuple[str, str]]:
        eventually(lambda: self.repository.refused)
        return [(refused.reason, refused.advice) for refused in self.repository.refused]


def node_config(tmp_path: Path, house: House, mutual: bool = True, **peer: object) -> Config:
    tls: dict[str, object] = {"port": free_port()}
    tls |= {"certificate": house.node.certificate, "private_key": house.node.private_key}
    tls["authorities"] = house.authority.certificate if mutual else None
    entry = PeerEntry.model_validate({"ae_title": SCANNER, **peer})
    return receiver_config(tmp_path / "data", free_port(), [entry], tls=tls)


@pytest.fixture
def node(tmp_path: Path, house: House) -> Iterator[Node]:
    config, repository = node_config(tmp_path, house), FakeRepository()
    with receiver_thread(config, repository):
        yield Node(config.node.port or 0, config.node.tls.port or 0, repository, config)


def image_file(tmp_path: Path) -> Path:
    return save(us_image(np.full((64, 64), 100, np.uint8)), tmp_path / "image.dcm")


def dcmtk(house: House, who: Issued | None) -> list[str]:
    trust = ["+cf", str(house.authority.certificate)]
    if who is None:
        return ["+tla", *trust]
    return ["+tls", str(who.private_key), str(who.certificate), *trust]


def over_tls(port: int, files: TlsFiles, pdu: bytes) -> bytes:
    """The answer to a PDU sent over TLS; raises OSError where there is no connection."""
    context = calling_context(files)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(pdu)
        return connection.recv(4096)


@pytest.mark.peer("storescu")
def test_storescu_sends_to_both_ports(node: Node, house: House, tmp_path: Path) -> None:
    path = image_file(tmp_path)
    for port, options in ((node.tls_port, dcmtk(house, house.scanner)), (node.port, [])):
        status, said = send("storescu", port, path, options=options)
        assert status == 0, said

    assert len(node.repository.instances) == 1  # the same object twice


@pytest.mark.peer("Orthanc")
def test_orthanc_sends_over_mutual_tls(tmp_path: Path, house: House) -> None:
    config, repository = node_config(tmp_path, house), FakeRepository()
    modality = {"AET": OUR_AE, "Host": "127.0.0.1", "Port": config.node.tls.port, "UseDicomTls": True}
    settings = {
        "DicomAet": SCANNER,
        "DicomTlsCertificate": str(house.scanner.certificate),
        "DicomTlsPrivateKey": str(house.scanner.private_key),
        "DicomTlsTrustedCertificates": str(house.authority.certificate),
        "DicomModalities": {"node": modality},
    }
    image = image_file(tmp_path)
    with receiver_thread(config, repository), running_orthanc(tmp_path / "orthanc", more=settings) as orthanc:
        orthanc.store(image.read_bytes())
        (held,) = orthanc.get("/instances")
        url = f"http://{orthanc.host}:{orthanc.http_port}/modalities/node/store"
        with urllib.request.urlopen(url, data=held.encode(), timeout=60) as answer:
            assert answer.status == 200

    assert [instance.sop_instance_uid for instance in repository.instances] == [dcmread(image).SOPInstanceUID]


def test_a_large_object_comes_whole(node: Node, house: House) -> None:
    big = us_image(np.random.default_rng(1).integers(0, 255, (2000, 3000), np.uint8))
    context = calling_context(house.scanner.files(house.authority.certificate))
    assoc = AE(SCANNER).associate(
        "127.0.0.1", node.tls_port, [build_context(US_IMAGE)], OUR_AE, tls_args=(context, "127.0.0.1")
    )
    assert assoc.is_established
    assert assoc.send_c_store(big).Status == 0x0000
    assoc.release()

    (instance,) = node.repository.instances
    assert instance.size_bytes > 6_000_000


@pytest.mark.peer("echoscu")
@pytest.mark.parametrize(
    ("who", "advice"),
    [
        ("nobody", "The machine showed no certificate; give it one that node.tls.authorities vouches for."),
        ("stranger", "The certificate of the machine is not taken: unable to get local issuer certificate."),
    ],
)
def test_who_has_no_certificate_that_we_trust_stays_outside(node: Node, house: House, who: str, advice: str) -> None:
    issued = house.stranger if who == "stranger" else None
    command = ["echoscu", *dcmtk(house, issued), "-aet", SCANNER, "-aec", OUR_AE, "127.0.0.1", str(node.tls_port)]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode != 0

    assert node.refused() == [("tls_failed", advice)]
    assert node.repository.refused[0].host == "127.0.0.1"


def test_dicom_without_tls_on_the_port_with_is_named(node: Node) -> None:
    answer_to(node.tls_port, associate_request(b"SCANNER", b"FETALHC"))

    ((reason, advice),) = node.refused()
    assert reason == "tls_failed"
    assert "without TLS on the port over TLS" in advice


def test_tls_on_the_plain_port_is_named(node: Node, house: House) -> None:
    files = house.scanner.files(house.authority.certificate)
    with pytest.raises((ssl.SSLError, ConnectionError)):  # whatever OpenSSL makes of an A-ABORT
        over_tls(node.port, files, b"")

    ((reason, advice),) = node.refused()
    assert reason == "tls_failed"
    assert advice.endswith(f"of the port over TLS, it is {node.tls_port}.")


def test_old_versions_of_tls_are_not_spoken(node: Node, house: House) -> None:
    context = ssl.create_default_context(cafile=str(house.authority.certificate))
    context.set_ciphers("AES128-SHA256")  # no forward secrecy
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", node.tls_port), timeout=20) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="127.0.0.1")

    ((reason, advice),) = node.refused()
    assert reason == "tls_failed"
    assert "BCP 195" in advice


def test_a_port_probe_is_no_refusal_and_a_silent_one_keeps_nobody_out(node: Node, house: House) -> None:
    files = house.scanner.files(house.authority.certificate)
    with socket.create_connection(("127.0.0.1", node.tls_port)):  # says nothing; the next one is served meanwhile
        socket.create_connection(("127.0.0.1", node.tls_port)).close()
        assert over_tls(node.tls_port, files, associate_request(b"SCANNER", b"FETALHC"))[0] == ASSOCIATE_AC

    assert node.repository.refused == []


@pytest.mark.parametrize(("name", "admitted"), [("us1.example.org", True), ("us1", True), ("us2", False)])
def test_a_title_belongs_to_a_certificate(tmp_path: Path, house: House, name: str, admitted: bool) -> None:
    config, repository = node_config(tmp_path, house, certificate_name=name), FakeRepository()
    files = house.scanner.files(house.authority.certificate)
    with receiver_thread(config, repository):
        request = associate_request(b"SCANNER", b"FETALHC")
        answer = over_tls(config.node.tls.port or 0, files, request)
        plain = answer_to(config.node.port or 0, request)
        eventually(lambda: len(repository.refused) == (1 if admitted else 2))

    assert (answer[0] == ASSOCIATE_AC) == admitted
    assert plain[0] == ASSOCIATE_RJ
    assert repository.refused[-1].reason == "tls_required"
    if not admitted:
        assert "needs a certificate for us2; this one is for us1, us1.example.org." in repository.refused[0].advice


def test_without_authorities_nobody_is_asked_for_a_certificate(tmp_path: Path, house: House) -> None:
    config, repository = node_config(tmp_path, house, mutual=False, tls="required"), FakeRepository()
    with receiver_thread(config, repository):
        files = TlsFiles(authorities=house.authority.certificate)
        answer = over_tls(config.node.tls.port or 0, files, associate_request(b"SCANNER", b"FETALHC"))

    assert answer[0] == ASSOCIATE_AC


def test_only_the_port_over_tls(tmp_path: Path, house: House) -> None:
    config = node_config(tmp_path, house)
    node = config.node.model_copy(update={"port": None})
    files = house.scanner.files(house.authority.certificate)
    with receiver_thread(config.model_copy(update={"node": node}), FakeRepository()):
        answer = over_tls(node.tls.port or 0, files, associate_request(b"SCANNER", b"FETALHC"))
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", config.node.port or 0)) != 0

    assert answer[0] == ASSOCIATE_AC
    assert answer[0] != ABORT


def test_a_file_that_is_no_certificate_stops_the_start(tmp_path: Path, house: House) -> None:
    import threading

    tls = {"port": free_port(), "certificate": house.node.private_key, "private_key": house.node.private_key}
    config = receiver_config(tmp_path / "data", free_port(), tls=tls)
    with pytest.raises(ConfigError, match=r"node\.key"):
        server.run(config, FakeRepository(), threading.Event())
