"""Are two models significantly different on the tracks that both classified?

Accuracies of 42 % and 39 % seldom mean different models: what counts is on how many tracks, of how many artists,
they disagree. Every comparison is paired, and the tracks of an artist are kept together.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import convolve
from scipy.stats import binom, binomtest

from genrelab.core.errors import ModelError
from genrelab.core.text import pluralize
from genrelab.evaluation.intervals import difference_interval, groups_or_rows

Bools = NDArray[np.bool_]

BASELINE = "majority"
"""Folder of the baseline model, which ignores the audio: a reference, not a competitor."""

ALPHA = 0.05
"""Models whose adjusted p-value is below it are significantly different."""


def common_tracks(answers: Mapping[str, Mapping[str, bool]]) -> tuple[list[str], dict[str, Bools]]:
    """The tracks that every model classified, in the first one's order, and which of them each model got right.

    Args:
        answers: of each model, by track_id: was the prediction right?

    Returns:
        The track_ids (n,), and for each model correctness of shape (n,).
    """
    first, *others = answers.values()
    tracks = [t for t in first if all(t in o for o in others)]
    return tracks, {m: np.array([right[t] for t in tracks], dtype=bool) for m, right in answers.items()}


def compare(a: Bools, b: Bools, groups: Sequence[str | None] | None = None) -> dict[str, Any]:
    """How much better `a` is than `b`, and whether that may be chance.

    `p_value` is of the sign-flip test over artists: if the models were equal, each artist's difference could as well
    have had the other sign (Fisher 1935; Dietterich 1998 for classifiers). It is exact, by summing over all flips;
    without artists it is McNemar's exact test, whose p-value over single tracks is always given, too.

    Args:
        a, b: was the prediction for each row right? shape (rows,).
        groups: the artist of each row, None where unknown (a group by itself).

    Returns:
        `difference` of the accuracies, its 95 % interval `low` and `high`, `p_value`, `mcnemar_p`, `n` rows,
        `n_groups`, and how many rows only a and only b got right: `only_a`, `only_b`.

    Raises:
        ModelError: no rows, or different numbers of them.
    """
    a, b = np.asarray(a, bool), np.asarray(b, bool)
    if len(a) == 0 or len(a) != len(b):
        tracks = f"{len(a):,} and of {pluralize(len(b), 'track')}"
        raise ModelError(f"cannot compare predictions of {tracks}: use the same tracks")
    low, high = difference_interval(a, b, groups)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    index = groups_or_rows(groups, len(a))
    won = np.bincount(index, weights=a.astype(np.int64) - b.astype(np.int64))
    return {
        "difference": float(a.mean() - b.mean()),
        "low": low,
        "high": high,
        "p_value": _sign_flip_p(won.astype(np.int64)),
        "mcnemar_p": float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0,
        "n": len(a),
        "n_groups": int(index.max()) + 1,
        "only_a": only_a,
        "only_b": only_b,
    }


def _sign_flip_p(won: NDArray[np.int64]) -> float:
    """Share of all sign patterns of `won` (groups,) whose sum is at least as far from 0, counted exactly."""
    steps, times = np.unique(np.abs(won[won != 0]), return_counts=True)
    chances = np.ones(1)  # probabilities of the sums -reach to reach
    for step, n in zip(steps, times, strict=True):  # n artists of one step together: their sum is binomial
        binomial = np.zeros(2 * step * n + 1)
        binomial[:: 2 * step] = binom.pmf(np.arange(n + 1), n, 0.5)
        chances = convolve(chances, binomial)
    reach = int((steps * times).sum())
    far = np.abs(np.arange(-reach, reach + 1)) >= abs(int(won.sum()))
    return float(np.clip(chances[far].sum(), 0.0, 1.0))


def compare_all(correct: Mapping[str, Bools], groups: Sequence[str | None] | None = None) -> list[dict[str, Any]]:
    """All pairs of models but `BASELINE`, in the order of `correct`, with p-values adjusted for their number (Holm).

    Args:
        correct: of each model, best first, by its folder: was the prediction for each row right? shape (rows,).
        groups: the artist of each row, None where unknown.

    Returns:
        One dict per pair: `a` and `b` (a comes before b in `correct`), the entries of `compare`, `p_adjusted`, and
        `separable`: is it below ALPHA?
    """
    models = [m for m in correct if m != BASELINE]
    pairs = [{"a": a, "b": b, **compare(correct[a], correct[b], groups)} for a, b in itertools.combinations(models, 2)]
    for pair, p in zip(pairs, holm([pair["p_value"] for pair in pairs]), strict=True):
        pair |= {"p_adjusted": p, "separable": p < ALPHA}
    return pairs


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for their number: at most ALPHA of studies have any false positive (Holm 1979)."""
    adjusted, worst = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        worst = max(worst, min(1.0, p_values[i] * (len(p_values) - rank)))
        adjusted[i] = worst
    return adjusted
