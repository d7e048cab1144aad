"""The audit trail and its hash chain, which nobody may change: triggers see to that, in both engines."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TABLES = ("audit", "audit_seal")
_LONG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", _LONG_ID, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("node", sa.String, nullable=False),
        sa.Column("event", sa.String, nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("outcome", sa.String),
        sa.Column("sop_instance_uid", sa.String),
        sa.Column("sop_class_uid", sa.String),
        sa.Column("study_instance_uid", sa.String),
        sa.Column("patient_id", sa.String),
        sa.Column("detail", sa.Text),
    )
    op.create_index(None, "audit", ["at"])
    op.create_index(None, "audit", ["study_instance_uid"])
    op.create_table(
        "audit_seal",
        sa.Column("number", _LONG_ID, primary_key=True, autoincrement=False),
        sa.Column("audit_id", _LONG_ID, nullable=False, unique=True),
        sa.Column("sha256", sa.String, nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        for table in _TABLES:
            for act in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table} "
                    "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
                )
        return
    op.execute(
        "CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = '23001'; END $$"
    )
    for table in _TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_is_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION audit_is_append_only()"
        )


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION audit_is_append_only()")
