"""Trains models on some tracks and classifies others, repeatedly, for studies and searches."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import FLAT_VIEWS, TrainSettings
from genrelab.core.errors import MissingRequirementError, ModelError
from genrelab.core.hyperparameters import with_fast_params
from genrelab.core.progress import Notify, ignore
from genrelab.models import registry
from genrelab.predict.pooling import pool
from genrelab.records.examples import CACHE_BYTES, Examples, Labels, load_examples
from genrelab.records.task import Task
from genrelab.training import holdout_folds
from genrelab.training.model_runs import view_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Roles = NDArray[np.str_]


@dataclass(frozen=True)
class HeldOutPredictions:
    """Predictions for tracks (or windows) outside the training set.

    Attributes:
        tracks: sorted, unique, shape (n,).
        probabilities: shape (n, genres).
        fold: number of the fold in which each was held out, shape (n,); 0 for all if there was one fit.
        n_learned: number of training tracks (or windows), averaged over the folds.
        notes: of the models, each sentence once.
    """

    tracks: Ints
    probabilities: Floats
    fold: Ints
    n_learned: int
    notes: tuple[str, ...]

    def correct(self, y: Ints) -> NDArray[np.bool_]:
        """Is the most probable genre the true one? Shape (n,); `y` holds the genres of all tracks (or windows)."""
        return np.asarray(self.probabilities.argmax(axis=1) == y[self.tracks], bool)


@dataclass
class CrossFit:
    """Trains models of one task repeatedly, each time on other tracks. The windows of a view are read once.

    Attributes:
        task: its genres, labels and artists are used; its split is not.
        among: tracks that the study may use, shape (tracks,). No other track's windows are loaded.
        scratch: an empty folder for the models.
        fitted: called after every fit.
        notify: called if shards are damaged.
    """

    task: Task
    settings: TrainSettings
    among: NDArray[np.bool_]
    scratch: Path
    fitted: Callable[[], None] = lambda: None
    notify: Notify = ignore
    _windows: dict[str, Examples] = field(default_factory=dict)

    @property
    def labels(self) -> Labels:
        """Genre and artist of every track; its roles are not used."""
        return self.task.labels(chooses=False)

    def check(self, name: str) -> None:
        """Refuse a model that cannot be trained on this machine, or has no view to read.

        Raises:
            MissingRequirementError: with the remedies.
        """
        if need := registry.model_class(name).missing_requirement(self.settings):
            raise MissingRequirementError(need)
        self.view(name)

    def view(self, name: str) -> str:
        """The view that the model reads; the same as in `train`."""
        return view_of(registry.model_class(name), self.settings, self.task.prepared.views)

    def windows(self, name: str) -> Examples:
        """All windows that the model may use; flat ones in memory, others in their shards."""
        view = self.view(name)
        if view not in self._windows:
            labels = replace(self.labels, role=np.where(self.among, "fit", "none"))
            shards = self.scratch / "shards"
            found = load_examples(self.task.prepared, view, labels, cache=shards, strict=self.settings.strict)
            if found.damage:
                self.notify(found.damage)
            self._windows[view] = _in_memory(found) if view in FLAT_VIEWS else found
        return self._windows[view]

    def has_multiple_windows(self, name: str) -> bool:
        """Has any track more than one window?"""
        track = self.windows(name).track
        return len(np.unique(track)) < len(track)

    def answers(self, name: str, role: Roles) -> HeldOutPredictions:
        """Train on the tracks with role `fit`, choose epochs on `choose`, and classify those with role `score`.

        Args:
            role: of each track, shape (tracks,).

        Raises:
            ModelError: it cannot be trained on these tracks.
        """
        windows = self.windows(name)
        examples = replace(windows, labels=replace(windows.labels, role=role))
        found = self._fit_and_predict(name, examples)
        tracks, pooled = pool(windows.track[found.tracks], found.probabilities)
        return HeldOutPredictions(tracks, pooled, np.zeros(len(tracks), np.int64), n_learned(name, role), found.notes)

    def held_out(self, name: str, fold: Ints, groups: list[str | None] | None = None) -> HeldOutPredictions:
        """Classify every track that is in a fold, with a model that was not trained on this fold.

        Args:
            fold: of each track, as numbered in `holdout_folds`, shape (tracks,).
            groups: the artist of each track, if artists are kept together in the set that chooses epochs.
        """
        y = self.labels.y
        return join_folds([self.answers(name, r) for r in self._roles(name, fold, y, groups)])

    def held_out_windows(self, name: str, fold: Ints) -> HeldOutPredictions:
        """The same for windows instead of tracks: `fold` and the result index the rows of `windows(name)`.

        Raises:
            ModelError: the windows need too much memory.
        """
        windows = _in_memory(self.windows(name))
        found = []
        for role in self._roles(name, fold, windows.y, None):
            labels = Labels(windows.genres, windows.y, role, windows.group)
            found.append(self._fit_and_predict(name, replace(windows, labels=labels, track=np.arange(len(windows)))))
        return join_folds(found)

    def _roles(self, name: str, fold: Ints, y: Ints, groups: list[str | None] | None) -> Iterator[Roles]:
        """Yield the roles of the tracks for each fold."""
        for held in np.unique(fold[fold >= 0]):
            chooses = None
            if registry.model_class(name).needs_validation:
                training = (fold != held) & (fold != holdout_folds.NOT_IN_STUDY)
                chooses = holdout_folds.choosing_mask(y, groups, training, seed=self.settings.seed)
            yield holdout_folds.roles_for_fold(fold, int(held), chooses)

    def _fit_and_predict(self, name: str, examples: Examples) -> HeldOutPredictions:
        """Train on the windows with role `fit`, and classify those with role `score`; the result indexes the rows."""
        rows = np.flatnonzero(examples.role == "score")
        model = registry.create(name, self.settings, self.task.genres)
        model.resume = True  # keeps the outputs of a frozen base; everything else starts again with other rows
        model.data_is_local = self.task.prepared.folder.is_local
        folder = self.scratch / name
        if examples._values is None:
            # From shards a model classifies all windows; results that are not needed are dropped.
            role = np.where(examples.labels.role == "none", "score", examples.labels.role)
            role[~self.among] = "none"
            examples_shown = replace(examples, labels=replace(examples.labels, role=role))
            probabilities = model.fit(examples_shown, folder).predict_proba(examples_shown)[rows]
        else:
            model.fit(_subset(examples, examples.role != "none"), folder)
            probabilities = model.predict_proba(_subset(examples, examples.role == "score"))
        self.fitted()
        learned = n_learned(name, examples.labels.role)
        return HeldOutPredictions(rows, probabilities, np.zeros(len(rows), np.int64), learned, tuple(model.notes))


@contextmanager
def cross_fit(
    task: Task, settings: TrainSettings, among: NDArray[np.bool_], notify: Notify = ignore
) -> Iterator[CrossFit]:
    """Yield a `CrossFit` with a temporary folder, which is removed when the block ends."""
    with tempfile.TemporaryDirectory(prefix="genrelab-") as scratch:
        yield CrossFit(task, settings, among, Path(scratch), notify=notify)


def quick_settings(settings: TrainSettings, name: str) -> TrainSettings:
    """Settings that give nearly the same predictions in less time, for studies of many fits."""
    return replace(settings, params=with_fast_params(settings.params, name))


def join_folds(found: list[HeldOutPredictions]) -> HeldOutPredictions:
    """Join the predictions of several folds, sorted by track; each track is in one fold only."""
    tracks = np.concatenate([a.tracks for a in found])
    fold = np.concatenate([np.full(len(a.tracks), i, np.int64) for i, a in enumerate(found)])
    order = np.argsort(tracks, kind="stable")
    n = round(float(np.mean([a.n_learned for a in found])))
    notes = tuple(dict.fromkeys(note for a in found for note in a.notes))
    return HeldOutPredictions(
        tracks[order], np.concatenate([a.probabilities for a in found])[order], fold[order], n, notes
    )


def n_learned(name: str, role: Roles) -> int:
    """Number of training tracks (or windows); those with role `choose` count if the model needs validation."""
    learns = ("fit", "choose") if registry.model_class(name).needs_validation else ("fit",)
    return int(np.isin(role, learns).sum())


def _in_memory(examples: Examples) -> Examples:
    """The same examples with their windows in memory, so that any subset can be taken.

    Raises:
        ModelError: they need too much memory.
    """
    if examples._values is not None:
        return examples
    size = len(examples) * int(np.prod(examples.shape)) * 4
    if examples.view.name not in FLAT_VIEWS and size > CACHE_BYTES:
        raise ModelError(
            f"its {len(examples):,} windows of the view {examples.view.name} need {size >> 20:,} MiB of memory"
        )
    return replace(examples, _values=examples.rows().x.astype(np.float32, copy=False), _shards=())


def _subset(examples: Examples, chosen: NDArray[np.bool_]) -> Examples:
    """A subset of windows in memory; `chosen` has shape (windows,)."""
    assert examples._values is not None
    return replace(
        examples, track=examples.track[chosen], start_s=examples.start_s[chosen], _values=examples._values[chosen]
    )
