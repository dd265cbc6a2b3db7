"""Leaf: what a model's probabilities are worth: pure functions on arrays.

`truth` is always shape (n,), int, an index into the sorted genres; `probabilities` is shape (n, genres),
rows adding up to 1. A genre without rows in the scored part is not measured: it enters no average, and
what was averaged is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.errors import ModelError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LOWEST_PROBABILITY = 1e-15  # where log loss is cut off
ECE_BINS = 15
BOOTSTRAP_DRAWS = 2_000
INTERVAL = 0.95


def predicted(probabilities: Floats) -> Ints:
    """Index of the most probable genre; the first of several equal ones.

    Args:
        probabilities: shape (n, genres).

    Returns:
        Shape (n,).
    """
    best: Ints = np.argmax(probabilities, axis=1).astype(np.int64)
    return best


def accuracy(truth: Ints, probabilities: Floats) -> float:
    """Share of rows whose most probable genre is the true one."""
    return float(np.mean(predicted(probabilities) == truth))


def top_k(truth: Ints, probabilities: Floats, *, k: int = 3) -> float:
    """Share of rows whose true genre is among the `k` most probable; of equal ones the first count."""
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float(np.mean((best == truth[:, None]).any(axis=1)))


def log_loss(truth: Ints, probabilities: Floats) -> float:
    """Mean of -ln p(true genre), p cut off below 1e-15."""
    p = probabilities[np.arange(len(truth)), truth]
    return float(-np.mean(np.log(np.clip(p, LOWEST_PROBABILITY, 1.0))))


def brier(truth: Ints, probabilities: Floats) -> float:
    """Mean over rows of the squared distance to the one-hot truth, summed over genres: 0 (best) to 2 (Brier 1950)."""
    wanted = np.eye(probabilities.shape[1])[truth]
    return float(np.mean(((probabilities - wanted) ** 2).sum(axis=1)))


def ece(truth: Ints, probabilities: Floats, *, bins: int = ECE_BINS) -> float:
    """Expected calibration error: |accuracy - confidence| over equal-width bins of the top probability (Guo 2017)."""
    confidence = probabilities.max(axis=1)
    correct = predicted(probabilities) == truth
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(index, weights=correct - confidence, minlength=bins)  # rows times gap, bin by bin
    return float(np.abs(gap).sum() / len(truth))


def confusion(truth: Ints, probabilities: Floats) -> Ints:
    """Counts of rows, shape (genres, genres): true genre down, predicted genre across."""
    n = probabilities.shape[1]
    cells = np.asarray(truth) * n + predicted(probabilities)
    return np.bincount(cells, minlength=n * n).reshape(n, n).astype(np.int64)


def per_genre(counts: Ints) -> list[dict[str, Any]]:
    """Precision, recall, F1 and n of every genre.

    Args:
        counts: confusion counts, shape (genres, genres).

    Returns:
        One dict a genre; the three scores are None where the genre has no rows. A genre with rows that is
        never predicted has precision 0, as its F1.
    """
    scores: list[dict[str, Any]] = []
    for hits, rows, guesses in zip(np.diag(counts), counts.sum(axis=1), counts.sum(axis=0), strict=True):
        measured = rows > 0
        scores.append(
            {
                "precision": float(hits / max(guesses, 1)) if measured else None,
                "recall": float(hits / rows) if measured else None,
                "f1": float(2 * hits / (rows + guesses)) if measured else None,
                "n": int(rows),
            }
        )
    return scores


def balanced_accuracy(counts: Ints) -> float:
    """Mean recall over the genres that have rows, from confusion counts."""
    return float(np.mean([g["recall"] for g in per_genre(counts) if g["n"]]))


def macro_f1(counts: Ints) -> tuple[float, tuple[int, ...]]:
    """Mean F1 over the genres that have rows, from confusion counts, and the indices of those genres."""
    scores = per_genre(counts)
    measured = tuple(i for i, g in enumerate(scores) if g["n"])
    return float(np.mean([scores[i]["f1"] for i in measured])), measured


def chance(n_genres: int) -> float:
    """Accuracy of guessing: one in the number of genres."""
    return 1.0 / n_genres


def majority(training: Ints, truth: Ints) -> tuple[float, int]:
    """Accuracy of always answering the most frequent training genre, and that genre's index (the first of equals).

    Args:
        training: genre indices of the tracks that models learn from, shape (m,).
        truth: genre indices of the scored part, shape (n,).
    """
    genre = int(np.bincount(training).argmax())
    return float(np.mean(np.asarray(truth) == genre)), genre


def group_index(groups: Sequence[str | None] | None, n: int) -> Ints:
    """Number of each row's group, shape (n,); a row of unknown group (or with no groups at all) is one by itself."""
    if groups is None:
        return np.arange(n, dtype=np.int64)
    numbers: dict[object, int] = {}
    keys = [g if g is not None else i for i, g in enumerate(groups)]
    return np.array([numbers.setdefault(k, len(numbers)) for k in keys], dtype=np.int64)


def bootstrap_interval(
    correct: NDArray[np.bool_],
    groups: Sequence[str | None] | None = None,
    *,
    n: int = BOOTSTRAP_DRAWS,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % percentile interval of the accuracy, resampling whole groups (artists), or rows where there are none.

    Where every row is right or every row is wrong, resampling would give an interval of width 0: the exact
    bound stands there instead (Clopper and Pearson 1934, with groups counted as the trials). One group alone
    says nothing about others, so then rows are resampled.

    Args:
        correct: is each row right? shape (rows,).
        groups: the artist of each row, None where unknown (a group by itself).
        n: number of draws.
        seed: of the draws.
    """
    index = group_index(groups, len(correct))
    if index.max() == 0:
        index = group_index(None, len(correct))
    sizes = np.bincount(index)
    hits = np.bincount(index, weights=correct)
    tail = (1 - INTERVAL) / 2
    if hits.sum() == 0:
        return 0.0, float(1 - tail ** (1 / len(sizes)))
    if hits.sum() == len(correct):
        return float(tail ** (1 / len(sizes))), 1.0
    rng = np.random.default_rng(seed)
    if len(sizes) == len(correct):  # drawing rows with replacement is a binomial count
        accuracies = rng.binomial(len(correct), hits.sum() / len(correct), size=n) / len(correct)
    else:
        drawn = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=n)
        accuracies = (drawn @ hits) / (drawn @ sizes)
    low, high = np.quantile(accuracies, [tail, 1 - tail])
    return float(low), float(high)


def score(
    truth: Ints,
    probabilities: Floats,
    genres: Sequence[str],
    groups: Sequence[str | None] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Every score of one model on one part, as plain JSON.

    Args:
        truth: genre indices, shape (n,).
        probabilities: shape (n, genres).
        genres: names in the order of the columns.
        groups: artist of each row, or None where no artist is known.
        seed: of the interval's draws.

    Raises:
        ModelError: no rows, or probabilities that are none.
    """
    truth = np.asarray(truth, dtype=np.int64)
    probabilities = np.asarray(probabilities, dtype=np.float64)
    _verify(truth, probabilities, genres)
    counts = confusion(truth, probabilities)
    low, high = bootstrap_interval(predicted(probabilities) == truth, groups, seed=seed)
    macro, measured = macro_f1(counts)
    n_groups = int(group_index(groups, len(truth)).max()) + 1
    return {
        "n": len(truth),
        "accuracy": accuracy(truth, probabilities),
        "accuracy_low": low,
        "accuracy_high": high,
        "interval_over": "artists" if 1 < n_groups < len(truth) else "tracks",
        "n_groups": n_groups,
        "balanced_accuracy": balanced_accuracy(counts),
        "macro_f1": macro,
        "macro_over": [genres[i] for i in measured],
        "not_measured": [g for i, g in enumerate(genres) if i not in measured],
        "top3": top_k(truth, probabilities, k=3),
        "log_loss": log_loss(truth, probabilities),
        "brier": brier(truth, probabilities),
        "ece": ece(truth, probabilities),
        "genres": list(genres),
        "per_genre": dict(zip(genres, per_genre(counts), strict=True)),
        "confusion": counts.tolist(),
    }


def _verify(truth: Ints, probabilities: Floats, genres: Sequence[str]) -> None:
    if len(truth) == 0 or probabilities.shape != (len(truth), len(genres)):
        raise ModelError(
            f"cannot score: {len(truth)} rows and {len(genres)} genres against probabilities "
            f"of shape {probabilities.shape}"
        )
    if not np.isfinite(probabilities).all() or (probabilities < 0).any():
        bad = int((~np.isfinite(probabilities) | (probabilities < 0)).any(axis=1).sum())
        raise ModelError(f"the model answered {bad} of {len(truth)} rows with probabilities that are none")
    if np.abs(probabilities.sum(axis=1) - 1).max() > 1e-3:
        raise ModelError("the model's probabilities do not add up to 1")
