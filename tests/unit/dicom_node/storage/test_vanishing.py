"""Either end of a connection to PostgreSQL notices within seconds that the machine at the other end has vanished."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from dicom_node.storage import vanishing
from dicom_node.storage.engine import open_engine
from tests.postgresql import FAST, MAINTENANCE, running_server
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
