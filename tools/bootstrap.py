"""Make .venv ready for `runtime` or `dev`. Standard library only; safe to stop and to run again.

The environment is made without ensurepip, which Debian keeps in a package of its own, and pip comes from the wheel
beside this file. torch goes first, from TORCH_INDEX_URL when that is set; everything is held to requirements.lock.
A stamp holds the hash of what was asked for, so the second run does nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
PYPROJECT = ROOT / "pyproject.toml"
LOCK = ROOT / "requirements.lock"
PIP_WHEEL = ROOT / "tools" / "pip-26.3-py3-none-any.whl"
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
EXTRAS = {"runtime": (), "dev": ("dev",)}


class BootstrapError(Exception):
    """The environment could not be made ready."""


def requirements(project: dict[str, Any], extras: tuple[str, ...]) -> list[str]:
    """The project's requirements with those of `extras`; an extra that names the project itself is followed."""
    wanted: list[str] = []
    pending = [*project["dependencies"]]
    for extra in extras:
        pending += project["optional-dependencies"][extra]
    while pending:
        requirement = pending.pop(0)
        if requirement.startswith(f"{project['name']}["):
            for extra in requirement.split("[")[1].rstrip("]").split(","):
                pending += project["optional-dependencies"][extra.strip()]
        elif requirement not in wanted:
            wanted.append(requirement)
    return wanted


def key_of(level: str) -> str:
    """Hash of everything that decides what has to be installed."""
    digest = hashlib.sha256(f"{level} {ROOT} {sys.version_info[:2]}".encode())
    for file in (PYPROJECT, LOCK, Path(__file__)):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def stamp_of(level: str) -> Path:
    return VENV / f"bootstrap-{level}.stamp"


def is_ready(level: str) -> bool:
    """Whether an earlier run finished with the same question; `dev` includes `runtime`."""
    levels = ("runtime", "dev") if level == "runtime" else (level,)
    stamps = [(stamp_of(name), key_of(name)) for name in levels]
    return any(stamp.is_file() and stamp.read_text() == key for stamp, key in stamps) and interpreter_fits()


def interpreter_fits() -> bool:
    """Whether .venv has a Python that starts and is of the version that runs this."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    question = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([PYTHON, "-I", "-c", question], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return answer.returncode == 0 and answer.stdout.strip() == version


def make_environment() -> None:
    """Create .venv with the vendored pip in it; one that has a fitting Python is kept."""
    if not interpreter_fits():
        say(f"creating .venv with Python {sys.version.split()[0]}")
        venv.EnvBuilder(with_pip=False, clear=VENV.exists(), symlinks=True).create(VENV)
    if hashlib.sha256(PIP_WHEEL.read_bytes()).hexdigest() != PIP_SHA256:
        raise BootstrapError(f"{PIP_WHEEL.name} is not the committed file (sha256 differs); check it out again")
    run_pip("install", "--no-index", "--find-links", str(PIP_WHEEL.parent), f"pip=={PIP_WHEEL.name.split('-')[1]}")


def install(level: str) -> None:
    """Install what `level` needs, then the project itself, editable."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    wanted = requirements(project, EXTRAS[level])
    torch = next(requirement for requirement in wanted if requirement.startswith("torch=="))
    locked = ("install", "--constraint", str(LOCK), "--only-binary", ":all:")

    say(f"installing {torch} (the largest download)")
    install_torch(torch)
    say(f"installing {len(wanted)} {level} requirements and what they need")
    run_pip(*locked, "setuptools", *wanted)
    run_pip("install", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))


def install_torch(requirement: str) -> None:
    """torch alone, from TORCH_INDEX_URL if that is set and has it; its own requirements follow with the others."""
    index = os.environ.get("TORCH_INDEX_URL")
    if index:
        try:
            run_pip("install", "--no-deps", "--index-url", index, requirement)
            return
        except BootstrapError:
            say("TORCH_INDEX_URL did not give it; trying the index that pip is set up with")
    run_pip("install", "--no-deps", requirement)


def run_pip(*arguments: str) -> None:
    """pip of the vendored wheel, on the Python of .venv, unmoved by the caller's PYTHONPATH and --user settings.

    Raises:
        BootstrapError: pip failed; what was installed so far stays, so the next run goes on from there.
    """
    quiet = () if sys.stderr.isatty() else ("--quiet",)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {
        "PIP_USER": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PYTHONWARNINGS": "ignore",
    }
    command = [PYTHON, PIP_WHEEL / "pip", *arguments[:1], *quiet, *arguments[1:]]
    if subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode:
        raise BootstrapError("pip failed (see above); run the same command again, it goes on where it stopped")


def say(text: str) -> None:
    print(f"bootstrap: {text}", file=sys.stderr, flush=True)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Two `make` at once do not install into one another."""
    descriptor = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in EXTRAS:
        say(f"usage: tools/bootstrap {'|'.join(EXTRAS)}")
        return 2
    level = arguments[0]
    with one_at_a_time():
        if is_ready(level):
            return 0
        try:
            make_environment()
            install(level)
        except BootstrapError as error:
            say(str(error))
            return 1
        stamp_of(level).write_text(key_of(level))
        say(f".venv is ready ({level})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
