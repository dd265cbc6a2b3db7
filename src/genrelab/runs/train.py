"""Train the models of a run: split, audit, models, report, studies. All models get the same task and tracks."""

from __future__ import annotations

import math
import os
import platform
import shlex
import tempfile
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from genrelab import __version__
from genrelab.core.config import SCHEMA_VERSION, TrainSettings, View
from genrelab.core.errors import (
    DatasetError,
    GenrelabError,
    MissingRequirementError,
    ModelError,
    SettingsError,
    SplitError,
)
from genrelab.core.hyperparameters import KEPT_BETTER
from genrelab.core.progress import Notify, ProgressBar, ignore, no_bar
from genrelab.core.storage import Folder
from genrelab.datasets import exclusions
from genrelab.datasets.demo import MARKER_FILE
from genrelab.evaluation import metrics
from genrelab.leakage import audit
from genrelab.models import registry
from genrelab.records.prepared import Prepared
from genrelab.records.task import Task, make_task, write_split
from genrelab.report.report import Leaderboard, build_report
from genrelab.runs import run_folder
from genrelab.training.model_runs import ModelRuns, view_of

STUDIES = ("honesty", "learning-curve", "robustness", "doubts")
"""Optional studies that `train` can run afterwards."""

VERSIONS = ("numpy", "scipy", "scikit-learn", "keras", "tensorflow", "tensorflow-cpu", "onnxruntime", "skl2onnx")


def train(
    prepared: Prepared,
    run: Folder,
    settings: TrainSettings,
    *,
    resume: bool = False,
    overwrite: bool = False,
    allow_leaks: bool = False,
    keep_going: bool = False,
    summary: bool = False,
    studies: Collection[str] = (),
    notify: Notify = ignore,
    bar: ProgressBar = no_bar,
) -> Leaderboard:
    """Train, test and bundle models; write RUN; run studies of the models.

    Args:
        resume: continue an interrupted training: finished models are kept, an unfinished one continues from
            its last epoch.
        overwrite: first remove the content of RUN (a PREPARED inside is kept).
        allow_leaks: train even if copies of test tracks are in the training set.
        keep_going: a named model that cannot be trained here is only listed in `run.json`, as with all models.
        summary: pass Keras' summary of each network that is trained to `notify`.
        studies: names from `STUDIES`.

    Raises:
        PreparedError: RUN contains other results.
        SettingsError, SplitError, ModelError: see the messages.
        TrainingInterrupted: Ctrl-C after RUN was started.
    """
    known = registry.known_models()
    run_folder.check_run(run, settings, resume=resume, overwrite=overwrite, models=known)
    check_settings(replace(settings, models=()) if keep_going else settings, prepared.views)
    start = time.perf_counter()
    task = make_task(prepared, settings)
    found = audit.audit_run(prepared, task.split)
    if not allow_leaks:
        refuse_copies(found, task)
    identity = {"fingerprint": prepared.about["fingerprint"], "task": task.key}
    run_folder.start(run, settings, **identity, resume=resume, models=known)
    try:
        write_split(run, task)
        run.write_json(audit.FILE, found)
        for sentence in (task.sentence, *(f"  {note}" for note in (*task.notes, *found["sentences"]))):
            notify(sentence)
        for sentence in KEPT_BETTER if settings.preset == "article" and not keep_going else ():
            notify(f"  unlike the article: {sentence}")
        with tempfile.TemporaryDirectory(prefix="genrelab-") as scratch:
            model_runs = ModelRuns(task, run, settings, resume, notify, bar, Path(scratch), keep_going, summary)
            not_run = model_runs.train_all()
        run.write_json("run.json", _run_info(task, settings, model_runs, not_run, time.perf_counter() - start))
        build_report(run)  # before the studies, which may fail
        errors = _run_studies(task, run, settings, studies, notify, bar)
        leaderboard = build_report(run)
        if errors:
            raise errors[0]
        return leaderboard
    except KeyboardInterrupt as e:
        raise run_folder.TrainingInterrupted from e


def refuse_copies(found: dict[str, Any], task: Task) -> None:
    """See `audit.refuse_copies`; a local PREPARED gets the list of exclusions that would repair the split."""
    folder = task.prepared.folder
    manifest = str(folder.local / exclusions.DEFAULT_FILE_NAME) if folder.is_local else "FILE"
    try:
        audit.refuse_copies(found, task.split, manifest=shlex.quote(manifest))
    except SplitError:
        if folder.is_local:
            exclusions.write(Path(manifest), audit.suggest_exclusions(task.prepared, task.split))
        raise


def _run_studies(
    task: Task, run: Folder, settings: TrainSettings, names: Collection[str], notify: Notify, bar: ProgressBar
) -> list[GenrelabError]:
    """Run the requested studies, and the occlusion study if there is audio.

    Returns:
        The errors of studies that could not be run: one must not stop the others, which may take hours.
    """
    from genrelab.studies import doubts, honesty, learning_curve, occlusion, robustness

    prepared = task.prepared
    trained = tuple(m for m in registry.models_of(settings) if run.exists(f"{m}/metrics.json"))
    errors: list[GenrelabError] = []
    for name, module in (("honesty", honesty), ("learning-curve", learning_curve), ("doubts", doubts)):
        if name not in names:
            continue
        try:
            module.study(prepared, run, settings, models=trained, notify=notify, bar=bar)
        except (ModelError, SplitError, DatasetError) as e:
            errors.append(e)
    if "robustness" in names:
        robustness.study(run, settings, jobs=None, notify=notify, bar=bar)
    occlusion.study(run, jobs=None, notify=notify, bar=bar)
    return errors


def check_settings(settings: TrainSettings, views: Mapping[str, View]) -> None:
    """Check settings before any work.

    Args:
        views: the views that exist, or will once they are prepared.

    Raises:
        SettingsError: invalid `--view` or `--pca`.
        ModelError: a named model cannot be trained here, or has too many columns without PCA.
    """
    pca = settings.pca
    if settings.view is not None and settings.view not in views:
        raise SettingsError(f"--view {settings.view} is not prepared: use one of {', '.join(views)}")
    if pca is not None and pca >= 1 and pca != int(pca):
        rule = "--pca must be a share of the variance (above 0 and below 1) or a whole number of components"
        raise SettingsError(f"{rule}. Received: {pca}")
    for name in registry.models_of(settings):
        model = registry.model_class(name)
        need = model.missing_requirement(settings)
        if settings.models and need:
            raise MissingRequirementError(need)
        if not settings.models and (settings.view is None or settings.view not in model.views):
            continue  # with `all`, untrainable models are only listed, unless `--view` names their view
        n = math.prod(views[view_of(model, settings, views)].shape)
        if reason := model.too_many_columns(settings, n):
            raise ModelError(reason)


def _run_info(
    task: Task, settings: TrainSettings, model_runs: ModelRuns, not_run: list[dict[str, str]], seconds: float
) -> dict[str, Any]:
    labels = task.labels(chooses=False)
    roles = np.array(task.split.roles)
    majority, genre = metrics.majority(labels.y[labels.role == "fit"], labels.y[roles == "score"])
    synthesised = os.path.isfile(Path(task.prepared.about["root"], MARKER_FILE))  # noqa: PTH113 - it never raises
    corrupt = {v: c for v, c in model_runs.corrupt.items() if c}
    return {
        "schema": SCHEMA_VERSION,
        "dataset": {**task.dataset_json(), "synthesised": synthesised, "corrupt": corrupt},
        "split": {**task.split_json(), "asked": settings.split},
        "part": task.split.scored_part,
        "chance": metrics.chance(len(task.genres)),
        "majority": majority,
        "majority_genre": task.genres[genre],
        "not_run": not_run,
        "settings": settings.to_json(),
        "seed": settings.seed,
        "versions": _versions(),
        "timings": {"total_s": round(seconds, 3), **{n: round(s, 3) for n, s in model_runs.seconds.items()}},
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "genrelab": __version__}
    for name in VERSIONS:
        with suppress(PackageNotFoundError):  # only one of tensorflow and tensorflow-cpu is installed
            found[name] = version(name)
    return found
