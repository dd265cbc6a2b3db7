"""Scores a trial of a search: on folds of training tracks, each by a model that was not fitted on it."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import TrainSettings
from genrelab.core.errors import ModelError, SplitError
from genrelab.core.hyperparameters import (
    FAST_PARAMS,
    PCA,
    SECOND_TRIAL_PARAMS,
    SHARED,
    SPACES,
    CategoricalParameter,
    Params,
    Space,
    active_params,
    resolve_params,
    widen_space,
)
from genrelab.evaluation.intervals import difference_interval
from genrelab.models import registry
from genrelab.records.task import Task
from genrelab.splits.folds import make_folds
from genrelab.training import holdout_folds
from genrelab.training.cross_fit import CrossFit

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

SEARCH_SETTINGS = (
    "split", "seed", "epochs", "patience", "batch_size", "preset", "view", "pca", "class_weight", "imagenet_weights",
    "fine_tune",
)  # fmt: skip
"""Settings of a training that change a trial's score."""

ARTICLE_VERSION = {"rules of --preset article": 2}
"""Identifies a search with the article's preset, whose models up to version 0.3.0 were others. The key is printed."""

FALLBACK_PCA = 0.95  # where a model does not take all columns of a view as they are


def assign_to_folds(task: Task, among: Bools, seed: int) -> tuple[Ints, list[str | None] | None, list[str]]:
    """The fold of every track, its group (artist, else recording), which is in one fold, and notes for the user.

    Args:
        among: the training set, shape (tracks,).

    Raises:
        SplitError: too few training tracks.
    """
    y, artists = task.labels(chooses=False).y, task.artists()
    reason = "the artist of most training tracks is unknown"
    if 2 * sum(artists[i] is not None for i in np.flatnonzero(among)) >= among.sum():
        try:
            return holdout_folds.folds_by_artist(y, artists, among, seed=seed), artists, []
        except SplitError as e:
            reason = f"no folds by artist: {e}"
    note = f"{reason}: folds are made of neighbouring tracks, so an artist may be in several folds"
    fold = holdout_folds.with_whole_recordings(_contiguous_folds(y, among), task.recordings)
    return fold, task.recording_groups(), [note]


def _contiguous_folds(y: Ints, among: Bools) -> Ints:
    """Folds of consecutive tracks of each genre: neighbours in a collection are often by one artist."""
    sizes = np.bincount(y[among])
    rows = np.flatnonzero(among)
    rows = rows[sizes[y[rows]] >= holdout_folds.N_FOLDS]  # the others are in every training set
    if len(np.unique(y[rows])) < 2:
        raise SplitError(
            f"fewer than two genres have {holdout_folds.N_FOLDS} training tracks, too few to tune: add tracks"
        )
    fold = np.where(among, holdout_folds.ALWAYS_FITTED, holdout_folds.NOT_IN_STUDY).astype(np.int64)
    for number, (_, held) in enumerate(make_folds(y[rows], np.arange(len(rows)), seed=0)[0]):
        fold[rows[held]] = number
    return fold


@dataclass
class Search:
    """The hyper-parameters of one model that are searched, and their scores.

    Attributes:
        fits: fits the model on any of the training tracks; no others are loaded.
        fold: of every track, as `holdout_folds` numbers them, shape (tracks,).
        kept_whole: artist or recording of every track, None where folds are of single tracks.
        held: tracks of each fold, one array a fold; `groups` are their artists or recordings, in this order.
        space: the ranges that are searched; `starts` are tried first.
    """

    fits: CrossFit
    model: str
    settings: TrainSettings
    fold: Ints
    kept_whole: list[str | None] | None
    held: list[Ints] = field(init=False)
    groups: list[str | None] | None = field(init=False)
    starts: list[Params] = field(init=False)
    space: Space = field(init=False)

    def __post_init__(self) -> None:
        windows = self.fits.windows(self.model)
        there = np.isin(np.arange(len(self.fold)), windows.track)
        held = [np.flatnonzero((self.fold == f) & there) for f in range(holdout_folds.N_FOLDS)]
        self.held = [tracks for tracks in held if len(tracks)]
        order = np.concatenate(self.held)
        self.groups = None if self.kept_whole is None else [self.kept_whole[i] for i in order]
        space, pca = dict(SPACES[self.model]), self.settings.pca
        if registry.model_class(self.model).too_many_columns(self.settings, math.prod(windows.shape)):
            pca = FALLBACK_PCA
            space["pca"] = CategoricalParameter(tuple(c for c in PCA.choices if c is not None), more=True)
        usual = resolve_params(self.model, {}, preset=self.settings.preset)
        usual |= {name: getattr(self.settings, name) for name in SHARED} | {"pca": pca}
        tried = [
            active_params(space, usual),
            active_params(space, {**usual, **SECOND_TRIAL_PARAMS.get(self.model, {})}),
        ]
        self.starts = tried[:1] if tried[0] == tried[1] else tried
        self.space = widen_space(space, self.starts)

    @property
    def grouped_by(self) -> str:
        """The groups that are in one fold: `artists`, `recordings` or `tracks`."""
        if self.kept_whole is None:
            return "tracks"
        return "artists" if self.kept_whole == self.fits.task.artists() else "recordings"

    @property
    def score(self) -> str:
        """The name of the score."""
        kind = {"artists": "artist-grouped folds", "recordings": "folds of whole recordings"}.get(
            self.grouped_by, "folds"
        )
        return f"accuracy over {len(self.held)} {kind} of the training set"

    def asked(self) -> dict[str, Any]:
        """The inputs of the trials, plain JSON by name: trials with others must not be mixed in."""
        ids, y = self.fits.task.prepared.tracks["track_id"], self.fits.labels.y
        tracks = [
            [ids[i], int(y[i]), int(self.fold[i])] for i in np.flatnonzero(self.fold != holdout_folds.NOT_IN_STUDY)
        ]
        content = json.dumps([list(self.fits.task.genres), tracks, self.groups])
        settings = self.settings.to_json()
        return {
            "data": self.fits.windows(self.model).fingerprint,
            "folds": hashlib.sha256(content.encode()).hexdigest(),
            "settings": {name: settings[name] for name in SEARCH_SETTINGS}
            | ({} if settings["early_stopping"] else {"early_stopping": False}),  # as in searches before it existed
            "space": {name: p.to_json() for name, p in self.space.items()},
            **(ARTICLE_VERSION if self.settings.preset == "article" else {}),
        }

    def score_folds(self, params: Params) -> Iterator[Bools]:
        """Fold by fold: which held-out tracks does a model with these hyper-parameters classify correctly?

        Raises:
            ModelError: the model cannot be fitted with them.
        """
        self.fits.settings = replace(self.settings, params={self.model: {**params, **FAST_PARAMS.get(self.model, {})}})
        y = self.fits.labels.y
        for held in self.held:
            # Checkpoints do not record their hyper-parameters; outputs of a frozen base stay valid.
            shutil.rmtree(self.fits.scratch / self.model / "checkpoint", ignore_errors=True)
            found = self.fits.answers(self.model, self._roles(int(self.fold[held[0]]), y))
            right = np.zeros(len(y), bool)
            right[found.tracks] = found.correct(y)
            yield right[held]

    def split_by_fold(self, right: Bools) -> list[Bools]:
        """One array a fold of an array over all folds, shape (tracks,)."""
        return np.split(right, np.cumsum([len(held) for held in self.held])[:-1])

    def is_worse(self, right: list[Bools], best: Bools) -> bool:
        """Is a trial, on the folds that it was scored on, significantly worse than the best one?

        Args:
            right: one array for each of these folds.
            best: the best trial's array over all folds, shape (tracks,).
        """
        scored = np.concatenate(right)
        groups = None if self.groups is None else self.groups[: len(scored)]
        return difference_interval(scored, best[: len(scored)], groups)[1] < 0

    def export_problem(self, params: Params) -> str | None:
        """Why a model with these, fitted on all training tracks, cannot become a bundle; None if it can.

        Networks always can.
        """
        if registry.model_class(self.model).needs_validation:
            return None
        model = registry.create(self.model, replace(self.settings, params={self.model: params}), self.fits.task.genres)
        try:
            model.fit(self.fits.windows(self.model), self.fits.scratch / self.model).onnx()
        except ModelError as e:
            return str(e)
        return None

    def _roles(self, held: int, y: Ints) -> NDArray[np.str_]:
        chooses = None
        if registry.model_class(self.model).needs_validation:
            learned = (self.fold != held) & (self.fold != holdout_folds.NOT_IN_STUDY)
            chooses = holdout_folds.choosing_mask(y, self.kept_whole, learned, seed=self.settings.seed)
        return holdout_folds.roles_for_fold(self.fold, held, chooses)
