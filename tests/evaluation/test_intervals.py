"""intervals.py against SciPy where rows are independent, and against collections whose true accuracy is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from genrelab.evaluation.intervals import (
    difference_interval,
    group_index,
    independent_difference_interval,
    share_interval,
)
from tests.support.artists import draw_correct, draw_groups

DRAWS = 1_000


@pytest.mark.parametrize(("hits", "n"), [(1, 8), (24, 60), (160, 400), (799, 800)])
def test_interval_without_artists_is_wilsons(hits: int, n: int) -> None:
    expected = binomtest(hits, n).proportion_ci(method="wilson")
    assert share_interval(np.arange(n) < hits) == pytest.approx((expected.low, expected.high), abs=1e-12)
    singles = [f"artist {i}" for i in range(n)]
    assert share_interval(np.arange(n) < hits, singles) == share_interval(np.arange(n) < hits)


def test_artists_whose_tracks_all_agree_count_as_single_rows() -> None:
    artists = [f"artist {i // 10}" for i in range(400)]
    low, high = share_interval(np.repeat(np.arange(40) % 2 == 0, 10), artists)
    single = binomtest(20, 40).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((single.low, single.high), abs=0.01)


def test_artists_without_effect_leave_the_interval_unchanged() -> None:
    alternating = np.arange(400) % 2 == 0  # each artist is right half of the time: less alike than by chance
    assert share_interval(alternating, [f"artist {i // 10}" for i in range(400)]) == share_interval(alternating)


def test_one_large_artist_widens_the_interval() -> None:
    correct = np.repeat(np.arange(40) % 2 == 0, 5)
    even = [f"artist {i // 5}" for i in range(200)]
    uneven = ["large" if i < 60 else name for i, name in enumerate(even)]
    widths = [high - low for low, high in (share_interval(correct, groups) for groups in (even, uneven))]
    assert widths[1] > 1.2 * widths[0]


def test_eight_of_eight_is_not_certainty() -> None:
    low, high = share_interval(np.ones(8, dtype=bool))
    assert (low, high) == (pytest.approx(0.6306, abs=1e-4), 1.0)  # Clopper-Pearson for 8 of 8
    assert share_interval(np.zeros(8, dtype=bool)) == (0.0, pytest.approx(1 - 0.6306, abs=1e-4))
    pairs = [f"artist {i // 2}" for i in range(8)]
    assert share_interval(np.ones(8, dtype=bool), pairs)[0] == pytest.approx(0.025**0.25)


@pytest.mark.parametrize("n_artists", [2, 3, 5])
def test_very_few_artists_give_a_very_wide_interval(n_artists: int) -> None:
    artists = [f"artist {i % n_artists}" for i in range(60)]
    low, high = share_interval(np.array([a == "artist 0" for a in artists]), artists)
    assert 0 <= low < 0.1
    assert high > 0.6


def test_one_artist_alone_is_counted_by_rows() -> None:
    correct = np.arange(20) % 2 == 0
    assert share_interval(correct, ["only"] * 20) == share_interval(correct)
    assert difference_interval(correct, ~correct, ["only"] * 20) == difference_interval(correct, ~correct)


def test_rows_of_unknown_artist_are_groups_by_themselves() -> None:
    assert group_index(["a", None, "a", None, "b"], 5).tolist() == [0, 1, 0, 2, 3]
    assert group_index(None, 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("like", "n_artists", "alike"),
    [("gtzan", 30, 0.2), ("gtzan", 60, 0.4), ("gtzan", 200, 0.3), ("fma", 30, 0.3), ("fma", 200, 0.3)],
)
@pytest.mark.parametrize("accuracy", [0.4, 0.8])
def test_interval_covers_the_truth_95_percent_of_the_time(
    like: str, n_artists: int, alike: float, accuracy: float
) -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(DRAWS // 10):
        groups = draw_groups(rng, n_artists, like)
        found = [share_interval(draw_correct(rng, groups, accuracy, alike), groups) for _ in range(10)]
        held += sum(low <= accuracy <= high for low, high in found)
    assert 0.93 <= held / DRAWS <= 0.97


@pytest.mark.parametrize("accuracy", [0.4, 0.8, 0.93])
@pytest.mark.parametrize("n", [60, 200, 800])
def test_interval_without_artists_covers_the_truth_95_percent_of_the_time(n: int, accuracy: float) -> None:
    right = np.random.default_rng(6).binomial(n, accuracy, DRAWS)
    found = {int(k): share_interval(np.arange(n) < k) for k in np.unique(right)}
    assert 0.93 <= np.mean([found[k][0] <= accuracy <= found[k][1] for k in right]) <= 0.97


@pytest.mark.parametrize(("like", "n_artists"), [("gtzan", 30), ("gtzan", 120), ("fma", 200)])
def test_difference_interval_covers_the_truth_95_percent_of_the_time(like: str, n_artists: int) -> None:
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(DRAWS // 10):
        groups = draw_groups(rng, n_artists, like)
        pairs = [[draw_correct(rng, groups, accuracy, 0.3) for accuracy in (0.55, 0.45)] for _ in range(10)]
        found = [difference_interval(a, b, groups) for a, b in pairs]
        held += sum(low <= 0.1 <= high for low, high in found)
    assert 0.93 <= held / DRAWS <= 0.97


def test_difference_interval_of_identical_answers_is_not_empty() -> None:
    same = np.arange(50) % 2 == 0
    low, high = difference_interval(same, same)
    assert low == -high
    assert 0.03 < high < 0.12
    for n_artists in (6, 12, 25, 50):  # whose tracks may all be alike
        by = difference_interval(same, same, [f"artist {i % n_artists}" for i in range(50)])
        assert by[1] == -by[0] and 0.03 < by[1] < 3 / n_artists, "the rule of three"


@pytest.mark.parametrize(
    ("right", "n", "other_right", "other_n", "low", "high"),
    [(56, 70, 48, 80, 0.0524, 0.3339), (9, 10, 3, 10, 0.1705, 0.8090), (10, 10, 0, 10, 0.6075, 1.0)],
)
def test_interval_of_independent_sets_is_that_of_newcombe_1998(
    right: int, n: int, other_right: int, other_n: int, low: float, high: float
) -> None:
    """Table II of the paper, method 10; its intervals of single shares are Wilson's, also where all are right."""

    def wilson(k: int, of: int) -> tuple[float, float, float]:
        z2 = 1.959963984540054**2
        middle, half = k / of + z2 / of / 2, np.sqrt(z2 / of * (k / of) * (1 - k / of) + (z2 / of) ** 2 / 4)
        return k / of, (middle - half) / (1 + z2 / of), (middle + half) / (1 + z2 / of)

    found = independent_difference_interval(wilson(right, n), wilson(other_right, other_n))
    assert found == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_interval_of_independent_sets_uses_the_intervals_over_artists() -> None:
    groups = [f"artist {i // 8}" for i in range(80)]
    a, b = np.arange(80) < 56, np.arange(80) < 40  # whole artists are right or wrong
    single = [(0.7, *share_interval(a)), (0.5, *share_interval(b))]
    grouped = [(0.7, *share_interval(a, groups)), (0.5, *share_interval(b, groups))]
    assert independent_difference_interval(*single)[0] > 0 > independent_difference_interval(*grouped)[0]
