"""The folds' file says what the hash says, keeps exams together, and is never quietly changed."""

import hashlib
from pathlib import Path

import pytest

from inference.training.challenge import Annotated
from inference.training.folds import FOLDS, FOLDS_CSV, FoldsError, divide, fold_of, read_folds, write_folds

FILE_SHA256 = "dd43ae76c4cc911705a6d544472682bb853a4db5368054397aab7e6510783a24"


def image(name: str) -> Annotated:
    return Annotated(name, name.split("_", maxsplit=1)[0], Path(name), Path(name), 0.1, 170.0)


def test_the_file_of_folds_is_the_one_that_figures_were_made_with() -> None:
    assert hashlib.sha256(FOLDS_CSV.read_bytes()).hexdigest() == FILE_SHA256


def test_the_images_of_an_exam_stand_in_one_fold() -> None:
    folds = read_folds()
    assert len(folds) == 900
    by_exam: dict[str, set[int]] = {}
    for name, fold in folds.items():
        by_exam.setdefault(name.split("_")[0], set()).add(fold)
    assert all(len(found) == 1 for found in by_exam.values())
    assert set.union(*by_exam.values()) == set(range(FOLDS))


def test_every_image_is_held_out_once() -> None:
    images = [image(name) for name in read_folds()]
    held: list[str] = []
    for fold in range(FOLDS):
        inside, outside = divide(images, fold)
        assert not {i.exam for i in inside} & {i.exam for i in outside}
        assert len(inside) + len(outside) == len(images)
        held.extend(i.name for i in outside)
    assert sorted(held) == sorted(read_folds())


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "folds.csv"
    write_folds([image("010_HC"), image("010_2HC")], path)
    assert read_folds(path) == {"010_HC": fold_of("010"), "010_2HC": fold_of("010")}
    path.write_text(path.read_text().replace(f",{fold_of('010')}\n", f",{(fold_of('010') + 1) % FOLDS}\n", 1))
    with pytest.raises(FoldsError, match="010_HC stands in fold"):
        read_folds(path)


def test_an_unknown_image_or_fold_is_refused() -> None:
    with pytest.raises(FoldsError, match="not in folds"):
        divide([image("99999_HC")], 0)
    with pytest.raises(FoldsError, match="no fold 5"):
        divide([], FOLDS)
