"""Users of the console, and the peers and destinations that were added in it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_WORD = 16


def upgrade() -> None:
    op.create_table(
        "console_user",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String, nullable=False, unique=True),
        sa.Column("role", sa.String(_WORD), nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("password_hash", sa.String),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("locked_until", _TIME),
        sa.Column("created_at", _TIME, nullable=False),
    )
    op.create_table(
        "console_session",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("console_user.id"), nullable=False),
        sa.Column("secret_sha256", sa.String, nullable=False, unique=True),
        sa.Column("opened_at", _TIME, nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
    )
    op.create_table(
        "console_link",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("console_user.id"), nullable=False, unique=True),
        sa.Column("secret_sha256", sa.String, nullable=False, unique=True),
        sa.Column("expires_at", _TIME, nullable=False),
    )
    op.create_table(
        "api_token",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("console_user.id"), nullable=False),
        sa.Column("label", sa.String, nullable=False),
        sa.Column("role", sa.String(_WORD), nullable=False),
        sa.Column("secret_sha256", sa.String, nullable=False, unique=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("used_at", _TIME),
        sa.Column("expires_at", _TIME),
    )
    op.create_table(
        "added_entry",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String(_WORD), nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("changed_at", _TIME, nullable=False),
        sa.UniqueConstraint("kind", "name"),
    )
    op.create_index(None, "audit", ["patient_id"])
    op.create_index(None, "instance", ["received_at"])
    op.create_index(None, "result", ["status", "instance_id"])


def downgrade() -> None:
    op.drop_index("ix_result_status_instance_id", "result")
    op.drop_index("ix_instance_received_at", "instance")
    op.drop_index("ix_audit_patient_id", "audit")
    for table in ("added_entry", "api_token", "console_link", "console_session", "console_user"):
        op.drop_table(table)
