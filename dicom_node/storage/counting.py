"""How many rows a query would give."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session


def count_rows(session: Session, query: Select[Any]) -> int:
    """The number of rows, counted by the database; their order does not matter."""
    return session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0
