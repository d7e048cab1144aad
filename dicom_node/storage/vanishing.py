"""Machines that vanish: how long a connection to PostgreSQL waits for one that has not said goodbye.

A host that loses power or its link closes nothing. Left alone, a system asks after two hours whether the other side is
still there: so long a worker would wait for an answer, and so long the server would keep the rows locked that a worker
was about to commit, whose job nobody else could claim. Both ends ask after seconds here, the server ends what hangs.
"""

from __future__ import annotations

from typing import Any

IDLE_S, EVERY_S, COUNT = 15, 5, 3
"""A connection on which nothing came is asked for so long after, so often, and is given up after so many silences."""

UNANSWERED_MS = 30_000
"""Data that was sent and not even acknowledged by the other system."""

LONGEST_STATEMENT_S = 60
"""A statement, and the pause between two of one transaction; only a migration may take longer."""

OURS: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": IDLE_S,
    "keepalives_interval": EVERY_S,
    "keepalives_count": COUNT,
    "tcp_user_timeout": UNANSWERED_MS,
}
"""Parameters of a connection (PostgreSQL manual, libpq, parameter key words); no effect on a Unix socket."""

THEIRS = "; ".join(
    f"SET {name} = {value}"
    for name, value in {
        "tcp_keepalives_idle": IDLE_S,
        "tcp_keepalives_interval": EVERY_S,
        "tcp_keepalives_count": COUNT,
        "tcp_user_timeout": UNANSWERED_MS,
        "statement_timeout": f"'{LONGEST_STATEMENT_S}s'",
        "idle_in_transaction_session_timeout": f"'{LONGEST_STATEMENT_S}s'",
    }.items()
)
"""What the server is to do about us, for this connection (PostgreSQL manual, client connection defaults, TCP)."""

HURRIED = "SET LOCAL lock_timeout = '2s'"
"""For one transaction that others share: a row that somebody has locked is soon the concern of one of them alone."""

UNBOUND = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
"""For one transaction, whose statements may take and wait as long as they need."""
