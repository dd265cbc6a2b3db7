"""What a trained model is calibrated on: never what it was fitted on, and never what is scored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genrelab.core.config import TrainSettings
from genrelab.core.errors import ModelError
from genrelab.evaluation import metrics
from genrelab.evaluation.calibration import MIN_TRACKS, apply_temperature
from genrelab.models import registry
from genrelab.models.base import Model
from genrelab.models.classical import GaussianNB
from genrelab.records.examples import Examples
from genrelab.training.fit_calibration import HELD_OUT, OUT_OF_FOLD, VALIDATION, calibrate
from tests.support.in_memory import blobs, examples_of, table_view


def hard(n: int = 300, *, roles: tuple[str, ...] = ("fit", "fit", "fit", "score"), artists: int = 60) -> Examples:
    """Three genres that overlap, each column there three times, so that naive Bayes is three times too sure."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, n)
    x = np.repeat(rng.normal(size=(n, 4)) + 0.7 * np.eye(3, 4)[y], 3, axis=1)
    group = rng.integers(0, artists, n)
    return examples_of(x, y, view=table_view(12), role=np.array(roles)[group % len(roles)], group=group)


def trained(examples: Examples, folder: Path, name: str = "gaussian_nb") -> tuple[Model, Any]:
    model = registry.create(name, TrainSettings(), examples.genres).fit(examples, folder)
    return model, model.predict_proba(examples)


def test_without_validation_tracks_calibration_is_out_of_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = hard()
    model, p = trained(examples, tmp_path)
    fitted: list[np.ndarray[Any, Any]] = []
    fit = GaussianNB.fit
    monkeypatch.setattr(GaussianNB, "fit", lambda m, e, f: (fitted.append(e.role.copy()), fit(m, e, f))[1])
    found = calibrate(model, examples, p, parts=("training",) * len(examples), scratch=tmp_path)
    about, evidence = found.about, found.evidence
    assert about is not None and evidence is not None
    n = int((examples.role == "fit").sum())
    assert (about["fitted_on"], about["n"], evidence.n, len(fitted)) == (OUT_OF_FOLD, n, n, 5)
    assert about["n_artists"] == evidence.n_artists == len(np.unique(examples.group[examples.role == "fit"]))
    held = np.stack([role == "choose" for role in fitted])
    np.testing.assert_array_equal(held.sum(axis=0), examples.role == "fit", "each training track once, no scored one")
    for out in held:
        assert not set(examples.group[out]) & set(examples.group[~out & (examples.role == "fit")])
    assert 2 < found.temperature < 5
    np.testing.assert_allclose(found.probabilities, apply_temperature(p, found.temperature))
    for where in (about, about["scored"]):
        assert where["after"]["log_loss"] < where["before"]["log_loss"]
        assert where["after"]["ece"] < where["before"]["ece"]
    assert found.notes == ()


def test_the_scored_figures_are_those_of_scored_tracks(tmp_path: Path) -> None:
    examples = hard()
    model, p = trained(examples, tmp_path)
    found = calibrate(model, examples, p, parts=("training",) * len(examples), scratch=tmp_path)
    assert found.about is not None and found.evidence is not None
    scored, rows = found.about["scored"], examples.role == "score"
    y, after = examples.y[rows], found.probabilities[rows]
    assert scored["after"] == pytest.approx({"log_loss": metrics.log_loss(y, after), "ece": metrics.ece(y, after)})
    least = found.evidence.least_likely(0.9)
    inside = (after >= least) | (after == after.max(axis=1, keepdims=True))
    assert scored["coverage"]["covered"] == pytest.approx(inside[np.arange(len(y)), y].mean())
    assert scored["coverage"]["set_size"] == pytest.approx(inside.sum(axis=1).mean())
    assert scored["coverage"]["covered"] > 0.8
    from_here = {g: t.confidence for g, t in found.evidence.thresholds(0.9).items()}
    predicted = [(i, c) for i, c in zip(after.argmax(axis=1), after.max(axis=1), strict=True)]
    counts = np.array([(t := from_here[examples.genres[i]]) is not None and c >= t for i, c in predicted])
    assert scored["precision"]["answered"] == pytest.approx(counts.mean())


def test_validation_tracks_calibrate_without_refitting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = hard(roles=("fit", "fit", "choose", "score"))
    model, p = trained(examples, tmp_path)
    monkeypatch.setattr(GaussianNB, "fit", None)
    part = {"fit": "training", "score": "test"}
    for chosen, fitted_on in (("validation", VALIDATION), ("training", HELD_OUT)):
        parts = tuple((part | {"choose": chosen})[role] for role in examples.role)
        found = calibrate(model, examples, p, parts=parts, scratch=tmp_path)
        assert found.about is not None and found.about["fitted_on"] == fitted_on
        assert found.about["n"] == (examples.role == "choose").sum()
    scored = examples.role == "score"
    other = np.where(scored[:, None], 1 / 3, p)
    assert calibrate(model, examples, other, parts=parts, scratch=tmp_path).temperature == found.temperature


def test_too_few_tracks_leave_probabilities_uncalibrated(tmp_path: Path) -> None:
    few = hard(40, roles=("fit", "fit", "choose", "score"))
    model, p = trained(few, tmp_path)
    found = calibrate(model, few, p, parts=("validation",) * 40, scratch=tmp_path)
    n = int((few.role == "choose").sum())
    assert n < MIN_TRACKS and found.temperature == 1 and found.evidence is not None and found.evidence.n == n
    assert found.notes == (f"not calibrated: {n} validation tracks, at least 20 are needed",)
    assert found.about is not None and not found.about["fitted"] and found.about["before"] == found.about["after"]
    alone = replace(few, labels=replace(few.labels, group=np.arange(40)))
    notes = calibrate(model, alone, p, parts=("validation",) * 40, scratch=tmp_path).notes
    assert notes == found.notes, "nothing is calibrated, on whatever tracks"
    fewer = blobs(20)
    model, p = trained(fewer, tmp_path)
    found = calibrate(model, fewer, p, parts=("training",) * 20, scratch=tmp_path)
    assert (found.temperature, found.evidence, found.about) == (1, None, None) and len(found.notes) == 1


def test_temperature_that_worsens_the_scored_tracks_is_noted(tmp_path: Path) -> None:
    examples = hard(roles=("fit", "fit", "choose", "score"))
    model, p = trained(examples, tmp_path)
    fine = calibrate(model, examples, p, parts=("validation",) * len(p), scratch=tmp_path)
    assert fine.notes == () and fine.about is not None and fine.about["fitted"]
    well = np.where(
        (examples.role == "score")[:, None], apply_temperature(p, fine.temperature), p
    )  # calibrated already
    found = calibrate(model, examples, well, parts=("validation",) * len(p), scratch=tmp_path)
    assert found.about is not None and found.temperature == fine.temperature
    (note,) = found.notes
    before, after = (found.about["scored"][when]["ece"] for when in ("before", "after"))
    assert after > before and f"ECE {before:.3f} → {after:.3f}, log loss" in note
    assert note.startswith("calibration made the probabilities of the test tracks worse: ")


def test_doubtful_calibration_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def notes_of(examples: Examples) -> tuple[str, ...]:
        model, p = trained(examples, tmp_path)
        return calibrate(model, examples, p, parts=("training",) * len(examples), scratch=tmp_path).notes

    alone = hard()
    alone = replace(alone, labels=replace(alone.labels, group=np.arange(len(alone))))
    unknown = (
        "calibrated on tracks by unknown artists: if these artists are also in the training set, "
        "confidence may be too high"
    )
    assert notes_of(alone) == (unknown,)
    thin = hard(artists=8)  # so few that no fold can keep them apart and have every genre among the fitted
    group = np.where(thin.labels.y == 0, thin.labels.group % 2, 2 + thin.labels.y)
    group = np.where((thin.labels.y > 0) & (np.arange(300) % 50 == 0), 0, group)
    thin = replace(thin, labels=replace(thin.labels, group=group))
    assert notes_of(thin) == ("calibrated on tracks by artists of the training set: confidence may be too high",)
    chooses = hard(roles=("fit", "fit", "choose", "score"))
    assert notes_of(chooses) == ()
    for group, note in ((chooses.labels.group // 4, notes_of(thin)), (np.arange(len(chooses)), (unknown,))):
        assert notes_of(replace(chooses, labels=replace(chooses.labels, group=group))) == note
    model, p = trained(hard(), tmp_path)

    def refuse(*_: object) -> None:
        raise ModelError("not today")

    monkeypatch.setattr(GaussianNB, "fit", refuse)
    found = calibrate(model, hard(), p, parts=("training",) * 300, scratch=tmp_path)
    assert found.evidence is None and found.temperature == 1
    assert found.notes[0] == "not calibrated: it could not be trained on a part of the tracks: not today"


def test_genre_with_one_artist_is_fitted_and_never_held_out(tmp_path: Path) -> None:
    examples = hard()
    y, group = examples.labels.y, examples.labels.group.copy()
    group[y == 2] = 1_000
    role = np.where((y == 2) & (examples.labels.role == "score"), "fit", examples.labels.role)
    examples = replace(examples, labels=replace(examples.labels, group=group, role=role))
    model, p = trained(examples, tmp_path)
    found = calibrate(model, examples, p, parts=("training",) * len(examples), scratch=tmp_path)
    assert found.about is not None
    assert found.about["n"] == ((examples.role == "fit") & (examples.y != 2)).sum()


def test_only_artist_of_a_genre_is_not_held_out_for_other_genres(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = hard()
    y, group, role = examples.labels.y, examples.labels.group.copy(), examples.labels.role
    group[y == 2] = 1_000
    group[np.flatnonzero((y == 0) & (role == "fit"))[:6]] = 1_000
    role = np.where((y == 2) & (role == "score"), "fit", role)
    examples = replace(examples, labels=replace(examples.labels, group=group, role=role))
    model, p = trained(examples, tmp_path)
    fitted: list[np.ndarray[Any, Any]] = []
    fit = GaussianNB.fit
    monkeypatch.setattr(GaussianNB, "fit", lambda m, e, f: (fitted.append(e.role.copy()), fit(m, e, f))[1])
    found = calibrate(model, examples, p, parts=("training",) * len(examples), scratch=tmp_path)
    assert len(fitted) == 5 and found.notes == ()
    for role in fitted:
        assert not set(examples.group[role == "choose"]) & set(examples.group[role == "fit"])


def test_majority_model_gets_no_note_on_unknown_artists(tmp_path: Path) -> None:
    alone = hard()
    alone = replace(alone, labels=replace(alone.labels, group=np.arange(len(alone))))
    model, p = trained(alone, tmp_path, "majority")
    assert calibrate(model, alone, p, parts=("training",) * len(alone), scratch=tmp_path).notes == ()
