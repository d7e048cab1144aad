"""Users of the console whom another service signs in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("console_user", sa.Column("external", sa.String))
    op.create_index(None, "console_user", ["external"], unique=True)


def downgrade() -> None:
    op.drop_index("ix_console_user_external", "console_user")
    op.drop_column("console_user", "external")
