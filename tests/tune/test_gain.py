from __future__ import annotations

import numpy as np
import pytest

from genrelab.tune.gain import accuracy_interval, estimate_gain, sentences


def trials(p: list[float], *, n: int = 400, seed: int = 0) -> np.ndarray:
    """Answers (trials, n) that are right with these probabilities, independent of each other."""
    return np.random.default_rng(seed).random((len(p), n)) < np.array(p)[:, None]


def test_scores_keep_artists_whole() -> None:
    right = np.repeat([True, False, True, True, False, False, True, False], 20)
    artists = [str(i // 20) for i in range(160)]
    alone, whole = accuracy_interval(right, None), accuracy_interval(right, artists)
    assert alone["value"] == whole["value"] == 0.5
    assert whole["low"] < alone["low"] < 0.5 < alone["high"] < whole["high"]


def test_gain_from_choosing_among_equal_trials_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty equally good trials: the best one gains by choosing alone. Of 150 searches 2.7 % count as better than the
    defaults; by the interval of the difference alone it would be 25 %."""
    monkeypatch.setattr("genrelab.tune.gain.DRAWS", 200)
    left, taken, by_interval = [], 0, 0
    for seed in range(40):
        rights = trials([0.5] * 30, n=200, seed=seed)
        best = int(rights.mean(axis=1).argmax())
        found = estimate_gain(rights, best, None, seed=0)
        left.append(rights[best].mean() - found["optimism"] - 0.5)
        taken += found["beyond_noise"]
        by_interval += found["low"] > 0
    assert taken <= 3 and by_interval >= 6
    assert abs(np.mean(left)) < 0.015


def test_real_gain_is_beyond_noise() -> None:
    rights = trials([0.4, 0.42, 0.6])
    found = estimate_gain(rights, 2, None, seed=0)
    assert found["beyond_noise"] and found["optimism"] < 0.01
    assert found["low"] < found["difference"] < found["high"]
    assert found["difference"] == pytest.approx(rights[2].mean() - rights[0].mean())
    assert estimate_gain(rights, 2, None, seed=0) == found


def test_gain_on_only_two_artists_is_not_beyond_noise() -> None:
    """All that is better is better on two of eight artists."""
    rights = np.zeros((2, 160), bool)
    rights[:, ::2] = True
    rights[1, :40] = True
    artists = [str(i // 20) for i in range(160)]
    assert estimate_gain(rights, 1, None, seed=0)["beyond_noise"]
    assert not estimate_gain(rights, 1, artists, seed=0)["beyond_noise"]
    one = estimate_gain(rights, 1, ["a"] * 160, seed=0)  # one artist alone says nothing of others: tracks are counted
    assert one["beyond_noise"]


def test_sentences_describe_the_result() -> None:
    share = {"value": 0.5, "low": 0.4, "high": 0.6}
    about = {"score": "accuracy over 5 folds", "default": share, "best": {"number": 3, **share, "value": 0.55}}
    gain = {"difference": 0.05, "low": -0.01, "high": 0.11, "optimism": 0.02, "optimism_of_difference": 0.03}
    counts = {"complete": 8, "pruned": 2, "failed": 0}
    lines = sentences("svm", about, {**gain, "beyond_noise": False}, counts)
    assert "10 trials (8 complete, 2 pruned)" in lines[0]
    assert "55.0 %" in lines[1] and "a difference of +5.0 points [−1.0, +11.0]" in lines[1]
    assert "is about 2.0 points too high by chance" in lines[2] and "expect an accuracy of about 53.0 %" in lines[2]
    assert lines[3] == "svm: the best trial is not significantly better than the defaults"
    assert "is significantly better" in sentences("svm", about, {**gain, "beyond_noise": True}, counts)[3]
    assert "no trial is better" in sentences("svm", about, None, {"complete": 1})[1]
