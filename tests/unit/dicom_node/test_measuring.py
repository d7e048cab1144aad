"""One file that nobody foresaw does not stop the others."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from dicom_node import measuring
from dicom_node.config import Config
from dicom_node.examiner import build_examiner, find_entry
from inference.measure import outline_px
from inference.models import read_manifest
from inference.training.challenge import Annotated
from inference.training.evaluate import predict_one
from tests.phantoms import head_phantom


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


def test_measure_and_evaluate_say_the_same_to_the_last_digit(tmp_path: Path) -> None:
    """The shipped network on a made-up head: one answer by `measure`, one row by `evaluate`."""
    head = head_phantom(3)
    picture, annotation = tmp_path / "003_HC.png", tmp_path / "003_HC_Annotation.png"
    cv2.imwrite(str(picture), head.luminance)
    assert head.ellipse_px is not None
    outline = np.zeros(head.luminance.shape, np.uint8)
    cv2.polylines(outline, [np.round(outline_px(head.ellipse_px, 720)).astype(np.int32)], True, 255)
    cv2.imwrite(str(annotation), outline)
    millimetres = head.spacing_mm.column
    examiner = build_examiner(Config(), find_entry(Config()))
    answer = measuring.measure_file(picture, examiner, 16, head.spacing_mm)
    row = predict_one(Annotated("003_HC", "003", picture, annotation, millimetres, 180.0), examiner)
    assert answer["status"] == row.status == "measured"
    assert answer["hc_mm"] == row.hc_forced_mm
    assert (answer["hc_low_mm"], answer["hc_high_mm"]) == (row.hc_low_mm, row.hc_high_mm)
    assert answer["quality"] == round(row.quality, 4)
    assert row.found is not None
    assert answer["ellipse"]["semi_major_px"] == round(row.found.semi_major_mm / millimetres, 3)
    assert answer["model_sha256"] == find_entry(Config()).sha256
