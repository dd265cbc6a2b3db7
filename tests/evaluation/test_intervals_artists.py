from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from genrelab.evaluation.intervals import mean_interval


def test_without_groups_it_is_students_interval() -> None:
    values = np.random.default_rng(0).normal(size=30)
    low, high = mean_interval(values)
    expected = stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
    assert (low, high) == pytest.approx(expected)
    wider = mean_interval(values, level=0.99)
    assert wider[0] < low and wider[1] > high


def test_tracks_that_are_alike_count_as_one() -> None:
    values = np.random.default_rng(1).normal(size=20)
    groups = [f"a{i}" for i in np.repeat(np.arange(20), 5)]
    assert mean_interval(np.repeat(values, 5), groups) == pytest.approx(mean_interval(values))


def test_interval_has_its_nominal_coverage() -> None:
    rng, held = np.random.default_rng(2), 0
    groups = [f"a{i // 4}" for i in range(60)]
    for _ in range(1_000):
        values = rng.normal(size=15).repeat(4) + rng.normal(size=60)
        low, high = mean_interval(values, groups)
        held += low <= 0 <= high
    assert 930 <= held <= 970


def test_coverage_holds_if_few_artists_have_most_tracks() -> None:
    rng, held = np.random.default_rng(3), 0
    for _ in range(1_000):
        index = np.repeat(np.arange(6), np.maximum(1, rng.geometric(1 / 8, 6)))
        values = rng.normal(size=6)[index] + rng.normal(size=len(index))
        low, high = mean_interval(values, [f"a{i}" for i in index])
        held += low <= 0 <= high
    assert 900 <= held <= 970  # of six artists; with their number less one for degrees of freedom it is 865


def test_interval_is_wide_without_variation_or_data() -> None:
    assert mean_interval(np.zeros(12)) == (-0.25, 0.25)
    assert mean_interval(np.array([1.0])) == (-math.inf, math.inf)
