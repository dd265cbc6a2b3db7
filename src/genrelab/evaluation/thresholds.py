"""From which confidence on the predictions of a genre are right often enough, given held-out predictions.

SciPy is imported late: classifying one song needs none of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEVEL = 0.7
"""How probable it must be that a threshold has the requested precision. Chosen on the starter's tracks: asked for 0.8,
levels of 0.6, 0.7 and 0.8 answer about 64, 56 and 46 % of GTZAN by unseen artists, of which 82, 85 and 88 % are right
(`benchmarks/thresholds.py` measures the one in use)."""

PRIOR_TRACKS = 10
"""How many of a genre's own predictions those of other genres at the same confidence are worth: a genre with two or
three artists is weak evidence by itself. 5 and 15 gave the same (85 and 86 % right)."""


@dataclass(frozen=True)
class Threshold:
    """The confidence from which predictions of a genre count.

    Attributes:
        confidence: None where no confidence has the requested precision.
        n, right: calibration tracks predicted as this genre with at least this confidence, and those of them predicted
            correctly.
        n_artists: of these tracks.
    """

    confidence: float | None
    n: int
    right: int
    n_artists: int


NEVER = Threshold(None, 0, 0, 0)


def find_thresholds(
    genres: Sequence[str], answer: Ints, right: Ints, confidence: Ints, artist: Ints, *, precision: float, scale: int
) -> dict[str, Threshold]:
    """For each genre the lowest confidence from which at least this share of its predictions is right.

    "At least" means with a probability of `LEVEL`, by the posterior of a share (beta-binomial): of n predictions of the
    genre with at least this confidence k are right, and the N predictions of other genres with at least this
    confidence, of which K are right, are a prior worth `PRIOR_TRACKS` more, a share (K + 1) / (N + 2) of them right.
    The level is met on average over genres; near the highest precision that a model reaches more thresholds promise
    too much, by some hundredths (`tests/evaluation/test_thresholds.py`). Tracks of an artist tend to
    be right or wrong together: n predictions with n_a of artist a count as n^2 / sum of n_a^2, the effective number if
    those of an artist were all alike (Kish 1965). Of many confidences the lowest is taken.

    Args:
        answer, right, confidence, artist: of each prediction, (predictions,): genre number, 1 or 0, confidence times
            `scale`, and a number of the artist.
        precision: above 0, below 1.
    """
    order = np.argsort(-confidence, kind="stable")
    answer, right, sure, artist = answer[order], right[order], confidence[order], artist[order]
    found = {}
    for i, genre in enumerate(genres):
        own, others = answer == i, answer != i
        n, k = (np.append(0, counts) for counts in _effective_results(right[others], artist[others]))
        as_sure = np.searchsorted(-sure[others], -sure[own], side="right")  # others with at least this confidence
        prior = (k[as_sure] + 1) / (n[as_sure] + 2)
        found[genre] = _lowest(sure[own], right[own], artist[own], prior, precision, scale)
    return found


def _lowest(sure: Ints, right: Ints, artist: Ints, prior: Floats, precision: float, scale: int) -> Threshold:
    """The threshold of one genre from its predictions, the surest first; all arrays (predictions,)."""
    from scipy.special import betaincinv

    if not len(sure):
        return NEVER
    n, k = _effective_results(right, artist)
    low = betaincinv(k + PRIOR_TRACKS * prior, n - k + PRIOR_TRACKS * (1 - prior), 1 - LEVEL)
    is_end = np.append(sure[1:] != sure[:-1], True)
    good = np.flatnonzero(is_end & (low >= precision - 1e-12))
    if not len(good):
        return NEVER
    last = int(good[-1])
    n_artists = len(np.unique(artist[: last + 1]))
    return Threshold(float(sure[last]) / scale, last + 1, int(right[: last + 1].sum()), n_artists)


def _effective_results(right: Ints, artist: Ints) -> tuple[Floats, Floats]:
    """Effective number of the first 1, 2, … predictions, and of those of them that are right, (predictions,)."""
    seen: Counter[int] = Counter()
    squares = []  # what each prediction adds to the sum of n_a^2
    for a in artist.tolist():
        squares.append(2 * seen[a] + 1)
        seen[a] += 1
    numbers = np.arange(1, len(right) + 1)
    n = np.asarray(numbers**2 / np.cumsum(squares), np.float64)
    return n, n * np.cumsum(right) / numbers
