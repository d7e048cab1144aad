"""What two networks get wrong alike, from two files of rows."""

from pathlib import Path

import pytest

from inference.training.ablations import AblationError, Answer
from inference.training.agreement import AGREEMENT, Pair, agreement, main, read_agreements
from inference.training.evaluate import write_rows
from tests.unit.inference.training.rows import rows

PAIR = Pair("first", "second", "0")


def answers(errors: list[float]) -> list[Answer]:
    return [Answer(f"{k:03}_HC", f"{k:03}", 100.0, 100.0 + error, 0.98) for k, error in enumerate(errors)]


def test_errors_that_are_alike_go_together() -> None:
    one = [1.0, -2.0, 3.0, -1.0, 0.5] * 8
    line = agreement(PAIR, answers(one), answers([error + 1.0 for error in one]))
    assert (line.n, line.correlation, line.apart_mm) == (40, "1.000", "1.000")
    assert (line.mae_one_mm, line.mae_other_mm, line.mae_mean_mm) == ("1.500", "1.700", "1.600")


def test_errors_that_have_nothing_to_do_with_each_other_do_not() -> None:
    line = agreement(PAIR, answers([1.0, 1.0, -1.0, -1.0] * 25), answers([1.0, -1.0] * 50))
    assert line.correlation == "0.000"
    assert float(line.correlation_low) < -0.1 < 0.1 < float(line.correlation_high)
    assert (line.mae_one_mm, line.mae_mean_mm) == ("1.000", "0.500")


def test_other_images_are_not_compared() -> None:
    with pytest.raises(AblationError, match="same images"):
        agreement(PAIR, answers([1.0, 2.0]), answers([1.0, 2.0, 3.0]))


def test_a_line_stands_once_in_the_table(tmp_path: Path) -> None:
    write_rows(rows([1.0, 2.0, 4.0] * 10), tmp_path / "one.csv")
    write_rows(rows([1.0, 3.0, 4.0] * 10), tmp_path / "other.csv")
    files = ["--one", str(tmp_path / "one.csv"), "--other", str(tmp_path / "other.csv"), "--out", str(tmp_path)]
    for name in ("first", "second", "second"):
        main(["--one-name", name, "--other-name", "third", "--folds", "0", *files])
    found = read_agreements(tmp_path / AGREEMENT)
    assert [(line.one, line.other, line.n) for line in found] == [("first", "third", 30), ("second", "third", 30)]
