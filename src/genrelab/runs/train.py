"""Records → models → predictions. Every model of a run answers the same question on the same tracks."""

from __future__ import annotations

import math
import platform
import shlex
import tempfile
import time
from collections.abc import Collection, Mapping
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
from genrelab.core.progress import Notify, ProgressBar, ignore, no_bar
from genrelab.core.storage import Folder
from genrelab.datasets import exclusions
from genrelab.evaluation import metrics
from genrelab.leakage import audit
from genrelab.models import registry
from genrelab.records.prepared import Prepared
from genrelab.records.task import Task, make_task, write_split
from genrelab.report.report import Leaderboard, build_report
from genrelab.runs import run_folder
from genrelab.training.model_runs import ModelRuns, view_of

STUDIES = ("honesty", "learning-curve", "robustness", "doubts")
"""Questions that `train` can be asked besides its own."""

VERSIONS = ("numpy", "scipy", "scikit-learn", "keras", "tensorflow", "tensorflow-cpu", "onnxruntime", "skl2onnx")


def train(
    prepared: Prepared,
    run: Folder,
    settings: TrainSettings,
    *,
    resume: bool = False,
    overwrite: bool = False,
    allow_leaks: bool = False,
    studies: Collection[str] = (),
    notify: Notify = ignore,
    bar: ProgressBar = no_bar,
) -> Leaderboard:
    """Train, score and bundle models; write RUN; ask further questions about them.

    Args:
        resume: go on with an interrupted training: finished models are kept, an unfinished one goes on from
            its last epoch.
        overwrite: remove what RUN holds first (a PREPARED inside stays).
        allow_leaks: go on where exact copies stand on both sides of the split.
        studies: names from `STUDIES`.

    Raises:
        PreparedError: RUN holds other results.
        SettingsError, SplitError, ModelError: see the messages.
        Interrupted: Ctrl-C after RUN was begun.
    """
    known = registry.known_models()
    run_folder.check_run(run, settings, resume=resume, overwrite=overwrite, models=known)
    check_settings(settings, prepared.views)
    began = time.perf_counter()
    task = make_task(prepared, settings)
    found = audit.audit_run(prepared, task.split)
    _refuse_copies(found, task, allow_leaks)
    about = {"fingerprint": prepared.about["fingerprint"], "task": task.key}
    run_folder.start(run, settings, **about, resume=resume, models=known)
    try:
        write_split(run, task)
        run.write_json(audit.FILE, found)
        for sentence in (task.sentence, *(f"  {note}" for note in (*task.notes, *found["sentences"]))):
            notify(sentence)
        with tempfile.TemporaryDirectory(prefix="genrelab-") as scratch:
            work = ModelRuns(task, run, settings, resume, notify, bar, Path(scratch))
            not_run = work.train_all()
        run.write_json("run.json", _run_info(task, settings, work, not_run, time.perf_counter() - began))
        build_report(run)  # what a study that fails cannot take away
        refused = _run_studies(task, run, settings, studies, notify, bar)
        board = build_report(run)
        if refused:
            raise refused[0]
        return board
    except KeyboardInterrupt as e:
        raise run_folder.TrainingInterrupted from e


def _refuse_copies(found: dict[str, Any], task: Task, allow: bool) -> None:
    """See `audit.refuse_copies`; what would mend the split is written into a PREPARED on this disk."""
    folder, policy = task.prepared.folder, task.split.policy
    manifest = str(folder.local / exclusions.DEFAULT_FILE_NAME) if folder.is_local else "FILE"
    try:
        audit.refuse_copies(found, allow=allow, where=f"the {policy} split", manifest=shlex.quote(manifest))
    except SplitError:
        if folder.is_local:
            exclusions.write(Path(manifest), audit.suggest_exclusions(task.prepared, task.split))
        raise


def _run_studies(
    task: Task, run: Folder, settings: TrainSettings, names: Collection[str], notify: Notify, bar: ProgressBar
) -> list[GenrelabError]:
    """Ask the studies that are wanted, and where audio is there what the models' mistakes follow from.

    Returns:
        Why some could not be answered: what one refuses takes nothing from the others, which may have taken hours.
    """
    from genrelab.studies import doubts, honesty, learning_curve, occlusion, robustness

    prepared = task.prepared
    trained = tuple(m for m in settings.models or registry.known_models() if run.exists(f"{m}/metrics.json"))
    refused: list[GenrelabError] = []
    for name, module in (("honesty", honesty), ("learning-curve", learning_curve), ("doubts", doubts)):
        if name not in names:
            continue
        try:
            module.study(prepared, run, settings, models=trained, notify=notify, bar=bar)
        except (ModelError, SplitError, DatasetError) as e:
            refused.append(e)
    if "robustness" in names:
        robustness.study(prepared, run, settings, jobs=None, notify=notify, bar=bar)
    occlusion.study(prepared, run, settings, jobs=None, notify=notify, bar=bar)
    return refused


def check_settings(settings: TrainSettings, views: Mapping[str, View]) -> None:
    """Refuse before any work what would be refused after it.

    Args:
        views: what there is to read, or will be once it is prepared.

    Raises:
        SettingsError: `--view` or `--pca` that cannot be.
        ModelError: a model that was named cannot be trained here, or has more columns than it takes without PCA.
    """
    pca = settings.pca
    if settings.view is not None and settings.view not in views:
        raise SettingsError(f"--view {settings.view}: there is only {', '.join(views)}")
    if pca is not None and pca >= 1 and pca != int(pca):
        raise SettingsError(f"--pca must be a share below 1 or a whole number. Received: {pca}")
    for name in settings.models or registry.known_models():
        model = registry.model_class(name)
        need = model.missing_requirement(settings)
        if settings.models and need:
            raise MissingRequirementError(need)
        if not settings.models and (settings.view is None or settings.view not in model.views):
            continue  # under `all` what cannot be trained is listed, unless it was asked for by its view
        n = math.prod(views[view_of(model, settings, views)].shape)
        if reason := model.too_many_columns(settings, n):
            raise ModelError(reason)


def _run_info(
    task: Task, settings: TrainSettings, work: ModelRuns, not_run: list[dict[str, str]], seconds: float
) -> dict[str, Any]:
    labels = task.labels(chooses=False)
    roles = np.array(task.split.roles)
    majority, genre = metrics.majority(labels.y[labels.role == "fit"], labels.y[roles == "score"])
    return {
        "schema": SCHEMA_VERSION,
        "dataset": {**task.dataset_json(), "corrupt": {v: c for v, c in work.corrupt.items() if c}},
        "split": {**task.split_json(), "asked": settings.split},
        "part": task.split.scored_part,
        "chance": metrics.chance(len(task.genres)),
        "majority": majority,
        "majority_genre": task.genres[genre],
        "not_run": not_run,
        "settings": settings.to_json(),
        "seed": settings.seed,
        "versions": _versions(),
        "timings": {"total_s": round(seconds, 3), **{n: round(s, 3) for n, s in work.seconds.items()}},
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "genrelab": __version__}
    for name in VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # of tensorflow and tensorflow-cpu one is there
            continue
    return found
