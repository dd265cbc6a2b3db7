"""From a threshold on answers are right as often as was asked, in worlds where the truth is known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import beta

from genrelab.evaluation.calibration import Evidence, make_evidence
from genrelab.evaluation.thresholds import LEVEL, NEVER, PRIOR_TRACKS, Threshold, find_thresholds
from tests.support.evidence import GENRES, evidence_from_confidences, softmax, world

N_MODELS = 150


def lowest_share(n: float, k: float, n_others: float = 0, k_others: float = 0) -> float:
    """The share of right predictions that is reached with a probability of `LEVEL`.

    Args:
        n, k: the genre's own predictions, and those that are right.
        n_others, k_others: the same of the other genres, with at least this confidence.
    """
    prior = (k_others + 1) / (n_others + 2)
    return float(beta.ppf(1 - LEVEL, k + PRIOR_TRACKS * prior, n - k + PRIOR_TRACKS * (1 - prior)))


# --- exact cases ---


@pytest.mark.parametrize(
    ("right", "wrong", "by", "share", "expected"),
    [
        ([900] * 5, [], 1, lowest_share(5, 5), Threshold(0.9, 5, 5, 5)),
        ([900] * 8, [900] * 2, 1, lowest_share(10, 8), Threshold(0.9, 10, 8, 10)),
        ([900, 700], [], 1, lowest_share(2, 2), Threshold(0.7, 2, 2, 2)),
        ([900] * 6, [], 3, lowest_share(2, 2), Threshold(0.9, 6, 6, 2)),  # 36 / (9 + 9) = 2
        ([900] * 3, [], 2, lowest_share(1.8, 1.8), Threshold(0.9, 3, 3, 2)),  # 9 / (4 + 1) = 1.8
        ([900] * 3, [900], 2, lowest_share(2, 1.5), Threshold(0.9, 4, 3, 2)),  # 16 / (4 + 4) = 2
        ([900] * 30 + [700], [800], 1, lowest_share(32, 31), Threshold(0.7, 32, 31, 32)),
    ],
)
def test_threshold_needs_the_share_that_the_posterior_supports(
    right: list[int], wrong: list[int], by: int, share: float, expected: Threshold
) -> None:
    found = evidence_from_confidences({"Folk": right}, {"Folk": wrong, "Ska": []}, by=by)
    assert found.thresholds(share - 1e-6)["Folk"] == expected
    assert found.thresholds(share + 1e-6)["Folk"] != expected


def test_other_genres_with_at_least_the_same_confidence_are_the_prior() -> None:
    """Of Folk two of three are right; of the others from 0.8 on 20 of 21, and for Ska, from 0.7 on, 22 of 24."""
    right = {"Folk": [800, 800], "Rock": [850] * 10 + [800] * 10}
    found = evidence_from_confidences(right, {"Folk": [800], "Rock": [800], "Ska": [700] * 10})
    share = lowest_share(3, 2, 21, 20)
    assert found.thresholds(share - 1e-6)["Folk"] == Threshold(0.8, 3, 2, 3)
    assert found.thresholds(share + 1e-6)["Folk"] == NEVER
    share = lowest_share(10, 0, 24, 22)
    assert found.thresholds(share - 1e-6)["Ska"] == Threshold(0.7, 10, 0, 10)
    assert found.thresholds(share + 1e-6)["Ska"] == NEVER


def test_own_predictions_are_not_in_the_prior() -> None:
    """Many right ones count once: the others, none of three right, are a prior as before."""
    for n in (5, 200):
        found = evidence_from_confidences({"Folk": [800] * n}, {"Rock": [900] * 3})
        share = lowest_share(n, n, 3, 0)
        assert found.thresholds(share - 1e-6)["Folk"] == Threshold(0.8, n, n, n)
        assert found.thresholds(share + 1e-6)["Folk"] == NEVER


def test_less_sure_predictions_of_other_genres_are_no_prior() -> None:
    share = lowest_share(5, 5)
    for others in ({}, {"Rock": [799] * 40}):
        found = evidence_from_confidences({"Folk": [800] * 5}, {"Rock": [], **others})
        assert found.thresholds(share - 1e-6)["Folk"] == Threshold(0.8, 5, 5, 5)
        assert found.thresholds(share + 1e-6)["Folk"] == NEVER


def test_artists_of_other_genres_count_as_alike_in_the_prior() -> None:
    alone = ((0, 1, 900), (0, 1, 900)), (0, 1)
    for others, artists, n in (
        ([(1, 1, 900)] * 20, [*range(2, 22)], 20),
        ([(1, 1, 900)] * 20, [2] * 20, 1),  # 20^2 / 20^2
        ([(1, 1, 900)] * 20, [0] * 15 + [2] * 5, 1.6),  # 20^2 / (15^2 + 5^2)
    ):
        answer, right, sure = np.array([*alone[0], *others]).T
        artist = np.array([*alone[1], *artists])
        share = lowest_share(2, 2, n, n)
        for precision, found in ((share - 1e-6, Threshold(0.9, 2, 2, 2)), (share + 1e-6, NEVER)):
            assert find_thresholds("ab", answer, right, sure, artist, precision=precision, scale=1_000)["a"] == found


def test_of_many_confidences_the_lowest_is_taken() -> None:
    right = {"Folk": [900] * 30}
    assert evidence_from_confidences(right, {"Folk": [400] * 10}).thresholds(0.8)["Folk"].confidence == 0.9
    found = evidence_from_confidences({"Folk": [900] * 30 + [500] * 30}, {"Folk": [600] * 5}).thresholds(0.8)["Folk"]
    assert found == Threshold(0.5, 65, 60, 65), "the five between them are outweighed"


def test_equal_confidences_count_together() -> None:
    """Whichever of them comes first."""
    assert lowest_share(10, 10) > 0.65 > lowest_share(15, 10), "else this tests nothing"
    answer, right = np.zeros(15, np.int64), np.array([1] * 10 + [0] * 5)
    for order in (np.arange(15), np.arange(15)[::-1], np.random.default_rng(0).permutation(15)):
        columns = answer, right[order], np.full(15, 900), np.arange(15)
        assert find_thresholds("ab", *columns, precision=0.65, scale=1_000) == {"a": NEVER, "b": NEVER}
        assert find_thresholds("ab", *columns, precision=0.5, scale=1_000)["a"] == Threshold(0.9, 15, 10, 15)


def test_order_of_the_tracks_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    columns = [rng.integers(0, high, 200) for high in (5, 2, 1_001, 60)]
    columns[1] = (rng.random(200) * 1_000 < columns[2]).astype(np.int64)
    expected = find_thresholds(GENRES, *columns, precision=0.9, scale=1_000)
    assert {t.confidence is None for t in expected.values()} == {True, False}, "else this tests little"
    for _ in range(5):
        order = rng.permutation(200)
        shuffled = (column[order] for column in columns)
        assert find_thresholds(GENRES, *shuffled, precision=0.9, scale=1_000) == expected


def test_genre_without_predictions_never_counts() -> None:
    found = evidence_from_confidences({"Blues": [990] * 40}, {"Jazz": []}).thresholds(0.5)
    assert found == {"Blues": Threshold(0.99, 40, 40, 40), "Jazz": NEVER}


def test_genre_that_is_never_right_never_counts() -> None:
    found = evidence_from_confidences({"Folk": [900] * 30}, {"Jazz": [950] * 30}).thresholds(0.5)
    assert found["Jazz"] == NEVER and found["Folk"].confidence == 0.9


def test_one_lucky_answer_supports_nothing() -> None:
    """Neither alone, nor as the surest of many that are wrong."""
    assert evidence_from_confidences({"Folk": [990]}, {"Jazz": []}).thresholds(0.8)["Folk"] == NEVER
    found = evidence_from_confidences({"Folk": [990]}, {"Folk": [900] * 20, "Jazz": [980] * 20})
    assert set(found.thresholds(0.8).values()) == {NEVER}
    by_one_artist = evidence_from_confidences({"Folk": [990] * 50}, {"Jazz": []}, by=50)
    assert by_one_artist.thresholds(0.8)["Folk"] == NEVER, "fifty tracks of one artist are one answer"


def test_genre_of_few_predictions_leans_on_other_genres() -> None:
    """Genres do not share thresholds: each has its own confidence and its own counts."""
    found = evidence_from_confidences({"Blues": [950] * 60, "Folk": [900, 900]}, {"Jazz": [300] * 20}).thresholds(0.9)
    assert found == {"Blues": Threshold(0.95, 60, 60, 60), "Folk": Threshold(0.9, 2, 2, 2), "Jazz": NEVER}


# --- drawn models ---


def drawn_thresholds(
    spread: float, n: int, precision: float, *, by: int = 1, artists_known: bool = True, seed: int = 0
) -> tuple[int, list[tuple[float, float]]]:
    """Number of thresholds that were looked for, and of each that was found: precision, and share of all tracks.

    Both are of 40,000 fresh tracks. The models are three times as sure as they should be, and surer where they are
    more often right.

    Args:
        spread: of the logits: how often it is right.
        n: calibration tracks of one model.
        by: tracks of an artist, all alike.
        artists_known: else each track counts as an artist.
    """
    rng = np.random.default_rng(seed)
    logits, truth = world(40_000, rng, spread=spread)
    p = softmax(3 * logits)
    answer, is_right = p.argmax(axis=1), p.argmax(axis=1) == truth
    sure = np.floor(p.max(axis=1) * 1_000 + 1e-9) / 1_000
    looked_for, found = 0, []
    for _ in range(N_MODELS):
        drawn = np.repeat(rng.choice(len(p), n // by, replace=False), by)
        artists: Sequence[int] = drawn.tolist() if artists_known else range(n)
        evidence = make_evidence(p[drawn], truth[drawn], GENRES, artists=artists, fitted_on="validation")
        assert isinstance(evidence, Evidence)
        for i, threshold in enumerate(evidence.thresholds(precision).values()):
            looked_for += 1
            if threshold.confidence is not None:
                counts = (answer == i) & (sure >= threshold.confidence)
                found.append((float(is_right[counts].mean()), float(counts.mean())))
    return looked_for, found


def broken_share(looked_for: int, found: list[tuple[float, float]], precision: float) -> float:
    """Share of the thresholds below whose precision it is."""
    return sum(of < precision for of, _ in found) / looked_for


def chance(looked_for: int) -> float:
    """How far from 1 - `LEVEL` the broken share may lie by chance."""
    return 3 * math.sqrt(LEVEL * (1 - LEVEL) / looked_for)


@pytest.mark.parametrize(
    ("spread", "n", "precision", "by"), [(2.5, 150, 0.8, 1), (2.5, 60, 0.6, 1), (2.5, 600, 0.8, 6)]
)
def test_answers_are_right_as_often_as_asked(spread: float, n: int, precision: float, by: int) -> None:
    """On average over models; and of their thresholds at most about 1 - LEVEL promise too much.

    Of ten seeds the worst has a broken share of 0.303, and a mean 0.015 above the precision.
    """
    looked_for, found = drawn_thresholds(spread, n, precision, by=by)
    of, share = np.array(found).T
    assert len(found) > 0.9 * looked_for, "else this tests little"
    assert np.average(of, weights=share) >= precision + 0.01
    assert broken_share(looked_for, found, precision) <= 1 - LEVEL + 0.01


def test_tracks_of_an_artist_must_not_count_as_many() -> None:
    """If they did, more thresholds would promise too much."""
    looked_for, found = drawn_thresholds(2.5, 600, 0.8, by=6, artists_known=False)
    assert broken_share(looked_for, found, 0.8) > 1 - LEVEL + chance(looked_for)
    looked_for, found = drawn_thresholds(2.5, 600, 0.8, by=6)
    assert broken_share(looked_for, found, 0.8) <= 1 - LEVEL


@pytest.mark.parametrize(
    ("spread", "n", "precision", "missed_by"), [(2.5, 600, 0.9, 0.01), (2.5, 150, 0.95, 0.045), (4.0, 150, 0.95, 0.02)]
)
def test_precision_that_a_model_hardly_has_is_missed_by_little(
    spread: float, n: int, precision: float, missed_by: float
) -> None:
    """The lowest of many confidences is the luckiest, and there is no surer one to make up for it.

    Of ten seeds the worst misses by 0.007, 0.041 and 0.019, and has broken shares of 0.37 to 0.38.
    """
    looked_for, found = drawn_thresholds(spread, n, precision)
    of, share = np.array(found).T
    assert np.average(of, weights=share) >= precision - missed_by
    assert broken_share(looked_for, found, precision) <= 1 - LEVEL + 0.08


@pytest.mark.parametrize(
    ("is_right", "precision", "n"), [(0.6, 0.9, 150), (0.7, 0.9, 600), (0.5, 0.8, 60), (0.3, 0.8, 100)]
)
def test_model_that_never_has_the_precision_gets_almost_no_threshold(is_right: float, precision: float, n: int) -> None:
    """It is right equally often at every confidence."""
    rng, found = np.random.default_rng(n), 0
    for _ in range(N_MODELS):
        columns = rng.integers(0, 5, n), (rng.random(n) < is_right).astype(np.int64), rng.integers(200, 1_001, n)
        thresholds = find_thresholds(GENRES, *columns, np.arange(n), precision=precision, scale=1_000)
        found += sum(t.confidence is not None for t in thresholds.values())
    assert found <= 0.02 * N_MODELS * len(GENRES)
