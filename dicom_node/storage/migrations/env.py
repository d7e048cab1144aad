"""Run the migrations on the connection, and inside the transaction, that schema.py opened."""

from __future__ import annotations

from alembic import context

from dicom_node.storage.rows import Row

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Row.metadata,
    render_as_batch=True,  # SQLite alters tables by copying them
)
with context.begin_transaction():
    context.run_migrations()
