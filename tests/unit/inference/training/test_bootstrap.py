"""Resamples kept as counts give the figures of the images themselves, drawn as often as that."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from inference.training import bootstrap

VALUES = arrays(np.float64, 12, elements=st.integers(-20, 20).map(float))
COUNTS = arrays(np.float64, (1, 12), elements=st.integers(0, 3).map(float)).filter(lambda c: c.sum() > 2)


def repeated(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.repeat(values, counts[0].astype(int))


@settings(deadline=None)
@given(VALUES, COUNTS, st.sampled_from([0.0, 0.25, 0.5, 0.95, 1.0]))
def test_mean_and_quantile_are_those_of_the_drawn_images(values: np.ndarray, counts: np.ndarray, share: float) -> None:
    drawn = repeated(values, counts)
    assert bootstrap.mean(values, counts)[0] == pytest.approx(drawn.mean())
    assert bootstrap.quantile(values, counts, share)[0] == pytest.approx(np.quantile(drawn, share))


@settings(deadline=None)
@given(VALUES, VALUES, COUNTS)
def test_rank_correlation_is_spearmans(one: np.ndarray, other: np.ndarray, counts: np.ndarray) -> None:
    first, second = repeated(one, counts), repeated(other, counts)
    found = bootstrap.rank_correlation(one, other, counts)[0]
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(first, second).statistic, abs=1e-9)


def test_explained_share_is_one_without_errors_and_zero_for_the_mean() -> None:
    truth = np.array([1.0, 2.0, 3.0, 6.0])
    once = np.ones((1, 4))
    assert bootstrap.explained(truth, np.zeros(4), once)[0] == 1.0
    assert bootstrap.explained(truth, truth.mean() - truth, once)[0] == pytest.approx(0.0)


def test_images_of_one_exam_are_drawn_together() -> None:
    counts = bootstrap.draw(["a", "b", "a", "c"])
    assert counts.shape == (bootstrap.ROUNDS, 4)
    assert (counts[:, 0] == counts[:, 2]).all()
    assert (counts[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert set(counts[:, 1]) >= {0.0, 1.0, 2.0}


def test_a_figure_that_does_not_exist_has_no_interval() -> None:
    same = np.full(4, 2.0)
    counts = bootstrap.draw(list("abcd"))
    assert bootstrap.with_interval(lambda c: bootstrap.rank_correlation(same, same, c), counts) is None
    assert bootstrap.with_interval(lambda c: bootstrap.mean(same, c), counts) == [2.0, 2.0, 2.0]
