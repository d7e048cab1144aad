"""A database server that is reached and answers nothing more is given up, and the next connection is a new one."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from dicom_node.storage import silence
from dicom_node.storage.engine import open_engine
from dicom_node.storage.schema import altering
from tests.fault_proxy import End, Fault, fault_proxy
from tests.postgresql import FAST, MAINTENANCE, running_server
from tests.receiving import free_port

LONGER_THAN_A_GREETING = 20_000
"""Bytes: what a connection says at its start is far less."""

ASK = text("SELECT length(:text)")


def length_of(engine: Engine, size: int) -> int:
    with engine.connect() as connection:
        return int(connection.execute(ASK, {"text": "x" * size}).scalar_one())


@pytest.mark.peer("postgres")
def test_a_server_that_answers_nothing_more_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "LONGEST_S", 1.0)
    port, stall = free_port(), Fault(End.STALL, after_bytes=LONGER_THAN_A_GREETING)
    with running_server((*FAST, "listen_addresses=127.0.0.1"), port=port) as server, fault_proxy(port, stall) as proxy:
        url = server.url_over_tcp(MAINTENANCE, "127.0.0.1").replace(str(port), str(proxy.port))
        engine = open_engine(url)
        assert length_of(engine, 10) == 10
        with pytest.raises(OperationalError) as caught:
            length_of(engine, 2 * LONGER_THAN_A_GREETING)
        assert caught.value.connection_invalidated
        assert length_of(engine, 2 * LONGER_THAN_A_GREETING) == 2 * LONGER_THAN_A_GREETING
        assert len(proxy.connections) == 2
        engine.dispose()


@pytest.mark.peer("postgres")
def test_a_migration_waits_as_long_as_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "LONGEST_S", 0.2)
    with running_server() as server:
        engine = open_engine(server.url(MAINTENANCE))
        with altering(engine) as connection:
            assert connection.execute(text("SELECT 1 FROM pg_sleep(1)")).scalar_one() == 1
        with pytest.raises(OperationalError), engine.connect() as connection:  # the same connection, bounded again
            connection.execute(text("SELECT pg_sleep(60)"))
        engine.dispose()
