"""Sums of powers and logarithms."""

import math

import pytest

from inference.formula import FractionalPolynomial, Term


def test_every_term_counts() -> None:
    f = FractionalPolynomial((Term(2.0), Term(3.0, 1), Term(0.5, 2, 1), Term(-1.0, 0, 2)))
    assert f(4.0) == pytest.approx(2.0 + 12.0 + 8.0 * math.log(4.0) - math.log(4.0) ** 2)


def test_without_logarithm_there_is_nothing_below_zero_either() -> None:
    with pytest.raises(ValueError, match="math domain"):
        FractionalPolynomial((Term(1.0),))(0.0)
