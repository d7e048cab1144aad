"""The verbs: what they print, how they exit, and what they do not load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from typer.testing import CliRunner

from dicom_node.additions import EntryKind, entry_of
from dicom_node.cli import cli, parse_spacing, person, resolve_peer, told_age
from dicom_node.config import Config
from dicom_node.deliver.scu import PeerAddress
from dicom_node.domain import NewInstance, Quiet
from dicom_node.queue import utc_now
from dicom_node.storage.repository import Repository
from inference.domain import PixelSpacingMm
from inference.training.folds import read_folds
from tests.ultrasound import save, us_image
from tests.unit.dicom_node.storage.rooms import answer
from tests.unit.inference.training.test_export import challenge_folder

LISTINGS = (
    ["peers"],
    ["destinations"],
    ["jobs"],
    ["jobs", "--deliveries"],
    ["db", "info"],
    ["check-config"],
    ["audit"],
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(
        f"node: {{data_dir: {tmp_path / 'data'}, host: 127.0.0.1}}\n"
        "peers: [{ae_title: SCANNER, hosts: [192.0.2.1]}]\n"
        "destinations: [{name: pacs, ae_title: PACS, host: 127.0.0.1, port: 1}]\n"
        "delivery: {connect_timeout_s: 1}\n"
    )
    return path


@pytest.fixture
def repository(config: Path) -> Repository:
    made = Repository.open(f"sqlite:///{config.parent / 'data' / 'node.sqlite3'}")
    made.migrate()
    return made


def run(*arguments: str, config: Path | None = None) -> tuple[int, str, str]:
    chosen = [] if config is None else ["--config", str(config)]
    result = CliRunner().invoke(cli, [*arguments, *chosen])
    return result.exit_code, result.stdout, result.stderr


def add_job(repository: Repository) -> int:
    new = NewInstance("1.2.3", "1.2", "1.3", "1.4", "1.2.840.10008.1.2.1", "o", 1, "s", "SCANNER", "N", "h", True)
    repository.register(new, utc_now())
    return repository.jobs((), 1)[0].id


@pytest.mark.parametrize("verb", LISTINGS, ids=" ".join)
@pytest.mark.usefixtures("repository")
def test_listing_has_json(config: Path, verb: list[str]) -> None:
    code, out, _ = run(*verb, "--json", config=config)
    json.loads(out)
    assert code in (0, 1)  # 1: check-config where no weights are
    assert run(*verb, config=config)[1]


def test_peers_shows_the_refused_with_advice(config: Path, repository: Repository) -> None:
    repository.record_refusal("NOBODY", "FETALHC", "192.0.2.9", "calling_ae_unknown", "add it under peers", utc_now())
    document = json.loads(run("peers", "--json", config=config)[1])
    (peer,) = document["peers"]
    assert (peer["ae_title"], peer["hosts"], peer["may"]) == ("SCANNER", ["192.0.2.1"], ["store", "echo"])
    assert document["refused"][0]["calling_ae"] == "NOBODY"
    assert "add it under peers" in run("peers", config=config)[1]


@pytest.mark.usefixtures("repository")
def test_destinations_counts_per_state(config: Path) -> None:
    (row,) = json.loads(run("destinations", "--json", config=config)[1])
    assert row["name"] == "pacs"
    assert row["pending"] == row["sent"] == row["dead"] == 0


def test_jobs_are_listed_cancelled_and_retried(config: Path, repository: Repository) -> None:
    job = add_job(repository)
    (row,) = json.loads(run("jobs", "--json", config=config)[1])
    assert (row["id"], row["state"], row["sop_instance_uid"]) == (job, "queued", "1.2.3")
    assert run("jobs", "cancel", str(job), config=config)[0] == 0
    assert json.loads(run("jobs", "--state", "cancelled", "--json", config=config)[1])[0]["id"] == job
    assert run("jobs", "retry", str(job), config=config)[0] == 0
    assert json.loads(run("jobs", "--json", config=config)[1])[0]["state"] == "queued"


def test_the_job_of_a_study_is_listed_with_its_version(config: Path, repository: Repository) -> None:
    add_job(repository)
    job = repository.claim_job("w", 60.0, utc_now())
    assert job is not None
    repository.commit_result(job, answer(kinds=()), (), utc_now())
    assert repository.enqueue_quiet_studies(Quiet(0.0), utc_now()) == 1
    row, _ = json.loads(run("jobs", "--json", config=config)[1])
    assert (row["kind"], row["state"], row["sop_instance_uid"], row["revision"]) == ("study", "queued", None, 1)
    assert row["study_instance_uid"] == repository.versions("1.2.3")[0].study_instance_uid
    assert "study" in run("jobs", config=config)[1]


def test_table_of_jobs_tells_a_conflict_from_a_done_job(config: Path, repository: Repository) -> None:
    add_job(repository)
    header = run("jobs", config=config)[1].splitlines()[0]
    assert "revision" in header
    assert "relation" in header


@pytest.mark.parametrize(("supervised", "status"), [([], 1), (["--supervised"], 3)])
def test_refused_role_leaves_with_a_status_of_its_own_where_supervised(
    tmp_path: Path, supervised: list[str], status: int
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("node: {colour: red}\n")
    assert run("worker", *supervised, config=path)[0] == status


def test_all_dead_jobs_are_retried_at_once(config: Path, repository: Repository) -> None:
    add_job(repository)
    job = repository.claim_job("w", 60.0, utc_now())
    assert job is not None
    repository.bury_job(job, "broken", utc_now())
    assert run("jobs", "retry", "--all-dead", config=config)[0] == 0
    assert json.loads(run("jobs", "--json", config=config)[1])[0]["state"] == "queued"
    assert run("jobs", "retry-delivery", "--all-dead", "--destination", "pacs", config=config)[0] == 0


@pytest.mark.parametrize("verb", ["retry", "retry-delivery"])
def test_retry_wants_an_id_or_all(config: Path, verb: str) -> None:
    assert run("jobs", verb, config=config)[0] == 2
    assert run("jobs", verb, "1", "--all-dead", config=config)[0] == 2


def test_jobs_takes_the_configuration_before_the_verb_too(config: Path, repository: Repository) -> None:
    job = add_job(repository)
    assert run("jobs", "--config", str(config), "cancel", str(job))[0] == 0


@pytest.mark.parametrize("verb", ["retry", "cancel", "confirm", "retry-delivery"])
@pytest.mark.usefixtures("repository")
def test_unknown_id_is_one_line_and_status_1(config: Path, verb: str) -> None:
    code, out, err = run("jobs", verb, "4711", config=config)
    assert (code, out) == (1, "")
    assert err.startswith("dicom-node: no ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("verb", [v for v in LISTINGS if v != ["check-config"]], ids=" ".join)
def test_where_there_is_no_database_none_is_made(config: Path, verb: list[str]) -> None:
    """An operator in the wrong folder must not read an empty list as an empty queue."""
    code, out, err = run(*verb, config=config)
    assert (code, out) == (1, "")
    assert "no database at" in err
    assert not (config.parent / "data").exists()


def test_confirming_what_is_not_held_is_refused(config: Path, repository: Repository) -> None:
    code, _, err = run("jobs", "confirm", str(add_job(repository)), config=config)
    assert code == 1
    assert "only a held job" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-verb"],
        ["jobs", "--state", "asleep"],
        ["jobs", "retry", "x"],
        ["echo", "nobody"],
        ["echo", "AET@host"],
        ["measure", "/no/such/file"],
        ["send", "/no/such/file", "--to", "pacs"],
    ],
    ids=" ".join,
)
def test_bad_arguments_are_status_2(arguments: list[str]) -> None:
    assert run(*arguments)[0] == 2


def test_wrong_configuration_is_status_1_and_names_the_key(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("node: {colour: red}\n")
    code, _, err = run("check-config", config=path)
    assert code == 1
    assert "node.colour" in err
    assert "Traceback" not in err


def test_url_that_is_none_is_named_and_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("database: {url: nonsense-hush}\n")
    code, _, err = run("check-config", config=path)
    assert code == 1
    assert "database.url: Value error, not a database URL" in err
    assert "hush" not in err


def test_check_config_hides_the_password(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        f"node: {{data_dir: {tmp_path}}}\ndatabase: {{url: 'postgresql+psycopg://node:hush@127.0.0.1:1/x'}}"
    )
    code, out, err = run("check-config", "--json", config=path)
    assert code == 1
    assert "hush" not in out + err


def test_check_config_warns_of_a_port_in_use(config: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        config.write_text(config.read_text().replace("node: {", f"node: {{port: {taken.getsockname()[1]}, "))
        checks = json.loads(run("check-config", "--json", config=config)[1])["checks"]
    assert {c["name"]: c["verdict"] for c in checks}["port"] == "warning"


def test_models_without_a_manifest(config: Path) -> None:
    config.write_text(config.read_text() + f"inference: {{weights_dir: {config.parent}}}\n")
    code, _, err = run("models", config=config)
    assert code == 1
    assert "manifest.json" in err


def test_echo_refused_connection_is_status_1_with_its_cause(config: Path) -> None:
    code, _, err = run("echo", "pacs", config=config)
    assert code == 1
    assert "connection_refused" in err
    answer = json.loads(run("echo", "pacs", "--json", config=config)[1])
    assert (answer["answered"], answer["cause"]) == (False, "connection_refused")


def test_echo_without_a_name_asks_everybody_who_can_be_called(config: Path) -> None:
    listening = "{ae_title: SCANNER, hosts: [192.0.2.1], listens: {host: 127.0.0.1, port: 1}}"
    config.write_text(config.read_text().replace("{ae_title: SCANNER, hosts: [192.0.2.1]}", listening))
    code, out, err = run("echo", "--json", config=config)
    assert code == 1
    assert "pacs, SCANNER" in err
    told = {row["name"]: (row["answered"], row["cause"], row["address"]) for row in json.loads(out)}
    assert told["SCANNER"] == (False, "connection_refused", "SCANNER at 127.0.0.1:1")
    assert told["pacs"][:2] == (False, "connection_refused")
    assert "connection_refused" in run("echo", "SCANNER", config=config)[2]


def test_send_of_what_is_not_dicom(config: Path, tmp_path: Path) -> None:
    (folder := tmp_path / "files").mkdir()
    (folder / "a.txt").write_text("hello")
    code, out, err = run("send", str(folder), "--to", "pacs", "--json", config=config)
    assert code == 1
    assert json.loads(out)[0]["outcome"] == "not_dicom"
    assert "1 of 1" in err


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\\"), min_size=1, max_size=16),
    st.sampled_from(["pacs.example.org", "192.0.2.7", "[2001:db8::1]", "localhost"]),
    st.integers(1, 65535),
)
def test_peer_address_comes_back(ae_title: str, host: str, port: int) -> None:
    assert resolve_peer(f"{ae_title}@{host}:{port}", Config()) == PeerAddress(ae_title, host.strip("[]"), port)


@given(st.text(max_size=40))
def test_any_text_is_a_peer_or_a_bad_argument(text: str) -> None:
    try:
        peer = resolve_peer(text, Config())
    except typer.BadParameter:
        return
    assert 1 <= peer.port <= 65535
    assert len(peer.ae_title) <= 16


@pytest.mark.parametrize("text", ["0.2", "0,1", "a,b", "-1,1", "nan,1", "1,2,3"])
def test_bad_spacing(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_spacing(text)


def test_spacing_is_row_then_column() -> None:
    assert parse_spacing("0.2,0.3") == PixelSpacingMm(0.2, 0.3)


@given(st.integers(0, 400))
def test_age_is_weeks_and_days(days: int) -> None:
    weeks, rest = str(told_age(days)).split("w")
    assert int(weeks) * 7 + int(rest.removesuffix("d")) == days
    assert int(rest.removesuffix("d")) < 7


def test_listing_verbs_do_not_load_torch(config: Path) -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom dicom_node.cli import cli\n"
        f"for verb in {LISTINGS!r}:\n"
        f"    CliRunner().invoke(cli, [*verb, '--config', {str(config)!r}])\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def exams(tmp_path: Path) -> Path:
    return challenge_folder(tmp_path, [name.removesuffix("_HC") for name in read_folds() if name.endswith("_HC")][:8])


def test_train_holds_out_a_fold_of_the_recipe_that_it_is_given(config: Path, exams: Path, tmp_path: Path) -> None:
    small = {
        "coarse_grid": {"rows": 32, "columns": 64},
        "batch": 2,
        "phantoms_with_head": 0,
        "phantoms_without_head": 0,
    }
    (tmp_path / "small.json").write_text(json.dumps(small))
    data = ("train", "--data", str(exams), "--recipe", str(tmp_path / "small.json"), "--epochs", "1", "0")
    network = ("--architecture", "residual-unet", "--width", "0.125", "--fold", "3")
    code, out, err = run(*data, *network, "--out", str(tmp_path / "run"), config=config)
    assert code == 0, err
    assert out.strip() == str(tmp_path / "run" / "average.pt")
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert (recipe["architecture"], recipe["width"], recipe["held_out_fold"]) == ("residual-unet", 0.125, 3)
    onward = (*data, "--out", str(tmp_path / "onward"), "--start-from", out.strip())
    assert "they must match" in run(*onward, *network[:4], "--fold", "2", config=config)[2]
    assert not (tmp_path / "onward").exists()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("--architecture", "vgg"), "known: efficientnet-lite0-unet, residual-unet"),
        (("--width", "0.5"), "full width only"),
        (("--fold", "9"), "no fold 9"),
        (("--all", "--fold", "1"), "held out of a training on every exam"),
    ],
)
def test_train_names_what_it_cannot_do(
    config: Path, exams: Path, tmp_path: Path, wrong: tuple[str, ...], told: str
) -> None:
    code, _, err = run("train", "--data", str(exams), "--out", str(tmp_path / "run"), *wrong, config=config)
    assert code == 1
    assert told in err


RULES = """
destinations: [{name: pacs, ae_title: PACS, host: 127.0.0.1, port: 1}]
rules:
  - {name: room, when: {calling_ae: "ROOM*", any: [{modality: US}, {body_part: HEAD}]}, send: {pacs: [original]}}
  - {name: rest, action: ignore}
"""


def test_rules_are_listed_as_they_are_written(tmp_path: Path) -> None:
    config = tmp_path / "rules.yaml"
    config.write_text(RULES)
    told = run("rules", config=config)[1]
    assert "{any: [{modality: [US]}, {body_part: [HEAD]}], calling_ae: [ROOM*]}" in told
    first, second = json.loads(run("rules", "--json", config=config)[1])
    assert (first["send"], second["action"], second["when"]) == ({"pacs": ["original"]}, "ignore", None)


def test_rules_test_explains_a_file_and_says_what_cannot_be_read(tmp_path: Path) -> None:
    config = tmp_path / "rules.yaml"
    config.write_text(RULES)
    save(us_image(np.zeros((8, 8), np.uint8), Modality="US"), tmp_path / "image.dcm")
    code, told, _ = run("rules", "test", str(tmp_path / "image.dcm"), "--calling-ae", "ROOM1", config=config)
    assert code == 0
    assert "decided by: room" in told
    assert "to pacs: original" in told
    code, told, said = run("rules", "test", str(tmp_path), "--json", config=config)
    assert code == 1
    assert json.loads(told)["rules"] == ["rest"]
    assert "rules.yaml: The file is not a DICOM object." in said
    code, _, said = run("rules", "test", str(tmp_path / "image.dcm"), "--host", "room1.example.org", config=config)
    assert (code, "is not an IP address" in said) == (1, True)


# --- the audit trail -------------------------------------------------------------------------------------------------


def test_what_a_person_does_is_in_the_trail_and_so_is_reading_it(config: Path, repository: Repository) -> None:
    job = add_job(repository)
    assert run("jobs", "cancel", str(job), config=config)[0] == 0
    rows = json.loads(run("audit", "--json", config=config)[1])
    assert [(row["event"], row["outcome"]) for row in rows] == [("admin.job", "cancelled"), ("object.received", "new")]
    assert rows[0]["actor"] == person()
    newest = json.loads(run("audit", "--json", "--limit", "1", config=config)[1])
    assert [(row["event"], row["actor"], row["outcome"]) for row in newest] == [("trail.read", person(), "list")]


def test_the_trail_is_narrowed_by_event_time_and_study(config: Path, repository: Repository) -> None:
    add_job(repository)
    said = run("audit", "--event", "object.received", "--since", "2020-01-01", "--study", "1.3", config=config)[1]
    assert "SCANNER" in said
    assert run("audit", "--until", "2020-01-01", config=config)[1] == "nothing\n"
    assert run("audit", "--event", "party", config=config)[0] == 2


def test_an_export_is_whole_sealed_private_and_overwrites_nothing(
    config: Path, repository: Repository, tmp_path: Path
) -> None:
    add_job(repository)
    out = tmp_path / "trail.jsonl"
    assert run("audit", "export", "--out", str(out), config=config)[0] == 0
    (row,) = map(json.loads, out.read_text().splitlines())
    assert (row["event"], row["number"]) == ("object.received", 1)
    assert json.loads(run("audit", "verify", "--json", config=config)[1])["head"] == row["sha256"]
    assert out.stat().st_mode & 0o777 == 0o600
    code, _, said = run("audit", "export", "--out", str(out), config=config)
    assert code == 1
    assert "cannot be written" in said


def test_verify_says_that_the_chain_holds_and_fails_where_it_does_not(config: Path, repository: Repository) -> None:
    add_job(repository)
    repository.seal_trail()
    code, told, _ = run("audit", "verify", config=config)
    assert code == 0
    assert "1 records are as they were written, 0 not sealed yet" in told
    with repository._write() as session:
        session.execute(text("DROP TRIGGER audit_no_update"))
        session.execute(text("UPDATE audit SET actor = 'NOBODY'"))
    code, _, said = run("audit", "verify", config=config)
    assert code == 1
    assert "broken at number 1" in said


def test_users_of_the_console_are_added_linked_and_changed(config: Path, repository: Repository) -> None:
    status, link, _ = run("user", "add", "nina", "--role", "operator", config=config)
    assert status == 0
    secret = link.strip().rpartition("/welcome/")[2]
    owner = repository.accounts.link_owner(secret, utc_now())
    assert owner is not None
    assert (owner.name, owner.role) == ("nina", "operator")

    assert run("user", "link", "nina", config=config)[0] == 0
    assert repository.accounts.link_owner(secret, utc_now()) is None
    assert run("user", "change", "nina", "--role", "viewer", "--inactive", config=config)[0] == 0
    (told,) = json.loads(run("user", "--json", config=config)[1])
    assert (told["name"], told["role"], told["active"]) == ("nina", "viewer", False)
    assert run("user", "add", "nina", config=config)[0] == 1
    assert run("user", "add", "not a name", config=config)[0] == 2
    assert run("user", "link", "nobody", config=config)[0] == 1


def test_what_was_added_in_the_console_is_listed(config: Path, repository: Repository) -> None:
    repository.additions.put(entry_of(EntryKind.PEER, {"ae_title": "ADDED"}), utc_now())
    repository.additions.put(
        entry_of(EntryKind.DESTINATION, {"name": "second", "ae_title": "B", "host": "127.0.0.1", "port": 1}), utc_now()
    )
    assert "ADDED" in run("peers", config=config)[1]
    assert "second" in run("destinations", config=config)[1]
    assert "connection_refused" in run("echo", "second", config=config)[2]
