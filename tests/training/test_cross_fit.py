from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genrelab.core.config import PrepareSettings, SamplesView, TrainSettings
from genrelab.core.errors import MissingRequirementError
from genrelab.datasets import folder
from genrelab.datasets.base import DatasetOptions
from genrelab.models import registry
from genrelab.predict.pooling import pool
from genrelab.prepare.pipeline import prepare
from genrelab.records.examples import load_examples
from genrelab.records.task import Task, make_task
from genrelab.training import holdout_folds
from genrelab.training.cross_fit import CrossFit, cross_fit
from tests.support.feature_tables import collection

SETTINGS = TrainSettings(models=("svm",), split="artist")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    prepared, _ = collection(tmp_path_factory.mktemp("collection"))
    return make_task(prepared, SETTINGS)


def _all(task: Task) -> np.ndarray:
    return np.ones(len(task.prepared), bool)


def test_roles_of_the_run_reproduce_its_predictions(task: Task, tmp_path: Path) -> None:
    labels = task.labels(chooses=False)
    examples = load_examples(task.prepared, "table", labels, cache=tmp_path)
    model = registry.create("svm", SETTINGS, task.genres).fit(examples, tmp_path)
    tracks, expected = pool(examples.track, model.predict_proba(examples))
    with cross_fit(task, SETTINGS, _all(task)) as fits:
        answers = fits.answers("svm", labels.role)
    scored = labels.role[tracks] == "score"
    assert answers.tracks.tolist() == tracks[scored].tolist()
    np.testing.assert_array_equal(answers.probabilities, expected[scored])
    assert answers.n_learned == int((labels.role == "fit").sum())


def test_nothing_is_learned_from_a_track_that_is_left_out_or_held_out(task: Task) -> None:
    """Labels that were turned about in one fold change the answers to all folds but that one."""
    y = task.labels(chooses=False).y
    fold = holdout_folds.random_folds(y, _all(task), seed=0)
    fold[:20] = holdout_folds.NOT_IN_STUDY
    changed = replace(task, prepared=replace(task.prepared, tracks=dict(task.prepared.tracks)))
    genres = np.array(task.prepared.tracks["genre"])
    other = np.where(fold <= 0, np.roll(genres, 7), genres)  # fold 0, and what is out
    changed.prepared.tracks["genre"] = other.tolist()
    with cross_fit(task, SETTINGS, _all(task)) as a, cross_fit(changed, SETTINGS, _all(task)) as b:
        before, after = a.held_out("gaussian_nb", fold), b.held_out("gaussian_nb", fold)
    assert before.tracks.tolist() == list(range(20, len(y)))
    same = (before.probabilities == after.probabilities).all(axis=1)
    assert same[before.fold == 0].all() and not same[before.fold != 0].any()


def test_windows_are_read_once_and_the_folder_is_removed(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []

    def counting(*words: object, **more: object) -> object:
        loads.append(str(words[1]))
        return load_examples(*words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("genrelab.training.cross_fit.load_examples", counting)
    fold = holdout_folds.folds_by_artist(task.labels(chooses=False).y, task.groups() or [], _all(task), seed=0)
    fitted: list[int] = []
    with cross_fit(task, SETTINGS, _all(task)) as fits:
        fits.fitted = lambda: fitted.append(1)
        for name in ("gaussian_nb", "knn"):
            held = fits.held_out(name, fold)
            assert held.tracks.tolist() == list(range(len(task.prepared)))
        scratch = fits.scratch
    assert loads == ["table"] and len(fitted) == 10 and not scratch.exists()


def test_a_model_without_a_view_to_read_is_refused(task: Task, tmp_path: Path) -> None:
    fits = CrossFit(task, SETTINGS, _all(task), tmp_path)
    fits.check("svm")
    with pytest.raises(MissingRequirementError, match="raw_cnn reads the view samples"):
        fits.check("raw_cnn")


@pytest.mark.slow
def test_network_validates_on_separate_tracks_and_is_reproducible(music: Path, tmp_path: Path) -> None:
    view = SamplesView(sr=8_000, n_samples=400)
    settings = TrainSettings(models=("raw_cnn",), split="random", epochs=2)
    found = folder.load(music, DatasetOptions())
    prepared = prepare(found, tmp_path / "prepared", PrepareSettings(views=(view,)), jobs=1)
    task = make_task(prepared, settings)
    usable = np.array(prepared.usable)
    fold = holdout_folds.random_folds(task.labels(chooses=True).y, usable, seed=0)
    fold[usable.nonzero()[0][:3]] = holdout_folds.NOT_IN_STUDY
    fold[fold > 0] = holdout_folds.ALWAYS_FITTED
    seen = []
    for _ in range(2):
        with cross_fit(task, settings, usable) as fits:
            seen.append(fits.held_out("raw_cnn", fold))
            roles = list(fits._roles("raw_cnn", fold, fits.labels.y, None))
    assert seen[0].tracks.tolist() == np.flatnonzero(fold >= 0).tolist()
    np.testing.assert_array_equal(seen[0].probabilities, seen[1].probabilities)
    assert all((r == "choose").sum() >= 3 and (r == "none").sum() == 4 for r in roles)
