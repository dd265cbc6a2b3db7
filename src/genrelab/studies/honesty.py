"""How much of a model's accuracy is due to the way its tracks were split (`--honesty`).

The same model is trained on the same tracks under five policies, from the most optimistic to the strictest:

- `segment`: windows are assigned to 5 folds at random, so the model is trained on other windows of a test track.
  Only where tracks have several windows.
- `random`: recordings are assigned to folds, so the model is trained on other tracks of a test artist.
- `article`: the random split of Hermez et al. 2020, scored once on its test tracks.
- `artist`: artists are assigned to folds, so the model is trained on nothing of a test artist.
- `official`: the dataset's own parts, scored once on its test tracks, or on validation tracks if there are none.

Under `segment`, `random` and `artist` every track is scored once, by a model that was not trained on its fold; so two
policies are compared track by track, with an interval that resamples whole artists (tracks, where artists are unknown).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count as counting
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import TrainSettings
from genrelab.core.errors import ModelError, SplitError, printable
from genrelab.core.progress import Notify, ProgressBar
from genrelab.core.storage import Folder
from genrelab.core.text import join_first, pluralize
from genrelab.evaluation import metrics
from genrelab.evaluation.percent import format_percent
from genrelab.models.registry import model_class
from genrelab.predict.pooling import pool
from genrelab.records.prepared import Prepared, read_parquet
from genrelab.records.task import Task, make_task
from genrelab.studies.policies import POLICIES, PolicyResult, compare_policies, finding, not_run_sentences
from genrelab.studies.study_result import accuracy_text, points_text, write_result
from genrelab.training import holdout_folds
from genrelab.training.cross_fit import CrossFit, HeldOutPredictions, cross_fit, n_learned, quick_settings

FILE = "honesty.json"
HEADERS = (
    "model", "policy", "accuracy % [95 % interval]", "n", "training tracks", "points above artists apart",
    "points above official",
)  # fmt: skip


def study(
    prepared: Prepared,
    run: Folder,
    settings: TrainSettings,
    *,
    models: tuple[str, ...],
    notify: Notify,
    bar: ProgressBar,
) -> dict[str, Any]:
    """Train the models under every policy that the dataset allows; write RUN/honesty.json and return it.

    Args:
        prepared: what RUN was trained on.
        settings: of RUN; only its split does not count.
        models: names; `majority` ignores the audio and is left out.

    Raises:
        SplitError: the run's own split is no longer possible.
    """
    task, fixed, reasons = _tasks(prepared, settings)
    names = [m for m in models if m != "majority"]
    among = _shared_tracks(task, fixed.get("official"))
    task = _restrict_genres(task, among)
    folds, fold_reasons = _policy_folds(task, among, settings.seed)
    reasons |= fold_reasons
    n_fits = len(names) * (len(folds) * holdout_folds.N_FOLDS + len(fixed))
    found: list[dict[str, Any]] = []
    not_run = [{"model": None, "policy": p, "reason": reasons[p]} for p in POLICIES if p in reasons]
    with bar("Honesty", "fits") as progress, cross_fit(task, settings, among, notify) as fits:
        done = counting(1)
        fits.fitted = lambda: progress(next(done), n_fits)
        for name in names:
            results, refused = _run_policies(fits, name, folds, fixed, run)
            not_run += [{"model": name, "policy": p, "reason": r} for p, r in refused.items()]
            if results:
                found.append(compare_policies(name, fits.view(name), results, fits.task.groups()))
    sentences = [
        *finding(found),
        *_tuned_sentence([m["model"] for m in found if settings.params.get(m["model"])]),
        *not_run_sentences(not_run),
    ]
    return write_result(run, FILE, {"models": found, "not_run": not_run, "sentences": sentences}, notify)


def _tuned_sentence(names: list[str]) -> list[str]:
    why = (
        "hyper-parameters were searched on tracks of the folds, so folds and the article's split look slightly too good"
    )
    return [f"{join_first(names, most=len(names))}: {why}"] if names else []


def table(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """One row per model and policy, as printed under HEADERS."""
    rows: list[tuple[str, ...]] = []
    for model in found["models"]:
        above = {(d["a"], d["b"]): d for d in model["differences"]}
        for p in model["policies"]:
            name = p["policy"] + (f" ({p['part']})" if p["part"] else "")
            gaps = [
                f"{points_text(d['difference'], d['low'], d['high'])} ({d['n']:,} tracks)" if d else ""
                for d in (above.get((p["policy"], b)) for b in ("artist", "official"))
            ]
            n = (f"{p['n']:,}", f"{p['n_learned']:,}")
            rows.append((printable(model["model"]), name, accuracy_text(p), *n, *gaps))
    return rows


# === Tracks and folds of each policy ===


def _tasks(prepared: Prepared, settings: TrainSettings) -> tuple[Task, dict[str, Task], dict[str, str]]:
    """The task of the run, those of the fixed splits by policy, and the reason where one is missing, by policy."""
    task = make_task(prepared, settings)
    fixed, reasons = {}, {}
    for policy in ("article", "official"):
        try:
            fixed[policy] = make_task(prepared, replace(settings, split=policy))
        except SplitError as e:
            reasons[policy] = f"it {e.__cause__}"
    return task, fixed, reasons


def _shared_tracks(task: Task, official: Task | None) -> NDArray[np.bool_]:
    """Mask of the tracks used by every policy, shape (tracks,): all that the official split does not exclude."""
    if official is not None:
        return np.array([part != "excluded" for part in official.split.parts])
    stated = task.prepared.tracks["official_split"]
    return np.array([ok and part != "excluded" for ok, part in zip(task.prepared.usable, stated, strict=True)])


def _restrict_genres(task: Task, among: NDArray[np.bool_]) -> Task:
    """The task with only the genres of these tracks."""
    genres = {g for g, here in zip(task.prepared.tracks["genre"], among, strict=True) if here}
    return replace(task, genres=tuple(sorted(genres)))


def _policy_folds(
    task: Task, among: NDArray[np.bool_], seed: int
) -> tuple[dict[str, NDArray[np.int64]], dict[str, str]]:
    """Fold of every track under `random` and `artist`, and the reason where a policy has none."""
    y, artists = task.labels(chooses=False).y, task.artists()
    folds, reasons = {}, {}
    if not any(artist for artist, here in zip(artists, among, strict=True) if here):
        remedy = "--artist-column" if "table" in task.prepared.views else "--artists FILE, or tags in the files"
        reasons["artist"] = f"the artists are unknown: use {remedy}"
    else:
        try:
            folds["artist"] = holdout_folds.folds_by_artist(y, artists, among, seed=seed)
        except SplitError as e:
            reasons["artist"] = str(e)
    try:
        single = holdout_folds.random_folds(y, among, seed=seed)
        folds["random"] = holdout_folds.with_whole_recordings(single, task.recordings)
    except SplitError as e:
        reasons["random"] = str(e)
    return folds, reasons


# === One model under every policy ===


def _run_policies(
    fits: CrossFit, name: str, folds: dict[str, NDArray[np.int64]], fixed: dict[str, Task], run: Folder
) -> tuple[list[PolicyResult], dict[str, str]]:
    """One result per policy that the model can be fitted under, and the reason for each other policy."""
    results, refused, settings = [], {}, fits.settings
    fits.settings = quick_settings(settings, name)
    for policy in POLICIES:
        try:
            fits.check(name)
            if policy in fixed:
                results.append(_fixed_result(fits, name, policy, fixed[policy], run))
            elif policy in folds:
                groups = fits.task.artists() if policy == "artist" else fits.task.recording_groups()
                held = fits.held_out(name, folds[policy], groups)
                results.append(_policy_result(fits, policy, held, note=_always_fitted_note(folds[policy])))
            elif policy == "segment":
                results.append(_segment_result(fits, name))
        except (ModelError, SplitError) as e:
            refused[policy] = str(e)
    fits.settings = settings
    return results, refused


def _fixed_result(fits: CrossFit, name: str, policy: str, task: Task, run: Folder) -> PolicyResult:
    """The result on the scored part of one fixed split, of its tracks that take part under every policy."""
    role = task.labels(chooses=model_class(name).needs_validation).role
    outside = ~fits.among & (role != "none")
    role = np.where(outside, "none", role)
    if not (role == "score").any():
        raise SplitError("none of its scored tracks is in the official split")
    note = "one fixed split, so one evaluation"
    if task.split.no_test:
        note += "; there are no test tracks, so validation tracks are scored"
    # The run has trained this model already if its split is the same.
    own = task.split.parts == fits.task.split.parts and not outside.any()
    predictions = (_run_predictions(run, name, task, role) if own else None) or fits.answers(name, role)
    return _policy_result(fits, policy, predictions, part=task.split.scored_part, note=note)


def _run_predictions(run: Folder, name: str, task: Task, role: NDArray[np.str_]) -> HeldOutPredictions | None:
    """Predictions of the run's own model on its scored tracks; None if they were not stored."""
    if not run.exists(f"{name}/predictions.parquet"):
        return None
    stored = read_parquet(run, f"{name}/predictions.parquet").to_pydict()
    number = {track: i for i, track in enumerate(task.prepared.tracks["track_id"])}
    tracks = np.array([number[t] for t in stored["track_id"]], np.int64)
    probabilities = np.array([stored[f"p_{g}"] for g in task.genres], np.float64).T
    order = np.argsort(tracks)[role[np.sort(tracks)] == "score"]
    no_fold = np.zeros(len(order), np.int64)
    return HeldOutPredictions(tracks[order], probabilities[order], no_fold, n_learned(name, role), ())


def _policy_result(fits: CrossFit, policy: str, held: HeldOutPredictions, **more: Any) -> PolicyResult:
    correct = held.correct(fits.labels.y)
    folds = [float(correct[held.fold == k].mean()) for k in np.unique(held.fold)]
    return PolicyResult(policy, held.tracks, correct, folds, held.n_learned, **more)


def _segment_result(fits: CrossFit, name: str) -> PolicyResult:
    """The policy `segment`: a track is scored by the mean over its windows, each of which was held out.

    Raises:
        SplitError: every track has one window.
    """
    if not fits.has_multiple_windows(name):
        raise SplitError("every track has one window")
    windows = fits.windows(name)
    fold = holdout_folds.random_folds(windows.y, np.ones(len(windows), bool), seed=fits.settings.seed)
    held = fits.held_out_windows(name, fold)
    correct_windows = held.correct(windows.y)
    tracks, probabilities = pool(windows.track[held.tracks], held.probabilities)
    correct = np.asarray(probabilities.argmax(axis=1) == fits.labels.y[tracks], bool)
    figures = metrics.segment_scores(
        windows.y[held.tracks], held.probabilities, windows.track[held.tracks], fits.task.groups()
    )
    assert figures is not None
    single = f"the folds consist of single windows, {len(correct_windows):,} in all"
    note = f"{single}; {format_percent(figures['accuracy'])} of them are right"
    folds = [float(correct_windows[held.fold == k].mean()) for k in np.unique(held.fold)]
    n_training = round(float(np.mean([len(np.unique(windows.track[fold != k])) for k in range(holdout_folds.N_FOLDS)])))
    return PolicyResult("segment", tracks, correct, folds, n_training, note=note, windows=figures)


def _always_fitted_note(fold: NDArray[np.int64]) -> str | None:
    always = int((fold == holdout_folds.ALWAYS_FITTED).sum())
    why = "of an unknown artist, or of the only artist of a genre: always trained on, never scored"
    return f"{pluralize(always, 'track')} {why}" if always else None
