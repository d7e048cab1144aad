"""The migrations make the tables of rows.py, once, whoever starts first."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from dicom_node.errors import DatabaseRefused
from dicom_node.storage import schema
from dicom_node.storage.engine import open_engine
from dicom_node.storage.repository import Repository
from dicom_node.storage.rows import Row
from tests.unit.dicom_node.storage.rooms import START, image


def test_the_migrated_tables_are_those_of_the_code(url: str, tmp_path: Path) -> None:
    engine = open_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Row.metadata) == []

    directly = create_engine(f"sqlite:///{tmp_path / 'directly.sqlite3'}")
    Row.metadata.create_all(directly)
    for table in Row.metadata.tables:
        migrated, created = inspect(engine), inspect(directly)
        for part in ("get_unique_constraints", "get_foreign_keys", "get_pk_constraint", "get_indexes"):
            assert by_name(getattr(migrated, part)(table)) == by_name(getattr(created, part)(table)), (table, part)
    engine.dispose()
    directly.dispose()


@pytest.mark.parametrize("table", ["job", "study_version"])
def test_sqlite_gives_no_id_of_what_was_deleted_again(tmp_path: Path, table: str) -> None:
    """A migration that copies such a table has to say so again."""
    engine = open_engine(f"sqlite:///{tmp_path / 'node.sqlite3'}")
    schema.migrate(engine)
    with engine.connect() as connection:
        made = connection.scalar(text("SELECT sql FROM sqlite_master WHERE name = :table"), {"table": table})
    engine.dispose()
    assert "AUTOINCREMENT" in str(made)


def by_name(found: object) -> object:
    return sorted(found, key=lambda item: item["name"]) if isinstance(found, list) else found


def test_migrating_again_changes_nothing(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    repository.migrate()
    assert len(repository.versions("1.1")) == 1


def test_the_way_back_leaves_no_table(url: str) -> None:
    engine = open_engine(url)
    config = schema.alembic_config()
    with schema.altering(engine) as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]
    schema.migrate(engine)
    assert "job" in inspect(engine).get_table_names()
    engine.dispose()


def test_a_newer_database_is_refused_and_left_alone(repository: Repository) -> None:
    with repository._write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseRefused, match=r"9999.*newer"):
        repository.migrate()
    with repository._read() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == "9999"


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("power cut")

    url = f"sqlite:///{tmp_path / 'node.sqlite3'}"
    repository = Repository.open(url)
    with monkeypatch.context() as patch:
        patch.setattr("alembic.runtime.migration.HeadMaintainer.update_to_step", fail)
        with pytest.raises(RuntimeError):
            repository.migrate()
    assert inspect(repository._engine).get_table_names() == []
    repository.migrate()
    repository.close()
