"""Several receivers of a node at the same ports: what their supervisor makes once and each of them is given.

The sockets are listened on by the supervisor, and accepted at by whichever receiver is free: a caller that one of them
has not taken yet when it dies is taken by another. The file of the tally has no name and goes with the last of them.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from dicom_node.config import NodeSection
from dicom_node.errors import ConfigError
from dicom_node.storage.files import named_disk_errors

BACKLOG = 64


@dataclass(frozen=True, slots=True)
class Share:
    """One receiver's: which it is, from 1, and descriptors that it inherits. `text` is how a command line says it."""

    number: int
    tally: int
    plain: int | None
    secure: int | None

    @property
    def is_first(self) -> bool:
        """Whether it does what is done once for all of them."""
        return self.number == 1

    @property
    def text(self) -> str:
        return ",".join("" if one is None else str(one) for one in (self.number, self.tally, self.plain, self.secure))

    @classmethod
    def of(cls, text: str) -> Share:
        """The reverse of `text`. Raises ValueError."""
        number, tally, plain, secure = (int(part) if part else None for part in text.split(","))
        if number is None or tally is None:
            raise ValueError(text)
        return cls(number, tally, plain, secure)

    @property
    def descriptors(self) -> tuple[int, ...]:
        return tuple(one for one in (self.tally, self.plain, self.secure) if one is not None)

    def listening(self, secure: bool) -> socket.socket | None:
        """The socket to accept at, where there is one; whoever asks closes it."""
        descriptor = self.secure if secure else self.plain
        return None if descriptor is None else socket.socket(fileno=descriptor)


@contextmanager
def shares(node: NodeSection) -> Iterator[tuple[Share, ...]]:
    """One for each of `node.receivers`; what they are about is open for as long as the block lasts.

    Raises:
        ConfigError: the address cannot be listened on.
        DiskFull, StorageUnavailable: there is no temporary file to be had.
    """
    with ExitStack() as held:
        with named_disk_errors():
            tally = held.enter_context(tempfile.TemporaryFile())
        ports = (node.port, node.tls.port)
        opened = [None if port is None else held.enter_context(_listening(node.host, port)) for port in ports]
        plain, secure = (None if one is None else one.fileno() for one in opened)
        first = Share(1, tally.fileno(), plain, secure)
        yield tuple(replace(first, number=number) for number in range(1, node.receivers + 1))


def _listening(host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(BACKLOG)
        os.set_blocking(made.fileno(), False)  # whoever finds that another has taken the caller goes on
    except OSError as error:
        made.close()
        raise ConfigError(f"cannot listen on {host} port {port} ({error.strerror})") from error
    return made
