"""A way to a peer that is as bad as one likes: slow, stalling, cut or reset at a chosen place of the conversation.

It stands between a caller and a listener as one more TCP listener. The n-th connection meets the n-th fault of the
list, those after the last go through unharmed.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum

PIECE_BYTES = 16_384
_CONNECT_S = 10.0
_NOTICED_AFTER_S = 20
"""A side whose machine vanishes without a word is given up after so long, as load balancers do."""

P_DATA_TF = 0x04
_HEAD_BYTES = 6
"""Of a PDU: type, reserved, length (PS3.8 9.3.1)."""


class End(Enum):
    """How a connection ends where its fault lies. STALL: it stays and carries nothing more."""

    CUT = "cut"
    RESET = "reset"
    STALL = "stall"


@dataclass(frozen=True)
class Fault:
    """What is wrong with a connection.

    `after_bytes` of the caller came through, or before data of the listener for the `before_answer`-th time (counted
    in PDUs of type P-DATA-TF, from 1), it ends. `bytes_per_s` in either direction. An `end` None lets all through.
    """

    end: End | None = None
    after_bytes: int | None = None
    before_answer: int | None = None
    bytes_per_s: float = float("inf")


HEALTHY = Fault()


@dataclass
class FaultProxy:
    """Listens on `port`; `met` counts the connections whose fault came about."""

    listener: socket.socket
    target: tuple[str, int]
    faults: Sequence[Fault]
    met: int = 0
    connections: list[_Connection] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def plan(self, faults: Sequence[Fault]) -> None:
        """The next connections meet these, in place of what else was in store for them."""
        self.faults = (*(HEALTHY for _ in self.connections), *faults)

    def end_all(self, how: End) -> None:
        """Every connection of now, at once."""
        for connection in list(self.connections):
            connection.end(how)

    def suffered(self) -> Counter[str]:
        """Connections so far by what they met: "slow" or the name of their end."""
        kept = list(self.connections)
        slow = sum(connection.fault.bytes_per_s < float("inf") for connection in kept)
        return Counter({"slow": slow}) + Counter(c.fault.end.value for c in kept if c.struck and c.fault.end)

    def accept_all(self) -> None:
        """Until the listener is closed."""
        while True:
            try:
                caller, _ = self.listener.accept()
            except OSError:
                return
            number = len(self.connections)
            fault = self.faults[number] if number < len(self.faults) else HEALTHY
            self.connections.append(_Connection(caller, self.target, fault, self._meet))

    def _meet(self) -> None:
        self.met += 1

    def close(self) -> None:
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
        self.listener.close()
        self.end_all(End.CUT)


class _Connection:
    """A caller, a connection to the listener, and a thread for either direction."""

    def __init__(self, caller: socket.socket, target: tuple[str, int], fault: Fault, met: Callable[[], None]) -> None:
        self.fault, self.struck = fault, False
        self._caller, self._target, self._met = caller, target, met
        self._listener = socket.socket()
        self._ended = threading.Event()
        for side in (self._caller, self._listener):
            _notice_who_vanishes(side)
        threading.Thread(target=self._connect, daemon=True).start()

    def _connect(self) -> None:
        """Not where connections are accepted: who cannot be reached would keep the others waiting."""
        try:
            self._listener.settimeout(_CONNECT_S)
            self._listener.connect(self._target)
            self._listener.settimeout(None)
        except OSError:
            self.end(End.RESET)
            return
        threading.Thread(target=self._until_over, args=(self._back,), daemon=True).start()
        self._until_over(self._there)

    def end(self, how: End) -> None:
        """Both sides see the same end. A stall is an end that they have to find out themselves."""
        if self._ended.is_set():
            return
        if how is not End.STALL:
            self._ended.set()
        for side in (self._caller, self._listener):
            with suppress(OSError):
                if how is End.RESET:  # with what is unsent thrown away, RST goes out in place of FIN
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if how is not End.STALL:  # wakes the thread that reads here, which would keep the socket open
                    side.shutdown(socket.SHUT_RD if how is End.RESET else socket.SHUT_RDWR)
            if how is not End.STALL:
                side.close()

    def _until_over(self, work: Callable[[], None]) -> None:
        with suppress(OSError):
            work()
        if not self._stalled:
            self.end(End.CUT)

    _stalled = False

    def _strike(self) -> None:
        assert self.fault.end is not None
        self.struck = True
        self._met()
        self._stalled = self.fault.end is End.STALL
        self.end(self.fault.end)

    def _there(self) -> None:
        """Caller to listener."""
        left = float("inf") if self.fault.after_bytes is None else self.fault.after_bytes
        while left > 0:
            piece = self._caller.recv(int(min(PIECE_BYTES, left)))
            if not piece:
                return
            self._carry(piece, self._listener)
            left -= len(piece)
        self._strike()

    def _back(self) -> None:
        """Listener to caller, a whole PDU at a time where the fault lies before one."""
        if self.fault.before_answer is None:
            while piece := self._listener.recv(PIECE_BYTES):
                self._carry(piece, self._caller)
            return
        answers = 0
        for pdu in _pdus(self._listener):
            answers += pdu[0] == P_DATA_TF
            if answers == self.fault.before_answer:
                self._strike()
                return
            self._carry(pdu, self._caller)

    def _carry(self, piece: bytes, to: socket.socket) -> None:
        if self._stalled:  # the other direction came to its place
            raise OSError("stalled")
        to.sendall(piece)
        time.sleep(len(piece) / self.fault.bytes_per_s)


def _notice_who_vanishes(side: socket.socket) -> None:
    side.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    side.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _NOTICED_AFTER_S // 2)
    side.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _NOTICED_AFTER_S // 4)
    side.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _NOTICED_AFTER_S * 1000)


def _pdus(side: socket.socket) -> Iterator[bytes]:
    while head := _exactly(side, _HEAD_BYTES):
        yield head + _exactly(side, int.from_bytes(head[2:6], "big"))


def _exactly(side: socket.socket, size: int) -> bytes:
    """b"" at the end of the stream."""
    content = b""
    while len(content) < size:
        piece = side.recv(size - len(content))
        if not piece:
            return b""
        content += piece
    return content


@contextmanager
def fault_proxy(
    port: int, *faults: Fault, host: str = "127.0.0.1", at: tuple[str, int] = ("127.0.0.1", 0)
) -> Iterator[FaultProxy]:
    """A proxy before `host`:`port` that is gone when the block ends. `at`: its own address; 0 is any port."""
    proxy = FaultProxy(socket.create_server(at, backlog=64), (host, port), faults)
    thread = threading.Thread(target=proxy.accept_all, name="fault-proxy")
    thread.start()
    with closing(proxy):
        yield proxy
    thread.join(timeout=30)
    assert not thread.is_alive()
