"""From a finished run to a shipped model and its written evaluation, on a folder small enough to look at."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from inference.architectures.registry import RESIDUAL, build_network
from inference.checkpoint import load_network
from inference.dating import HADLOCK_1984
from inference.domain import EllipsePx, PixelSpacingMm
from inference.examine import Examiner
from inference.look import Look
from inference.measure import circumference_mm, inside_distance_px, outline_px, to_millimetres
from inference.models import find_model
from inference.segment import Segmenter
from inference.training.challenge import TRAINING_CSV, Split, split_of
from inference.training.evaluate import images_of
from inference.training.export import Shipment, calibrated, export
from inference.training.recipe import AVERAGE, Recipe, write_recipe
from inference.training.report import OPENINGS, Place, judge_split, record, renew
from inference.uncertainty import NO_EVIDENCE, Doubts
from tests.unit.inference.test_examine import MODEL
from tests.unit.inference.test_segment import BrightIsHead

PIXEL_MM = 0.25


def exams(split: Split, count: int) -> list[str]:
    return [f"{n:03d}" for n in range(900) if split_of(f"{n:03d}") is split][:count]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return challenge_folder(tmp_path_factory.mktemp("hc18"), exams(Split.VALIDATION, 60))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return challenge_folder(tmp_path_factory.mktemp("few"), exams(Split.VALIDATION, 4) + exams(Split.TEST, 4))


def challenge_folder(folder: Path, chosen: list[str]) -> Path:
    """One bright head of known circumference for each exam."""
    (folder / "training_set").mkdir()
    lines = ["filename,pixel size(mm),head circumference (mm)"]
    for index, exam in enumerate(chosen):
        head = EllipsePx(200, 135, 60 + 0.6 * index, 48 + 0.5 * index, 20)
        picture = (np.clip(0.5 + inside_distance_px(head, 270, 400), 0, 1) * 255).astype(np.uint8)
        outline = np.zeros((270, 400), np.uint8)
        cv2.polylines(outline, [np.round(outline_px(head, 720) * 16).astype(np.int32)], True, 255, 1, cv2.LINE_8, 4)
        cv2.imwrite(str(folder / "training_set" / f"{exam}_HC.png"), picture)
        cv2.imwrite(str(folder / "training_set" / f"{exam}_HC_Annotation.png"), outline)
        hc = circumference_mm(to_millimetres(head, PixelSpacingMm(PIXEL_MM, PIXEL_MM)))
        lines.append(f"{exam}_HC.png,{PIXEL_MM},{hc}")
    (folder / TRAINING_CSV).write_text("\n".join(lines) + "\n")
    return folder


def untrained_run(folder: Path, recipe: Recipe | None = None) -> None:
    recipe = recipe or Recipe()
    torch.manual_seed(3)
    write_recipe(recipe, folder)
    torch.save(build_network(recipe.architecture, recipe.width).state_dict(), folder / AVERAGE)


def test_a_good_network_gets_an_interval_for_each_third(data: Path) -> None:
    entry = calibrated(replace(MODEL, interval=None), BrightIsHead(), images_of(data, Split.VALIDATION))
    assert entry.interval is not None
    assert sum(entry.interval.counts) == 60
    assert all(entry.interval.half_width_mm(Doubts(hc, NO_EVIDENCE, 0.0)) < 2.0 for hc in (60.0, 90.0, 120.0))
    assert entry.figures["validation"]["forced"]["mae_mm"][0] < 1.0
    assert entry.figures["validation"]["interval_coverage"]["share"][0] >= 0.95


def test_with_too_few_exams_there_is_no_interval(data: Path) -> None:
    entry = calibrated(replace(MODEL, interval=None), BrightIsHead(), images_of(data, Split.VALIDATION)[:30])
    assert entry.interval is None
    assert entry.figures["validation"]["interval_coverage"] is None


def test_a_run_becomes_weights_manifest_and_card(few: Path, tmp_path: Path) -> None:
    untrained_run(tmp_path)
    made = export(few, tmp_path, tmp_path / "weights", Shipment(name="tiny"))
    entry = find_model(tmp_path / "weights", "tiny")
    assert entry == made
    assert entry.verified(tmp_path / "weights")
    assert entry.interval is None, "an untrained network measures nothing, so nothing can be promised"
    card = (tmp_path / "weights" / entry.card).read_text()
    assert entry.sha256 in card
    assert "CC BY 4.0" in card
    assert not list((tmp_path / "weights").glob("*.part"))


def test_a_run_that_saw_validation_exams_gets_no_figures_from_them(few: Path, tmp_path: Path) -> None:
    recipe = Recipe(architecture=RESIDUAL, width=0.125, fine_epochs=0, every_exam=True)
    untrained_run(tmp_path, recipe)
    entry = export(few, tmp_path, tmp_path / "weights", Shipment(name="refit"))
    assert (entry.figures, entry.interval) == ({}, None)
    assert (entry.architecture, entry.width, entry.grid) == (RESIDUAL, 0.125, recipe.coarse_grid)
    assert "ImageNet" not in entry.data
    assert "residual-unet at 0.125 of its channels" in (tmp_path / "weights" / entry.card).read_text()
    assert load_network(tmp_path / "weights", find_model(tmp_path / "weights", "refit"))


def test_test_exams_are_opened_on_record(few: Path, tmp_path: Path) -> None:
    untrained_run(tmp_path)
    weights, out = tmp_path / "weights", tmp_path / "evaluation"
    entry = replace(export(few, tmp_path, weights, Shipment(name="tiny")), gate=MODEL.gate)
    judge = Examiner(Segmenter(BrightIsHead(), entry.grid, entry.normalisation, Look()), entry, HADLOCK_1984)
    place = Place(few, out, weights)
    summary = judge_split(place, Split.TEST, judge, entry)
    assert summary["figures"]["forced"]["n"] == 4
    renew(place)
    record(place, "tiny")
    assert find_model(weights, "tiny").figures["test"] == summary["figures"]
    assert "### Test exams" in (weights / entry.card).read_text()
    with (weights / OPENINGS).open(newline="") as file:
        (opening,) = csv.DictReader(file)
    assert (opening["sha256"], opening["images"]) == (entry.sha256, "4")
    assert json.loads((out / "tiny-test.json").read_text()) == summary
    assert (out / "README.md").read_text().count("tiny, test exams") == 1
