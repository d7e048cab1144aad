"""Storage commitment that peers ask of us."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "commitment_question",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("peer", sa.String, nullable=False),
        sa.Column("transaction_uid", sa.String, nullable=False),
        sa.Column("called_ae", sa.String, nullable=False),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("asked_at", _TIME, nullable=False),
        sa.Column("decided_at", _TIME),
        sa.Column("told_at", _TIME),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("available_at", _TIME, nullable=False),
        sa.Column("comment", sa.Text),
        sa.UniqueConstraint("peer", "transaction_uid"),
        sqlite_autoincrement=True,
    )
    op.create_index(None, "commitment_question", ["peer", "told_at", "available_at"])
    op.create_table(
        "commitment_question_object",
        sa.Column("question_id", sa.Integer, sa.ForeignKey("commitment_question.id"), primary_key=True),
        sa.Column("sop_instance_uid", sa.String, primary_key=True),
        sa.Column("sop_class_uid", sa.String, nullable=False),
        sa.Column("reason", sa.Integer),
        sa.Column("why", sa.String),
    )


def downgrade() -> None:
    op.drop_table("commitment_question_object")
    op.drop_table("commitment_question")
