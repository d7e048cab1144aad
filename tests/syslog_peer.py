"""Collectors of syslog messages: a strict one of our own that can misbehave, and rsyslog."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from dicom_node.tls import TlsFiles, listening_context
from tests.receiving import eventually, free_port, wait_until_listening

SYSLOG = re.compile(
    rb"<(?P<pri>\d{2,3})>1 (?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (?P<host>\S+) dicom-node - DICOM\+RFC3881 -"
    rb" \xef\xbb\xbf(?P<xml><\?xml .*)",
    re.DOTALL,
)
"""RFC 5424 6, as the audit trail has it."""


def frames(data: bytes) -> list[bytes]:
    """Octet counting (RFC 5425 4.3), to the letter; fails where something else is in between or is cut off."""
    found = []
    while data:
        head = re.match(rb"([1-9]\d*) ", data)
        assert head is not None, data[:40]
        end = head.end() + int(head[1])
        assert end <= len(data), "cut off"
        found.append(data[head.end() : end])
        data = data[end:]
    return found


def content(message: bytes) -> bytes:
    """The XML of a message."""
    match = SYSLOG.fullmatch(message)
    assert match is not None, message[:120]
    return match["xml"]


@dataclass
class StrictCollector:
    """Over TLS; `resets`: so many connections are reset after their first bytes, unread the rest."""

    port: int
    context: ssl.SSLContext
    resets: int = 0
    taken: list[bytes] = field(default_factory=list)
    broken: int = 0

    def serve(self, listener: socket.socket, stop: threading.Event) -> None:
        while not stop.is_set():
            with suppress(TimeoutError, OSError):
                plain, _ = listener.accept()
                plain.settimeout(10.0)
                with plain:
                    self._talk(plain)

    def _talk(self, plain: socket.socket) -> None:
        with self.context.wrap_socket(plain, server_side=True) as connection:
            if self.resets:
                self.resets -= 1
                self.broken += 1
                connection.recv(10)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            data = b""
            while more := connection.recv(65536):
                data += more
            self.taken += frames(data)
            connection.unwrap().close()


@contextmanager
def strict_collector(files: TlsFiles, port: int = 0, resets: int = 0) -> Iterator[StrictCollector]:
    """Listens on a port of this machine for as long as the block lasts; `port` 0: on any."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(0.2)
        collector = StrictCollector(listener.getsockname()[1], listening_context(files), resets)
        stop = threading.Event()
        thread = threading.Thread(target=collector.serve, args=(listener, stop))
        thread.start()
        try:
            yield collector
        finally:
            stop.set()
            thread.join(30)


_RSYSLOG = """
global(workDirectory="{folder}" maxMessageSize="64k" defaultNetstreamDriver="gtls"
       defaultNetstreamDriverCAFile="{authorities}" defaultNetstreamDriverCertFile="{certificate}"
       defaultNetstreamDriverKeyFile="{private_key}")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")
template(name="raw" type="string" string="%rawmsg-after-pri%\\n")
input(type="imtcp" address="127.0.0.1" port="{port}")
action(type="omfile" file="{folder}/audit.log" template="raw")
"""


@dataclass
class Rsyslog:
    """rsyslogd with mutual TLS, writing each message on a line of a file."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        pid_file = self.folder / "rsyslogd.pid"
        pid_file.unlink(missing_ok=True)
        command = ["rsyslogd", "-n", "-f", str(self.folder / "rsyslog.conf"), "-i", str(pid_file)]
        with (self.folder / "rsyslog.err").open("ab") as errors:
            process = self.process = subprocess.Popen(command, stderr=errors)
        wait_until_listening(self.port, lambda: process.poll() is None)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
            self.process = None

    def taken(self) -> list[bytes]:
        """With the priority that the template leaves out."""
        log = self.folder / "audit.log"
        lines = log.read_bytes().split(b"\n") if log.is_file() else []
        return [b"<85>" + line for line in lines if line]

    def wait_for(self, number: int) -> list[bytes]:
        eventually(lambda: len(self.taken()) >= number, 60.0)
        return self.taken()


@contextmanager
def rsyslog(folder: Path, files: TlsFiles) -> Iterator[Rsyslog]:
    folder.mkdir()
    made = Rsyslog(folder, free_port())
    named = {"certificate": files.certificate, "private_key": files.private_key, "authorities": files.authorities}
    (folder / "rsyslog.conf").write_text(_RSYSLOG.format(folder=folder, port=made.port, **named))
    made.start()
    try:
        yield made
    finally:
        made.kill()
