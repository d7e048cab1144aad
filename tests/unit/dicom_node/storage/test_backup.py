"""What PostgreSQL's own programs are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicom_node.storage.backup import back_up

PG_DUMP = """#!/bin/sh
echo "$@" > {folder}/arguments
echo "$PGPASSWORD" > {folder}/password
for argument in "$@"; do case "$argument" in --file=*) touch "${{argument#--file=}}";; esac; done
"""


@pytest.mark.parametrize("url", ["node:hush@db/x", "node@db/x?password=hush"])
def test_a_password_is_on_no_command_line(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "pg_dump"
    program.write_text(PG_DUMP.format(folder=tmp_path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    back_up(f"postgresql+psycopg://{url}", tmp_path / "backup")
    arguments = (tmp_path / "arguments").read_text().replace(str(tmp_path), "")  # which is called after the URL
    assert "--dbname=postgresql://node@db/x" in arguments
    assert "hush" not in arguments
    assert (tmp_path / "password").read_text().strip() == "hush"
