"""What `check-config` says of a database, and that it leaves none behind."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from dicom_node import checks
from dicom_node.config import Config, NarrativeSection
from dicom_node.errors import ConfigError
from dicom_node.queue import utc_now
from dicom_node.storage import mounts
from dicom_node.storage.repository import Repository
from tests.certificates import make_authority
from tests.postgresql import Server
from tests.unit.dicom_node.storage.rooms import measured


def verdict(config: Config) -> checks.Verdict:
    (found,) = [one for one in checks.check(config) if one.name == "database"]
    return found.verdict


@pytest.fixture
def config(tmp_path: Path) -> Config:
    url = f"sqlite:///{tmp_path / 'named.sqlite3'}"
    return Config.model_validate({"node": {"data_dir": tmp_path}, "database": {"url": url}})


def test_a_language_model_without_a_key_is_said(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(given: Config) -> list[checks.Check]:
        return [found for found in checks.check(given) if found.name == "narrative"]

    asking = config.model_copy(update={"narrative": NarrativeSection(mode="llm", model="some-model")})
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    (found,) = said(asking)
    assert (found.verdict, found.text.split()[0]) == (checks.Verdict.WARNING, "ANTHROPIC_API_KEY")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "key")
    (found,) = said(asking)
    assert found.verdict is checks.Verdict.OK
    assert "https://api.anthropic.com" in found.text
    assert said(config) == []


def test_absent_database_is_well_and_is_not_made(config: Config, tmp_path: Path) -> None:
    assert verdict(config) is checks.Verdict.OK
    assert list(tmp_path.iterdir()) == []


def test_empty_database_is_well(config: Config, tmp_path: Path) -> None:
    (tmp_path / "named.sqlite3").touch()
    assert verdict(config) is checks.Verdict.OK


def test_database_of_a_newer_version_fails(config: Config, tmp_path: Path) -> None:
    repository = Repository.open(config.database_url)
    repository.migrate()
    repository.close()
    assert verdict(config) is checks.Verdict.OK
    with sqlite3.connect(tmp_path / "named.sqlite3") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert verdict(config) is checks.Verdict.FAILED


def said(config: Config, name: str) -> list[tuple[checks.Verdict, str]]:
    return [(one.verdict, one.text) for one in checks.check(config) if one.name == name]


def test_every_model_that_a_rule_names_is_looked_for(tmp_path: Path) -> None:
    rules = [{"name": "a", "model": "no-such-model"}, {"name": "b"}]
    found = said(Config.model_validate({"node": {"data_dir": tmp_path}, "rules": rules}), "model")
    assert [verdict for verdict, text in found if "no-such-model" in text] == [checks.Verdict.FAILED]


@pytest.mark.parametrize(("match", "warned"), [("first", True), ("all", False)])
def test_a_rule_behind_one_that_always_holds_is_warned_of(match: str, warned: bool, tmp_path: Path) -> None:
    rules = [{"name": "all"}, {"name": "never", "when": {"modality": "US"}}]
    given = {"node": {"data_dir": tmp_path}, "rules": rules, "routing": {"match": match}}
    found = said(Config.model_validate(given), "rules")
    assert [("never stands behind all" in text) for _, text in found] == [True] * warned


def test_a_peer_that_nothing_can_be_sent_back_to_is_warned_of(tmp_path: Path) -> None:
    given = {
        "node": {"data_dir": tmp_path},
        "peers": [{"ae_title": "ROOM1"}, {"ae_title": "ROOM2"}],
        "destinations": [{"name": "room1", "ae_title": "ROOM1", "host": "h", "port": 104}],
        "rules": [{"name": "back", "send": {"sender": None}}],
    }
    ((verdict, text),) = said(Config.model_validate(given), "rules")
    assert verdict is checks.Verdict.WARNING
    assert "ROOM2" in text


def test_sqlite_on_a_network_file_system_is_refused(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mountinfo").write_text(f"40 27 0:45 / {tmp_path} rw - nfs4 server:/export rw\n")
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "mountinfo")
    assert verdict(config) is checks.Verdict.FAILED
    with pytest.raises(ConfigError, match=r"nfs4.*postgresql"):
        Repository.open(config.database_url)
    assert not (tmp_path / "named.sqlite3").exists()


@pytest.mark.peer("openssl")
def test_the_files_of_tls_are_looked_at(config: Config, tmp_path: Path) -> None:
    def said(**files: Path) -> list[tuple[str, checks.Verdict, str]]:
        tls = {"port": 2762, "certificate": issued.certificate, "private_key": issued.private_key, **files}
        given = Config.model_validate({"node": {"data_dir": tmp_path, "tls": tls}})
        return [(one.name, one.verdict, one.text) for one in checks.check(given) if one.name.startswith("tls ")] + [
            (one.name, one.verdict, one.text) for one in checks.check(given) if one.name == "tls"
        ]

    authority = make_authority(tmp_path / "ca")
    issued, ending = authority.issue("node"), authority.issue("ending", days=5)
    issued.private_key.chmod(0o600)
    ((_, verdict, text),) = said(authorities=authority.certificate)
    assert (verdict, text) == (checks.Verdict.OK, f"{issued.certificate} can be used; callers need one too")
    ((_, verdict, text),) = said(private_key=authority.certificate)
    assert verdict is checks.Verdict.FAILED
    assert str(authority.certificate) in text
    ending.private_key.chmod(0o644)
    found = said(certificate=ending.certificate, private_key=ending.private_key)
    assert [(name, verdict) for name, verdict, _ in found] == [
        ("tls key", checks.Verdict.WARNING),
        ("tls", checks.Verdict.WARNING),
    ]
    assert "renew it" in found[1][2]
    assert [one for one in checks.check(config) if one.name.startswith("tls")] == []


@pytest.mark.peer("openssl")
def test_the_files_of_a_destination_are_looked_at(config: Config, tmp_path: Path) -> None:
    authority = make_authority(tmp_path / "authority")
    issued = authority.issue("node", days=10)

    def said(**tls: Path) -> checks.Check:
        entry = {"name": "pacs", "ae_title": "PACS", "host": "pacs", "port": 2762, "tls": tls}
        given = Config.model_validate({**config.model_dump(), "destinations": [entry]})
        (found,) = [one for one in checks.check(given) if one.name == "destination pacs"]
        return found

    assert said(authorities=authority.certificate).verdict is checks.Verdict.OK
    missing = said(authorities=tmp_path / "missing.pem")
    assert (missing.verdict, "missing.pem" in missing.text) == (checks.Verdict.FAILED, True)
    soon = said(certificate=issued.certificate, private_key=issued.private_key)
    assert (soon.verdict, "node.pem ends on" in soon.text) == (checks.Verdict.WARNING, True)


def test_a_peer_that_may_come_from_anywhere_is_warned_of(tmp_path: Path) -> None:
    given = {
        "node": {"data_dir": tmp_path},
        "peers": [{"ae_title": "ANYWHERE"}, {"ae_title": "ROOM1", "hosts": ["192.0.2.0/24"]}],
    }
    ((verdict, text),) = said(Config.model_validate(given), "peers")
    assert (verdict, text.split()[0]) == (checks.Verdict.WARNING, "ANYWHERE")


@pytest.mark.parametrize(
    ("url", "warned"), [("http://pacs.example.org/dicom-web", True), ("http://127.0.0.1:8042/dicom-web", False)]
)
def test_patient_data_in_clear_is_warned_of(url: str, warned: bool, tmp_path: Path) -> None:
    given = {"node": {"data_dir": tmp_path}, "destinations": [{"name": "cloud", "url": url}]}
    found = said(Config.model_validate(given), "destination cloud")
    assert [verdict for verdict, _ in found] == [checks.Verdict.WARNING] * warned


def test_what_waits_for_a_destination_that_was_taken_away_is_told(config: Config) -> None:
    repository = Repository.open(config.database_url)
    repository.migrate()
    measured(repository, "1.1")
    repository.close()
    waiting = [text for _, text in said(config, "destinations") if "wait for pacs" in text]
    assert [text.split()[0] for text in waiting] == ["3"]
    pacs = {"name": "pacs", "ae_title": "PACS", "host": "pacs", "port": 104}
    known = Config.model_validate({**config.model_dump(), "destinations": [pacs]})
    assert said(known, "destinations") == []


@pytest.mark.parametrize("commits", [True, False])
def test_an_alternate_that_is_not_asked_for_commitment_is_warned_of(commits: bool, tmp_path: Path) -> None:
    pacs = {"name": "pacs", "ae_title": "PACS", "host": "pacs", "port": 104, "commitment": True, "alternate": "spare"}
    spare = {"name": "spare", "ae_title": "SPARE", "host": "spare", "port": 104, "commitment": commits}
    config = Config.model_validate({"node": {"data_dir": tmp_path}, "destinations": [pacs, spare]})
    found = [one for one in checks.check(config) if one.name == "destination pacs"]
    assert [one.verdict for one in found] == ([] if commits else [checks.Verdict.WARNING])


@pytest.mark.peer("postgres")
@pytest.mark.parametrize("ahead_s", [-300.0, 300.0])
def test_a_clock_that_is_far_from_the_databases_is_found(
    ahead_s: float, postgresql: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgresql.create_database()
    config = Config.model_validate({"node": {"data_dir": tmp_path}, "database": {"url": url}})
    assert verdict(config) is checks.Verdict.OK
    monkeypatch.setattr(checks, "utc_now", lambda: utc_now() + timedelta(seconds=ahead_s))
    (found,) = [one for one in checks.check(config) if one.name == "database"]
    assert (found.verdict, "NTP" in found.text) == (checks.Verdict.FAILED, True)
    postgresql.drop_database(url)


@pytest.mark.parametrize(
    ("may", "mpps", "remarks"),
    [
        (["store", "mpps"], {"offer": True}, []),
        (["store"], {}, []),
        (["store", "mpps"], {}, ["US1 may use MPPS, and mpps.offer is off"]),
        (["store"], {"offer": True}, ["mpps.offer is on, and no peer here has the right: `may: [mpps]`"]),
        (
            ["mpps"],
            {"offer": True, "quiet_s": 90},
            ["mpps.quiet_s is not below results.study_quiet_s, so no study is reported sooner"],
        ),
    ],
    ids=["heard", "off", "unheard", "nobody", "slow"],
)
def test_hints_of_scanners_that_could_not_work_are_warned_of(
    may: list[str], mpps: dict[str, object], remarks: list[str], tmp_path: Path
) -> None:
    told = {"node": {"data_dir": tmp_path}, "peers": [{"ae_title": "US1", "may": may}], "mpps": mpps}
    found = checks.check(Config.model_validate(told))
    assert [check.text for check in found if check.name == "mpps"] == remarks


def test_how_the_audit_trail_leaves_is_looked_at(tmp_path: Path) -> None:
    def remarks(**section: object) -> list[tuple[checks.Verdict, str]]:
        told = {"node": {"data_dir": tmp_path}, "audit_messages": section}
        found = checks.check(Config.model_validate(told))
        return [(check.verdict, check.text.partition(":")[0]) for check in found if check.name == "audit_messages"]

    missing = tmp_path / "none.pem"
    assert remarks() == []
    assert remarks(host="collector", tls={"authorities": missing}) == [(checks.Verdict.FAILED, str(missing))]
    in_clear = "over udp audit messages go in clear, Patient IDs among them, and are lost unnoticed"
    assert remarks(host="collector", transport="udp") == [(checks.Verdict.WARNING, in_clear)]


def test_storage_commitment_that_could_never_be_given_is_warned_of(tmp_path: Path) -> None:
    pacs = {"name": "pacs", "ae_title": "PACS", "host": "pacs", "port": 104, "commitment": True}
    scanner = {"ae_title": "US1", "may": ["store", "commitment"]}

    def said(pacs: dict[str, object], scanner: dict[str, object], **more: object) -> list[str]:
        told = {"node": {"data_dir": tmp_path}, "storage_commitment": {"offer": True}, **more}
        config = Config.model_validate({**told, "peers": [scanner], "destinations": [pacs]})
        return [found.text for found in checks.check(config) if found.name == "commitment"]

    nothing, nobody = said(pacs, scanner)
    assert "every answer will be no" in nothing
    assert "US1 has no `listens`" in nobody
    called = {**scanner, "listens": {"host": "us1", "port": 104}}
    assert said({**pacs, "objects": ["original"]}, called) == []
    assert said(pacs, called, rules=[{"name": "all", "send": {"pacs": ["original"]}}]) == []
