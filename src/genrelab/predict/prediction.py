"""A model's prediction for a track, and the decision whether it is confident enough to count."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from genrelab.features.gate import MIN_MUSIC_SCORE

if TYPE_CHECKING:
    from genrelab.features.description import MusicDescription

UNKNOWN = "unknown"
"""The genre of a prediction that is not music, or below the threshold."""

NOT_MUSIC, UNSURE = "not_music", "unsure"
"""Why a prediction is `unknown`."""

DESCRIPTION_FIELDS = ("tempo_bpm", "tempo_confidence", "key", "key_confidence")
"""Fields of JSON, and columns of CSV, of a `MusicDescription`, which takes longer to import than this file."""

ROUNDING = 1e-9
"""Confidences of calibration tracks were rounded down to thousandths; differences below this one do not count."""


@dataclass(frozen=True)
class WindowScore:
    """The probabilities of one window of a track."""

    start_s: float
    end_s: float
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Prediction:
    """The result for a track; if there is an `error`, `genre` and `confidence` are None.

    Attributes:
        genre: the most probable one, or `unknown` where that does not count (see `Decision`).
        confidence: the probability of the most probable genre, also where `genre` is `unknown`.
        timeline: the probabilities of each window; empty if the prediction came from the cache.
        lasting: the same file always gets this prediction; False where disk or memory caused the error.
        genre_set: the genres that the track may have, the most probable first; None unless a coverage was requested.
        tags: probability of each descriptive tag (`features/tags.py`); None where the model does not read `embedding`.
        music_score: log odds that it is music (`features/gate.py`); None where the model does not read `embedding`.
        unknown_because: `not_music` or `unsure` where `genre` is `unknown`.
        notes: remarks on the audio, such as damaged parts that were left out (see `Audio.notes`).
            `notes_with_description` adds why there is no tempo and key.
        description: tempo and key; None unless requested (see `Classifier.with_description`), or if there is an error.
    """

    path: str
    genre: str | None
    confidence: float | None
    probabilities: dict[str, float]
    duration_s: float | None
    model: str
    error: str | None
    timeline: tuple[WindowScore, ...] = ()
    lasting: bool = True
    genre_set: tuple[str, ...] | None = None
    tags: Mapping[str, float] | None = None
    music_score: float | None = None
    unknown_because: str | None = None
    notes: tuple[str, ...] = ()
    description: MusicDescription | None = None

    @property
    def guess(self) -> str | None:
        """The most probable genre, also where `genre` is `unknown`; None if there is an error."""
        return max(self.probabilities, key=lambda g: self.probabilities[g]) if self.probabilities else None

    def notes_with_description(self) -> tuple[str, ...]:
        """The notes, and one more if the part of the track that is described could not be used."""
        problem = None if self.description is None else self.description.problem
        return self.notes if problem is None else (*self.notes, f"tempo and key: {problem}")

    def to_json(
        self, *, timeline: bool = False, top: int | None = None, tags: bool = False, describe: bool = False
    ) -> dict[str, Any]:
        """The object that `predict --json` prints and the service returns.

        Args:
            timeline: include the probabilities of every window.
            tags: include the tags of a model that has them.
            top: number of genres, best first; None: all.
            describe: include tempo and key; null if there is an error.
        """
        result: dict[str, Any] = {
            "path": self.path,
            "genre": self.genre,
            "confidence": self.confidence,
            "probabilities": _best(self.probabilities, top),
            "unknown_because": self.unknown_because,
            "duration_s": self.duration_s,
            "model": self.model,
            "error": self.error,
            "notes": list(self.notes_with_description() if describe else self.notes),
        }
        if describe:
            result |= dict.fromkeys(DESCRIPTION_FIELDS) if self.description is None else self.description.to_json()
        if tags and self.tags is not None:
            result["tags"] = _best(dict(self.tags), None)
        if self.genre_set is not None:
            result["set"] = list(self.genre_set)
        if timeline:
            result["timeline"] = [
                {"start_s": w.start_s, "end_s": w.end_s, "probabilities": _best(w.probabilities, top)}
                for w in self.timeline
            ]
        return result


@dataclass(frozen=True)
class Decision:
    """Which predictions count; by default all music does. Applied last: predictions are cached without it.

    Attributes:
        thresholds: for each genre the minimum confidence at which it counts; None: it never counts.
        least_likely: the minimum probability of a genre in the set of genres that a track may have.
        coverage: how often the true genre should be in its set; for predictions in which no genre is that likely.
        gate: is `unknown` returned for what does not sound like music?
    """

    thresholds: Mapping[str, float | None] | None = None
    least_likely: float | None = None
    coverage: float = 0.0
    gate: bool = True

    def __call__(self, prediction: Prediction) -> Prediction:
        """The prediction with its final genre and set of genres."""
        if self.least_likely is not None:
            prediction = replace(prediction, genre_set=self._set(prediction.probabilities, self.least_likely))
        if prediction.genre is None or prediction.confidence is None:
            return prediction
        if self.gate and prediction.music_score is not None and prediction.music_score < MIN_MUSIC_SCORE:
            return replace(prediction, genre=UNKNOWN, unknown_because=NOT_MUSIC)
        if not self.counts(prediction.genre, prediction.confidence):
            return replace(prediction, genre=UNKNOWN, unknown_because=UNSURE)
        return prediction

    def counts(self, genre: str, probability: float) -> bool:
        """Does a genre with this probability count? Without thresholds every genre does."""
        if self.thresholds is None:
            return True
        threshold = self.thresholds[genre]
        return threshold is not None and probability + ROUNDING >= threshold

    def missing_support(self, genre: str, name: str) -> str:
        """Why a genre with the displayed `name` does not count; "" where no thresholds are set.

        The threshold is rounded up, so that no confidence below it is displayed as the same number.
        """
        if self.thresholds is None:
            return ""
        threshold = self.thresholds.get(genre)
        if threshold is None:
            return f"too few calibration tracks for {name} at this precision"
        return f"{name} needs a confidence of {math.ceil(100 * threshold - ROUNDING)} %"

    def _set(self, probabilities: Mapping[str, float], least: float) -> tuple[str, ...]:
        """The set of genres; never empty if there are probabilities.

        If no genre is likely enough the prediction is less confident than most, and a set of the best genre alone
        would look too certain: the set then grows until its probabilities add up to the coverage (Romano, Sesia and
        Candes 2020). A larger set contains the true genre at least as often, so the coverage holds.
        """
        order = sorted(probabilities, key=lambda g: -probabilities[g])
        likely = tuple(g for g in order if probabilities[g] + ROUNDING >= least)
        if likely or not order:
            return likely
        missing = [self.coverage - so_far - ROUNDING for so_far in accumulate(probabilities[g] for g in order)]
        return tuple(order[: 1 + sum(m > 0 for m in missing)])


def _best(probabilities: dict[str, float], top: int | None) -> dict[str, float]:
    if top is None:
        return probabilities
    return dict(sorted(probabilities.items(), key=lambda item: -item[1])[:top])
