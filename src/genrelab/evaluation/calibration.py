"""Calibrates probabilities by one temperature, and supports precision and coverage with held-out predictions.

A model's predictions on calibration tracks are kept as `Evidence`: with them a bundle can return "unknown" where the
requested precision is not supported, and list every genre that a track may have. Both guarantees hold for tracks drawn
as the calibration tracks were, from artists like theirs; they do not extend to other kinds of music.

Arrays: `p` is shape (rows, genres), rows adding up to 1. SciPy is imported late: classifying one song needs none of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.text import is_printable_line
from genrelab.evaluation.thresholds import Threshold, find_thresholds

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_TRACKS = 20
"""With fewer tracks no temperature is fitted: 1 leaves the probabilities as they are."""

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.2, 10.0
"""Limits of a temperature. Above 10 even what float32 rounds to nothing (1e-38) would become 1 in 6,000, and exports of
a model that round differently would predict differently."""

PRIOR_LOG_SD = math.log(2)
"""Standard deviation of the prior of ln(temperature): it limits how much surer a model becomes by a few tracks that all
happen to be classified correctly."""

STEPS = 25
"""Temperatures that are tried before the best one is refined: the loss of means of windows may have several minima."""

PROBABILITY_SCALE = 1_000
"""Probabilities are stored in thousandths, rounded down, so that a set of genres errs towards one genre too many."""

MAX_TRACKS = 5_000
"""Calibration tracks stored in a bundle; more would make no bound noticeably tighter."""


@dataclass(frozen=True)
class Calibration:
    """The result of calibrating one model (`training.fit_calibration`).

    Attributes:
        temperature: for `write_bundle`.
        evidence: for `write_bundle`; None where there is nothing to calibrate with.
        probabilities: of all windows, with the temperature, shape (windows, genres).
        about: its entry in `metrics.json`; None where there is nothing to calibrate with.
        notes: caveats for readers of the scores.
    """

    temperature: float
    evidence: Evidence | None
    probabilities: Floats = field(repr=False)
    about: dict[str, Any] | None = field(repr=False)
    notes: tuple[str, ...] = ()


# --- temperature ---


def apply_temperature(p: NDArray[Any], temperature: float) -> Floats:
    """Probabilities with their logarithm divided by the temperature: above 1 less sure, below 1 surer (Guo 2017).

    The most probable genre of a row stays the same, though not that of a mean of rows.
    """
    p = np.maximum(np.asarray(p, np.float64), 0.0)
    if temperature != 1:
        p = (p / p.max(axis=1, keepdims=True)) ** (1 / temperature)
    return np.asarray(p / p.sum(axis=1, keepdims=True), np.float64)


def fit_temperature(track: Ints, p: NDArray[Any], truth_of_track: Ints) -> float:
    """The temperature for windows that minimises the log loss of the mean over a track's windows.

    The loss includes a weak prior around 1 (see `PRIOR_LOG_SD`), which hundreds of tracks outweigh.

    Args:
        track: the track of each window, shape (windows,).
        p: of windows that were not fitted on, shape (windows, genres).
        truth_of_track: genre number by track number.

    Returns:
        `MIN_TEMPERATURE` to `MAX_TEMPERATURE`, three decimals; 1 for fewer than `MIN_TRACKS` tracks, where it makes no
        difference, and where all windows have the same probabilities, so that there is no confidence to scale.
    """
    from scipy.optimize import minimize_scalar

    tracks, row, count = np.unique(track, return_inverse=True, return_counts=True)
    if len(tracks) < MIN_TRACKS or (p == p[0]).all():
        return 1.0
    answered = (np.arange(len(p)), truth_of_track[track])

    def loss(log_t: float) -> float:
        right = np.bincount(row, weights=apply_temperature(p, math.exp(log_t))[answered]) / count
        return float(-np.log(np.maximum(right, 1e-15)).mean() + (log_t / PRIOR_LOG_SD) ** 2 / (2 * len(tracks)))

    tried = np.linspace(math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE), STEPS)
    best = int(np.argmin([loss(t) for t in tried]))
    around = tried[max(best - 1, 0)], tried[min(best + 1, STEPS - 1)]
    found = minimize_scalar(loss, bounds=around, method="bounded")
    if loss(0.0) - found.fun < 1e-6:
        return 1.0
    return round(min(max(math.exp(found.x), MIN_TEMPERATURE), MAX_TEMPERATURE), 3)


# --- evidence ---


def min_tracks_for_coverage(coverage: float) -> int:
    """Calibration tracks needed for a set smaller than all genres to have this coverage: 9 for 0.9."""
    return math.ceil(coverage / (1 - coverage) - 1e-9)


@dataclass(frozen=True)
class Evidence:
    """A model's predictions for tracks that it was not fitted on: every list has one number per track, in any order.

    Attributes:
        genres: sorted.
        fitted_on: which tracks these are, such as `validation`.
        answer: number of the predicted genre.
        right: 1 where that is the true one, else 0.
        confidence: its probability, in thousandths.
        true: the probability of the true genre, in thousandths.
        artist: number of the artist; a number of its own for each track of unknown artist.
    """

    genres: tuple[str, ...]
    fitted_on: str
    answer: tuple[int, ...] = field(repr=False)
    right: tuple[int, ...] = field(repr=False)
    confidence: tuple[int, ...] = field(repr=False)
    true: tuple[int, ...] = field(repr=False)
    artist: tuple[int, ...] = field(repr=False)

    @property
    def n(self) -> int:
        """Number of tracks."""
        return len(self.answer)

    @property
    def n_artists(self) -> int:
        """Number of artists; each track by an unknown artist counts as an artist of its own."""
        return len(set(self.artist))

    def least_likely(self, coverage: float) -> float:
        """The probability from which a genre belongs to a track's set of possible genres.

        Split conformal prediction with the least ambiguous sets (LAC: Sadinle, Lei and Wasserman 2019): the
        ceil((n + 1) coverage)-th highest of the true genres' probabilities. A new track that is drawn as the n
        calibration tracks were has its genre in its set with at least this probability (Angelopoulos and Bates 2023).

        Args:
            coverage: above 0, below 1.

        Where no genre of a track reaches it the set would be empty: see `prediction.Decision` for what it holds then.

        Returns:
            0, so that a set holds all genres, where there are fewer tracks than `min_tracks_for_coverage`, or too many
            tracks whose true genre had probability 0.
        """
        rank = math.ceil((self.n + 1) * coverage - 1e-9)  # 10 times 0.7 is 7.000000000000001
        return 0.0 if rank > self.n else sorted(self.true, reverse=True)[rank - 1] / PROBABILITY_SCALE

    def thresholds(self, precision: float) -> dict[str, Threshold]:
        """For each genre the lowest confidence from which at least this share of its predictions is right.

        Args:
            precision: above 0, below 1; see `thresholds.find_thresholds` for what "at least" means.
        """
        columns = (np.array(c) for c in (self.answer, self.right, self.confidence, self.artist))
        return find_thresholds(self.genres, *columns, precision=precision, scale=PROBABILITY_SCALE)

    def to_json(self) -> dict[str, Any]:
        """Its content in bundle.json, besides the genres."""
        return {"fitted_on": self.fitted_on, **{name: list(getattr(self, name)) for name in EVIDENCE_COLUMNS}}


EVIDENCE_COLUMNS = ("answer", "right", "confidence", "true", "artist")


def make_evidence(
    p: Floats, truth: Ints, genres: Sequence[str], *, artists: Sequence[object], fitted_on: str
) -> Evidence | None:
    """The evidence from calibration tracks (at most `MAX_TRACKS`), None where there are none.

    Args:
        p: of tracks, with the temperature applied, shape (tracks, genres).
        truth: genre number, shape (tracks,).
        artists: of each track; tracks that share one are taken to be right or wrong together.
    """
    if not len(p):
        return None
    kept = np.unique(np.linspace(0, len(p) - 1, min(len(p), MAX_TRACKS)).round().astype(int))
    p, truth = p[kept], truth[kept]
    scaled, answer = np.floor(p * PROBABILITY_SCALE + 1e-9).astype(int), p.argmax(axis=1)
    numbers: dict[object, int] = {}
    artist = np.array([numbers.setdefault(artists[i], len(numbers)) for i in kept])
    columns = (
        answer,
        (answer == truth).astype(int),
        scaled.max(axis=1),
        scaled[np.arange(len(p)), truth],
        artist,
    )
    order = np.lexsort((-columns[2], answer))  # for readers: by genre, the surest first
    return Evidence(tuple(genres), fitted_on, *(tuple(column[order].tolist()) for column in columns))


def evidence_from_json(stored: object, genres: Sequence[str]) -> Evidence:
    """The inverse of `Evidence.to_json`.

    Raises:
        ValueError: invalid content, named in the message.
    """
    if not isinstance(stored, dict) or set(stored) != {"fitted_on", *EVIDENCE_COLUMNS}:
        raise ValueError(f"must be an object with fitted_on, {', '.join(EVIDENCE_COLUMNS)}")
    if not isinstance(stored["fitted_on"], str) or not is_printable_line(stored["fitted_on"]):
        raise ValueError(f"fitted_on cannot be {stored['fitted_on']!r:.200}")
    lists = [stored[name] for name in EVIDENCE_COLUMNS]
    if not all(isinstance(column, list) for column in lists) or len({len(column) for column in lists}) != 1:
        raise ValueError(f"{', '.join(EVIDENCE_COLUMNS)} must be lists of equal length")
    n = len(lists[0])
    if not 1 <= n <= MAX_TRACKS:
        raise ValueError(f"it must describe 1 to {MAX_TRACKS:,} tracks. Received: {n:,}")
    for name, column, most in zip(
        EVIDENCE_COLUMNS, lists, (len(genres) - 1, 1, PROBABILITY_SCALE, PROBABILITY_SCALE, n - 1), strict=True
    ):
        if not all(type(number) is int and 0 <= number <= most for number in column):
            raise ValueError(f"{name} must be whole numbers from 0 to {most}")
    if not all(true == sure if right else true <= sure for _, right, sure, true, _ in zip(*lists, strict=True)):
        raise ValueError("`true` must equal `confidence` where `right` is 1, and must not exceed it elsewhere")
    return Evidence(tuple(genres), stored["fitted_on"], *map(tuple, lists))
