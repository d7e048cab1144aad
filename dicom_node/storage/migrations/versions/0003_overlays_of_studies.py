"""Which version of a study asked for a delivery; ids of what may be deleted are never given again.

On SQLite alone an id that was deleted comes back with the next row, unless the table is told otherwise.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_DELETED_FROM = ("study_version", "job")
_ASKED_BY = "fk_delivery_study_version_id_study_version"


def upgrade() -> None:
    _copy_on_sqlite(sqlite_autoincrement=True)
    with op.batch_alter_table("delivery") as batch:
        batch.add_column(sa.Column("study_version_id", sa.Integer))
        batch.create_foreign_key(_ASKED_BY, "study_version", ["study_version_id"], ["id"])
    op.create_index(None, "delivery", ["study_version_id"])


def downgrade() -> None:
    op.drop_index("ix_delivery_study_version_id", "delivery")
    with op.batch_alter_table("delivery") as batch:
        batch.drop_constraint(_ASKED_BY, type_="foreignkey")
        batch.drop_column("study_version_id")
    _copy_on_sqlite(sqlite_autoincrement=False)


def _copy_on_sqlite(*, sqlite_autoincrement: bool) -> None:
    if op.get_bind().dialect.name != "sqlite":
        return
    for table in _DELETED_FROM:
        options = {"sqlite_autoincrement": sqlite_autoincrement}
        with op.batch_alter_table(table, recreate="always", table_kwargs=options):
            pass
