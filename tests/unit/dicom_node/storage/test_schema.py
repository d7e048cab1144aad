"""The migrations make the tables of rows.py, once, whoever starts first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from dicom_node.domain import USUAL_ROUTE, Route
from dicom_node.errors import DatabaseRefused
from dicom_node.storage import schema
from dicom_node.storage.engine import open_engine
from dicom_node.storage.repository import Repository
from dicom_node.storage.rows import Row
from tests.objects import IMAGE_OBJECTS
from tests.postgresql import BOTH_ENGINES, Server
from tests.unit.dicom_node.storage.rooms import START, claimed, image, measured


@pytest.fixture
def empty_postgresql_url(postgresql: Server) -> Iterator[str]:
    url = postgresql.create_database()
    yield url
    postgresql.drop_database(url)


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'node.sqlite3'}"


@pytest.fixture(params=BOTH_ENGINES)
def empty_url(request: pytest.FixtureRequest) -> str:
    """A database without a table, for tests that change the tables."""
    found: str = request.getfixturevalue(f"empty_{request.param}_url")
    return found


@pytest.fixture
def url(empty_url: str) -> str:
    repository = Repository.open(empty_url)
    repository.migrate()
    repository.close()
    return empty_url


def test_the_migrated_tables_are_those_of_the_code(url: str) -> None:
    engine = open_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Row.metadata) == []

    migrated = described(engine)
    Row.metadata.drop_all(engine)
    Row.metadata.create_all(engine)
    assert migrated == described(engine)
    engine.dispose()


def described(engine: Engine) -> dict[tuple[str, str], object]:
    """Constraints and indexes of every table, by name."""
    found, inspected = {}, inspect(engine)
    for table in Row.metadata.tables:
        for part in ("get_unique_constraints", "get_foreign_keys", "get_pk_constraint", "get_indexes"):
            items = getattr(inspected, part)(table)
            found[table, part] = sorted(map(told, items), key=str) if isinstance(items, list) else items
    return found


def told(item: Any) -> dict[str, Any]:
    """Conditions of indexes are objects that equal nothing else."""
    return {**item, "dialect_options": {name: str(option) for name, option in item.get("dialect_options", {}).items()}}


REVISIONS = [script.revision for script in ScriptDirectory.from_config(schema.alembic_config()).walk_revisions()]


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_earlier_schema_becomes_the_same(revision: str, empty_url: str) -> None:
    engine = open_engine(empty_url)
    config = schema.alembic_config()
    with schema.altering(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    schema.migrate(engine)
    migrated = described(engine)
    with engine.connect() as connection:
        assert schema.is_newest(connection)
    Row.metadata.drop_all(engine)
    Row.metadata.create_all(engine)
    assert migrated == described(engine)
    engine.dispose()


@pytest.mark.parametrize("table", ["job", "study_version"])
def test_sqlite_gives_no_id_of_what_was_deleted_again(tmp_path: Path, table: str) -> None:
    """A migration that copies such a table has to say so again."""
    engine = open_engine(f"sqlite:///{tmp_path / 'node.sqlite3'}")
    schema.migrate(engine)
    with engine.connect() as connection:
        made = connection.scalar(text("SELECT sql FROM sqlite_master WHERE name = :table"), {"table": table})
    engine.dispose()
    assert "AUTOINCREMENT" in str(made)


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


def test_a_migration_that_fails_leaves_nothing_behind(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("power cut")

    repository = Repository.open(empty_url)
    with monkeypatch.context() as patch:
        patch.setattr("alembic.runtime.migration.HeadMaintainer.update_to_step", fail)
        with pytest.raises(RuntimeError):
            repository.migrate()
    assert inspect(repository._engine).get_table_names() == []
    repository.migrate()
    repository.close()


def test_what_was_stored_before_there_were_routes_goes_the_usual_way(url: str) -> None:
    """Back to the tables of the time before, with rows in them, and forth again."""
    repository = Repository.open(url)
    measured(repository, "1.1")
    repository.register(replace(image("1.2"), route=Route(("r",), forward=("archive",))), START)
    engine, config = open_engine(url), schema.alembic_config()
    with schema.altering(engine) as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")
    engine.dispose()
    repository.migrate()
    (first,), (second,) = repository.versions("1.1"), repository.versions("1.2")
    assert (first.route, second.route) == (USUAL_ROUTE, USUAL_ROUTE)
    assert {stored.kind for stored in repository.objects_of(first.id)} == set(IMAGE_OBJECTS)
    assert {delivery.destination for delivery in repository.deliveries((), 100)} == {"pacs"}
    assert repository.instance(claimed(repository).instance_id) == second
    repository.close()
