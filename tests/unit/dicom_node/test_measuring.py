"""One file that nobody foresaw does not stop the others."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dicom_node import measuring
from dicom_node.config import Config
from inference.models import read_manifest


def test_unforeseen_error_is_an_answer_and_a_log_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def burst(*_: Any) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(measuring, "_open", burst)
    model = read_manifest(Config().weights)[0]
    examiner: Any = SimpleNamespace(model=model)
    answer = measuring.measure_file(tmp_path / "a.dcm", examiner, 16, None)
    assert answer["reason"] == "unreadable"
    assert "secret" not in str(answer)
    assert [r.msg for r in caplog.records] == ["measure.failed"]
