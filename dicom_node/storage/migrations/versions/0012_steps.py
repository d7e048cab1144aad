"""Procedure steps that peers tell of, and how far an audit collector has been sent the trail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_LONG = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_WORD = 16


def upgrade() -> None:
    op.create_table(
        "procedure_step",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("sop_instance_uid", sa.String, nullable=False, unique=True),
        sa.Column("peer", sa.String, nullable=False),
        sa.Column("state", sa.String(_WORD), nullable=False),
        sa.Column("begun_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME),
        sqlite_autoincrement=True,
    )
    op.create_index(None, "procedure_step", ["begun_at"])
    op.create_table(
        "procedure_step_study",
        sa.Column("step_id", sa.Integer, sa.ForeignKey("procedure_step.id"), primary_key=True),
        sa.Column("study_instance_uid", sa.String, primary_key=True),
    )
    op.create_index(None, "procedure_step_study", ["study_instance_uid"])
    op.create_table(
        "procedure_step_object",
        sa.Column("step_id", sa.Integer, sa.ForeignKey("procedure_step.id"), primary_key=True),
        sa.Column("sop_instance_uid", sa.String, primary_key=True),
    )
    op.create_table(
        "audit_collector",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("number", _LONG, nullable=False),
        sa.Column("token", sa.Integer, nullable=False),
        sa.Column("lease_until", _TIME),
    )


def downgrade() -> None:
    for table in ("audit_collector", "procedure_step_object", "procedure_step_study", "procedure_step"):
        op.drop_table(table)
