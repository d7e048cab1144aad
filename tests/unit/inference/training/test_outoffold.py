"""Each image is answered by the run that never saw its exam, and by no other."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference.examine import Examiner
from inference.look import Look
from inference.quality import Mask
from inference.training import outoffold
from inference.training.challenge import Annotated
from inference.training.evaluate import Row, predict_one, read_rows
from inference.training.export import GATE, Shipment
from inference.training.folds import FOLDS, fold_of
from inference.training.outoffold import RunError, calibrated_crosswise, check_rows, predict_folds, read_runs
from inference.uncertainty import NO_EVIDENCE
from tests.unit.inference.test_segment import BrightIsHead
from tests.unit.inference.training.rows import rows
from tests.unit.inference.training.test_export import challenge_folder
from tests.unit.inference.training.test_gating import rows as doubting_rows

EXAMS = ("000", "002", "003", "004", "005", "006", "007", "008")
PLAIN = Shipment(name="tiny", slope_power=0.0, look=Look())
GREY = {"mean": 0.18, "standard_deviation": 0.2}


def write_run(runs: Path, fold: int, **other: Any) -> Path:
    """A finished run whose weights are never read: the network stands in."""
    grid = {"rows": 64, "columns": 96}
    recipe = {"coarse_grid": grid, "grid": {"rows": 128, "columns": 192}, "normalisation": GREY, "coarse_epochs": 1,
              "fine_epochs": 1, "held_out_fold": fold, "seed": 18 + fold, **other}  # fmt: skip
    run = runs / f"fold{fold}"
    run.mkdir(parents=True)
    (run / "recipe.json").write_text(json.dumps(recipe))
    (run / "average.pt").write_bytes(bytes([fold]))
    (run / "history.jsonl").write_text('{"epoch": 0, "loss": 1.0}\n')
    return run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for fold in range(FOLDS):
        write_run(tmp_path / "runs", fold)
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return challenge_folder(tmp_path_factory.mktemp("hc18"), list(EXAMS))


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outoffold, "network_of", lambda _: BrightIsHead())


def test_each_image_is_answered_by_the_run_of_its_fold(data: Path, runs: Path, tmp_path: Path) -> None:
    read = read_runs(runs)
    path = tmp_path / "folds" / "tiny.csv"
    made = predict_folds(data, read, PLAIN, path)
    assert [row.exam for row in made] == list(EXAMS)
    hashes = {run.fold: run.sha256 for run in read}
    assert len(set(hashes.values())) == FOLDS
    assert [(row.fold, row.weights_sha256) for row in made] == [(fold_of(e), hashes[fold_of(e)]) for e in EXAMS]
    assert all(abs(row.error_mm) < 1.5 for row in made)
    told = json.loads((tmp_path / "folds" / "tiny-runs.json").read_text())
    check_rows(read_rows(path), path.name, told)
    assert told["grid"] == {"rows": 128, "columns": 192}
    assert next((run["fold"], run["history"]) for run in told["runs"]) == (0, [{"epoch": 0, "loss": 1.0}])
    assert not list(path.parent.glob("*.part"))


def test_what_was_done_before_an_interruption_is_kept(
    data: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def interrupted(image: Annotated, examiner: Examiner) -> Row:
        if len(asked) == 5:
            raise KeyboardInterrupt
        asked.append(image.name)
        return predict_one(image, examiner)

    monkeypatch.setattr(outoffold, "SAVE_EVERY", 2)
    monkeypatch.setattr(outoffold, "predict_one", interrupted)
    path = tmp_path / "tiny.csv"
    with pytest.raises(KeyboardInterrupt):
        predict_folds(data, read_runs(runs), PLAIN, path)
    assert not path.exists()
    first, asked = asked, []
    monkeypatch.setattr(outoffold, "predict_one", lambda image, by: asked.append(image.name) or predict_one(image, by))
    predict_folds(data, read_runs(runs), PLAIN, path)
    assert set(first[:4]) & set(asked) == set()
    resumed = path.read_text()
    predict_folds(data, read_runs(runs), PLAIN, path)
    assert path.read_text() == resumed


def test_other_limits_take_up_nothing(data: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outoffold, "SAVE_EVERY", 1)
    asked: list[str] = []

    def interrupted(image: Annotated, examiner: Examiner) -> Row:
        asked.append(image.name)
        if len(asked) % 4 == 0:
            raise KeyboardInterrupt
        return predict_one(image, examiner)

    monkeypatch.setattr(outoffold, "predict_one", interrupted)
    for shipment in (PLAIN, replace(PLAIN, level=0.4)):
        with pytest.raises(KeyboardInterrupt):
            predict_folds(data, read_runs(runs), shipment, tmp_path / "tiny.csv")
    assert asked[:4] == asked[4:]


def test_a_missing_fold_is_named(runs: Path) -> None:
    (runs / "fold3" / "average.pt").unlink()
    with pytest.raises(RunError, match=r"fold3/average\.pt is missing"):
        read_runs(runs)
    assert [run.fold for run in read_runs(runs, (0, 4))] == [0, 4]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"held_out_fold": 1}, "fold2 holds out fold 1, so it has seen fold 2"),
        ({"held_out_fold": None}, "fold2 holds out fold None"),
        ({"pseudo_labels": "pseudo.csv"}, "fold2: recipe: pseudo_labels is not known"),
        ({"teachers": ["gone/average.pt"]}, "fold2: gone/average.pt is not the average.pt of a finished run"),
        ({"held_out_fold": None, "every_exam": True}, "fold2 holds out fold None"),
        ({"coarse_epochs": 9}, "fold2 was made by another recipe than fold0: coarse_epochs"),
    ],
)
def test_a_run_that_may_have_seen_the_fold_is_refused(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    for fold in range(FOLDS):
        write_run(tmp_path, fold, **(changed if fold == 2 else {}))
    with pytest.raises(RunError, match=said):
        read_runs(tmp_path)


def test_an_interval_is_set_on_other_folds_only() -> None:
    """Exams of fold 0 err by 9 mm: their own intervals do not know it, those of the other folds do."""
    some = [replace(r, hc_forced_mm=r.hc_true_mm + (9.0 if r.fold == 0 else 1.0)) for r in rows([0.0] * 400)]
    told = calibrated_crosswise(some, GATE)
    width = {fold: [w for r in told if r.fold == fold and (w := r.width_mm) is not None] for fold in range(FOLDS)}
    assert max(width[0]) < 9.0
    assert all(min(width[fold]) > 16.0 for fold in range(1, FOLDS))


def test_a_fold_has_no_say_in_which_rows_its_interval_is_set_on() -> None:
    """Hesitation in exams of fold 0 widens the limits of all others, so that worse rows of theirs are measured."""
    given = [
        replace(
            r,
            hc_true_mm=150.0 + k % 90,
            hc_forced_mm=150.0 + k % 90 + r.error_mm,
            evidence=NO_EVIDENCE,
            mask=Mask(hesitation=k * 37 % 400 / 1000),
        )
        for k, r in enumerate(doubting_rows())
    ]
    poor = [replace(r, mask=Mask(hesitation=0.5)) if k % 10 == 5 else r for k, r in enumerate(given)]
    before, after = (calibrated_crosswise(some, GATE) for some in (given, poor))
    assert {r.fold for r in given[::5]} == {0}
    assert all(r.width_mm is not None for r in before[::10] if r.status == "measured")
    assert before[::10] == after[::10]
    assert [r.status for r in before if r.fold] != [r.status for r in after if r.fold]


def test_too_few_rows_get_no_interval() -> None:
    assert [r.width_mm for r in calibrated_crosswise(rows([1.0] * 20), GATE)] == [None] * 20


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rs: [*rs, rs[0]],
        lambda rs: [replace(rs[0], fold=(rs[0].fold + 1) % FOLDS)],
        lambda rs: [replace(rs[0], exam=rs[1].exam, fold=rs[1].fold)],
        lambda rs: [replace(rs[0], weights_sha256="cd" * 32)],
    ],
)
def test_rows_that_no_run_of_their_fold_made_are_refused(spoil: Any) -> None:
    some: Sequence[Row] = rows([1.0] * 5)
    runs = {"runs": [{"fold": fold, "weights_sha256": "ab" * 32} for fold in range(FOLDS)]}
    check_rows(some, "tiny.csv", runs)
    with pytest.raises(RunError, match=r"tiny\.csv"):
        check_rows(spoil(some), "tiny.csv", runs)
