"""Whether a request for storage commitment went out: a courier may be killed between the database and the network."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0009"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("storage_commitment", sa.Column("taken_at", _TIME))
    op.execute("UPDATE storage_commitment SET taken_at = asked_at")


def downgrade() -> None:
    op.drop_column("storage_commitment", "taken_at")
