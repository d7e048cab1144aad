"""Messages to a syslog collector: RFC 5424 in the framing of RFC 5425 (TLS) or RFC 5426 (UDP).

Syslog has no acknowledgement. Over TLS the end of a connection is one: the batch is sent, the connection is ended by
close_notify (RFC 5425 4.4), and the collector ends its side only after it has read all that came before. A connection
that ends in any other way has not delivered its batch, and the batch is sent again. UDP tells nothing.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from dicom_node.deliver.scu import Cause, Failure, classify_connection_error
from dicom_node.domain import CallerTls
from dicom_node.errors import ConfigError, Transient
from dicom_node.tls import TlsFiles, calling_context

_SECURITY = 10
"""Facility: security and authorization messages (PS3.15 A.6)."""

NOTICE, WARNING = 5, 4
MESSAGE_ID = "DICOM+RFC3881"
_APPLICATION = "dicom-node"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NIL = "-"
_PIECE = 16_384
LARGEST_DATAGRAM = 65_507
"""Of UDP over IPv4, without fragments beyond what the network layer makes (RFC 5426 3.2)."""


class CollectorAway(Transient):
    """The collector did not take the messages; `cause` is the word for logs."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"The audit collector did not take the messages: {failure.text}")
        self.cause = failure.cause


@dataclass(frozen=True, slots=True)
class Header:
    """Of one message: when, on which machine, and how serious."""

    at: datetime
    host: str
    severity: int = NOTICE


def message(header: Header, content: bytes) -> bytes:
    """One SYSLOG-MSG (RFC 5424 6) with UTF-8 content."""
    at = header.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    host = "".join(c for c in header.host if "!" <= c <= "~")[:255] or _NIL
    words = (f"<{_SECURITY * 8 + header.severity}>1", at, host, _APPLICATION, _NIL, MESSAGE_ID, _NIL)
    return " ".join(words).encode("ascii") + b" " + _BYTE_ORDER_MARK + content


def framed(content: bytes) -> bytes:
    """With octet counting (RFC 5425 4.3)."""
    return str(len(content)).encode("ascii") + b" " + content


class Collector(Protocol):
    """Where messages go. `send` raises CollectorAway unless all have been taken, as far as the transport can tell."""

    def send(self, messages: Sequence[bytes]) -> None: ...


@dataclass(frozen=True, slots=True)
class TlsCollector:
    """RFC 5425. `wait_s`: for the connection, and each time for the collector to go on reading."""

    host: str
    port: int
    tls: CallerTls
    wait_s: float

    def send(self, messages: Sequence[bytes]) -> None:
        """All over one connection, which is over afterwards."""
        try:
            files = TlsFiles(self.tls.certificate, self.tls.private_key, self.tls.authorities)
            context = calling_context(files, check_host_name=self.tls.check_host_name)
            with socket.create_connection((self.host, self.port), self.wait_s) as connection:
                conversation = _Conversation.begun(connection, context, self.host)
                conversation.say(b"".join(map(framed, messages)))
                conversation.end()
        except ConfigError as error:
            raise CollectorAway(Failure(Cause.TLS_FAILED, str(error))) from error
        except OSError as error:
            raise CollectorAway(classify_connection_error(error)) from error


@dataclass(frozen=True, slots=True)
class _Conversation:
    """TLS by hand over a connection. All methods raise OSError (ssl.SSLError is one).

    Python's own `unwrap` takes a fatal alert for an end in good order, and under TLS 1.3 such an alert, after all has
    been said, is how a collector tells that it does not believe our certificate.
    """

    connection: socket.socket
    tls: ssl.SSLObject
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO

    @classmethod
    def begun(cls, connection: socket.socket, context: ssl.SSLContext, host: str) -> _Conversation:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        made = cls(connection, context.wrap_bio(incoming, outgoing, server_hostname=host), incoming, outgoing)
        while True:
            try:
                made.tls.do_handshake()
            except ssl.SSLWantReadError:
                made._flush()
                if not made._hear():
                    raise ConnectionResetError(errno.ECONNRESET, "the connection ended") from None
            else:
                made._flush()
                return made

    def say(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self.tls.write(rest) :]
            self._flush()

    def end(self) -> None:
        """Say that nothing more comes, and wait until the other side has read that.

        Some collectors answer with close_notify, others only end the connection. One that dies, or ends it with
        something unread, resets it.
        """
        with suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self._flush()
        self.connection.shutdown(socket.SHUT_WR)
        while self._hear():
            try:
                while self.tls.read(_PIECE):
                    pass
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLZeroReturnError:
                return

    def _hear(self) -> bool:
        """Whether anything came; not: that was all."""
        piece = self.connection.recv(_PIECE)
        self.incoming.write(piece)
        return bool(piece)

    def _flush(self) -> None:
        self.connection.sendall(self.outgoing.read())


@dataclass(frozen=True, slots=True)
class UdpCollector:
    """RFC 5426: one message a datagram, and nobody says whether it arrived."""

    host: str
    port: int

    def send(self, messages: Sequence[bytes]) -> None:
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)
            family, kind, protocol, _, address = found[0]
            with socket.socket(family, kind, protocol) as sender:
                sender.connect(address)
                for one in messages:
                    sender.send(one[:LARGEST_DATAGRAM])
        except OSError as error:
            raise CollectorAway(classify_connection_error(error)) from error
