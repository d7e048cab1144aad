from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dicom_node.errors import ConfigError
from dicom_node.tls import TlsFiles, calling_context, expires_at, expiry_remark, listening_context
from tests.certificates import Authority, encrypted, make_authority

pytestmark = pytest.mark.peer("openssl")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("stranger"))


def shake_hands(listening: ssl.SSLContext, calling: ssl.SSLContext, name: str = "localhost") -> tuple[str, str]:
    """Protocol version and cipher. Raises ssl.SSLError where the caller is not content, or is not let in."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            with listening.wrap_socket(theirs, server_side=True) as connection:
                connection.sendall(connection.recv(1))
        except OSError:
            theirs.close()

    server = threading.Thread(target=serve)
    server.start()
    try:
        with calling.wrap_socket(ours, server_hostname=name) as connection:
            connection.settimeout(30)
            connection.sendall(b"x")
            if connection.recv(1) != b"x":
                raise ssl.SSLError("closed")
            cipher = connection.cipher()
            assert cipher is not None
            return str(connection.version()), cipher[0]
    finally:
        ours.close()
        server.join(30)


def test_both_sides_meet_in_the_newest_version(authority: Authority) -> None:
    node = authority.issue("node")
    version, _ = shake_hands(
        listening_context(node.files()), calling_context(TlsFiles(authorities=authority.certificate))
    )
    assert version == "TLSv1.3"


def test_tls_1_2_is_offered_with_forward_secrecy_and_authenticated_encryption_only(authority: Authority) -> None:
    node = authority.issue("older")
    calling = calling_context(TlsFiles(authorities=authority.certificate))
    calling.maximum_version = ssl.TLSVersion.TLSv1_2
    version, cipher = shake_hands(listening_context(node.files()), calling)
    assert version == "TLSv1.2"
    assert cipher.startswith("ECDHE-")
    offered = {c["name"] for c in calling.get_ciphers()}
    assert not [name for name in offered if not any(mode in name for mode in ("GCM", "CHACHA20"))]


def test_nothing_below_tls_1_2_is_spoken(authority: Authority) -> None:
    context = listening_context(authority.issue("strict").files())
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_listener_of_another_authority_is_not_believed(authority: Authority, stranger: Authority) -> None:
    listening = listening_context(stranger.issue("impostor").files())
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(listening, calling_context(TlsFiles(authorities=authority.certificate)))


def test_a_listener_of_another_name_is_not_believed_unless_names_do_not_count(authority: Authority) -> None:
    listening = listening_context(authority.issue("elsewhere", san="DNS:elsewhere").files())
    trusting = TlsFiles(authorities=authority.certificate)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(listening, calling_context(trusting))
    assert shake_hands(listening, calling_context(trusting, check_host_name=False))


def test_an_ended_certificate_is_not_believed(authority: Authority) -> None:
    listening = listening_context(authority.issue("ended", days=-1).files())
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        shake_hands(listening, calling_context(TlsFiles(authorities=authority.certificate)))


def test_mutual_tls_lets_in_those_of_the_authority_only(authority: Authority, stranger: Authority) -> None:
    listening = listening_context(authority.issue("mutual").files(authority.certificate))
    known = authority.issue("scanner").files(authority.certificate)
    unknown = stranger.issue("scanner").files(authority.certificate)
    assert shake_hands(listening, calling_context(known))
    for files in (unknown, TlsFiles(authorities=authority.certificate)):
        with pytest.raises(OSError, match=r"."):  # an alert, or the end of the connection
            shake_hands(listening, calling_context(files))


def test_a_listener_needs_certificate_and_key(authority: Authority) -> None:
    with pytest.raises(ConfigError, match="needs a certificate"):
        listening_context(TlsFiles(certificate=authority.certificate))


def test_files_that_cannot_be_used_are_named(authority: Authority, tmp_path: Path) -> None:
    first, second = authority.issue("first"), authority.issue("second")
    (rubbish := tmp_path / "rubbish.pem").write_text("nothing")
    missing = tmp_path / "missing.pem"
    cases = [
        (TlsFiles(missing, first.private_key), "missing.pem: cannot be read"),
        (TlsFiles(first.certificate, second.private_key), "do not belong together"),
        (TlsFiles(rubbish, first.private_key), "PEM files are needed"),
        (TlsFiles(first.certificate, encrypted(first.private_key)), "the key is encrypted"),
        (first.files(rubbish), "rubbish.pem: no certificate"),
    ]
    for files, text in cases:
        for make in (listening_context, calling_context):
            with pytest.raises(ConfigError, match=text):
                make(files)


def test_a_caller_without_authorities_trusts_those_of_the_system(authority: Authority) -> None:
    listening = listening_context(authority.issue("private").files())
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(listening, calling_context(TlsFiles()))


def test_the_end_of_a_certificate_is_told_in_time(authority: Authority, tmp_path: Path) -> None:
    certificate = authority.issue("soon", days=20).certificate
    end = expires_at(certificate)
    now = datetime.now(UTC)
    assert timedelta(days=19) < end - now <= timedelta(days=20)
    assert expiry_remark(certificate, end - timedelta(days=31)) is None
    assert "in 19 days" in str(expiry_remark(certificate, end - timedelta(days=19, hours=1)))
    assert "are refused" in str(expiry_remark(certificate, end))
    (rubbish := tmp_path / "rubbish.pem").write_text("nothing")
    with pytest.raises(ConfigError, match=r"rubbish\.pem"):
        expires_at(rubbish)
