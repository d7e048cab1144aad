"""Every attempt of a delivery, which alternate took it, and whether a destination answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_WORD = sa.String(16)


def upgrade() -> None:
    with op.batch_alter_table("delivery") as batch:
        batch.add_column(sa.Column("via", sa.String))
    op.create_table(
        "delivery_attempt",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("delivery_id", sa.Integer, sa.ForeignKey("delivery.id"), nullable=False),
        sa.Column("asked", sa.String, nullable=False),
        sa.Column("outcome", _WORD, nullable=False),
        sa.Column("cause", sa.String, nullable=False),
        sa.Column("status_word", sa.Integer),
        sa.Column("comment", sa.Text),
        sa.Column("began_at", _TIME, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
    )
    op.create_index(None, "delivery_attempt", ["delivery_id", "id"])
    op.create_table(
        "destination_state",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("reachable", sa.Boolean, nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("checked_at", _TIME, nullable=False),
        sa.Column("cause", sa.String),
        sa.Column("comment", sa.Text),
    )


def downgrade() -> None:
    op.drop_table("destination_state")
    op.drop_table("delivery_attempt")
    with op.batch_alter_table("delivery") as batch:
        batch.drop_column("via")
