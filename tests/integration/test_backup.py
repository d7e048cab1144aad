"""A backup is taken while the node works, and what came after it survives going back to it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from alembic import command
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from dicom_node.audit import AuditEvent
from dicom_node.config import Config, load_config
from dicom_node.errors import DatabaseRefused, DatabaseUnavailable, NodeRunning, Refused
from dicom_node.queue import utc_now
from dicom_node.receive.adoption import Adopted, adopt
from dicom_node.storage import schema
from dicom_node.storage.backup import back_up, restore
from dicom_node.storage.engine import open_engine
from dicom_node.storage.files import sweep_orphans
from dicom_node.storage.pairing import MARK, alone, begin_adoption, pair, paired, take_over
from dicom_node.storage.repository import Repository
from dicom_node.storage.trail import Wanted
from tests.postgresql import BOTH_ENGINES, Server, database_of
from tests.receiving import SCANNER, free_port, receiver_thread, send
from tests.ultrasound import save, us_image
from tests.unit.dicom_node.storage.rooms import image

ROOT = Path(__file__).parents[2]
REVISIONS = [script.revision for script in ScriptDirectory.from_config(schema.alembic_config()).walk_revisions()]


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'data' / 'node.sqlite3'}"


@pytest.fixture
def postgresql_url(postgresql: Server) -> Iterator[str]:
    url = postgresql.create_database()
    yield url
    postgresql.drop_database(url)


@pytest.fixture(params=BOTH_ENGINES)
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
def config(tmp_path: Path, url: str) -> Config:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(given(tmp_path, url)), encoding="utf-8")
    return load_config(tmp_path / "config.yaml")


def given(folder: Path, url: str) -> dict[str, Any]:
    node = {"ae_title": "FETALHC", "host": "127.0.0.1", "port": free_port(), "data_dir": str(folder / "data")}
    return {
        "node": {**node, "minimum_free_mb": 0},
        "database": {"url": url},
        "peers": [{"ae_title": SCANNER}],
    }


def cli(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dicom_node", *arguments, "--config", str(folder / "config.yaml")]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def stored(url: str) -> set[str]:
    with closing(Repository.open(url)) as repository:
        return {repository.instance(job.instance_id).sop_instance_uid for job in repository.jobs((), 10_000)}


@pytest.mark.peer("pg_dump")
def test_a_backup_during_writes_is_whole_and_of_one_moment(url: str, tmp_path: Path) -> None:
    repository = Repository.open(url)
    repository.migrate()
    known, stop = [f"1.{number}" for number in range(20)], threading.Event()
    for uid in known:
        repository.register(image(uid), utc_now())

    def write() -> None:
        number = 100
        while not stop.is_set():
            repository.register(image(f"1.{number}"), utc_now())
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        back_up(url, tmp_path / "backups" / "node")
    finally:
        stop.set()
        writer.join(30)
    after = stored(url)
    repository.close()
    assert stat.S_IMODE((tmp_path / "backups" / "node").stat().st_mode) == 0o600
    with pytest.raises(Refused, match="exists"):
        back_up(url, tmp_path / "backups" / "node")

    restore(url, tmp_path / "backups" / "node", tmp_path)
    found = stored(url)
    assert set(known) <= found <= after
    with closing(Repository.open(url)) as again:
        assert again.counts(utc_now())["instances"] == len(found), "no instance without its job"
        again.migrate()
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.peer("storescu", "pg_dump")
def test_what_came_after_the_backup_is_registered_again(config: Config, url: str, tmp_path: Path) -> None:
    files = [save(us_image(np.zeros((8, 8), np.uint8)), tmp_path / f"{number}.dcm") for number in range(2)]
    with closing(Repository.open(url)) as repository:
        repository.migrate()
        pair(config.node.data_dir, repository)
        with receiver_thread(config, repository):
            assert send("storescu", config.node.port or 0, files[0])[0] == 0
            assert cli(tmp_path, "backup", str(tmp_path / "node.backup")).returncode == 0
            assert admin_changes(repository) == ["backed_up"]
            assert send("storescu", config.node.port or 0, files[1])[0] == 0
        serial, both = repository.installation_serial(), stored(url)
    done = cli(tmp_path, "restore", str(tmp_path / "node.backup"))
    assert (done.returncode, done.stdout) == (0, "1 objects registered\n"), done.stderr
    assert stored(url) == both
    assert len(both) == 2
    with closing(Repository.open(url)) as repository:
        assert repository.installation_serial() == serial
        assert admin_changes(repository) == ["restored"], "what came after the backup is not in it"
        assert adopt(config, repository) == Adopted()
        with receiver_thread(config, repository):
            for file in files:
                assert send("storescu", config.node.port or 0, file)[0] == 0, "the same bytes are known as such"
        assert repository.counts(utc_now())["instances"] == 2
        pair(config.node.data_dir, repository)


def admin_changes(repository: Repository) -> list[str | None]:
    changes = repository.whole_audit_trail(Wanted([AuditEvent.ADMIN_CHANGE]))
    return [record.entry.outcome for record in changes]


def stored_object(config: Config, name: str) -> Path:
    """A file as the receiver leaves it, without a row."""
    path = config.node.data_dir / "objects" / "ab" / f"{name}.dcm"
    path.parent.mkdir(parents=True, exist_ok=True)
    return save(us_image(np.zeros((8, 8), np.uint8)), path)


@pytest.mark.peer("pg_dump")
def test_nobody_starts_after_a_restore_that_was_broken_off(config: Config, url: str, tmp_path: Path) -> None:
    with closing(Repository.open(url)) as repository:
        repository.migrate()
        pair(config.node.data_dir, repository)
        back_up(url, tmp_path / "node.backup")
    with pytest.raises(DatabaseRefused):
        restore(url, tmp_path / "absent", tmp_path, lambda: begin_adoption(config.node.data_dir))
    with closing(Repository.open(url)) as repository:
        pair(config.node.data_dir, repository)

    stored_object(config, "acknowledged")
    restore(url, tmp_path / "node.backup", tmp_path, lambda: begin_adoption(config.node.data_dir))  # kill -9 comes here
    refused = cli(tmp_path, "receiver")
    assert (refused.returncode, "db adopt" in refused.stderr) == (1, True), refused.stderr
    done = cli(tmp_path, "db", "adopt")
    assert (done.returncode, done.stdout) == (0, "1 objects registered\n"), done.stderr
    with closing(Repository.open(url)) as repository:
        pair(config.node.data_dir, repository)


@pytest.mark.peer("pg_dump")
@pytest.mark.parametrize("revision", REVISIONS)
def test_a_backup_from_before_an_upgrade_is_put_back(revision: str, postgresql_url: str, tmp_path: Path) -> None:
    """And what stood there is set aside, to be put back in its turn."""
    url, config = postgresql_url, schema.alembic_config()
    engine = open_engine(url)
    with schema.altering(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    back_up(url, tmp_path / "old")
    with closing(Repository.open(url)) as repository:
        repository.migrate()
        repository.register(image("1.1"), utc_now())
        (tmp_path / "new").mkdir()
        restore(url, tmp_path / "old", tmp_path / "new")
        with engine.connect() as connection:
            assert MigrationContext.configure(connection).get_current_heads() == (revision,)
        engine.dispose()
        repository.migrate()
        assert not repository.has_instances()
        with pytest.raises(Refused, match="still there"):
            restore(url, tmp_path / "old", tmp_path / "new")
        restore(url, tmp_path / "new" / "postgresql.before-restore", tmp_path)
        assert len(repository.versions("1.1")) == 1


@pytest.mark.peer("pg_dump")
def test_what_postgresql_refuses_is_told_and_changes_nothing(
    postgresql: Server, postgresql_url: str, tmp_path: Path
) -> None:
    url, other = postgresql_url, postgresql.create_database()
    with closing(Repository.open(url)) as repository:
        repository.migrate()
        repository.register(image("1.1"), utc_now())
        back_up(url, tmp_path / "good")
    postgresql.sql("CREATE TABLE foreign_table (id int)", database_of(other))
    back_up(other, tmp_path / "foreign")
    postgresql.drop_database(other)
    (tmp_path / "cut").write_bytes((tmp_path / "good").read_bytes()[:-3000])
    for name in ("cut", "absent"):
        with pytest.raises(DatabaseRefused, match=r"pg_restore failed .*error"):
            restore(url, tmp_path / name, tmp_path)
    with pytest.raises(DatabaseUnavailable, match=r"ERROR:  relation .* does not exist") as told:
        restore(url, tmp_path / "foreign", tmp_path)
    assert "alembic" not in str(told.value), "what stands in quotes may be a value"
    assert stored(url) == {"1.1"}


def test_what_was_set_aside_is_adopted_and_what_cannot_be_read_is_set_aside(tmp_path: Path) -> None:
    config = Config.model_validate(given(tmp_path, f"sqlite:///{tmp_path / 'data' / 'node.sqlite3'}"))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(given(tmp_path, config.database_url)), encoding="utf-8")
    with closing(Repository.open(config.database_url)) as repository:
        repository.migrate()
        pair(config.node.data_dir, repository)
        swept, broken = stored_object(config, "swept"), stored_object(config, "broken")
        broken.write_bytes(b"no object")
        assert sweep_orphans(config.node.data_dir, repository.known_paths, utc_now() + timedelta(days=1)) == 2
    assert not swept.exists()
    for registered in (1, 0):
        done = cli(tmp_path, "db", "adopt")
        assert (done.returncode, done.stdout) == (1, f"{registered} objects registered\n"), done.stderr
        assert "1 objects cannot be read, 0 are older" in done.stderr
        assert (swept.exists(), broken.exists()) == (True, False)
    with closing(Repository.open(config.database_url)) as repository:
        pair(config.node.data_dir, repository)


@pytest.mark.parametrize("names", [("zz", "aa"), ("aa", "zz")])
def test_what_came_first_is_adopted_first(names: tuple[str, str], tmp_path: Path) -> None:
    """Else the wrong patient of the first version would stand as the correction of the right one."""
    config = Config.model_validate(given(tmp_path, f"sqlite:///{tmp_path / 'data' / 'node.sqlite3'}"))
    dataset = us_image(np.zeros((8, 8), np.uint8))
    first, second = (stored_object(config, name) for name in names)
    now = utc_now().timestamp()
    for path, patient_id, age_s in ((first, "WRONG", 7200), (second, "RIGHT", 3600)):
        dataset.PatientID = patient_id
        save(dataset, path)
        os.utime(path, (now - age_s, now - age_s))
    with closing(Repository.open(config.database_url)) as repository:
        repository.migrate()
        assert adopt(config, repository) == Adopted(registered=2)
        versions = repository.versions(str(dataset.SOPInstanceUID))
        assert [(config.node.data_dir / version.path) for version in versions] == [first, second]
        assert versions[1].received_at - versions[0].received_at == pytest.approx(
            timedelta(hours=1), abs=timedelta(seconds=1)
        )

        dataset.PatientID = "NEVER ACKNOWLEDGED"
        save(dataset, path := stored_object(config, "left"))
        os.utime(path, (now - 5400, now - 5400))
        for _ in range(2):
            assert adopt(config, repository) == Adopted(overtaken=1)
        assert len(repository.versions(str(dataset.SOPInstanceUID))) == 2


@pytest.mark.peer("storescu")
def test_who_sent_an_object_is_known_after_the_database_is_lost(tmp_path: Path) -> None:
    """Rules about senders hold, and nobody gets back what is their own."""
    config = Config.model_validate(
        {
            **given(tmp_path, f"sqlite:///{tmp_path / 'data' / 'node.sqlite3'}"),
            "destinations": [
                {"name": "room", "ae_title": SCANNER, "host": "127.0.0.1", "port": 1, "objects": ["original"]},
                {"name": "vna", "ae_title": "VNA", "host": "127.0.0.1", "port": 1, "objects": ["original"]},
            ],
            "rules": [
                {"name": "phantom", "when": {"calling_ae": SCANNER, "host": "127.0.0.1"}, "action": "ignore"},
                {"name": "called", "when": {"called_ae": "FETALHC"}},
            ],
            "routing": {"match": "all"},
        }
    )
    image_file = save(us_image(np.zeros((8, 8), np.uint8)), tmp_path / "1.dcm")
    with closing(Repository.open(config.database_url)) as repository:
        repository.migrate()
        with receiver_thread(config, repository):
            assert send("storescu", config.node.port or 0, image_file)[0] == 0
    for path in (tmp_path / "data").glob("node.sqlite3*"):
        path.unlink()

    with closing(Repository.open(config.database_url)) as repository:
        repository.migrate()
        assert adopt(config, repository) == Adopted(registered=1)
        assert repository.jobs((), 9) == ()
        assert [delivery.destination for delivery in repository.deliveries((), 9)] == ["vna"]
        (came,) = (record.entry for record in repository.audit_trail(Wanted(), 9))
        assert (came.actor, came.host, came.detail["rules"]) == (SCANNER, "127.0.0.1", "phantom called")


@pytest.mark.peer("storescu")
def test_a_database_that_is_lost_is_made_again_from_the_objects(tmp_path: Path) -> None:
    config = Config.model_validate(given(tmp_path, f"sqlite:///{tmp_path / 'data' / 'node.sqlite3'}"))
    with closing(Repository.open(config.database_url)) as repository:
        repository.migrate()
        pair(config.node.data_dir, repository)
        serial = repository.installation_serial()
        with receiver_thread(config, repository):
            assert (
                send("storescu", config.node.port or 0, save(us_image(np.zeros((8, 8), np.uint8)), tmp_path / "1.dcm"))[
                    0
                ]
                == 0
            )
    for path in (tmp_path / "data").glob("node.sqlite3*"):
        path.unlink()
    (tmp_path / "data" / "objects" / "ab").mkdir(exist_ok=True)
    (tmp_path / "data" / "objects" / "ab" / "broken.dcm").write_bytes(b"no object")

    with closing(Repository.open(config.database_url)) as repository:
        repository.migrate()
        with pytest.raises(DatabaseRefused, match="another installation"):
            pair(config.node.data_dir, repository)
        take_over(config.node.data_dir, repository)
        assert adopt(config, repository) == Adopted(registered=1, unreadable=1)
        pair(config.node.data_dir, repository)
        assert repository.installation_serial() == serial
        assert (config.node.data_dir / MARK).read_text().strip() == serial


def test_a_node_that_runs_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'data' / 'node.sqlite3'}"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(given(tmp_path, url)), encoding="utf-8")
    with closing(Repository.open(url)) as repository:
        repository.migrate()
        back_up(url, tmp_path / "node.backup")
        with paired(tmp_path / "data", repository), paired(tmp_path / "data", repository):
            with pytest.raises(NodeRunning), alone(tmp_path / "data"):
                pass
            done = cli(tmp_path, "restore", str(tmp_path / "node.backup"))
            assert (done.returncode, "stop it first" in done.stderr) == (1, True)
        with alone(tmp_path / "data"):
            pass


def test_what_is_no_backup_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'data' / 'node.sqlite3'}"
    with closing(Repository.open(url)) as repository:
        repository.migrate()
        repository.register(image("1.1"), utc_now())
        back_up(url, tmp_path / "good")
    (tmp_path / "text").write_text("no database")
    damaged = bytearray((tmp_path / "good").read_bytes())
    damaged[100:2000] = bytes(1900)
    (tmp_path / "damaged").write_bytes(damaged)
    for name in ("text", "damaged", "absent"):
        with pytest.raises(DatabaseRefused):
            restore(url, tmp_path / name, tmp_path)
    assert stored(url) == {"1.1"}
    restore(url, tmp_path / "good", tmp_path)
    with pytest.raises(Refused, match="still there"):
        restore(url, tmp_path / "good", tmp_path)
    assert stored(url) == {"1.1"}


@pytest.mark.peer("pg_dump")
def test_the_backup_of_a_newer_version_touches_nothing(url: str, tmp_path: Path) -> None:
    """It was put in place first, and refused by whoever opened it afterwards."""
    (tmp_path / "data").mkdir()
    with closing(Repository.open(url)) as repository:
        repository.migrate()
        repository.register(image("1.1"), utc_now())
        with repository._write() as session:
            session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        back_up(url, tmp_path / "newer")
        with repository._write() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": REVISIONS[0]})
    with pytest.raises(DatabaseRefused, match="9999"):
        restore(url, tmp_path / "newer", tmp_path)
    assert stored(url) == {"1.1"}


@pytest.mark.peer("pg_dump")
def test_the_backup_of_another_node_touches_nothing(config: Config, url: str, tmp_path: Path) -> None:
    """A test system beside production is sent the same objects; each knows them under paths of its own."""
    data = config.node.data_dir
    with closing(Repository.open(url)) as repository:
        repository.migrate()
        pair(data, repository)
        serial, own = repository.installation_serial(), lying(config, repository, "own")
        repository.call_installation("another")
        back_up(url, tmp_path / "foreign")
        repository.call_installation(serial)
    whole = own.read_bytes()
    done = cli(tmp_path, "restore", str(tmp_path / "foreign"))
    assert (done.returncode, "another installation" in done.stderr) == (1, True), done.stderr
    with closing(Repository.open(url)) as repository:
        assert repository.installation_serial() == serial, "the present database was not touched"
        repository.call_installation("another")  # as if put back with the database's own programs
    unknown = own.rename(own.with_name("unknown.dcm"))
    done = cli(tmp_path, "db", "adopt")
    assert (done.returncode, "another installation" in done.stderr) == (1, True), done.stderr
    assert unknown.read_bytes() == whole


@pytest.mark.parametrize("content", [None, b"cut off"], ids=["gone", "damaged"])
def test_the_only_whole_copy_of_known_bytes_takes_the_place_of_the_lost_one(
    config: Config, url: str, tmp_path: Path, content: bytes | None
) -> None:
    """As after a backup, the study's retention, and the scanner's sending it again."""
    with closing(Repository.open(url)) as repository:
        repository.migrate()
        pair(config.node.data_dir, repository)
        first = lying(config, repository, "first")
        again = first.rename(first.with_name("again.dcm"))
        whole = again.read_bytes()
        if content is not None:
            first.write_bytes(content)
        assert adopt(config, repository) == Adopted(known=1)
    assert (first.read_bytes(), again.exists()) == (whole, False)


@pytest.mark.peer("storescu")
def test_an_object_whose_file_was_lost_is_kept_when_it_is_sent_again(tmp_path: Path) -> None:
    config = Config.model_validate(given(tmp_path, f"sqlite:///{tmp_path / 'data' / 'node.sqlite3'}"))
    file = save(us_image(np.zeros((8, 8), np.uint8)), tmp_path / "1.dcm")
    objects = config.node.data_dir / "objects"
    with closing(Repository.open(config.database_url)) as repository:
        repository.migrate()
        with receiver_thread(config, repository):
            assert send("storescu", config.node.port or 0, file)[0] == 0
            [kept] = objects.glob("*/*.dcm")
            whole = kept.read_bytes()
            kept.unlink()
            for _ in range(2):
                assert send("storescu", config.node.port or 0, file)[0] == 0
                assert list(objects.glob("*/*.dcm")) == [kept]
                assert kept.read_bytes() == whole
        assert repository.counts(utc_now())["instances"] == 1


def lying(config: Config, repository: Repository, name: str) -> Path:
    """A received object, in its place and registered."""
    folder = config.node.data_dir / "objects" / "ab"
    folder.mkdir(parents=True)
    file = save(us_image(np.zeros((8, 8), np.uint8)), folder / f"{name}.dcm")
    adopt(config, repository)
    return file


@pytest.mark.peer("pg_dump")
def test_a_look_and_a_backup_leave_an_older_database_as_it_is(config: Config, url: str, tmp_path: Path) -> None:
    """Or the backup before an upgrade would be none, and a verb typed on a new machine would upgrade the cluster."""
    with closing(Repository.open(url)) as repository, schema.altering(repository._engine) as connection:
        asked = schema.alembic_config()
        asked.attributes["connection"] = connection
        command.upgrade(asked, "0003")
    back_up_done, listing = cli(tmp_path, "backup", str(tmp_path / "backup")), cli(tmp_path, "jobs")
    assert (back_up_done.returncode, revision(url)) == (0, "0003"), back_up_done.stderr
    assert (listing.returncode, "db upgrade" in listing.stderr) == (1, True), listing.stderr
    assert cli(tmp_path, "db", "upgrade").returncode == 0
    newest = revision(url)
    assert newest > "0003"
    with closing(Repository.open(url)) as repository:
        assert admin_changes(repository) == ["upgraded"]
    assert cli(tmp_path, "jobs").returncode == 0
    restore(url, tmp_path / "backup", config.node.data_dir)
    assert revision(url) == "0003", "the backup is of before the upgrade"


def revision(url: str) -> str:
    with closing(Repository.open(url)) as repository, repository._engine.connect() as connection:
        return str(connection.scalar(text("SELECT version_num FROM alembic_version")))
