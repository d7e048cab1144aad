"""Reports on their way to a FHIR server."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_WORD = 16


def upgrade() -> None:
    op.create_table(
        "fhir_post",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study_version_id", sa.Integer, sa.ForeignKey("study_version.id"), nullable=False),
        sa.Column("state", sa.String(_WORD), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("available_at", _TIME, nullable=False),
        sa.Column("waiting_since", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("comment", sa.Text),
        sa.UniqueConstraint("study_version_id"),
    )
    op.create_index(None, "fhir_post", ["state", "available_at"])
    op.create_table(
        "fhir_since",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("since", _TIME, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("fhir_since")
    op.drop_table("fhir_post")
