"""A backup is taken while the node works, and what came after it survives going back to it."""

from __future__ import annotations

import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from dicom_node.config import Config, load_config
from dicom_node.errors import DatabaseRefused, NodeRunning, Refused
from dicom_node.queue import utc_now
from dicom_node.receive.adoption import Adopted, adopt
from dicom_node.storage.backup import back_up, restore
from dicom_node.storage.pairing import MARK, alone, pair, paired, take_over
from dicom_node.storage.repository import Repository
from tests.postgresql import BOTH_ENGINES, Server
from tests.receiving import SCANNER, free_port, receiver_thread, send
from tests.ultrasound import save, us_image
from tests.unit.dicom_node.storage.rooms import image

ROOT = Path(__file__).parents[2]


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

    restore(url, tmp_path / "backups" / "node")
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
            assert send("storescu", config.node.port or 0, files[1])[0] == 0
        serial, both = repository.installation_serial(), stored(url)
    done = cli(tmp_path, "restore", str(tmp_path / "node.backup"))
    assert (done.returncode, done.stdout) == (0, "1 objects registered\n"), done.stderr
    assert stored(url) == both
    assert len(both) == 2
    with closing(Repository.open(url)) as repository:
        assert repository.installation_serial() == serial
        assert adopt(config, repository) == Adopted()
        with receiver_thread(config, repository):
            for file in files:
                assert send("storescu", config.node.port or 0, file)[0] == 0, "the same bytes are known as such"
        assert repository.counts(utc_now())["instances"] == 2
        pair(config.node.data_dir, repository)


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
            restore(url, tmp_path / name)
    assert stored(url) == {"1.1"}
    restore(url, tmp_path / "good")
    with pytest.raises(Refused, match="still there"):
        restore(url, tmp_path / "good")
    assert stored(url) == {"1.1"}
