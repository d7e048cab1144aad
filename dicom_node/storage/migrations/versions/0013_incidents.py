"""What an administrator is told of, and the messages about it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_WORD = 16


def upgrade() -> None:
    op.create_table(
        "incident",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String(_WORD), nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("began_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME),
        sa.Column("standing", sa.Boolean),
        sa.UniqueConstraint("kind", "name", "standing"),
    )
    op.create_table(
        "notice",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("incident_id", sa.Integer, sa.ForeignKey("incident.id"), nullable=False),
        sa.Column("way", sa.String(_WORD), nullable=False),
        sa.Column("turn", sa.String(_WORD), nullable=False),
        sa.Column("waits", sa.Boolean, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("made_at", _TIME, nullable=False),
        sa.Column("available_at", _TIME, nullable=False),
        sa.Column("sent_at", _TIME),
        sa.UniqueConstraint("incident_id", "way", "turn"),
    )


def downgrade() -> None:
    op.drop_table("notice")
    op.drop_table("incident")
