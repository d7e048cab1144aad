"""`synth-cine`: a clip that the node reads as it reads a scanner's, and its truth beside it."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dicom_node.cli import cli
from dicom_node.decode import read_instance
from dicom_node.demo.cine import CineFile, cine_phantom, write_cine
from inference.domain import PixelSpacingMm
from inference.synthetic_cine import CineError, Still, Sweep, synthesise
from inference.training.stills import still_of_phantom


def phantom_still(seed: int, hc_mm: float) -> Still:
    return still_of_phantom(cine_phantom(seed, hc_mm))


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["synth-cine", *map(str, arguments)], catch_exceptions=False)
    return result.exit_code, result.output


def test_the_clip_and_its_truth_say_the_same(tmp_path: Path) -> None:
    out = tmp_path / "clip.dcm"
    status, told = run("--out", out, "--frames", 4, "--hc", 200, "--seed", 3, "--degraded", 0.5, "--json")
    assert status == 0
    (row,) = json.loads(told)
    truth = json.loads(Path(row["truth"]).read_text())
    assert truth["reference_hc_mm"] == row["reference_hc_mm"] == pytest.approx(200.0, abs=0.01)
    assert [frame["frame"] for frame in truth["frames"]] == [1, 2, 3, 4]
    assert sum(frame["condition"] != "clear" for frame in truth["frames"]) == 2
    decoded = read_instance(out)
    assert (decoded.frame_count, decoded.frame_times_ms) == (4, (0.0, 50.0, 100.0, 150.0))
    (region,) = decoded.calibration.regions
    still = phantom_still(3, 200.0)
    assert region.spacing_mm is not None
    assert region.spacing_mm.row == pytest.approx(still.spacing.row)
    drawn = [frame.luminance for frame in synthesise(still, Sweep(frames=4, degraded=0.5), 3)]
    for frame, luminance in zip(decoded.frames((1, 2, 3, 4)), drawn, strict=True):
        assert np.array_equal(frame.luminance, luminance)


def test_jpeg_frames_are_the_same_pictures_nearly(tmp_path: Path) -> None:
    assert run("--out", tmp_path / "clip.dcm", "--frames", 2, "--jpeg")[0] == 0
    decoded = read_instance(tmp_path / "clip.dcm")
    drawn = [frame.luminance for frame in synthesise(phantom_still(1, 224.0), Sweep(frames=2), 1)]
    for frame, luminance in zip(decoded.frames((1, 2)), drawn, strict=True):
        assert np.abs(frame.luminance.astype(int) - luminance).mean() < 3.0


@pytest.mark.parametrize("wrong", [("--only", "rain"), ("--degraded", "2"), ("--hc", "500")])
def test_bad_arguments_are_told(tmp_path: Path, wrong: tuple[str, str]) -> None:
    assert run("--out", tmp_path / "clip.dcm", *wrong)[0] == 2


def test_a_picture_without_a_head_starts_no_sweep() -> None:
    from dicom_node.demo.phantoms import demo_phantom

    with pytest.raises(CineError, match="needs a head"):
        still_of_phantom(demo_phantom(1, (64, 96), PixelSpacingMm(0.5, 0.5), None))


def test_a_cine_without_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        write_cine([], CineFile(PixelSpacingMm(0.2, 0.2), 50.0, jpeg=False), tmp_path / "none.dcm")


def test_a_page_without_rows_is_refused_by_name(tmp_path: Path) -> None:
    arguments = ["evaluate-cine", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 1
    assert "still.csv is missing" in result.stderr


def test_training_from_what_is_no_run_is_refused_by_name(tmp_path: Path) -> None:
    arguments = ["train-cine", "--data", tmp_path, "--still", tmp_path, "--out", tmp_path / "out"]
    result = CliRunner().invoke(cli, [*map(str, arguments)])
    assert result.exit_code == 1
    assert "no run of `train`" in result.stderr
    assert not (tmp_path / "out").exists()
