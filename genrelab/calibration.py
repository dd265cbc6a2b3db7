"""Leaf: how sure is sure: one temperature, and what tracks that were not fitted on say of answers of a confidence.

A model's answers are kept as `Evidence`: with them a bundle can say "unknown" where the precision that is asked for is
not supported, and name every genre that a track may have. Both promises are about tracks that are drawn as the
calibration tracks were: of artists like theirs, each as if it came alone. They say nothing of music of other kinds, and
several tracks of one artist tell less than as many artists would.

Arrays: `p` is shape (rows, genres), rows adding up to 1. SciPy is imported late: hearing one song needs none of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEWEST = 20
"""Tracks below which no temperature is looked for: 1 leaves the probabilities as they are."""

LEAST, MOST = 0.2, 10.0
"""Of a temperature. Above 10 even what float32 rounds to nothing (1e-38) would come back as 1 in 6,000, and forms of a
model that round differently would answer differently."""

USUAL = math.log(2)
"""Standard deviation of ln(temperature) before any track was seen: a few tracks that all happen to be answered right
make a model no surer than so."""

STEPS = 25
"""Temperatures that are tried before the best one is refined: the loss of means of windows may have several valleys."""

LEVEL = 0.9
"""Confidence of the lower bound behind a threshold: of all genres that one is looked for, at most one in ten gets one
that promises too much. Of a model that hardly ever reaches the precision those few may be all that get one."""

GRAIN = 1_000
"""Probabilities are kept in thousandths, rounded down: a set holds rather one genre more than one fewer."""

MOST_TRACKS = 5_000
"""That a bundle keeps the answers to; more would make no bound noticeably closer."""


# --- temperature ---


def tempered(p: NDArray[Any], temperature: float) -> Floats:
    """Probabilities whose logarithm is divided by the temperature: above 1 less sure, below 1 surer (Guo 2017).

    The most probable genre stays the most probable one of a row, though not of a mean of rows.
    """
    p = np.maximum(np.asarray(p, np.float64), 0.0)
    if temperature != 1:
        p = (p / p.max(axis=1, keepdims=True)) ** (1 / temperature)
    return np.asarray(p / p.sum(axis=1, keepdims=True), np.float64)


def fit_temperature(track: Ints, p: NDArray[Any], truth_of_track: Ints) -> float:
    """The temperature of windows with which the mean of a track's windows has the least log loss.

    To the loss comes a weak expectation of 1 (see `USUAL`), which hundreds of tracks outweigh.

    Args:
        track: the track of each window, shape (windows,).
        p: of windows that were not fitted on, shape (windows, genres).
        truth_of_track: genre number by track number.

    Returns:
        `LEAST` to `MOST`, three decimals; 1 for fewer than `FEWEST` tracks, where it makes no difference, and where
        every window gets the same answer, which is sure of nothing.
    """
    from scipy.optimize import minimize_scalar

    tracks, row, count = np.unique(track, return_inverse=True, return_counts=True)
    if len(tracks) < FEWEST or (p == p[0]).all():
        return 1.0
    answered = (np.arange(len(p)), truth_of_track[track])

    def loss(log_t: float) -> float:
        right = np.bincount(row, weights=tempered(p, math.exp(log_t))[answered]) / count
        return float(-np.log(np.maximum(right, 1e-15)).mean() + (log_t / USUAL) ** 2 / (2 * len(tracks)))

    tried = np.linspace(math.log(LEAST), math.log(MOST), STEPS)
    best = int(np.argmin([loss(t) for t in tried]))
    around = tried[max(best - 1, 0)], tried[min(best + 1, STEPS - 1)]
    found = minimize_scalar(loss, bounds=around, method="bounded")
    if loss(0.0) - found.fun < 1e-6:
        return 1.0
    return round(min(max(math.exp(found.x), LEAST), MOST), 3)


# --- evidence ---


@dataclass(frozen=True)
class Threshold:
    """The confidence from which answers count.

    Attributes:
        confidence: None where none has the precision that is asked for.
        n, right: calibration tracks that were answered with it or more, and those of them that were answered right.
        genres: whose answers it was found on together.
    """

    confidence: float | None
    n: int
    right: int
    genres: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """How a model answered tracks that it was not fitted on, in thousandths, each list sorted.

    Attributes:
        fitted_on: which tracks, such as `validation`.
        n_groups: artists among them; where they are unknown every track counts as one.
        right, wrong: by the genre that was answered: the confidences of right and of wrong answers.
        missed: of the wrong ones, the probabilities of the true genre.
    """

    fitted_on: str
    n_groups: int
    right: Mapping[str, tuple[int, ...]] = field(repr=False)
    wrong: Mapping[str, tuple[int, ...]] = field(repr=False)
    missed: tuple[int, ...] = field(repr=False)

    @property
    def n(self) -> int:
        """Tracks."""
        return sum(map(len, self.right.values())) + len(self.missed)

    def least_likely(self, coverage: float) -> float:
        """The probability from which a genre belongs to the set of genres that a track may have.

        Split conformal prediction with the least ambiguous sets (LAC: Sadinle, Lei and Wasserman 2019): the
        ceil((n + 1) coverage)-th highest of the true genres' probabilities. A new track that is drawn as the n
        calibration tracks were has its genre in its set with at least this probability (Angelopoulos and Bates 2023).

        Args:
            coverage: above 0, below 1.

        Returns:
            0, so that a set holds all genres, where there are too few tracks for more.
        """
        rank = math.ceil((self.n + 1) * coverage - 1e-9)  # 10 times 0.7 is 7.000000000000001
        true = sorted([*self.missed, *(p for ps in self.right.values() for p in ps)], reverse=True)
        return 0.0 if rank > self.n else true[rank - 1] / GRAIN

    def thresholds(self, precision: float) -> dict[str, Threshold]:
        """For each genre the lowest confidence from which at least such a share of its answers is right.

        "At least" means the lower bound of Clopper and Pearson (1934), one-sided, at `LEVEL`: of 22 answers all must
        be right to support 90 %, of 38 all but one. Of many confidences the lowest is taken; where precision rises
        with confidence the level holds nevertheless, as the tests simulate. Genres that were answered too seldom to
        support it at all share one threshold: then the precision is that of their answers taken together. Tracks count
        as independent: where artists have many each, less is known than that.

        Args:
            precision: above 0, below 1.
        """
        fewest = math.ceil(math.log(1 - LEVEL) / math.log(precision) - 1e-9)
        seldom = tuple(g for g in self.right if len(self.right[g]) + len(self.wrong[g]) < fewest)
        found: dict[str, Threshold] = {}
        for together in (*((g,) for g in self.right if g not in seldom), *([seldom] if seldom else [])):
            right, wrong = ([p for g in together for p in of[g]] for of in (self.right, self.wrong))
            found |= dict.fromkeys(together, _lowest(right, wrong, precision, together))
        return {g: found[g] for g in self.right}

    def to_json(self) -> dict[str, Any]:
        """What stands in bundle.json."""
        return {
            "fitted_on": self.fitted_on,
            "n_groups": self.n_groups,
            "right": {g: list(ps) for g, ps in self.right.items()},
            "wrong": {g: list(ps) for g, ps in self.wrong.items()},
            "missed": list(self.missed),
        }


def evidence_of(
    p: Floats, truth: Ints, genres: Sequence[str], *, groups: Sequence[object], fitted_on: str
) -> Evidence | None:
    """What is kept of calibration tracks, None where there are none.

    Args:
        p: of tracks, with the temperature, shape (tracks, genres).
        truth: genre number, shape (tracks,).
        groups: artist of each track.
    """
    if not len(p):
        return None
    kept = np.unique(np.linspace(0, len(p) - 1, min(len(p), MOST_TRACKS)).round().astype(int))
    p, truth, groups = p[kept], truth[kept], [groups[i] for i in kept]
    grains = np.floor(p * GRAIN + 1e-9).astype(int)
    answer, rows = p.argmax(axis=1), np.arange(len(p))
    good, sure = answer == truth, grains.max(axis=1)
    right, wrong = (
        {g: tuple(sorted(sure[(answer == i) & mark].tolist())) for i, g in enumerate(genres)} for mark in (good, ~good)
    )
    missed = tuple(sorted(grains[rows, truth][~good].tolist()))
    return Evidence(fitted_on, len(set(groups)), right, wrong, missed)


def evidence_from_json(stored: object, genres: Sequence[str]) -> Evidence:
    """The inverse of `Evidence.to_json`.

    Raises:
        ValueError: that cannot be; the message says what.
    """
    keys = {"fitted_on", "n_groups", "right", "wrong", "missed"}
    if not isinstance(stored, dict) or set(stored) != keys:
        raise ValueError(f"must be an object with {', '.join(sorted(keys))}")
    for of in ("right", "wrong"):
        if not isinstance(stored[of], dict) or sorted(stored[of]) != sorted(genres):
            raise ValueError(f"{of} must have a list for each genre")
    lists = [*stored["right"].values(), *stored["wrong"].values(), stored["missed"]]
    if not all(isinstance(ps, list) and all(type(p) is int and 0 <= p <= GRAIN for p in ps) for ps in lists):
        raise ValueError(f"probabilities must be lists of whole numbers from 0 to {GRAIN}")
    if not isinstance(stored["fitted_on"], str):
        raise ValueError("fitted_on must be a text")
    right, wrong = ({g: tuple(sorted(stored[of][g])) for g in genres} for of in ("right", "wrong"))
    found = Evidence(stored["fitted_on"], stored["n_groups"], right, wrong, tuple(sorted(stored["missed"])))
    if sum(map(len, wrong.values())) != len(found.missed):
        raise ValueError("missed must have one probability for each wrong answer")
    if not 1 <= found.n <= MOST_TRACKS:
        raise ValueError(f"it must be about 1 to {MOST_TRACKS} tracks. Received: {found.n}")
    if type(found.n_groups) is not int or not 1 <= found.n_groups <= found.n:
        raise ValueError("n_groups must be a number from 1 to that of the tracks")
    return found


def _lowest(right: list[int], wrong: list[int], precision: float, genres: tuple[str, ...]) -> Threshold:
    """See `Evidence.thresholds`; from confidences in thousandths."""
    from scipy.special import betaincinv

    levels = np.unique([*right, *wrong])
    k, n = (len(of) - np.searchsorted(np.sort(of), levels) for of in (right, [*right, *wrong]))
    low = np.where(k > 0, betaincinv(np.maximum(k, 1), n - k + 1, 1 - LEVEL), 0.0)
    good = np.flatnonzero(low >= precision - 1e-12)
    if not len(good):
        return Threshold(None, 0, 0, genres)
    first = good[0]
    return Threshold(float(levels[first]) / GRAIN, int(n[first]), int(k[first]), genres)
