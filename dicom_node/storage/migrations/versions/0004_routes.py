"""What rules decided about an object, the priority of jobs, and originals among the objects that are sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_OURS = sa.text("result_id IS NOT NULL")
_IDS_NEVER_AGAIN = {"sqlite_autoincrement": True}
"""A copy of the table forgets it."""


def upgrade() -> None:
    op.add_column("instance", sa.Column("route", sa.Text))
    op.drop_index("ix_job_state_available_at_id", "job")
    with op.batch_alter_table("job", table_kwargs=_IDS_NEVER_AGAIN) as batch:
        batch.add_column(sa.Column("priority", sa.Integer, nullable=False, server_default="0"))
    with op.batch_alter_table("job", table_kwargs=_IDS_NEVER_AGAIN) as batch:
        batch.alter_column("priority", existing_type=sa.Integer, existing_nullable=False, server_default=None)
    op.create_index(None, "job", ["state", "priority", "available_at", "id"])
    with op.batch_alter_table("result_object") as batch:
        batch.alter_column("result_id", existing_type=sa.Integer, nullable=True)
        batch.add_column(sa.Column("instance_id", sa.Integer))
        batch.drop_constraint("uq_result_object_sop_instance_uid", type_="unique")
        batch.create_unique_constraint("uq_result_object_instance_id", ["instance_id"])
        batch.create_foreign_key("fk_result_object_instance_id_instance", "instance", ["instance_id"], ["id"])
        batch.create_check_constraint("ck_result_object_one_origin", "(result_id IS NULL) <> (instance_id IS NULL)")
    op.create_index(
        "ix_result_object_sop_instance_uid",
        "result_object",
        ["sop_instance_uid"],
        unique=True,
        sqlite_where=_OURS,
        postgresql_where=_OURS,
    )


def downgrade() -> None:
    """Originals that were to be sent on are forgotten; the objects themselves stay."""
    stored, delivery = (
        sa.table("result_object", sa.column("id"), sa.column("result_id")),
        sa.table("delivery", sa.column("object_id")),
    )
    originals = sa.select(stored.c.id).where(stored.c.result_id.is_(None))
    op.execute(sa.delete(delivery).where(delivery.c.object_id.in_(originals)))
    op.execute(sa.delete(stored).where(stored.c.result_id.is_(None)))
    op.drop_index("ix_result_object_sop_instance_uid", "result_object")
    with op.batch_alter_table("result_object") as batch:
        batch.drop_constraint("ck_result_object_one_origin", type_="check")
        batch.drop_constraint("fk_result_object_instance_id_instance", type_="foreignkey")
        batch.drop_constraint("uq_result_object_instance_id", type_="unique")
        batch.drop_column("instance_id")
        batch.alter_column("result_id", existing_type=sa.Integer, nullable=False)
        batch.create_unique_constraint("uq_result_object_sop_instance_uid", ["sop_instance_uid"])
    op.drop_index("ix_job_state_priority_available_at_id", "job")
    with op.batch_alter_table("job", table_kwargs=_IDS_NEVER_AGAIN) as batch:
        batch.drop_column("priority")
    op.create_index(None, "job", ["state", "available_at", "id"])
    with op.batch_alter_table("instance") as batch:
        batch.drop_column("route")
