"""metrics.py against scikit-learn, and where scikit-learn has no such figure, against the definition."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics as theirs

from genrelab.core.errors import ModelError
from genrelab.evaluation import metrics as ours

GENRES = ("blues", "jazz", "metal", "pop", "rock")


def answers(n: int = 200, *, seed: int = 0, absent: int | None = None) -> tuple[ours.Ints, ours.Floats]:
    """Truth and probabilities that know something of it."""
    rng = np.random.default_rng(seed)
    truth = rng.choice([g for g in range(5) if g != absent], n)
    p = rng.dirichlet(np.ones(5), n) + 0.35 * np.eye(5)[truth]
    return truth, p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("absent", [None, 2])
def test_scores_agree_with_scikit_learn(absent: int | None) -> None:
    truth, p = answers(absent=absent)
    guess, present = p.argmax(axis=1), np.unique(truth)
    score = ours.score(truth, p, GENRES)
    expected = {
        "accuracy": theirs.accuracy_score(truth, guess),
        "balanced_accuracy": theirs.recall_score(truth, guess, labels=present, average="macro"),
        "macro_f1": theirs.f1_score(truth, guess, labels=present, average="macro"),
        "top3": theirs.top_k_accuracy_score(truth, p, k=3, labels=range(5)),
        "log_loss": theirs.log_loss(truth, p, labels=range(5)),
        "brier": theirs.brier_score_loss(truth, p, labels=range(5), scale_by_half=False),
    }
    assert {name: score[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    np.testing.assert_array_equal(score["confusion"], theirs.confusion_matrix(truth, guess, labels=range(5)))


def test_per_genre_scores_agree_with_scikit_learn_and_omit_absent_genres() -> None:
    truth, p = answers(absent=2)
    score = ours.score(truth, p, GENRES)
    report = theirs.classification_report(
        truth, p.argmax(axis=1), labels=range(5), target_names=GENRES, output_dict=True, zero_division=0
    )
    for genre in set(GENRES) - {"metal"}:
        row = score["per_genre"][genre]
        assert (row["precision"], row["recall"], row["f1"], row["n"]) == pytest.approx(
            [report[genre][k] for k in ("precision", "recall", "f1-score", "support")]
        )
    assert score["per_genre"]["metal"] == {"precision": None, "recall": None, "f1": None, "n": 0}
    assert score["not_measured"] == ["metal"]
    assert score["macro_over"] == ["blues", "jazz", "pop", "rock"]


def test_a_genre_that_is_never_predicted_scores_zero() -> None:
    p = np.tile([0.6, 0.1, 0.1, 0.1, 0.1], (4, 1))
    row = ours.score(np.array([0, 0, 1, 1]), p, GENRES)["per_genre"]["jazz"]
    assert row == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "n": 2}


def test_scores_are_plain_json() -> None:
    truth, p = answers(20)
    score = ours.score(truth, p.astype(np.float32), GENRES, ["a"] * 10 + [None] * 10)
    assert json.loads(json.dumps(score)) == score


def test_first_of_equal_probabilities_counts_in_accuracy_and_top_k() -> None:
    truth, p = np.array([0, 1, 3, 4]), np.full((4, 5), 0.2)
    assert ours.score(truth, p, GENRES)["accuracy"] == 0.25 == ours.top_k(truth, p, k=1)
    assert ours.top_k(truth, p, k=3) == 0.5
    assert ours.top_k(truth, p, k=9) == 1.0


def test_log_loss_of_a_certain_mistake_is_finite() -> None:
    assert ours.log_loss(np.array([0]), np.array([[0.0, 1.0]])) == pytest.approx(-np.log(1e-15))


def test_ece_by_its_definition() -> None:
    # Two bins in use: confidence 0.9 and right half of the time, confidence 0.6 and always right.
    p = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 2)
    truth = np.array([0, 0, 1, 1, 0, 0])
    assert ours.ece(truth, p) == pytest.approx((4 * 0.4 + 2 * 0.4) / 6)
    assert ours.ece(np.array([0]), np.array([[1.0, 0.0]])) == 0.0


def test_ece_does_not_cancel_between_bins() -> None:
    p = np.array([[0.95, 0.05]] * 10 + [[0.55, 0.45]] * 10)
    truth = np.array([0] * 5 + [1] * 5 + [0] * 10)
    assert ours.ece(truth, p) == pytest.approx(0.45)


def test_reliability_by_its_definition() -> None:
    p = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 2)
    low, high = ours.reliability(np.array([0, 0, 1, 1, 0, 0]), p, bins=10)
    assert (low["low"], low["high"], low["n"]) == (0.5, 0.6, 2)
    assert (low["confidence"], low["accuracy"]) == pytest.approx((0.6, 1.0))
    assert (high["n"], high["confidence"], high["accuracy"]) == (4, pytest.approx(0.9), 0.5)


def test_ece_is_the_gap_of_the_reliability_bins() -> None:
    truth, p = answers(500)
    score = ours.score(truth, p, GENRES)
    assert sum(b["n"] for b in score["reliability"]) == 500
    gaps = [b["n"] * abs(b["accuracy"] - b["confidence"]) for b in score["reliability"]]
    assert score["ece"] == pytest.approx(sum(gaps) / 500)


def test_genres_confused_with_each_other_are_ordered_side_by_side() -> None:
    counts = 50 * np.eye(5, dtype=np.int64)
    for a, b in ((0, 4), (1, 3)):
        counts[a, b] = counts[b, a] = 30
    counts[4, 2] = counts[2, 4] = 5
    assert ours.similarity_order(counts) == [0, 4, 2, 1, 3] or ours.similarity_order(counts) == [1, 3, 0, 4, 2]
    assert ours.similarity_order(counts) == ours.similarity_order(3 * counts)


def test_genres_without_rows_come_last_in_any_order() -> None:
    counts = np.array([[5, 0, 4, 0], [0, 0, 0, 0], [4, 0, 5, 0], [0, 1, 0, 9]])
    assert ours.similarity_order(counts)[-1] == 1
    assert sorted(ours.similarity_order(counts)) == [0, 1, 2, 3]
    assert ours.similarity_order(np.array([[2, 0], [0, 0]])) == [0, 1]


def test_accuracy_of_some_rows_keeps_their_artists() -> None:
    truth, p = answers(60)
    artists = [f"artist {i // 3}" for i in range(60)]
    where = np.arange(60) < 30
    found = ours.accuracy_of(truth, p, artists, where=where)
    whole = ours.score(truth[:30], p[:30], GENRES, artists[:30])
    assert found == {name: whole[name] for name in ("n", "accuracy", "accuracy_low", "accuracy_high")}
    assert ours.accuracy_of(truth, p, where=np.zeros(60, bool)) is None


def test_segments_are_scored_by_window_and_grouped_by_artist() -> None:
    track = np.repeat(np.arange(20), 5)
    truth, p = answers(100)
    segments = ours.segment_scores(truth, p, track, [f"artist {i // 2}" for i in range(20)])
    assert segments == ours.accuracy_of(truth, p, [f"artist {i // 10}" for i in range(100)])
    alone = ours.segment_scores(truth, p, track)
    assert alone == ours.accuracy_of(truth, p, [f"track {i // 5}" for i in range(100)])
    assert ours.segment_scores(truth, p, np.arange(100)) is None
    assert ours.segment_scores(truth, p, track, where=np.arange(100) % 5 == 0) is None


def test_score_states_what_the_interval_is_over() -> None:
    truth, p = answers(20)
    over = {
        name: ours.score(truth, p, GENRES, groups)["interval_over"]
        for name, groups in {
            "none": None, "unknown": [None] * 20, "one": ["a"] * 20, "two": ["a", "b"] * 10,
        }.items()
    }  # fmt: skip
    assert over == {"none": "tracks", "unknown": "tracks", "one": "tracks", "two": "artists"}


def test_majority_takes_its_genre_from_training() -> None:
    assert ours.majority(np.array([1, 1, 0, 2]), np.array([0, 0, 0, 1])) == (0.25, 1)
    assert ours.chance(8) == 0.125


@pytest.mark.parametrize(
    ("truth", "p", "words"),
    [
        ([0], [[0.5, np.nan, 0.5, 0, 0]], "invalid probabilities for 1 of 1 row$"),
        ([0], [[1.5, -0.5, 0, 0, 0]], "invalid probabilities"),
        ([0], [[0.5, 0.2, 0, 0, 0]], "do not add up to 1"),
        ([0], [[0.5, 0.5]], "cannot score 1 row of 5 genres"),
        ([], np.zeros((0, 5)), "cannot score 0 rows"),
    ],
)
def test_invalid_probabilities_are_refused(truth: list[int], p: object, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        ours.score(np.array(truth, dtype=np.int64), np.array(p), GENRES)
