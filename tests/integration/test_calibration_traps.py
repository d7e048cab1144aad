"""What scanners write about their scale, as files before `measure`: the right millimetres, or a refusal by name.

One head of known size is drawn at two scales; every file shows it, and only the header differs.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileDataset

from dicom_node.config import Config
from dicom_node.measuring import measure_paths
from inference.domain import EllipseMm, PixelSpacingMm
from inference.measure import circumference_mm
from inference.phantom import render
from sr_templates.capture import build_overlay
from tests.phantoms import TEST_FAMILIES
from tests.reports import picture, report
from tests.ultrasound import M_MODE, SECONDS, save, us_image, us_multiframe, us_region

ROWS, COLUMNS = 400, 500
FINE, COARSE = 0.32, 0.40
TALL = 0.40
LEFT, RIGHT = (0, 0, COLUMNS - 1, ROWS - 1), (COLUMNS, 0, 2 * COLUMNS - 1, ROWS - 1)
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
HEAD = (40.0, 31.0)
HC_MM = circumference_mm(EllipseMm(0.0, 0.0, *HEAD, 0.0))

ONE_THREAD = Config.model_validate({"inference": {"threads": 1}})

Pixels = NDArray[np.uint8]


@cache
def shown(mm: float, size: float = 1.0, row_mm: float | None = None) -> Pixels:
    """The head in the middle of a picture of `mm` per pixel, uint8 [rows, columns]; `size` makes it another head."""
    row_mm = row_mm or mm
    head = EllipseMm(COLUMNS * mm / 2, ROWS * row_mm / 2, HEAD[0] * size, HEAD[1] * size, 10.0)
    return render(TEST_FAMILIES[0], 2, head, PixelSpacingMm(row_mm, mm), (ROWS, COLUMNS)).luminance


def scale(box: tuple[int, int, int, int], mm: float, **changes: Any) -> Dataset:
    return us_region(box, (mm / 10.0, mm / 10.0), **changes)


def still(*regions: Dataset, **attributes: Any) -> FileDataset:
    return us_image(shown(FINE), regions or None, **attributes)


def side_by_side(left: Pixels, right: Pixels, *regions: Dataset, **attributes: Any) -> FileDataset:
    return us_image(np.concatenate([left, right], axis=1), regions, **attributes)


def in_seconds(box: tuple[int, int, int, int], **changes: Any) -> Dataset:
    return us_region(box, (0.005, 0.032), units=(SECONDS, 3), **changes)


FULL = scale(LEFT, FINE)
BELOW_THE_HEAD, OVER_THE_HEAD = (0, 370, COLUMNS - 1, ROWS - 1), (0, 250, COLUMNS - 1, ROWS - 1)
SCANNED = {"SOPClassUID": CAPTURE, "Modality": "OT", "ConversionType": "DF"}

MEASURED: dict[str, Callable[[], FileDataset]] = {
    "region": lambda: still(FULL),
    "minus": lambda: still(us_region(LEFT, (FINE / 10, -FINE / 10))),
    "minus both": lambda: still(us_region(LEFT, (-FINE / 10, -FINE / 10))),
    "exclusive bound": lambda: still(scale((0, 0, COLUMNS, ROWS), FINE)),
    "unusable first": lambda: still(scale(LEFT, 0.0), FULL),
    "whole screen first": lambda: still(scale(LEFT, 0.0), scale((10, 10, COLUMNS - 10, ROWS - 1), FINE)),
    "no box first": lambda: still(scale((0, 0, 0, 0), COARSE), FULL),
    "m-mode first, below": lambda: still(in_seconds(BELOW_THE_HEAD, spatial_format=M_MODE), FULL),
    "mislabelled below": lambda: still(in_seconds(BELOW_THE_HEAD), FULL),
    "low priority under it": lambda: still(scale(OVER_THE_HEAD, COARSE, low_priority=True), FULL),
    "colour box inside": lambda: still(scale((200, 150, 300, 250), FINE, data_type=2), FULL),
    "colour box inside, rounded": lambda: still(scale((200, 150, 300, 250), FINE * 1.006, data_type=2), FULL),
    "colour bar with the same scale": lambda: still(scale((0, 250, 40, 399), FINE, data_type=0xE), FULL),
    "undeclared, below": lambda: still(scale(BELOW_THE_HEAD, COARSE, data_type=0), FULL),
    "graphics without centimetres": lambda: still(
        us_region(LEFT, (0.04, 0.04), spatial_format=5, data_type=0xD, units=(0, 0)), FULL
    ),
    "two pixels beyond": lambda: still(scale((0, 0, COLUMNS + 1, ROWS + 1), FINE)),
    "two halves of one picture": lambda: still(scale((0, 0, 400, 399), FINE), scale((100, 0, 499, 399), FINE)),
    "tall pixels": lambda: us_image(shown(FINE, row_mm=TALL), [us_region(LEFT, (FINE / 10, TALL / 10))]),
    "tall pixels, and a ratio that says so": lambda: us_image(
        shown(FINE, row_mm=TALL), [us_region(LEFT, (FINE / 10, TALL / 10))], PixelAspectRatio=[5, 4]
    ),
    "tall pixels, and a ratio written blindly": lambda: us_image(
        shown(FINE, row_mm=TALL), [us_region(LEFT, (FINE / 10, TALL / 10))], PixelAspectRatio=[1, 1]
    ),
    "rounded to two digits": lambda: still(scale(LEFT, 0.3239), PixelSpacing=["0.32", "0.32"]),
    "both agree": lambda: still(FULL, PixelSpacing=[FINE * 1.015, FINE]),
    "pixel spacing": lambda: still(PixelSpacing=[FINE, FINE]),
    "typed": lambda: still(
        PixelSpacing=[FINE, FINE],
        PixelSpacingCalibrationType="FIDUCIAL",
        PixelSpacingCalibrationDescription="depth marks",
    ),
    "dual": lambda: side_by_side(shown(FINE), shown(COARSE), FULL, scale(RIGHT, COARSE)),
    "dual, other order": lambda: side_by_side(shown(FINE), shown(COARSE), scale(RIGHT, COARSE), FULL),
    "dual, one conflict": lambda: side_by_side(
        shown(FINE), shown(COARSE), FULL, scale(RIGHT, COARSE), PixelSpacing=[COARSE, COARSE]
    ),
    "scanned": lambda: still(NominalScannedPixelSpacing=[FINE, FINE], **SCANNED),
    "capture with region": lambda: still(FULL, **SCANNED),
}

REFUSED: dict[str, tuple[Callable[[], FileDataset], str]] = {
    "in seconds": (lambda: still(in_seconds(LEFT)), "not_calibrated"),
    "mixed units": (lambda: still(us_region(LEFT, (0.032, 0.032), units=(3, 4))), "not_calibrated"),
    "m-mode only": (lambda: still(in_seconds(LEFT, spatial_format=M_MODE)), "no_two_dimensional_region"),
    "m-mode over it": (lambda: still(FULL, in_seconds(OVER_THE_HEAD, spatial_format=M_MODE)), "overlapping_region"),
    "undeclared over it": (lambda: still(FULL, scale(OVER_THE_HEAD, COARSE, data_type=0)), "overlapping_region"),
    "no format over it": (lambda: still(FULL, scale(OVER_THE_HEAD, COARSE, spatial_format=0)), "overlapping_region"),
    "undeclared beside it": (
        lambda: still(scale((0, 0, 249, 399), FINE), scale((250, 0, 499, 399), COARSE, data_type=0xC)),
        "crosses_regions",
    ),
    "tall pixels in a square region": (
        lambda: us_image(shown(FINE, row_mm=TALL), [FULL], PixelAspectRatio=[5, 4]),
        "calibration_conflict",
    ),
    "tall pixels in a square spacing": (
        lambda: us_image(shown(FINE, row_mm=TALL), PixelSpacing=[FINE, FINE], PixelAspectRatio=[5, 4]),
        "calibration_conflict",
    ),
    "placeholder": (lambda: still(PixelSpacing=[1, 1]), "not_calibrated"),
    "scanned placeholder": (lambda: still(NominalScannedPixelSpacing=[1, 1], **SCANNED), "not_calibrated"),
    "mislabelled over it": (lambda: still(in_seconds(OVER_THE_HEAD), FULL), "overlapping_region"),
    "another scale over it": (lambda: still(FULL, scale(OVER_THE_HEAD, COARSE)), "overlapping_region"),
    "beyond the image": (lambda: still(scale((0, 0, 600, 399), FINE)), "calibration_conflict"),
    "halved": (
        lambda: us_image(shown(2 * FINE), [scale((0, 0, 999, 799), FINE)], PixelSpacing=[FINE, FINE]),
        "calibration_conflict",
    ),
    "reversed": (lambda: still(scale((499, 399, 0, 0), FINE)), "calibration_conflict"),
    "no box": (lambda: still(scale((0, 0, 0, 0), FINE)), "not_calibrated"),
    "disagree": (lambda: still(FULL, PixelSpacing=[FINE * 1.03, FINE]), "calibration_conflict"),
    "too coarse": (lambda: still(scale(LEFT, 3.2)), "implausible_spacing"),
    "detector": (lambda: still(ImagerPixelSpacing=[FINE, FINE]), "not_calibrated"),
    "detector twice": (lambda: still(ImagerPixelSpacing=[FINE, FINE], PixelSpacing=[FINE, FINE]), "not_calibrated"),
    "scanned, no capture": (lambda: still(NominalScannedPixelSpacing=[FINE, FINE]), "not_calibrated"),
    "screenshot": (lambda: still(**SCANNED), "not_calibrated"),
    "no scale": (still, "not_calibrated"),
    "tall, no scale": (lambda: us_image(shown(FINE, row_mm=TALL), PixelAspectRatio=[5, 4]), "not_calibrated"),
    "across two scales": (
        lambda: still(scale((0, 0, 249, 399), FINE), scale((250, 0, 499, 399), COARSE)),
        "crosses_regions",
    ),
    "across two of one scale": (
        lambda: still(scale((0, 0, 249, 399), FINE), scale((250, 0, 499, 399), FINE)),
        "head_cut_by_border",
    ),
    "two heads": (
        lambda: side_by_side(shown(FINE), shown(FINE, size=0.8), FULL, scale(RIGHT, FINE)),
        "regions_disagree",
    ),
    "one wrong scale": (
        lambda: us_multiframe(
            np.stack([np.concatenate([shown(FINE), shown(COARSE)], axis=1)] * 2), [FULL, scale(RIGHT, FINE)]
        ),
        "regions_disagree",
    ),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Name of the case -> answer of `measure`; one walk over one folder."""
    folder = tmp_path_factory.mktemp("traps")
    made = {**MEASURED, **{name: build for name, (build, _) in REFUSED.items()}}
    made["another modality"] = lambda: still(NominalScannedPixelSpacing=[FINE, FINE], **{**SCANNED, "Modality": "MR"})
    for name, build in made.items():
        save(build(), folder / f"{name}.dcm")
    return {Path(str(a["file"])).stem: a for a in measure_paths([folder], ONE_THREAD, None)}


@pytest.mark.parametrize("name", MEASURED)
def test_the_right_millimetres(name: str, answers: dict[str, dict[str, Any]]) -> None:
    answer = answers[name]
    assert (answer["status"], answer["reason"]) == ("measured", None)
    assert answer["hc_mm"] == pytest.approx(HC_MM, rel=0.02)
    assert answer["pixel_spacing_mm"] is not None


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_by_name_and_no_number(name: str, answers: dict[str, dict[str, Any]]) -> None:
    answer = answers[name]
    assert (answer["status"], answer["reason"]) == ("abstained", REFUSED[name][1])
    assert [answer[key] for key in ("hc_mm", "ga_days", "bpd_mm", "ofd_mm")] == [None] * 4


def test_what_names_the_same_scale_gives_the_same_number(answers: dict[str, dict[str, Any]]) -> None:
    same = [
        *("colour box inside, rounded", "colour bar with the same scale", "undeclared, below", "two pixels beyond"),
        *("region", "minus", "minus both", "exclusive bound", "unusable first", "no box first", "m-mode first, below"),
        *("mislabelled below", "low priority under it", "colour box inside", "two halves of one picture"),
        *("both agree", "pixel spacing", "typed", "scanned", "capture with region"),
    ]
    assert {answers[name]["hc_mm"] for name in same} == {answers["region"]["hc_mm"]}


def test_the_source_of_the_scale_is_named(answers: dict[str, dict[str, Any]]) -> None:
    sources = {name: (answers[name]["calibration_source"], answers[name]["calibration_detail"]) for name in MEASURED}
    assert sources["region"] == ("ultrasound_region", None)
    assert sources["pixel spacing"] == ("pixel_spacing", None)
    assert sources["typed"] == ("pixel_spacing", "FIDUCIAL: depth marks")
    assert sources["scanned"] == ("nominal_scanned_pixel_spacing", None)
    assert "scale_is_that_of_the_scanned_medium" in answers["scanned"]["warnings"]
    assert sources["capture with region"] == ("ultrasound_region", None)
    captures = {name for name in MEASURED if "secondary_capture" in answers[name]["warnings"]}
    assert captures == {"scanned", "capture with region"}


def test_both_values_are_said_where_two_disagree(answers: dict[str, dict[str, Any]]) -> None:
    text = answers["disagree"]["reason_text"]
    assert "0.32 x 0.32 mm" in text
    assert "0.3296 x 0.32 mm" in text


@pytest.mark.parametrize("name", ["dual", "dual, other order"])
def test_the_two_images_of_a_dual_screen_are_measured_apart(name: str, answers: dict[str, dict[str, Any]]) -> None:
    left, right = answers[name]["measurements"]
    assert (left["region"], right["region"]) == (list(LEFT), list(RIGHT))
    assert (left["pixel_spacing_mm"], right["pixel_spacing_mm"]) == ([FINE, FINE], [COARSE, COARSE])
    assert left["hc_mm"] == answers["region"]["hc_mm"]
    assert answers[name]["hc_mm"] in (left["hc_mm"], right["hc_mm"])


def test_on_a_dual_screen_the_one_that_pixel_spacing_contradicts_is_left_out(
    answers: dict[str, dict[str, Any]],
) -> None:
    left, right = answers["dual, one conflict"]["measurements"]
    assert (left["reason"], right["reason"]) == ("calibration_conflict", None)
    assert answers["dual, one conflict"]["region"] == list(RIGHT)


@pytest.mark.parametrize("name", ["two heads", "one wrong scale"])
def test_regions_that_disagree_are_both_shown_and_none_speaks(name: str, answers: dict[str, dict[str, Any]]) -> None:
    answer = answers[name]
    assert {m["status"] for m in answer["measurements"]} == {"measured"}
    assert len({tuple(m["region"]) for m in answer["measurements"]}) == 2
    assert (answer["ellipse"], answer["region"]) == (None, None)
    for measured in answer["measurements"][:2]:
        assert f"{measured['hc_mm']:.1f}" in answer["reason_text"]


@pytest.mark.parametrize("name", ["no scale", "screenshot", "tall, no scale", "no box"])
def test_without_a_scale_shape_and_fit_are_told(name: str, answers: dict[str, dict[str, Any]]) -> None:
    answer = answers[name]
    with_scale = answers["tall pixels" if name == "tall, no scale" else "region"]
    assert answer["cephalic_index_percent"] == pytest.approx(with_scale["cephalic_index_percent"], abs=0.1)
    assert answer["quality"] == pytest.approx(with_scale["quality"], abs=1e-3)
    assert answer["ellipse"] is not None
    assert answer["calibration_source"] == "none"


@pytest.mark.parametrize("name", ["beyond the image", "reversed", "disagree", "too coarse", "in seconds"])
def test_where_the_header_contradicts_itself_not_even_the_shape_is_told(
    name: str, answers: dict[str, dict[str, Any]]
) -> None:
    assert answers[name]["cephalic_index_percent"] is None
    assert answers[name]["ellipse"] is not None


def test_a_capture_of_another_modality_is_not_looked_at(answers: dict[str, dict[str, Any]]) -> None:
    answer = answers["another modality"]
    assert (answer["status"], answer["reason"]) == ("refused", "unsupported_sop_class")


@pytest.mark.peer("img2dcm")
@pytest.mark.parametrize(
    ("attribute", "source"),
    [("0018,2010", "nominal_scanned_pixel_spacing"), ("0028,0030", "pixel_spacing"), ("0018,1164", "none")],
)
def test_a_capture_that_dcmtk_made_of_a_picture(attribute: str, source: str, tmp_path: Path) -> None:
    Image.fromarray(shown(FINE)).save(tmp_path / "screen.bmp")
    file = tmp_path / "capture.dcm"
    key = f"{attribute}={FINE}\\{FINE}"
    command = ["img2dcm", "-i", "BMP", "-k", key, str(tmp_path / "screen.bmp"), str(file)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    (answer,) = measure_paths([file], ONE_THREAD, None)
    assert answer["calibration_source"] == source
    assert (answer["hc_mm"] is None) == (source == "none")
    assert answer["cephalic_index_percent"] is not None


@pytest.mark.parametrize("uid", [None, "1.2.3.4"])
def test_our_own_overlay_is_never_measured_whatever_uid_an_archive_gave_it(uid: str | None, tmp_path: Path) -> None:
    overlay = build_overlay(report(), picture())
    overlay.PixelSpacing = [FINE, FINE]
    overlay.SOPInstanceUID = overlay.file_meta.MediaStorageSOPInstanceUID = uid or overlay.SOPInstanceUID
    (answer,) = measure_paths([save(overlay, tmp_path / "overlay.dcm")], ONE_THREAD, None)
    assert (answer["status"], answer["reason"]) == ("refused", "own_result")
