"""Talks to a receiver as nobody should, while an honest sender goes on sending; and watches what it costs.

Conversation number n of a hunt depends on the seed and on n alone, so any of them can be had again.
"""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
from pynetdicom import AE, build_context

from tests.fuzz.exchanges import Exchange
from tests.fuzz.protocol_mutations import Bad, break_exchange
from tests.receiving import OUR_AE
from tests.ultrasound import US_IMAGE, us_image

HONEST = "HONEST"
_ANSWER_S = 2.0
_QUIET_S = 0.1
_MEGABYTE = 1024 * 1024


@dataclass
class Tally:
    """What a hunt came to."""

    conversations: int = 0
    pdus: int = 0
    mutated: int = 0
    seconds: float = 0.0
    honest: list[str] = field(default_factory=list)
    unserved: list[str] = field(default_factory=list)
    slowest_honest_s: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)

    def row(self) -> dict[str, Any]:
        """As benchmarks/bad_peers.json holds it."""
        return {
            "conversations": self.conversations,
            "pdus": self.pdus,
            "mutated": self.mutated,
            "seconds": round(self.seconds),
            "honest_objects_stored": len(self.honest),
            "honest_objects_refused": len(self.unserved),
            "slowest_honest_s": round(self.slowest_honest_s, 2),
            "answers": dict(sorted(self.answers.items())),
        }


@dataclass(frozen=True)
class Hunt:
    """It ends when `mutated` PDUs were sent or after `seconds` seconds, whichever comes first."""

    port: int
    exchanges: tuple[Exchange, ...]
    seed: int
    mutated: int
    seconds: float
    talkers: int = 4


@dataclass(frozen=True)
class Costs:
    """Of a process: what may not grow."""

    memory_mb: float
    threads: int
    descriptors: int


def costs(process: psutil.Process) -> Costs:
    return Costs(process.memory_info().rss / _MEGABYTE, process.num_threads(), process.num_fds())


def conversation(hunt: Hunt, number: int) -> tuple[Bad, random.Random]:
    """Conversation `number` of a hunt, and the generator that decides how it is held."""
    rng = random.Random(f"{hunt.seed}/{number}")
    return break_exchange(rng.choice(hunt.exchanges), hunt.exchanges, rng), rng


def run(hunt: Hunt) -> Tally:
    """Hold conversation after conversation, several at a time."""
    tally, lock, began = Tally(), threading.Lock(), time.monotonic()
    numbers = iter(range(1_000_000_000))
    failures: list[BaseException] = []

    def talk_on() -> None:
        try:
            while True:
                with lock:
                    if failures or tally.mutated >= hunt.mutated or time.monotonic() - began > hunt.seconds:
                        return
                    number = next(numbers)
                bad, rng = conversation(hunt, number)
                answer = talk(hunt.port, bad, rng)
                with lock:
                    tally.conversations += 1
                    tally.pdus += len(bad.pdus)
                    tally.mutated += bad.mutated
                    tally.answers[answer] += 1
        except BaseException as error:  # noqa: BLE001  raised again below
            failures.append(error)

    with honest_sender(hunt.port, tally):
        talkers = [threading.Thread(target=talk_on) for _ in range(hunt.talkers)]
        for talker in talkers:
            talker.start()
        for talker in talkers:
            talker.join()
    tally.seconds = time.monotonic() - began
    if failures:
        raise failures[0]
    return tally


def talk(port: int, bad: Bad, rng: random.Random) -> str:
    """Say it, in one piece or in many, hear what comes back, and leave politely or not. Gives the kind of last PDU."""
    first, *rest = bad.pdus or (b"",)
    answer = "nothing"
    with socket.create_connection(("127.0.0.1", port), timeout=_ANSWER_S) as connection:
        with suppress(OSError):
            _say(connection, first, rng)
            if rng.random() < 0.9:
                answer = _heard(connection, _ANSWER_S) or answer
            _say(connection, b"".join(rest), rng)
            if rng.random() < 0.1:
                connection.shutdown(socket.SHUT_WR)
            while heard := _heard(connection, _QUIET_S):
                answer = heard
                if heard == "closed":
                    break
        if rng.random() < 0.3:  # the end is a reset
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return answer


def _say(connection: socket.socket, data: bytes, rng: random.Random) -> None:
    if rng.random() < 0.1:
        for place in range(0, min(len(data), 60), 7):
            connection.sendall(data[place : place + 7])
            time.sleep(0.001)
        data = data[63:] if len(data) > 60 else b""
    connection.sendall(data)


_KINDS = {2: "accepted", 3: "rejected", 4: "data", 5: "release", 6: "released", 7: "aborted"}


def _heard(connection: socket.socket, seconds: float) -> str | None:
    """What the next bytes begin with; None where none came in time."""
    connection.settimeout(seconds)
    try:
        data = connection.recv(65536)
    except TimeoutError:
        return None
    except OSError:
        return "closed"
    return _KINDS.get(data[0], "other") if data else "closed"


@contextmanager
def honest_sender(port: int, tally: Tally, pause_s: float = 0.5) -> Iterator[None]:
    """One new object after the other, each in an association of its own, for as long as the block lasts."""
    stop = threading.Event()

    def send_on() -> None:
        while not stop.wait(pause_s):
            image = us_image(np.full((8, 8), 100, np.uint8))
            began = time.monotonic()
            stored = store_one(port, image)
            tally.slowest_honest_s = max(tally.slowest_honest_s, time.monotonic() - began)
            (tally.honest if stored else tally.unserved).append(str(image.SOPInstanceUID))

    thread = threading.Thread(target=send_on)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def store_one(port: int, image: Any) -> bool:
    """Whether the node says Success."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=60):
        return _store_one(port, image)
    return False  # pynetdicom leaves its socket open where nobody listens


def _store_one(port: int, image: Any) -> bool:
    entity = AE(HONEST)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 120
    association = entity.associate("127.0.0.1", port, contexts=[build_context(US_IMAGE)], ae_title=OUR_AE)
    if not association.is_established:
        return False
    connection = association.dul.socket.socket if association.dul.socket is not None else None
    status = association.send_c_store(image)
    if association.is_established:
        association.release()
    if connection is not None:
        connection.close()
    return getattr(status, "Status", None) == 0x0000
