"""A PostgreSQL that is reached and answers nothing: how long a connection waits for it.

Machines that vanish are found by the system (vanishing.py), and what lasts too long the server ends itself. Neither
helps where the machine lives and takes what it is sent, but nobody answers: a server that hangs, a load balancer that
has lost it. The wait for such an answer would have no end, and a receiver whose commit waits would take nothing more.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg

from dicom_node.storage.vanishing import LONGEST_STATEMENT_S

LONGEST_S = LONGEST_STATEMENT_S + 15.0
"""A server that lives would have ended the statement before."""

Answer = TypeVar("Answer")


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed when an answer takes longer than LONGEST_S, unless it is `patient`."""

    patient = False

    def wait(self, gen: Generator[Any, Any, Answer], *arguments: Any, **options: Any) -> Answer:
        """As psycopg has it, through which every exchange with the server goes. Raises psycopg.OperationalError."""
        return super().wait(gen if self.patient else self._bounded(gen), *arguments, **options)

    def _bounded(self, exchange: Generator[Any, Any, Answer]) -> Generator[Any, Any, Answer]:
        """The same exchange; psycopg wakes it several times a second, also with nothing."""
        deadline = time.monotonic() + LONGEST_S
        try:
            wanted = next(exchange)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > deadline:
                    self.close()
                    raise psycopg.OperationalError("the server does not answer")
                wanted = exchange.send(ready)
        except StopIteration as end:
            answer: Answer = end.value
            return answer


def be_patient(connection: object) -> None:
    """Wait as long as it takes, until `be_impatient`."""
    if isinstance(connection, BoundedConnection):
        connection.patient = True


def be_impatient(connection: object) -> None:
    """The usual bound again; nothing where the connection is gone."""
    if isinstance(connection, BoundedConnection):
        connection.patient = False
