"""What is promised of confidences holds in worlds where the truth is known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from genrelab.evaluation import metrics
from genrelab.evaluation.calibration import (
    MAX_TEMPERATURE,
    MAX_TRACKS,
    MIN_TEMPERATURE,
    MIN_TRACKS,
    PROBABILITY_SCALE,
    Evidence,
    apply_temperature,
    evidence_from_json,
    fit_temperature,
    make_evidence,
    min_tracks_for_coverage,
)
from tests.support.evidence import GENRES, softmax, world


def kept(p: NDArray[np.float64], truth: NDArray[np.int64], genres: tuple[str, ...] = GENRES) -> Evidence:
    found = make_evidence(p, truth, genres, artists=range(len(p)), fitted_on="validation")
    assert found is not None
    return found


# --- temperature ---


def test_tempering_divides_the_logarithm() -> None:
    logits = np.random.default_rng(0).standard_normal((6, 4))
    np.testing.assert_allclose(apply_temperature(softmax(logits), 2.5), softmax(logits / 2.5))
    np.testing.assert_allclose(apply_temperature(softmax(logits) * 0.999, 1.0), softmax(logits))
    np.testing.assert_allclose(apply_temperature(np.array([[1e-30, 1.0, -1e-8]]), 10.0).sum(axis=1), 1)
    assert apply_temperature(np.empty((0, 3)), 2.0).shape == (0, 3)


@pytest.mark.parametrize("windows", [1, 7])
def test_ece_of_an_overconfident_model_at_least_halves(windows: int) -> None:
    """Must hold 3: logits times 3, calibrated on some tracks and measured on others."""
    rng = np.random.default_rng(1)
    logits, truth = world(1_200, rng)
    noise = 0.3 * rng.standard_normal((windows, *logits.shape)) if windows > 1 else 0.0
    p = softmax(3 * (logits + noise).reshape(-1, len(GENRES)))
    track = np.tile(np.arange(len(truth)), windows)
    some = track < 400
    temperature = fit_temperature(track[some], p[some], truth)
    before, after = (
        np.stack([np.bincount(track, weights=column) for column in apply_temperature(p, t).T], axis=1)[400:] / windows
        for t in (1.0, temperature)
    )
    assert metrics.ece(truth[400:], after) <= metrics.ece(truth[400:], before) / 2
    assert metrics.log_loss(truth[400:], after) < metrics.log_loss(truth[400:], before)
    if windows == 1:
        assert temperature == pytest.approx(3, rel=0.15)


@pytest.mark.parametrize("times", [0.5, 1.0, 2.0, 6.0])
def test_fitted_temperature_recovers_the_scale_of_the_logits(times: float) -> None:
    logits, truth = world(2_000, np.random.default_rng(2))
    found = fit_temperature(np.arange(len(truth)), softmax(times * logits), truth)
    assert found == pytest.approx(times, rel=0.15)
    assert found == fit_temperature(np.arange(len(truth)), softmax(times * logits), truth)


def test_tracks_weigh_the_same_whatever_their_number_of_windows() -> None:
    """Tracks of many windows weigh no more than those of one, and their windows are pooled before the loss is taken."""
    logits, truth = world(400, np.random.default_rng(3))
    p = softmax(2 * logits)
    once = fit_temperature(np.arange(400), p, truth)
    times = np.where(np.arange(400) < 50, 30, 1)
    assert fit_temperature(np.repeat(np.arange(400), times), np.repeat(p, times, axis=0), truth) == once


def test_too_few_tracks_give_a_temperature_of_one() -> None:
    logits, truth = world(MIN_TRACKS, np.random.default_rng(4))
    p = softmax(5 * logits)
    assert fit_temperature(np.arange(MIN_TRACKS), p, truth) > 1.5
    assert fit_temperature(np.arange(MIN_TRACKS - 1), p[:-1], truth) == 1
    assert fit_temperature(np.arange(0), p[:0], truth) == 1
    many_windows = np.repeat(np.arange(MIN_TRACKS - 1), 10)
    assert fit_temperature(many_windows, np.repeat(p[:-1], 10, axis=0), truth) == 1


def test_few_correct_tracks_sharpen_probabilities_only_moderately() -> None:
    truth = np.arange(25) % 2
    p = np.array([[0.6, 0.2, 0.1, 0.06, 0.04], [0.2, 0.6, 0.1, 0.06, 0.04]])[truth]
    assert MIN_TEMPERATURE < fit_temperature(np.arange(25), p, truth) < 0.7


def test_the_temperature_has_bounds() -> None:
    truth = np.arange(500) % 5
    sure = np.full((500, 5), 1e-12)
    sure[np.arange(500), np.arange(500) % 2] = 1
    assert fit_temperature(np.arange(500), sure, truth) == MAX_TEMPERATURE
    right = np.eye(5)[truth] * 0.3 + 0.14
    assert fit_temperature(np.arange(500), right, truth) == MIN_TEMPERATURE
    assert fit_temperature(np.arange(500), np.full((500, 5), 0.2), truth) == 1, "where it makes no difference"
    shares = np.tile([0.4, 0.3, 0.1, 0.1, 0.1], (500, 1))
    assert fit_temperature(np.arange(500), shares, truth) == 1, "an answer without listening"
    zeros = np.eye(5)[(truth + (np.arange(500) % 2)) % 5]  # half of them wrong with certainty, as kNN is
    assert fit_temperature(np.arange(500), zeros, truth) == 1


# --- sets with a stated coverage ---


@pytest.mark.parametrize(("n", "coverage"), [(30, 0.9), (200, 0.9), (100, 0.8), (60, 0.5)])
def test_genre_sets_have_the_stated_coverage(n: int, coverage: float) -> None:
    """Over many draws of calibration tracks and of one new track each, for a model that is far too sure of itself."""
    rng = np.random.default_rng(n)
    covered = np.zeros(500)
    for i in range(len(covered)):
        logits, truth = world(n + 25, rng)
        p = softmax(3 * logits)
        least = kept(p[:n], truth[:n]).least_likely(coverage)
        covered[i] = (p[np.arange(n, n + 25), truth[n:]] >= least).mean()
    error = covered.std() / math.sqrt(len(covered))
    assert coverage - 3 * error <= covered.mean() <= coverage + 1 / (n + 1) + 0.01 + 3 * error


def test_the_rank_is_that_of_split_conformal_prediction() -> None:
    p = np.column_stack([np.arange(1, 10) / 10, 1 - np.arange(1, 10) / 10])
    found = kept(p, np.zeros(9, np.int64), ("a", "b"))  # the true genre has 0.1, 0.2 to 0.9
    assert [found.least_likely(c) for c in (0.1, 0.5, 0.7, 0.85, 0.9, 0.91)] == [0.9, 0.5, 0.3, 0.1, 0.1, 0.0]


@pytest.mark.parametrize("coverage", [0.7, 0.8, 0.9, 0.95, 0.99])
def test_fewest_tracks_is_the_smallest_number_that_has_the_rank(coverage: float) -> None:
    fewest = min_tracks_for_coverage(coverage)
    some, less = (kept(np.full((n, 2), 0.5), np.zeros(n, np.int64), ("a", "b")) for n in (fewest, fewest - 1))
    assert some.least_likely(coverage) == 0.5
    assert less.least_likely(coverage) == 0


# --- what is kept ---


def test_evidence_is_rounded_down_and_sorted() -> None:
    p = np.array([[0.9129, 0.0871], [0.5, 0.5], [0.3337, 0.6663], [0.2, 0.8]])
    found = make_evidence(p, np.array([0, 0, 0, 1]), ("a", "b"), artists=["x", "x", "y", "z"], fitted_on="validation")
    expected = Evidence(
        ("a", "b"), "validation", (0, 0, 1, 1), (1, 1, 1, 0), (912, 500, 800, 666), (912, 500, 800, 333), (0, 0, 2, 1)
    )
    assert found == expected and (expected.n, expected.n_artists) == (4, 3)
    assert make_evidence(p[:0], np.array([], int), ("a", "b"), artists=[], fitted_on="") is None


def test_evidence_is_limited_to_a_maximum_number_of_tracks() -> None:
    rng = np.random.default_rng(5)
    logits, truth = world(40_000, rng)
    p = softmax(logits)
    found = kept(p, truth)
    assert found.n == MAX_TRACKS == found.n_artists
    true = np.sort(p[np.arange(len(p)), truth])
    assert found.least_likely(0.9) == pytest.approx(true[len(true) // 10], abs=0.02)


def test_evidence_survives_a_json_round_trip() -> None:
    logits, truth = world(90, np.random.default_rng(6))
    found = kept(softmax(logits), truth)
    assert evidence_from_json(json.loads(json.dumps(found.to_json())), GENRES) == found


def _with(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda stored: stored | changes


def _first(name: str, value: object) -> Callable[[dict[str, Any]], Any]:
    return lambda stored: stored | {name: [value, *stored[name][1:]]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _: [], "must be an object with fitted_on, answer"),
        (lambda s: {k: v for k, v in s.items() if k != "true"}, "must be an object with"),
        (_with(more=1), "must be an object with"),
        (_with(fitted_on=3), "fitted_on cannot be 3"),
        (_with(right={}), "must be lists of equal length"),
        (_with(true=5), "must be lists of equal length"),
        (lambda s: s | {"true": [*s["true"], 3]}, "must be lists of equal length"),
        (_first("confidence", 900.5), "confidence must be whole numbers from 0 to 1000"),
        (_first("confidence", PROBABILITY_SCALE + 1), "confidence must be whole numbers from 0 to 1000"),
        (_first("true", -1), "true must be whole numbers"),
        (_first("right", True), "right must be whole numbers from 0 to 1"),
        (_first("right", 2), "right must be whole numbers from 0 to 1"),
        (_first("answer", len(GENRES)), "answer must be whole numbers from 0 to 4"),
        (_first("artist", 90), "artist must be whole numbers from 0 to 89"),
        (_first("artist", "x"), "artist must be whole numbers"),
        (_first("answer", []), "answer must be whole numbers"),
        (
            _with(true=[PROBABILITY_SCALE] * 90, confidence=[999] * 90),
            "`true` must equal `confidence` where `right` is 1",
        ),
        (_with(right=[1] * 90, true=[1] * 90), "`true` must equal `confidence` where `right` is 1"),
        (lambda s: s | {k: [] for k in s if k != "fitted_on"}, "1 to 5,000 tracks. Received: 0"),
        (lambda s: s | {k: [0] * 5_001 for k in s if k != "fitted_on"}, "1 to 5,000 tracks. Received: 5,001"),
    ],
)
def test_invalid_evidence_is_refused(change: Callable[[dict[str, Any]], Any], words: str) -> None:
    logits, truth = world(90, np.random.default_rng(6))
    with pytest.raises(ValueError, match=words):
        evidence_from_json(change(kept(softmax(logits), truth).to_json()), GENRES)
