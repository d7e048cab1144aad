"""The bootstrap asks for the right things, and the lock and the vendored pip are what they say."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def load_bootstrap() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "tools" / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bootstrap = load_bootstrap()


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_dev_follows_extras_that_name_the_project_itself() -> None:
    project = {
        "name": "node",
        "dependencies": ["torch==1", "numpy"],
        "optional-dependencies": {"train": ["plots"], "dev": ["node[train]", "pytest"]},
    }

    assert bootstrap.requirements(project, ()) == ["torch==1", "numpy"]
    assert bootstrap.requirements(project, ("dev",)) == ["torch==1", "numpy", "pytest", "plots"]


def test_running_needs_nothing_of_testing() -> None:
    assert not any(re.match(r"pytest|mypy|ruff|matplotlib", r) for r in bootstrap.requirements(PROJECT, ()))


def test_the_vendored_pip_is_the_one_that_was_checked() -> None:
    assert hashlib.sha256(bootstrap.PIP_WHEEL.read_bytes()).hexdigest() == bootstrap.PIP_SHA256


def test_the_lock_holds_every_requirement_to_an_allowed_version() -> None:
    versions = locked()
    for line in bootstrap.requirements(PROJECT, ("dev", "train")):
        requirement = Requirement(line)
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), line


def test_the_lock_names_no_host_no_path_and_no_build_of_torch() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()

    assert [
        line for line in lines if not line.startswith("#") and not re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", line)
    ] == []
    assert locked()["torch"] == "2.13.0"
    assert "torchvision" not in locked()


def test_the_key_changes_with_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = bootstrap.key_of("runtime")
    lock = tmp_path / "requirements.lock"
    lock.write_text("torch==0\n")
    monkeypatch.setattr(bootstrap, "LOCK", lock)

    assert bootstrap.key_of("runtime") != before
    assert bootstrap.key_of("runtime") != bootstrap.key_of("dev")


def test_an_environment_without_a_working_python_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "VENV", tmp_path)
    monkeypatch.setattr(bootstrap, "PYTHON", tmp_path / "bin" / "python")
    bootstrap.stamp_of("runtime").write_text(bootstrap.key_of("runtime"))

    assert not bootstrap.is_ready("runtime")

    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    assert bootstrap.is_ready("runtime")
    assert not bootstrap.is_ready("dev")


def run_script(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "tools" / "bootstrap", *arguments],
        env={"PATH": os.environ["PATH"]} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_wrong_python_is_named() -> None:
    answer = run_script("runtime", PYTHON="/bin/false")

    assert answer.returncode == 1
    assert answer.stderr == "bootstrap: PYTHON=/bin/false is not a Python 3.11 or newer\n"


def test_wrong_arguments_are_refused() -> None:
    answer = run_script("everything", PYTHON=sys.executable)

    assert answer.returncode == 2
    assert "runtime|dev" in answer.stderr


def fake_pip(folder: Path, monkeypatch: pytest.MonkeyPatch, refuses: str) -> Path:
    """Stands in for .venv's Python: writes down how pip was called, and fails where the call has `refuses` in it."""
    calls = folder / "calls"
    script = folder / "python"
    script.write_text(f'#!/bin/sh\necho "$@" >> {calls}\ncase "$*" in *{refuses}*) exit 1;; esac\n')
    script.chmod(0o755)
    monkeypatch.setattr(bootstrap, "PYTHON", script)
    return calls


def test_torch_comes_from_its_own_index_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake_pip(tmp_path, monkeypatch, refuses="nothing")
    monkeypatch.setenv("TORCH_INDEX_URL", "file:///cpu")

    bootstrap.install_torch("torch==2.13.0")

    assert len(calls.read_text().splitlines()) == 1
    assert "--index-url file:///cpu torch==2.13.0" in calls.read_text()


def test_torch_falls_back_to_the_usual_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake_pip(tmp_path, monkeypatch, refuses="--index-url")
    monkeypatch.setenv("TORCH_INDEX_URL", "file:///cpu")

    bootstrap.install_torch("torch==2.13.0")

    assert calls.read_text().splitlines()[1].endswith("--no-deps torch==2.13.0")


def test_a_failed_pip_leaves_no_stamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / ".venv")
    (tmp_path / ".venv").mkdir()
    fake_pip(tmp_path, monkeypatch, refuses="install")
    monkeypatch.setattr(bootstrap, "interpreter_fits", lambda: True)

    assert bootstrap.main(["runtime"]) == 1
    assert not bootstrap.stamp_of("runtime").exists()
