"""Instances, jobs, results, deliveries, refusals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_WORD = sa.String(16)


def upgrade() -> None:
    op.create_table(
        "instance",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("sop_instance_uid", sa.String, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("sop_class_uid", sa.String, nullable=False),
        sa.Column("study_instance_uid", sa.String, nullable=False),
        sa.Column("series_instance_uid", sa.String, nullable=False),
        sa.Column("transfer_syntax_uid", sa.String, nullable=False),
        sa.Column("path", sa.String, nullable=False, unique=True),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
        sa.Column("relation", _WORD, nullable=False),
        sa.Column("measurable", sa.Boolean, nullable=False),
        sa.Column("calling_ae", sa.String, nullable=False),
        sa.Column("called_ae", sa.String, nullable=False),
        sa.Column("peer_host", sa.String, nullable=False),
        sa.Column("received_at", _TIME, nullable=False),
        sa.UniqueConstraint("sop_instance_uid", "revision"),
        sa.UniqueConstraint("sop_instance_uid", "sha256"),
    )
    op.create_index(None, "instance", ["study_instance_uid"])
    op.create_table(
        "job",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", _WORD, nullable=False),
        sa.Column("instance_id", sa.Integer, sa.ForeignKey("instance.id"), nullable=False),
        sa.Column("state", _WORD, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("excused", sa.Integer, nullable=False),
        sa.Column("token", sa.Integer, nullable=False),
        sa.Column("worker", sa.String),
        sa.Column("available_at", _TIME, nullable=False),
        sa.Column("lease_until", _TIME),
        sa.Column("error", sa.Text),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.UniqueConstraint("instance_id", "kind"),
    )
    op.create_index(None, "job", ["state", "available_at", "id"])
    op.create_index(None, "job", ["state", "lease_until"])
    op.create_table(
        "result",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("instance_id", sa.Integer, sa.ForeignKey("instance.id"), nullable=False),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("reason", sa.String),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.UniqueConstraint("instance_id", "fingerprint"),
    )
    op.create_table(
        "result_object",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("result_id", sa.Integer, sa.ForeignKey("result.id"), nullable=False),
        sa.Column("kind", _WORD, nullable=False),
        sa.Column("sop_class_uid", sa.String, nullable=False),
        sa.Column("sop_instance_uid", sa.String, nullable=False, unique=True),
        sa.Column("path", sa.String, nullable=False, unique=True),
        sa.Column("sha256", sa.String, nullable=False),
        sa.UniqueConstraint("result_id", "kind"),
    )
    op.create_table(
        "delivery",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("object_id", sa.Integer, sa.ForeignKey("result_object.id"), nullable=False),
        sa.Column("destination", sa.String, nullable=False),
        sa.Column("state", _WORD, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("token", sa.Integer, nullable=False),
        sa.Column("courier", sa.String),
        sa.Column("available_at", _TIME, nullable=False),
        sa.Column("lease_until", _TIME),
        sa.Column("status_word", sa.Integer),
        sa.Column("comment", sa.Text),
        sa.Column("waiting_since", _TIME, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.UniqueConstraint("object_id", "destination"),
    )
    op.create_index(None, "delivery", ["state", "destination", "available_at", "id"])
    op.create_index(None, "delivery", ["state", "lease_until"])
    op.create_table(
        "refusal",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("calling_ae", sa.String, nullable=False),
        sa.Column("called_ae", sa.String, nullable=False),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("advice", sa.String, nullable=False),
        sa.Column("refused_at", _TIME, nullable=False),
    )
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("serial", sa.String, nullable=False),
    )


def downgrade() -> None:
    for table in ("installation", "refusal", "delivery", "result_object", "result", "job", "instance"):
        op.drop_table(table)
