"""Storage commitment that was asked of destinations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "storage_commitment",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("transaction_uid", sa.String, nullable=False, unique=True),
        sa.Column("destination", sa.String, nullable=False),
        sa.Column("asked_at", _TIME, nullable=False),
        sa.Column("answered_at", _TIME),
        sa.Column("comment", sa.Text),
    )
    with op.batch_alter_table("delivery") as batch:
        batch.add_column(sa.Column("commitment_id", sa.Integer))
        batch.create_foreign_key(
            "fk_delivery_commitment_id_storage_commitment", "storage_commitment", ["commitment_id"], ["id"]
        )
    op.create_index(None, "delivery", ["commitment_id"])


def downgrade() -> None:
    """What was committed counts as sent again."""
    delivery = sa.table("delivery", sa.column("state"))
    op.execute(sa.update(delivery).where(delivery.c.state == "committed").values(state="sent"))
    op.drop_index("ix_delivery_commitment_id", "delivery")
    with op.batch_alter_table("delivery") as batch:
        batch.drop_constraint("fk_delivery_commitment_id_storage_commitment", type_="foreignkey")
        batch.drop_column("commitment_id")
    op.drop_table("storage_commitment")
