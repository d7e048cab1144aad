"""The peer and slow markers do what tests/conftest.py says, in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import peers
from tests.peers import missing_peers, outside_path

ROOT = Path(__file__).parents[2]

SAMPLE = """
import pytest

@pytest.mark.peer("sh")
def test_with_peer():
    pass

@pytest.mark.peer("sh", "no-such-program-x")
def test_without_peer():
    pass

@pytest.mark.slow
def test_slow():
    pass
"""


def run_sample(folder: Path, *options: str, ci: bool) -> str:
    (folder / "conftest.py").write_text("from tests.conftest import *\n")
    (folder / "test_sample.py").write_text(SAMPLE)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    peer(name): x\n    slow: x\n")
    environment = {k: v for k, v in os.environ.items() if k != "CI"} | {"PYTHONPATH": str(ROOT)}
    if ci:
        environment["CI"] = "true"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", *options, str(folder)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False).stdout


def test_an_absent_peer_skips_with_its_install_line(tmp_path: Path) -> None:
    output = run_sample(tmp_path, ci=False)

    assert "1 passed, 1 skipped, 1 deselected" in output
    assert "no-such-program-x not installed: sudo apt-get install no-such-program-x" in " ".join(output.split())


def test_an_absent_peer_fails_in_ci(tmp_path: Path) -> None:
    assert "1 passed, 1 deselected, 1 error" in run_sample(tmp_path, ci=True)


def test_slow_tests_run_when_asked_for(tmp_path: Path) -> None:
    assert "2 passed, 1 skipped" in run_sample(tmp_path, "--run-slow", ci=False)


def test_peers_are_not_looked_for_in_the_virtual_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(peers, "POSTGRESQL", tmp_path)
    path = os.pathsep.join(["/venv/bin", "/usr/bin"])

    assert outside_path(path, Path("/venv/bin")) == os.pathsep.join(["/usr/bin", "/usr/sbin"])


def test_the_newest_postgresql_is_looked_for_where_debian_keeps_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for version in ("9", "15", "README"):
        (tmp_path / version / "bin").mkdir(parents=True)
    monkeypatch.setattr(peers, "POSTGRESQL", tmp_path)

    assert outside_path("/usr/sbin", Path("/venv/bin")) == f"/usr/sbin:{tmp_path}/15/bin"


@pytest.mark.parametrize(("program", "package"), [("Orthanc", "orthanc orthanc-dicomweb"), ("dciodvfy", "dicom3tools")])
def test_the_install_line_names_debian_packages(
    program: str, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert missing_peers([program]) == f"{program} not installed: sudo apt-get install {package}"
