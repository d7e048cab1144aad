"""Deliveries that tell the truth: TLS, STOW-RS, refused transfer syntaxes, and destinations that are away.

Orthanc's REST says what arrived.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from dicom_node.deliver import courier, scu
from dicom_node.deliver.scu import Cause, EchoAnswer
from dicom_node.deliver.ways import link_of
from dicom_node.domain import AttemptOutcome, DeliveryState
from dicom_node.tls import listening_context
from tests.certificates import Authority, make_authority
from tests.integration.orthanc import Orthanc, running_orthanc
from tests.outbox import Node, node, pacs, wait_until
from tests.receiving import wait_until_listening
from tests.scripted_scp import free_port, scripted_scp

PENDING, SENT, DEAD = DeliveryState.PENDING, DeliveryState.SENT, DeliveryState.DEAD
DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure_orthanc(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Orthanc]:
    """Wants a certificate from callers of DICOM."""
    server = authority.issue("orthanc")
    settings = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(server.certificate),
        "DicomTlsPrivateKey": str(server.private_key),
        "DicomTlsTrustedCertificates": str(authority.certificate),
        "DicomTlsRemoteCertificateRequired": True,
    }
    folder = tmp_path_factory.mktemp("orthanc") / "secure"
    with running_orthanc(folder, [DICOMWEB], settings) as orthanc:
        yield orthanc


def attempts(made: Node, destination: str = "pacs") -> list[tuple[str, AttemptOutcome, str, int | None]]:
    told = made.repository.attempts(made.deliveries(destination)[0].id)
    return [(one.asked, one.outcome, one.cause, one.status_word) for one in told]


def tls_files(authority: Authority, name: str | None) -> dict[str, Any]:
    """As the configuration names them."""
    files: dict[str, Any] = {"authorities": str(authority.certificate)}
    if name is not None:
        issued = authority.issue(name)
        files |= {"certificate": str(issued.certificate), "private_key": str(issued.private_key)}
    return files


# --- TLS -----------------------------------------------------------------------------------------------------------


@pytest.mark.peer("Orthanc", "openssl")
def test_mutual_tls_to_orthanc(tmp_path: Path, secure_orthanc: Orthanc, authority: Authority) -> None:
    tls = tls_files(authority, "fetalhc")
    with node(tmp_path, pacs("pacs", secure_orthanc.port, "ORTHANC", tls=tls)) as made:
        sent = {made.add_result() for _ in range(3)}
        with made.courier():
            made.wait_for([SENT] * 3)
            wait_until(lambda: "pacs" in made.repository.destination_states(), made.repository.destination_states)
        assert made.repository.destination_states()["pacs"].reachable
    assert sent <= secure_orthanc.instances()


@pytest.mark.peer("Orthanc", "openssl")
def test_without_a_certificate_nothing_is_sent_and_the_reason_is_told(
    tmp_path: Path, secure_orthanc: Orthanc, authority: Authority
) -> None:
    tls = tls_files(authority, None)
    with node(tmp_path, pacs("pacs", secure_orthanc.port, "ORTHANC", tls=tls)) as made:
        uid = made.add_result()
        with made.courier():
            wait_until(lambda: made.deliveries()[0].attempts >= 1, made.deliveries)
            wait_until(lambda: made.repository.destination_states().get("pacs"), made.deliveries)
        state = made.repository.destination_states()["pacs"]
        assert not state.reachable
        assert "does it want, and believe, a certificate of ours?" in str(state.comment)
        assert made.deliveries()[0].state is PENDING
    assert uid not in secure_orthanc.instances()


@pytest.mark.peer("Orthanc", "openssl")
@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"host": "127.0.0.1", "tls": None}, "ended the association request"),
        ({"host": "127.0.0.1", "tls": "stranger"}, "the peer's certificate is not believed"),
    ],
)
def test_the_wrong_way_to_a_secure_port_is_named(
    tmp_path: Path, secure_orthanc: Orthanc, keys: dict[str, Any], text: str
) -> None:
    if keys["tls"] == "stranger":
        keys = keys | {"tls": tls_files(make_authority(tmp_path / "stranger"), None)}
    (data := tmp_path / "data").mkdir()
    with node(data, pacs("pacs", secure_orthanc.port, "ORTHANC") | keys) as made:
        answer = echo_of(made)
    assert not answer.answered
    assert text in answer.text


def echo_of(made: Node) -> EchoAnswer:
    return scu.echo(link_of(made.config, made.config.destination_list()[0]))


@pytest.mark.peer("openssl")
def test_a_plain_peer_is_named_as_such(tmp_path: Path, authority: Authority) -> None:
    with scripted_scp() as scp, node(tmp_path, pacs("pacs", scp.port, tls=tls_files(authority, None))) as made:
        answer = echo_of(made)
    assert answer.cause is Cause.TLS_FAILED


@pytest.mark.peer("openssl")
def test_a_missing_file_is_named_and_the_node_waits_for_it(tmp_path: Path, authority: Authority) -> None:
    tls = {"authorities": str(tmp_path / "missing.pem")}
    with scripted_scp() as scp, node(tmp_path, pacs("pacs", scp.port, tls=tls)) as made:
        answer = echo_of(made)
    assert answer.cause is Cause.TLS_FAILED
    assert "missing.pem" in answer.text


@contextmanager
def storescp_tls(folder: Path, authority: Authority, *options: str) -> Iterator[int]:
    server, port = authority.issue("storescp"), free_port()
    files = [str(server.private_key), str(server.certificate), "+cf", str(authority.certificate)]
    command = ["storescp", "-aet", "PACS", "+tls", *files, *options, "-od", str(folder), str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until_listening(port, lambda: process.poll() is None)
            yield port
        finally:
            process.terminate()


@pytest.mark.peer("storescp", "openssl")
@pytest.mark.parametrize("profile", ["+px", "+py", "+pz"], ids=["bcp195", "non-downgrading", "extended"])
def test_dcmtk_speaks_the_tls_profiles_with_us(tmp_path: Path, authority: Authority, profile: str) -> None:
    (arrived := tmp_path / "pacs").mkdir()
    (data := tmp_path / "data").mkdir()
    tls = tls_files(authority, "fetalhc")
    with storescp_tls(arrived, authority, profile) as port, node(data, pacs("pacs", port, tls=tls)) as made:
        uid = made.add_result()
        with made.courier():
            made.wait_for([SENT])
    assert any(uid in path.name for path in arrived.iterdir())


@pytest.mark.peer("openssl")
def test_a_peer_that_stalls_under_tls_does_not_hold_the_lane(tmp_path: Path, authority: Authority) -> None:
    """It shakes hands and then says nothing more."""
    context = listening_context(authority.issue("mute").files())
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with context.wrap_socket(connection, server_side=True):
                ended.wait(30)

        server = threading.Thread(target=serve)
        server.start()
        entry = pacs("pacs", listener.getsockname()[1], tls=tls_files(authority, None))
        with node(tmp_path, entry, delivery={"connect_timeout_s": 0.5}) as made:
            answer = echo_of(made)
        ended.set()
        server.join(30)
    assert answer.cause is Cause.ASSOCIATION_TIMEOUT


# --- STOW-RS -------------------------------------------------------------------------------------------------------


@pytest.mark.peer("Orthanc", "openssl")
def test_stow_over_https_to_orthanc(tmp_path: Path, secure_orthanc: Orthanc, authority: Authority) -> None:
    tls = tls_files(authority, None)
    with https_before(secure_orthanc, authority) as port, node(tmp_path, service(port, "https", tls=tls)) as made:
        sent = [made.add_result() for _ in range(3)]
        with made.courier():
            made.wait_for([SENT] * 3)
        assert attempts(made) == [("pacs", AttemptOutcome.SENT, "status", 0)]
    assert set(sent) <= secure_orthanc.instances()
    (found,) = secure_orthanc.find("Instance", SOPInstanceUID=sent[0])
    held = secure_orthanc.get_bytes(f"/instances/{found['ID']}/file")
    stored = (tmp_path / "results" / "0.dcm").read_bytes()
    assert held == stored, "byte for byte"


def service(port: int, scheme: str = "http", **keys: Any) -> dict[str, Any]:
    return {"name": "pacs", "url": f"{scheme}://127.0.0.1:{port}/dicom-web", **keys}


@contextmanager
def https_before(orthanc: Orthanc, authority: Authority) -> Iterator[int]:
    """What hospitals put before a DICOMweb service."""

    class Forward(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            onward = HTTPConnection(orthanc.host, orthanc.http_port, timeout=30)
            onward.request(self.command, self.path, body or None, dict(self.headers))
            answer = onward.getresponse()
            content = answer.read()
            onward.close()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Forward)
    server.socket = listening_context(authority.issue("proxy").files()).wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()


@pytest.mark.peer("Orthanc")
def test_stow_with_credentials(tmp_path: Path) -> None:
    users = {"AuthenticationEnabled": True, "RegisteredUsers": {"node": "secret"}, "RemoteAccessAllowed": True}
    (token := tmp_path / "authorization").write_text("Basic wrong")
    (data := tmp_path / "data").mkdir()
    with running_orthanc(tmp_path / "orthanc", [DICOMWEB], users) as orthanc:
        port = orthanc.http_port
        with node(data, service(port, authorization_file=str(token))) as made:
            made.add_result()
            with made.courier():
                wait_until(lambda: made.repository.destination_states().get("pacs"), made.deliveries)
                assert made.repository.destination_states()["pacs"].cause == "service_refused"
                assert made.deliveries()[0].state is not DEAD
                token.write_text("Basic " + b64encode(b"node:secret").decode() + "\n")
                made.wait_for([SENT])


def test_a_service_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    with node(tmp_path, service(free_port())) as made:
        made.add_result()
        with made.courier():
            wait_until(lambda: made.repository.destination_states().get("pacs"), made.deliveries)
        assert made.repository.destination_states()["pacs"].cause == "connection_refused"
        assert made.deliveries()[0].state is PENDING


# --- refused transfer syntaxes -------------------------------------------------------------------------------------


def run_length(dataset: FileDataset) -> None:
    dataset.compress(RLELossless, generate_instance_uid=False)


@pytest.mark.parametrize("taken", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("compressed", [True, False])
def test_what_is_refused_is_sent_in_what_the_peer_takes(tmp_path: Path, taken: str, compressed: bool) -> None:
    with scripted_scp(syntaxes=[taken]) as scp, node(tmp_path, pacs=scp.port) as made:
        made.add_result(run_length if compressed else lambda _: None)
        with made.courier():
            (delivery,) = made.wait_for([SENT])
    changed = compressed or taken == ImplicitVRLittleEndian
    assert (f"sent as {taken.name}" in (delivery.comment or "")) is changed  # type: ignore[attr-defined]
    assert scp.received == [delivery.sop_instance_uid]


@pytest.mark.peer("storescp")
def test_dcmtk_that_takes_implicit_only_holds_the_same_pixels(tmp_path: Path) -> None:
    (arrived := tmp_path / "pacs").mkdir()
    (data := tmp_path / "data").mkdir()
    port = free_port()
    command = ["storescp", "-aet", "PACS", "+xi", "-od", str(arrived), str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until_listening(port, lambda: process.poll() is None)
            with node(data, pacs=port) as made:
                uid = made.add_result(run_length)
                with made.courier():
                    made.wait_for([SENT])
        finally:
            process.terminate()
    (held,) = [dcmread(path) for path in arrived.iterdir()]
    assert held.SOPInstanceUID == uid
    assert held.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert (held.pixel_array == dcmread(data / "results/0.dcm").pixel_array).all()


# --- destinations that are away ------------------------------------------------------------------------------------


def test_a_destination_that_is_away_leaves_its_objects_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "BATCH", 2)
    port = free_port()
    with node(tmp_path, pacs=port) as made:
        for _ in range(5):
            made.add_result()
        with made.courier():
            wait_until(lambda: "pacs" in made.repository.destination_states(), made.repository.destination_states)
            state = made.repository.destination_states()["pacs"]
            assert (state.reachable, state.cause) == (False, "connection_refused")
            tried = sum(d.attempts for d in made.deliveries())
            first_look = state.checked_at
            wait_until(
                lambda: made.repository.destination_states()["pacs"].checked_at > first_look,
                lambda: "never asked again",
            )
            assert sum(d.attempts for d in made.deliveries()) == tried, "asking is not sending"
            with scripted_scp(port=port):
                made.wait_for([SENT] * 5)
                wait_until(lambda: made.repository.destination_states()["pacs"].reachable, lambda: "still away")


def test_what_waits_too_long_for_one_that_is_away_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "BATCH", 2)
    with node(tmp_path, delivery={"deadline_h": 1e-4}, pacs=free_port()) as made:
        for _ in range(5):
            made.add_result()
        with made.courier():
            made.wait_for([DEAD] * 5)
        assert all("Given up after" in str(d.comment) for d in made.deliveries())


def test_what_waits_too_long_for_one_and_its_alternate_is_put_aside(tmp_path: Path) -> None:
    entries = [pacs("pacs", free_port(), alternate="spare"), pacs("spare", free_port(), "SPARE", objects=[])]
    with node(tmp_path, *entries, delivery={"alternate_after_s": 0.0, "deadline_h": 1e-3}) as made:
        made.add_result()
        with made.courier():
            made.wait_for([DEAD])


def test_the_alternate_takes_over_and_hands_back(tmp_path: Path) -> None:
    port = free_port()
    with scripted_scp(ae_title="SPARE") as spare:
        entries = [pacs("pacs", port, alternate="spare"), pacs("spare", spare.port, "SPARE", objects=[])]
        with node(tmp_path, *entries, delivery={"alternate_after_s": 0.0}) as made:
            first = made.add_result()
            with made.courier():
                (delivery,) = made.wait_for([SENT])
                assert (delivery.via, spare.received) == ("spare", [first])
                assert attempts(made)[-1] == ("spare", AttemptOutcome.SENT, "status", 0)
                with scripted_scp(port=port) as own:
                    wait_until(lambda: made.repository.destination_states()["pacs"].reachable, lambda: "still away")
                    second = made.add_result()
                    _, later = made.wait_for([SENT] * 2)
                    assert (later.via, own.received) == (None, [second])


def test_two_that_are_away_keep_everything(tmp_path: Path) -> None:
    port = free_port()
    entries = [pacs("pacs", free_port(), alternate="spare"), pacs("spare", port, "SPARE", objects=[])]
    with node(tmp_path, *entries, delivery={"alternate_after_s": 0.0}) as made:
        made.add_result()
        with made.courier():
            wait_until(lambda: any(one[0] == "spare" for one in attempts(made)), lambda: attempts(made))
            assert made.deliveries()[0].state is not DEAD
            with scripted_scp(port=port, ae_title="SPARE"):
                (delivery,) = made.wait_for([SENT])
    assert delivery.via == "spare"


def test_the_history_of_a_delivery(tmp_path: Path) -> None:
    with scripted_scp([0xA700, "abort", 0xB000]) as scp, node(tmp_path, pacs=scp.port) as made:
        made.add_result()
        with made.courier():
            made.wait_for([SENT])
        assert attempts(made) == [
            ("pacs", AttemptOutcome.TRANSIENT, "status", 0xA700),
            ("pacs", AttemptOutcome.UNKNOWN, "no_answer", None),
            ("pacs", AttemptOutcome.SENT, "status", 0xB000),
        ]
        told = made.repository.attempts(made.deliveries()[0].id)
    assert "out of resources: as told" in str(told[0].comment)
    assert all(one.seconds > 0 for one in told)
    assert [one.began_at for one in told] == sorted(one.began_at for one in told)
