"""comparison.py against enumeration, SciPy's McNemar, and models whose true difference is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from genrelab.core.errors import ModelError
from genrelab.evaluation.comparison import _sign_flip_p, common_tracks, compare, compare_all, holm
from tests.support.artists import draw_correct, draw_groups


def test_p_value_without_artists_equals_mcnemars() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(80) < 0.6, rng.random(80) < 0.5
    pair = compare(a, b)
    assert pair["p_value"] == pytest.approx(pair["mcnemar_p"])
    assert pair["mcnemar_p"] == binomtest(pair["only_a"], pair["only_a"] + pair["only_b"]).pvalue
    assert pair["difference"] == pytest.approx((pair["only_a"] - pair["only_b"]) / 80)
    assert pair["low"] < pair["difference"] < pair["high"]


def test_p_value_counts_all_sign_flips() -> None:
    rng = np.random.default_rng(1)
    groups = [f"artist {i}" for i in rng.integers(0, 9, 60)]
    a, b = rng.random(60) < 0.7, rng.random(60) < 0.5
    won = [sum(int(x) - int(y) for x, y, g in zip(a, b, groups, strict=True) if g == name) for name in set(groups)]
    sums = [sum(s * w for s, w in zip(signs, won, strict=True)) for signs in itertools.product((-1, 1), repeat=9)]
    expected = np.mean([abs(s) >= abs(sum(won)) for s in sums])
    assert compare(a, b, groups)["p_value"] == pytest.approx(expected)


def test_p_value_with_many_artists_is_nearly_normal() -> None:
    rng = np.random.default_rng(0)
    won = rng.integers(-3, 4, 30_000)
    far = (abs(int(won.sum())) - 1) / np.sqrt((won**2).sum())
    assert _sign_flip_p(won) == pytest.approx(2 * norm.sf(far), abs=1e-4)


def test_identical_answers_are_not_significantly_different() -> None:
    same = np.arange(30) % 3 == 0
    pair = compare(same, same, [f"artist {i // 2}" for i in range(30)])
    assert (pair["p_value"], pair["mcnemar_p"], pair["difference"]) == (1.0, 1.0, 0.0)


@pytest.mark.parametrize(("like", "n_artists"), [("gtzan", 40), ("fma", 60)])
def test_false_positive_rate_holds_with_correlated_artists(like: str, n_artists: int) -> None:
    rng = np.random.default_rng(2)
    groups = draw_groups(rng, n_artists, like)
    pairs = [compare(*(draw_correct(rng, groups, 0.5, 0.4) for _ in range(2)), groups) for _ in range(600)]
    assert np.mean([p["p_value"] < 0.05 for p in pairs]) < 0.07  # 5 %, and two standard errors of 600 draws
    assert np.mean([p["mcnemar_p"] < 0.05 for p in pairs]) > 0.10  # what counting tracks alone would do


def test_a_true_difference_is_found() -> None:
    rng = np.random.default_rng(3)
    groups = draw_groups(rng, 120, "gtzan")
    pairs = [
        compare(draw_correct(rng, groups, 0.60, 0.2), draw_correct(rng, groups, 0.35, 0.2), groups) for _ in range(100)
    ]
    assert np.mean([p["p_value"] < 0.05 for p in pairs]) > 0.9


def test_every_pair_is_listed_once_with_an_adjusted_p_value() -> None:
    rng = np.random.default_rng(4)
    correct = {
        m: rng.random(300) < share for m, share in {"svm": 0.8, "knn": 0.5, "mlp": 0.48, "majority": 0.1}.items()
    }
    pairs = compare_all(correct)
    assert [(p["a"], p["b"]) for p in pairs] == [("svm", "knn"), ("svm", "mlp"), ("knn", "mlp")]
    assert [p["separable"] for p in pairs] == [True, True, False]
    assert all(p["p_adjusted"] >= p["p_value"] for p in pairs)


def test_holm_by_its_definition() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_common_tracks_are_those_that_every_model_classified() -> None:
    tracks, correct = common_tracks({"a": {"x": True, "y": False, "z": True}, "b": {"z": False, "x": True}})
    assert tracks == ["x", "z"]
    assert {m: c.tolist() for m, c in correct.items()} == {"a": [True, True], "b": [True, False]}


@pytest.mark.parametrize(("n", "m"), [(0, 0), (3, 4)])
def test_predictions_of_different_tracks_are_not_compared(n: int, m: int) -> None:
    with pytest.raises(ModelError, match=f"predictions of {n} and of {m} tracks: use the same tracks"):
        compare(np.ones(n, bool), np.ones(m, bool))
