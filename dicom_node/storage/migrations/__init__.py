"""alembic's environment; schema.py runs it."""
