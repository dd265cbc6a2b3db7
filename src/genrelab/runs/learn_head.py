"""The model of `learn`: trained on the embedding of each track, tested on tracks by other artists."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import EmbeddingView, TrainSettings
from genrelab.evaluation import metrics
from genrelab.evaluation.calibration import Evidence, apply_temperature, fit_temperature, make_evidence
from genrelab.models.classical import Musicnn
from genrelab.predict.pooling import pool
from genrelab.records.examples import Examples, Labels
from genrelab.training.calibration_notes import shared_artists_note
from genrelab.training.fit_calibration import HeldOut, out_of_fold

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

HALF_DRAWS = 3
"""How often half of the tracks are drawn to measure the gain by the other half."""


@dataclass(frozen=True)
class Learned:
    """A trained model and its scores.

    Attributes:
        temperature, evidence: for `write_bundle`; no evidence if too few tracks could be held out.
        tracks: numbers of the held-out tracks, shape (n,).
        p: their probabilities by models trained without them and their artist, calibrated on the other folds, shape
            (n, genres).
        scores: `metrics.score` of these; None if there are none.
        half_recall: recall of each genre after training on half of the tracks, shape (genres,); nan if not measured.
        notes: remarks for readers of the scores.
    """

    model: Musicnn
    temperature: float
    evidence: Evidence | None
    tracks: Ints
    p: Floats
    scores: dict[str, Any] | None
    half_recall: Floats
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """The training data: one or more rows per track.

    Attributes:
        x: embeddings, shape (rows, outputs).
        track: number of the track of each row, shape (rows,).
        y: genre number of each track, shape (tracks,).
        artists: of each track; tracks of one artist are held out together; None is a separate artist.
        never_held_out: marks tracks (tracks,) that are always used for training and never tested.
        strata: of each track (tracks,), spread evenly over the folds; by default the genres.
        right: the correct genres of each track, if there may be several; by default only `y`.
        scored: marks the tested tracks (tracks,), such as one of several for a file with several genres.
    """

    x: NDArray[np.float32]
    track: Ints
    y: Ints
    artists: Sequence[str | None]
    never_held_out: NDArray[np.bool_] | None = None
    strata: Ints | None = None
    right: Sequence[frozenset[int]] | None = None
    scored: NDArray[np.bool_] | None = None

    def only_scored(self, tracks: Ints, p: Floats) -> tuple[Ints, Floats]:
        """The tested ones of these tracks (n,), and their probabilities (n, genres)."""
        kept = np.ones(len(tracks), bool) if self.scored is None else self.scored[tracks]
        return tracks[kept], p[kept]

    def truth(self, tracks: Ints, p: Floats) -> Ints:
        """The genre of each of these tracks, (n,); if several are correct, the predicted one."""
        answers = p.argmax(axis=1)
        if self.right is None:
            return self.y[tracks]
        found = [a if a in self.right[i] else self.y[i] for i, a in zip(tracks, answers, strict=True)]
        return np.array(found, np.int64)

    def examples(self, view: EmbeddingView, genres: tuple[str, ...]) -> Examples:
        """The rows as input of a model, all for training."""
        group = np.empty(len(self.y), np.int64)
        numbers: dict[str, int] = {}
        for i, artist in enumerate(self.artists):
            group[i] = i + len(self.y) if artist is None else numbers.setdefault(artist, len(numbers))
        labels = Labels(genres, self.y, np.full(len(self.y), "fit"), group)
        return Examples(view, labels, self.track, np.zeros(len(self.track), np.float32), _values=self.x)


def learn_head(
    rows: Rows,
    genres: tuple[str, ...],
    view: EmbeddingView,
    *,
    seed: int,
    learning_curve: bool = True,
    group_name: str = "artists",
) -> Learned:
    """Train, calibrate and test.

    Args:
        learning_curve: also measure the recall with half of the tracks.
        group_name: what the groups of tracks mostly are (see `metrics.score`).

    Raises:
        ModelError: a genre without tracks, or only equal rows.
    """
    examples = rows.examples(view, genres)
    with tempfile.TemporaryDirectory(prefix="genrelab-") as scratch:
        model = Musicnn(TrainSettings(seed=seed), genres).fit(examples, Path(scratch))
        held = out_of_fold(model, examples, Path(scratch), never=rows.never_held_out, strata=rows.strata)
        temperature = fit_temperature(held.track, held.p, rows.y)
        tracks, pooled = rows.only_scored(*pool(held.track, apply_temperature(held.p, temperature)))
        evidence = make_evidence(
            pooled, rows.truth(tracks, pooled), genres, artists=examples.labels.group[tracks].tolist(),
            fitted_on="all tracks, out of fold",
        )  # fmt: skip
        tracks, p = rows.only_scored(*_tempered_by_other_folds(held, rows.y))
        half_recall = np.full(len(genres), np.nan)
        if learning_curve and len(tracks):
            half_recall = _half_recall(model, rows, examples, held, Path(scratch))
    artists = [rows.artists[i] or f"track {i}" for i in tracks]
    scores = metrics.score(rows.truth(tracks, p), p, genres, artists, group_name=group_name) if len(tracks) else None
    notes = (*model.notes, *_notes(held, [rows.artists[i] for i in tracks]))
    return Learned(model, temperature, evidence, tracks, p, scores, half_recall, notes)


def _notes(held: HeldOut, artists: Sequence[str | None]) -> list[str]:
    """The notes, without the one on unknown artists if every artist is known and has one track."""
    unknown = () if None in artists else shared_artists_note(np.arange(2), shared=False)
    return [note for note in held.notes if note not in unknown]


def _tempered_by_other_folds(held: HeldOut, y: Ints) -> tuple[Ints, Floats]:
    """Tracks and probabilities of held-out tracks, each calibrated on the other folds."""
    if held.fold is None:
        return held.track, held.p
    p = np.empty_like(held.p)
    for fold in np.unique(held.fold):
        out = held.fold == fold
        p[out] = apply_temperature(held.p[out], fit_temperature(held.track[~out], held.p[~out], y))
    return pool(held.track, p)


def _half_recall(model: Musicnn, rows: Rows, examples: Examples, held: HeldOut, scratch: Path) -> Floats:
    """Recall of each genre (genres,) on the same folds, after training on a random half of each genre's tracks.

    If the fold contains the whole half of a genre, all other tracks of that genre are used.
    """
    assert held.fold is not None
    labels, rng = examples.labels, np.random.default_rng(model.settings.seed)
    settings = replace(model.settings, params={model.name: {"C": float(model.classifier_.C)}})
    fold_of_track = np.full(len(labels.y), -1)
    fold_of_track[held.track] = held.fold
    right, tested = np.zeros(len(labels.genres)), np.zeros(len(labels.genres))
    for _ in range(HALF_DRAWS):
        chosen = np.concatenate([_half(rng, np.flatnonzero(labels.y == g)) for g in range(len(labels.genres))])
        for fold in np.unique(held.fold):
            scored = fold_of_track == fold
            role = np.where(np.isin(np.arange(len(labels.y)), chosen), "fit", "none")
            gone = np.setdiff1d(np.arange(len(labels.genres)), labels.y[(role == "fit") & ~scored])
            role = np.where(scored, "score", np.where(np.isin(labels.y, gone), "fit", role))
            part = replace(examples, labels=replace(labels, role=role))
            again = Musicnn(settings, labels.genres).fit(part, scratch)
            out = part.rows("score")
            tracks, p = rows.only_scored(*pool(out.track, again._proba(out.x)))
            truth = rows.truth(tracks, p)
            np.add.at(right, truth, p.argmax(axis=1) == truth)
            np.add.at(tested, truth, 1)
    return np.where(tested > 0, right / np.maximum(tested, 1), np.nan)


def _half(rng: np.random.Generator, tracks: Ints) -> Ints:
    return rng.permutation(tracks)[: max(1, (len(tracks) + 1) // 2)]
