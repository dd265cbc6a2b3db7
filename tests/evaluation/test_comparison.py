"""comparison.py against enumeration, SciPy's McNemar, and models whose true difference is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from genrelab.core.errors import ModelError
from genrelab.evaluation.comparison import _sign_flip_p, common_tracks, compare, compare_all, holm, join_all, winner
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


def test_winner_is_named_only_if_significantly_better() -> None:
    names = {"svm": "svm (tuned)", "mobilenet_v2": "mobilenet_v2", "knn": "knn", "majority": "majority"}
    told = [{"a": "svm", "b": b, "separable": b == "other"} for b in ("mobilenet_v2", "knn")]
    assert winner(told, names) == {
        "folder": None,
        "sentence": "svm (tuned) is first; mobilenet_v2 and knn cannot be told apart from it",
    }
    clear = winner([{**p, "separable": True} for p in told], names)
    assert clear == {
        "folder": "svm",
        "sentence": "svm (tuned) is first, and better than all 2 others by more than chance",
    }
    one = winner([{"a": "svm", "b": "knn", "separable": True}], {"svm": "svm", "knn": "knn"})
    assert one["sentence"] == "svm is first, and better than the other model by more than chance"
    assert winner([], {"svm": "svm", "majority": "majority"}) == {"folder": None, "sentence": "svm is the only model"}
    assert winner([], {"majority": "majority"}) == {"folder": None, "sentence": "no model listens"}


def test_models_of_equal_accuracy_have_no_winner() -> None:
    a, b = np.arange(20) % 2 == 0, np.arange(20) % 2 == 1
    names = {"svm": "svm", "knn": "knn (tuned)", "mlp": "mlp", "majority": "majority"}
    tie = winner(compare_all({"svm": a, "knn": b, "majority": a}), names)
    assert tie["folder"] is None and tie["sentence"].startswith("svm and knn (tuned) lead with the same accuracy")
    three = winner(compare_all({"svm": a, "knn": b, "mlp": b & (np.arange(20) > 2)}), names)
    assert three["sentence"] == "svm and knn (tuned) lead with the same accuracy; mlp cannot be told apart from them"
    two = winner(compare_all({"svm": a, "knn": b}), {"svm": "svm", "knn": "knn"})
    assert two == {"folder": None, "sentence": "svm and knn lead with the same accuracy"}
    same = winner(compare_all({"svm": a, "knn": a}), {"svm": "svm", "knn": "knn"})["sentence"]
    assert same == "svm and knn lead with the same accuracy, right and wrong on the same of all 20 tracks"


def test_common_keeps_the_tracks_that_all_answered() -> None:
    tracks, correct = common_tracks({"a": {"x": True, "y": False, "z": True}, "b": {"z": False, "x": True}})
    assert tracks == ["x", "z"]
    assert {m: c.tolist() for m, c in correct.items()} == {"a": [True, True], "b": [True, False]}


@pytest.mark.parametrize(("n", "m"), [(0, 0), (3, 4)])
def test_answers_to_different_numbers_of_tracks_are_refused(n: int, m: int) -> None:
    with pytest.raises(ModelError, match=f"answers to {n} tracks with answers to {m}"):
        compare(np.ones(n, bool), np.ones(m, bool))


def test_names_are_joined_with_commas_and_and() -> None:
    assert [join_all(list(names)) for names in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]
