"""What is shown of a picture that was tried out, by the shipped network on made-up heads."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom import dcmread

from dicom_node.config import Config, NarrativeSection
from dicom_node.errors import ModelRefused, Refused
from dicom_node.examiner import find_entry
from dicom_node.measuring import measure_paths
from dicom_node.trial.asked import Asked, Settings, TrialAsked
from dicom_node.trial.looking import Looker, at_level
from dicom_node.trial.sweep import FRAMES, NoSweep
from inference.measure import inside_distance_px
from tests.phantoms import head_phantom
from tests.ultrasound import save, us_phantom

HEAD = head_phantom(3)


@pytest.fixture(scope="module")
def looker() -> Looker:
    return Looker(Config())


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "head.png"
    cv2.imwrite(str(path), HEAD.luminance)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def spacing() -> dict[str, float]:
    return {"row_mm": HEAD.spacing_mm.row, "column_mm": HEAD.spacing_mm.column}


def test_measuring_says_what_the_command_line_says(looker: Looker, picture: Path) -> None:
    (said,) = measure_paths([picture], Config(), HEAD.spacing_mm)
    answer = looker.measure(Asked(file=picture, name="head.png", **spacing()))
    assert {**answer, "seconds": 0, "file": ""} == {**said, "seconds": 0, "file": ""}
    assert answer["file"] == "head.png"


def test_a_picture_becomes_pages_and_objects_that_refer_to_it(looker: Looker, picture: Path, out: Path) -> None:
    truth = picture.with_name("truth.png")
    assert HEAD.ellipse_px is not None
    cv2.imwrite(str(truth), (inside_distance_px(HEAD.ellipse_px, *HEAD.luminance.shape) > 0).astype(np.uint8) * 255)
    told = looker.try_out(TrialAsked(file=picture, out=out, truth=truth, **spacing()))
    (look,) = told["looks"]
    assert look["answer"]["status"] == "measured"
    assert look["truth"]["dice"] > 0.95
    assert look["truth"]["hc_mm"] == pytest.approx(HEAD.hc_mm, abs=0.5)
    assert look["truth"]["difference_mm"] == pytest.approx(look["answer"]["hc_mm"] - look["truth"]["hc_mm"], abs=0.06)
    assert {*look["files"]} == {
        *("frame-1.png", "attention.png", "deviation.png", "truth.png"),
        *("report.pdf", "report.sr.dcm", "report.ob-gyn.sr.dcm"),
    }
    assert (out / "0" / "report.pdf").read_bytes().startswith(b"%PDF")
    source, report = dcmread(out / "source.dcm"), dcmread(out / "0" / "report.sr.dcm")
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert evidence.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID


def test_two_levels_stand_side_by_side_and_only_one_has_an_interval(looker: Looker, tmp_path: Path, out: Path) -> None:
    file = save(us_phantom(1), tmp_path / "a.dcm")
    told = looker.try_out(TrialAsked(file=file, out=out, looks=(Settings(), Settings(level=0.4))))
    usual, other = (look["answer"] for look in told["looks"])
    assert usual["hc_low_mm"] is not None
    assert other["hc_low_mm"] is None
    assert "interval_not_calibrated" in other["warnings"]
    assert other["hc_mm"] != usual["hc_mm"]


def test_an_example_without_a_head_is_shown_with_its_reason(looker: Looker, out: Path) -> None:
    (look,) = looker.try_out(TrialAsked(file=out / "none", out=out, example=5))["looks"]
    assert look["answer"]["reason"] == "no_head_found"
    assert look["files"] == ["frame-1.png", "report.sr.dcm"]


def test_a_still_becomes_a_cine_whose_frames_agree_on_its_head(looker: Looker, picture: Path, out: Path) -> None:
    truth = picture.with_name("truth.png")
    cv2.imwrite(str(truth), np.full(HEAD.luminance.shape, 255, np.uint8))
    told = looker.try_out(TrialAsked(file=picture, out=out, sweep=0.25, truth=truth, **spacing()))
    (look,) = told["looks"]
    assert told["frame_count"] == FRAMES
    assert look["answer"]["cine"]["hc_mm"] == pytest.approx(HEAD.hc_mm, rel=0.05)
    assert len(look["answer"]["cine"]["weights"]) == FRAMES
    assert "its frames are moved" in look["truth"]["reason"]
    source = dcmread(out / "source.dcm")
    assert (source.NumberOfFrames, str(source.PatientName)) == (FRAMES, "Phantom^Anna")


@pytest.mark.parametrize("file", ["cine", "no scale"])
def test_no_sweep_is_made_of_a_cine_or_without_a_scale(looker: Looker, picture: Path, out: Path, file: str) -> None:
    given = {"example": 4} if file == "cine" else {}
    with pytest.raises(NoSweep):
        looker.try_out(TrialAsked(file=picture, out=out, sweep=0.0, **given))


def test_the_language_model_that_is_configured_is_asked_and_its_failure_told(picture: Path, out: Path) -> None:
    nobody = NarrativeSection(mode="llm", model="some-model", key_file=out / "no-key")
    looker = Looker(Config(narrative=nobody))
    (look,) = looker.try_out(TrialAsked(file=picture, out=out, worded=True, **spacing()))["looks"]
    assert look["author"] is None
    assert "report.pdf" in look["files"]


def test_a_mask_of_another_size_is_told(looker: Looker, picture: Path, out: Path) -> None:
    truth = picture.with_name("small.png")
    cv2.imwrite(str(truth), np.full((10, 10), 255, np.uint8))
    (look,) = looker.try_out(TrialAsked(file=picture, out=out, truth=truth, **spacing()))["looks"]
    assert "10 x 10" in look["truth"]["reason"]


def test_what_cannot_be_looked_at_is_an_answer(looker: Looker, tmp_path: Path, out: Path) -> None:
    file = tmp_path / "a.dcm"
    file.write_bytes(b"no image at all" * 100)
    (look,) = looker.try_out(TrialAsked(file=file, out=out))["looks"]
    assert look["answer"]["reason"] == "not_dicom"


def test_refusals_have_names(looker: Looker, picture: Path) -> None:
    with pytest.raises(ModelRefused, match="no model"):
        looker.measure(Asked(file=picture, settings=Settings(model="nothing")))
    with pytest.raises(Refused, match="neither"):
        looker.measure(Asked(file=picture, row_mm=0.2))


def test_the_models_own_level_keeps_its_interval() -> None:
    entry = find_entry(Config())
    assert at_level(entry, entry.probability) is entry
    assert at_level(entry, 0.31).interval is None
