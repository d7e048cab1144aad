"""The table of ideas is computed from two files of rows."""

import csv
from pathlib import Path

import pytest

from inference.training.ablations import ABLATIONS, AblationError, Idea, compared, main, read_ablations, read_answers
from inference.training.evaluate import write_rows
from tests.unit.inference.training.rows import rows

IDEA = Idea("harsh", "stronger shadow", "0", "no")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """The idea errs by 1 mm more than the baseline on every image but the first."""
    write_rows(rows([2.0] * 50), tmp_path / "old.csv")
    write_rows(rows([2.0, *[3.0] * 49]), tmp_path / "new.csv")
    return tmp_path / "new.csv", tmp_path / "old.csv"


def test_differences_are_paired_and_have_an_interval(files: tuple[Path, Path]) -> None:
    line = compared(IDEA, *map(read_answers, files))
    assert (line.n, line.mae_mm, line.bias_mm, line.dice_percent) == (50, "2.980", "+2.98", "98.00")
    assert line.difference_mm == "+0.980"
    assert 0.8 < float(line.difference_low_mm) < 0.98 <= float(line.difference_high_mm) <= 1.0


def test_answers_of_the_first_screenings_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "answers-0.csv").write_text("image,exam,hc_true_mm,hc_mm,dice\n000_HC,000,100.0,103.0,0.97\n")
    (one,) = read_answers(tmp_path / "answers-0.csv")
    assert (one.image, one.error_mm, one.dice) == ("000_HC", pytest.approx(3.0), 0.97)


def test_other_images_are_not_compared(files: tuple[Path, Path]) -> None:
    new, old = map(read_answers, files)
    with pytest.raises(AblationError, match="same images"):
        compared(IDEA, new[1:], old)


def test_another_kind_of_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "folds.csv").write_text("image,exam,fold\n000_HC,000,0\n")
    with pytest.raises(AblationError, match=r"folds\.csv"):
        read_answers(tmp_path / "folds.csv")


def test_a_line_is_added_once(files: tuple[Path, Path], tmp_path: Path) -> None:
    new, old = map(str, files)
    main(["--idea", "base", "--what", "as it is", "--folds", "0", "--new", old, "--out", str(tmp_path)])
    for kept in ("no", "yes"):
        main(["--idea", "harsh", "--what", "shadow", "--folds", "0", "--new", new, "--old", old, "--kept", kept,
              "--out", str(tmp_path)])  # fmt: skip
    base, harsh = read_ablations(tmp_path / ABLATIONS)
    assert (base.idea, base.difference_mm) == ("base", "")
    assert (harsh.idea, harsh.kept, harsh.difference_mm) == ("harsh", "yes", "+0.980")
    with (tmp_path / ABLATIONS).open(newline="") as file:
        assert len(list(csv.reader(file))) == 3
