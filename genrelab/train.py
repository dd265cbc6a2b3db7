"""Program: records → models → predictions. Every model of a run answers the same question on the same tracks."""

from __future__ import annotations

import math
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from genrelab import __version__, export, metrics, models, run_folder
from genrelab.config import SCHEMA_VERSION, TrainSettings, View
from genrelab.errors import MissingNeed, ModelError, PreparedError, SettingsError
from genrelab.examples import Examples, load_examples
from genrelab.journal import drop_state
from genrelab.model import Model
from genrelab.predict import pool
from genrelab.prepared import Prepared, write_parquet
from genrelab.report import Leaderboard, build
from genrelab.storage import Folder
from genrelab.task import Task, make_task, write_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

Say = Callable[[str], None]
Bar = Callable[[str, str], AbstractContextManager[Callable[[int, int], None]]]

VERSIONS = ("numpy", "scipy", "scikit-learn", "keras", "tensorflow", "tensorflow-cpu", "onnxruntime", "skl2onnx")


def _silent(_: str) -> None:
    """For callers that want no news."""


def _no_bar(title: str, unit: str) -> AbstractContextManager[Callable[[int, int], None]]:
    return nullcontext(lambda done, total: None)


def train(
    prepared: Prepared,
    run: Folder,
    settings: TrainSettings,
    *,
    resume: bool = False,
    overwrite: bool = False,
    say: Say = _silent,
    bar: Bar = _no_bar,
) -> Leaderboard:
    """Train, score and bundle models; write RUN.

    Args:
        resume: go on with an interrupted training: finished models are kept, an unfinished one goes on from
            its last epoch.
        overwrite: remove what RUN holds first (a PREPARED inside stays).

    Raises:
        PreparedError: RUN holds other results.
        SettingsError, SplitError, ModelError: see the messages.
        Interrupted: Ctrl-C after RUN was begun.
    """
    known = models.known_models()
    run_folder.check_run(run, settings, resume=resume, overwrite=overwrite, models=known)
    check(settings, prepared.views)
    began = time.perf_counter()
    task = make_task(prepared, settings)
    about = {"fingerprint": prepared.about["fingerprint"], "task": task.key}
    run_folder.begin(run, settings, **about, resume=resume, models=known)
    try:
        write_split(run, task)
        for sentence in (task.sentence, *(f"  {note}" for note in task.notes)):
            say(sentence)
        with tempfile.TemporaryDirectory(prefix="genrelab-") as scratch:
            work = _Work(task, run, settings, resume, say, bar, Path(scratch))
            not_run = work.all_models()
        run.write_json("run.json", _about(task, settings, work, not_run, time.perf_counter() - began))
        return build(run)
    except KeyboardInterrupt as e:
        raise run_folder.Interrupted from e


def check(settings: TrainSettings, views: Mapping[str, View]) -> None:
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
    for name in settings.models or models.known_models():
        model = models.model_class(name)
        need = model.missing_need(settings)
        if settings.models and need:
            raise MissingNeed(need)
        if not settings.models and (settings.view is None or settings.view not in model.views):
            continue  # under `all` what cannot be trained is listed, unless it was asked for by its view
        n = math.prod(views[_view(model, settings, views)].shape)
        if reason := model.too_many_columns(settings, n):
            raise ModelError(reason)


def _view(model: type[Model], settings: TrainSettings, held: Collection[str]) -> str:
    """What a model reads, of what there is: the view that was asked for where it can, else the first of its own.

    Raises:
        MissingNeed: there is none that it can read.
    """
    if settings.view in model.views:
        return str(settings.view)
    found = [v for v in model.views if v in held]
    if not found:
        remedy = "" if "table" in held else f"; prepare with --views {','.join([*held, model.views[0]])}"
        raise MissingNeed(f"{model.name} reads the view {model.views[0]}, and there is only {', '.join(held)}{remedy}")
    return found[0]


@dataclass
class _Work:
    """Models of one run, one after the other."""

    task: Task
    run: Folder
    settings: TrainSettings
    resume: bool
    say: Say
    bar: Bar
    scratch: Path
    examples: dict[tuple[str, bool], Examples] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    corrupt: dict[str, list[str]] = field(default_factory=dict)

    def all_models(self) -> list[dict[str, str]]:
        """Train each; those that cannot run here, with the reason.

        Raises:
            ModelError: a model that was named cannot be trained, or none at all could.
        """
        not_run = []
        names = self.settings.models or models.known_models()
        for name in names:
            try:
                if need := models.model_class(name).missing_need(self.settings):
                    raise MissingNeed(need)
                self._model(models.create(name, self.settings, self.task.genres))
            except ModelError as e:
                if self.settings.models:
                    raise
                not_run.append({"model": name, "reason": str(e)})
                self.say(f"{name}: not run: {e}")
                self.run.remove(name)
        if len(not_run) == len(names):
            raise ModelError(f"no model could be trained; the first: {not_run[0]['model']}: {not_run[0]['reason']}")
        return not_run

    def _model(self, model: Model) -> None:
        if self.resume and self.run.exists(f"{model.name}/metrics.json"):
            self.say(f"{model.name}: kept from before")
            self.seconds[model.name] = self.run.read_json(f"{model.name}/metrics.json")["train_s"]
            return
        examples = self._examples(model)
        local = self._local(model.name)
        began = time.perf_counter()
        with self.bar(f"Training {model.name}", "epochs") as progress:
            model.resume, model.progress = self.resume, progress
            model.data_is_local = self.task.prepared.folder.is_local
            model.fit(examples, local)
        self.seconds[model.name] = time.perf_counter() - began
        self._write(model, examples, local)

    def _local(self, name: str) -> Path:
        """The model's folder on this disk: its own in a local RUN, else one that is copied to RUN at the end."""
        if self.run.is_local:
            if not self.resume:
                self.run.remove(name)
            folder = self.run.local / name
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        (self.scratch / name).mkdir()
        return self.scratch / name

    def _examples(self, model: Model) -> Examples:
        view = _view(type(model), self.settings, self.task.prepared.views)
        key = (view, model.needs_validation)
        if key not in self.examples:
            labels = self.task.labels(chooses=model.needs_validation)
            cache = self.scratch / "shards"
            found = load_examples(self.task.prepared, view, labels, cache=cache, strict=self.settings.strict)
            self.corrupt[view] = list(found.corrupt)
            for sentence in found.corrupt:
                self.say(f"  {sentence}")
            for role in ("fit", "score"):
                if not (found.role == role).any():
                    raise PreparedError(f"{self.task.prepared.folder}: no record of {view} to {role}; prepare again")
            self.examples[key] = found
        return self.examples[key]

    def _write(self, model: Model, examples: Examples, local: Path) -> None:
        tracks, probabilities = pool(examples.track, model.predict_proba(examples))
        folder = self.run / model.name
        write_parquet(Folder(local), "predictions.parquet", self._predictions(tracks, probabilities))
        scores = self._scores(tracks, probabilities)
        about = self._metrics(model, examples, scores)
        predict_ms, size = export.bundle(local / "bundle", model, self.task, examples, about)
        about |= {"predict_ms": predict_ms, "size_bytes": size}
        model.save(local)
        folder.publish_tree(local)
        folder.write_json("metrics.json", about)  # last: a model without it is unfinished
        if self.run.is_local:
            drop_state(local)
        else:
            shutil.rmtree(local)
        self.say(f"{model.display}: {scores['accuracy']:.1%} of {scores['n']} tracks, {self.seconds[model.name]:.0f} s")
        for note in model.notes:
            self.say(f"  {note}")

    def _predictions(self, tracks: NDArray[np.int64], probabilities: NDArray[np.float64]) -> pa.Table:
        t = self.task.prepared.tracks
        columns: dict[str, Any] = {
            "track_id": [t["track_id"][i] for i in tracks],
            "part": [self.task.split.parts[i] for i in tracks],
            "truth": [t["genre"][i] for i in tracks],
        }
        columns |= {f"p_{g}": probabilities[:, i] for i, g in enumerate(self.task.genres)}
        return pa.table(columns)

    def _scores(self, tracks: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[str, Any]:
        scored = np.array(self.task.split.roles)[tracks] == "score"
        y = self.task.labels(chooses=False).y[tracks[scored]]
        artists = self.task.artists()
        groups = [artists[i] for i in tracks[scored]] if artists is not None else None
        return metrics.score(y, probabilities[scored], self.task.genres, groups, seed=self.settings.seed)

    def _metrics(self, model: Model, examples: Examples, scores: dict[str, Any]) -> dict[str, Any]:
        notes = list(model.notes)
        if examples.n_corrupt:
            notes.append(f"{examples.n_corrupt} corrupt records of {examples.view.name} were left out")
        return {
            "model": model.name,
            "display": model.display,
            "view": examples.view.name,
            "part": self.task.split.scored_part,
            "scores": scores,
            "train_s": round(self.seconds[model.name], 3),
            "split": self.task.split.policy,
            "notes": notes,
            "curve": model.curve,
        }


def _about(
    task: Task, settings: TrainSettings, work: _Work, not_run: list[dict[str, str]], seconds: float
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
