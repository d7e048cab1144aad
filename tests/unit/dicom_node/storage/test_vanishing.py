"""Either end of a connection to PostgreSQL notices within seconds that the machine at the other end has vanished."""

from __future__ import annotations

from contextlib import closing

import pytest
from sqlalchemy import text

from dicom_node.errors import DatabaseUnavailable
from dicom_node.storage import vanishing
from dicom_node.storage.engine import open_engine
from dicom_node.storage.repository import Repository
from dicom_node.storage.schema import altering
from tests.postgresql import FAST, MAINTENANCE, Server, running_server
from tests.receiving import free_port


@pytest.mark.peer("postgres")
def test_both_ends_ask_whether_the_other_is_there() -> None:
    port = free_port()
    with running_server((*FAST, "listen_addresses=127.0.0.1"), port=port) as server:
        engine = open_engine(server.url_over_tcp(MAINTENANCE, "127.0.0.1"))
        with engine.connect() as connection:
            ours = connection.connection.dbapi_connection.info.get_parameters()  # type: ignore[union-attr]
            theirs = [
                connection.execute(text(f"SHOW {name}")).scalar_one()
                for name in ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count")
            ]
        engine.dispose()
    assert {name: ours[name] for name in vanishing.OURS if name != "keepalives"} == {
        name: str(value) for name, value in vanishing.OURS.items() if name != "keepalives"
    }
    assert list(map(str, theirs)) == [str(vanishing.IDLE_S), str(vanishing.EVERY_S), str(vanishing.COUNT)]


@pytest.mark.peer("postgres")
def test_what_hangs_in_the_server_is_ended_but_not_a_migration(
    postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgresql.create_database()
    with closing(Repository.open(url)) as repository, repository._read() as session:
        assert session.scalar(text("SHOW idle_in_transaction_session_timeout")) == "1min"
        assert session.scalar(text("SHOW statement_timeout")) == "1min"
    monkeypatch.setattr(vanishing, "THEIRS", "SET statement_timeout = '50ms'")
    with closing(Repository.open(url)) as repository:
        with pytest.raises(DatabaseUnavailable), repository._write() as session:
            session.execute(text("SELECT pg_sleep(60)"))
        with altering(repository._engine) as connection:
            assert connection.scalar(text("SHOW statement_timeout")) == "0"
    postgresql.drop_database(url)
