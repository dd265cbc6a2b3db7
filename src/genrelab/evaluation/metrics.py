"""Scores of a model's probabilities: pure functions on arrays.

`truth` is always shape (n,), int, an index into the sorted genres; `probabilities` is shape (n, genres),
rows adding up to 1. A genre without rows is not measured: it enters no average, and the averaged genres are
reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.errors import ModelError
from genrelab.core.text import pluralize
from genrelab.evaluation.intervals import group_index, share_interval

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LOWEST_PROBABILITY = 1e-15  # lower limit of a probability in the log loss
BINS = 15  # of the top probability, for the calibration error


def predicted(probabilities: Floats) -> Ints:
    """Index of the most probable genre; the first of several equal ones.

    Args:
        probabilities: shape (n, genres).

    Returns:
        Shape (n,).
    """
    return np.asarray(probabilities.argmax(axis=1), np.int64)


def top_k(truth: Ints, probabilities: Floats, *, k: int = 3) -> float:
    """Share of rows whose true genre is among the `k` most probable; of equal ones the first count."""
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float(np.mean((best == truth[:, None]).any(axis=1)))


def log_loss(truth: Ints, probabilities: Floats) -> float:
    """Mean of -ln p(true genre), p cut off below 1e-15."""
    p = probabilities[np.arange(len(truth)), truth]
    return float(-np.mean(np.log(np.clip(p, LOWEST_PROBABILITY, 1.0)))) + 0.0  # not -0.0 where all are 1


def brier(truth: Ints, probabilities: Floats) -> float:
    """Mean over rows of the squared distance to the one-hot truth, summed over genres: 0 (best) to 2 (Brier 1950)."""
    one_hot = np.eye(probabilities.shape[1])[truth]
    return float(np.mean(((probabilities - one_hot) ** 2).sum(axis=1)))


def reliability(truth: Ints, probabilities: Floats, *, bins: int = BINS) -> list[dict[str, Any]]:
    """How often predictions of a given confidence are right: equal-width bins of the top probability (Guo 2017).

    Returns:
        One dict for each bin that holds rows: `low` < confidence <= `high`, `n` rows, their mean `confidence` and their
        `accuracy`. Where the two are equal, the probabilities are calibrated.
    """
    confidence = probabilities.max(axis=1)
    correct = predicted(probabilities) == truth
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return [
        {
            "low": float(i / bins),
            "high": float((i + 1) / bins),
            "n": int((index == i).sum()),
            "confidence": float(confidence[index == i].mean()),
            "accuracy": float(correct[index == i].mean()),
        }
        for i in np.unique(index)
    ]


def ece(truth: Ints, probabilities: Floats, *, bins: int = BINS) -> float:
    """Expected calibration error: |accuracy - confidence| of the reliability bins, weighted by rows (Guo 2017)."""
    parts = reliability(truth, probabilities, bins=bins)
    return float(sum(b["n"] * abs(b["accuracy"] - b["confidence"]) for b in parts) / len(truth))


def confusion(truth: Ints, probabilities: Floats) -> Ints:
    """Counts of rows, shape (genres, genres): true genre down, predicted genre across."""
    n = probabilities.shape[1]
    return np.bincount(truth * n + predicted(probabilities), minlength=n * n).reshape(n, n).astype(np.int64)


def per_genre(counts: Ints) -> list[dict[str, Any]]:
    """Precision, recall, F1 and n of every genre.

    Args:
        counts: confusion counts, shape (genres, genres).

    Returns:
        One dict per genre; the three scores are None where the genre has no rows. A genre with rows that is
        never predicted has precision and F1 of 0.
    """
    return [
        {
            "precision": float(hits / max(guesses, 1)) if rows else None,
            "recall": float(hits / rows) if rows else None,
            "f1": float(2 * hits / (rows + guesses)) if rows else None,
            "n": int(rows),
        }
        for hits, rows, guesses in zip(np.diag(counts), counts.sum(axis=1), counts.sum(axis=0), strict=True)
    ]


def chance(n_genres: int) -> float:
    """Accuracy of guessing: one in the number of genres."""
    return 1.0 / n_genres


def majority(training: Ints, truth: Ints) -> tuple[float, int]:
    """Accuracy of always predicting the most frequent training genre, and that genre's index (the first of equals).

    Args:
        training: genre indices of the training tracks, shape (m,).
        truth: genre indices of the test tracks, shape (n,).
    """
    genre = int(np.bincount(training).argmax())
    return float(np.mean(np.asarray(truth) == genre)), genre


def similarity_order(counts: Ints) -> list[int]:
    """Order of the genres that puts those confused with each other side by side.

    Average linkage of one minus the mean of both directions' confusion shares, leaves ordered so that neighbours are as
    similar as the tree allows (Bar-Joseph 2001); of the two directions the one with the lower first genre. Genres
    without rows come last.

    Args:
        counts: confusion counts, shape (genres, genres).

    Returns:
        Every genre's index, once.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    rows = counts.sum(axis=1)
    measured, unmeasured = np.flatnonzero(rows), np.flatnonzero(rows == 0).tolist()
    if len(measured) < 3:
        return [*measured.tolist(), *unmeasured]
    share = (counts / np.maximum(rows, 1)[:, None])[np.ix_(measured, measured)]
    distance = 1 - (share + share.T) / 2
    np.fill_diagonal(distance, 0.0)
    leaves = measured[leaves_list(linkage(squareform(distance), "average", optimal_ordering=True))].tolist()
    return [*min(leaves, leaves[::-1]), *unmeasured]


def accuracy_of(
    truth: Ints,
    probabilities: Floats,
    groups: Sequence[str | None] | None = None,
    *,
    where: NDArray[np.bool_] | None = None,
) -> dict[str, Any] | None:
    """`n`, `accuracy` and its 95 % interval `accuracy_low`, `accuracy_high` of some rows; None where there are none.

    Args:
        truth: genre indices, shape (n,).
        probabilities: shape (n, genres).
        groups: artist of each row, or None where no artist is known.
        where: the rows that count, shape (n,); all by default.
    """
    chosen = np.flatnonzero(np.ones(len(truth), bool) if where is None else where)
    if not len(chosen):
        return None
    correct = predicted(probabilities[chosen]) == np.asarray(truth)[chosen]
    low, high = share_interval(correct, [groups[int(i)] for i in chosen] if groups is not None else None)
    return {"n": len(chosen), "accuracy": float(correct.mean()), "accuracy_low": low, "accuracy_high": high}


def segment_scores(
    truth: Ints,
    probabilities: Floats,
    track: Ints,
    artists: Sequence[str | None] | None = None,
    *,
    where: NDArray[np.bool_] | None = None,
) -> dict[str, Any] | None:
    """As `accuracy_of`, for single windows; None where no track has several. Shows the gain from pooling windows.

    Args:
        truth: genre index of each window, shape (windows,).
        probabilities: shape (windows, genres).
        track: number of each window's track, shape (windows,).
        artists: of each track, by its number; None where no artist is known. A track of unknown artist is a group.
        where: the windows that count, shape (windows,); all by default.
    """
    counted = track if where is None else track[where]
    if len(np.unique(counted)) == len(counted):
        return None
    artist = [artists[t] if artists is not None else None for t in track]
    groups = [f"\t{t}" if a is None else a for t, a in zip(track, artist, strict=True)]
    return accuracy_of(truth, probabilities, groups, where=where)


def score(
    truth: Ints,
    probabilities: Floats,
    genres: Sequence[str],
    groups: Sequence[str | None] | None = None,
    *,
    group_name: str = "artists",
) -> dict[str, Any]:
    """Every score of one model on one part, as plain JSON.

    Args:
        truth: genre indices, shape (n,).
        probabilities: shape (n, genres).
        genres: names in the order of the columns.
        groups: artist of each row, or None where no artist is known.
        group_name: what a group is: `artists`, or `recordings` where no artist is known.

    Raises:
        ModelError: no rows, or invalid probabilities.
    """
    truth = np.asarray(truth, dtype=np.int64)
    probabilities = np.asarray(probabilities, dtype=np.float64)
    _verify(truth, probabilities, genres)
    counts = confusion(truth, probabilities)
    of_genre = dict(zip(genres, per_genre(counts), strict=True))
    measured = [g for g, row in of_genre.items() if row["n"]]
    n_groups = int(group_index(groups, len(truth)).max()) + 1
    return {
        **(accuracy_of(truth, probabilities, groups) or {}),
        "interval_over": group_name if 1 < n_groups < len(truth) else "tracks",
        "n_groups": n_groups,
        "balanced_accuracy": float(np.mean([of_genre[g]["recall"] for g in measured])),
        "macro_f1": float(np.mean([of_genre[g]["f1"] for g in measured])),
        "macro_over": measured,
        "not_measured": [g for g in genres if g not in measured],
        "top3": top_k(truth, probabilities, k=3),
        "log_loss": log_loss(truth, probabilities),
        "brier": brier(truth, probabilities),
        "ece": ece(truth, probabilities),
        "reliability": reliability(truth, probabilities),
        "genres": list(genres),
        "per_genre": of_genre,
        "confusion": counts.tolist(),
    }


def _verify(truth: Ints, probabilities: Floats, genres: Sequence[str]) -> None:
    if len(truth) == 0 or probabilities.shape != (len(truth), len(genres)):
        raise ModelError(
            f"cannot score {pluralize(len(truth), 'row')} of {pluralize(len(genres), 'genre')}: "
            f"the probabilities have shape {probabilities.shape}"
        )
    if not np.isfinite(probabilities).all() or (probabilities < 0).any():
        bad = int((~np.isfinite(probabilities) | (probabilities < 0)).any(axis=1).sum())
        raise ModelError(f"the model gave invalid probabilities for {bad:,} of {pluralize(len(truth), 'row')}")
    if np.abs(probabilities.sum(axis=1) - 1).max() > 1e-3:
        raise ModelError("the model's probabilities do not add up to 1")
