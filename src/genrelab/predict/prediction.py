"""What a model says of a track, and whether that is sure enough to be an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

UNKNOWN = "unknown"
"""The genre of an answer that the model declines to give."""

ROUNDING = 1e-9
"""Confidences of calibration tracks were rounded down to thousandths; what lies this close below one counts as it."""


@dataclass(frozen=True)
class WindowScore:
    """What the model says of one window of a track."""

    start_s: float
    end_s: float
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Prediction:
    """What the model says of a track; where `error` says why not, `genre` and `confidence` are None.

    Attributes:
        genre: the most probable one, or `unknown` where that is not sure enough (see `Decision`).
        confidence: the probability of the most probable genre, also where the answer is `unknown`.
        timeline: what it says of each window; empty where the answer was remembered.
        lasting: the same file would get the same answer; not so where it could not be read at all.
        genre_set: the genres that the track may have, the most probable first; None where no coverage was asked for.
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

    @property
    def guess(self) -> str | None:
        """The most probable genre, also where the answer is `unknown`; None where there is an error."""
        return max(self.probabilities, key=lambda g: self.probabilities[g]) if self.probabilities else None

    def to_json(self, *, timeline: bool = False, top: int | None = None) -> dict[str, Any]:
        """The object that `predict --json` prints and the service answers.

        Args:
            timeline: with what was said of every window.
            top: only so many genres, best first.
        """
        answer: dict[str, Any] = {
            "path": self.path,
            "genre": self.genre,
            "confidence": self.confidence,
            "probabilities": _best(self.probabilities, top),
            "duration_s": self.duration_s,
            "model": self.model,
            "error": self.error,
        }
        if self.genre_set is not None:
            answer["set"] = list(self.genre_set)
        if timeline:
            answer["timeline"] = [
                {"start_s": w.start_s, "end_s": w.end_s, "probabilities": _best(w.probabilities, top)}
                for w in self.timeline
            ]
        return answer


@dataclass(frozen=True)
class Decision:
    """Which answers count; as it stands here, all do. Applied last: what is remembered of a track knows nothing of it.

    Attributes:
        thresholds: for each genre the confidence from which it is an answer, None where it never is one.
        least_likely: the probability from which a genre belongs to the set of those that a track may have.
        coverage: how often the true genre is to be in its set; for answers in which no genre is that likely.
    """

    thresholds: Mapping[str, float | None] | None = None
    least_likely: float | None = None
    coverage: float = 0.0

    def __call__(self, said: Prediction) -> Prediction:
        """The prediction with the genre and the set that follow from it."""
        if self.least_likely is not None:
            said = replace(said, genre_set=self._set(said.probabilities, self.least_likely))
        if self.thresholds is not None and said.genre is not None and said.confidence is not None:
            from_here = self.thresholds[said.genre]
            if from_here is None or said.confidence + ROUNDING < from_here:
                said = replace(said, genre=UNKNOWN)
        return said

    def _set(self, probabilities: Mapping[str, float], least: float) -> tuple[str, ...]:
        """Never empty where there are probabilities.

        Where no genre is likely enough the answer is less sure than most, and the best genre alone would look surer
        than it is: there the set goes on until its probabilities add up to the coverage (the sets of Romano, Sesia
        and Candes 2020, with the model taken at its word). More genres only make it likelier that the true one is
        among them, so what is promised of all sets holds.
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
