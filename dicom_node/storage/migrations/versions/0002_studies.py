"""Versions of studies; a job or a result is about an instance or about one of these.

What was answered before counts as studied: an upgrade must not send a report about every study of the past.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_TABLES = (
    ("job", ("study_version_id",)),
    ("result", ("id", "study_version_id")),
    ("result_object", ("id", "result_id")),
    ("delivery", ("object_id",)),
)
_ONE_SUBJECT = "(instance_id IS NULL) <> (study_version_id IS NULL)"


def upgrade() -> None:
    op.create_table(
        "study_version",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study_instance_uid", sa.String, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.UniqueConstraint("study_instance_uid", "version"),
    )
    for table in ("job", "result"):
        with op.batch_alter_table(table) as batch:
            batch.alter_column("instance_id", existing_type=sa.Integer, nullable=True)
            batch.add_column(sa.Column("study_version_id", sa.Integer))
            batch.create_foreign_key(
                f"fk_{table}_study_version_id_study_version", "study_version", ["study_version_id"], ["id"]
            )
            batch.create_unique_constraint(f"uq_{table}_study_version_id", ["study_version_id"])
            batch.create_check_constraint(f"ck_{table}_one_subject", _ONE_SUBJECT)
    with op.batch_alter_table("result") as batch:
        batch.add_column(sa.Column("studied", sa.Boolean, nullable=False, server_default=sa.true()))
    with op.batch_alter_table("result") as batch:
        batch.alter_column("studied", existing_type=sa.Boolean, existing_nullable=False, server_default=None)
    op.create_index(None, "result", ["studied", "instance_id"])
    op.create_table(
        "study_source",
        sa.Column("study_version_id", sa.Integer, sa.ForeignKey("study_version.id"), primary_key=True),
        sa.Column("result_id", sa.Integer, sa.ForeignKey("result.id"), primary_key=True),
    )
    op.create_index(None, "study_source", ["result_id"])


def downgrade() -> None:
    """Only what is about instances stays."""
    job, result, stored, delivery = (sa.table(name, *map(sa.column, columns)) for name, columns in _TABLES)
    of_study = sa.select(result.c.id).where(result.c.study_version_id.is_not(None))
    objects = sa.select(stored.c.id).where(stored.c.result_id.in_(of_study))
    op.drop_table("study_source")
    op.execute(sa.delete(delivery).where(delivery.c.object_id.in_(objects)))
    op.execute(sa.delete(stored).where(stored.c.result_id.in_(of_study)))
    op.execute(sa.delete(result).where(result.c.study_version_id.is_not(None)))
    op.execute(sa.delete(job).where(job.c.study_version_id.is_not(None)))
    op.drop_index("ix_result_studied_instance_id", "result")
    for table in ("result", "job"):
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint(f"ck_{table}_one_subject", type_="check")
            batch.drop_constraint(f"uq_{table}_study_version_id", type_="unique")
            batch.drop_constraint(f"fk_{table}_study_version_id_study_version", type_="foreignkey")
            batch.drop_column("study_version_id")
            if table == "result":
                batch.drop_column("studied")
            batch.alter_column("instance_id", existing_type=sa.Integer, nullable=False)
    op.drop_table("study_version")
