"""Trains the models of a run, one after the other: each is trained, calibrated, tested and bundled."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from genrelab.core.config import TrainSettings, View
from genrelab.core.errors import MissingRequirementError, ModelError, PreparedError, printable
from genrelab.core.progress import Notify, ProgressBar
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize
from genrelab.evaluation import metrics, plots
from genrelab.evaluation.calibration import Calibration
from genrelab.evaluation.percent import format_percent
from genrelab.export import export
from genrelab.features.view_settings import view_options
from genrelab.models import registry
from genrelab.models.base import Model
from genrelab.models.checkpoints import drop_state
from genrelab.predict.pooling import pool
from genrelab.records.examples import Examples, load_examples
from genrelab.records.prepared import RERUN_HINT, write_parquet
from genrelab.records.task import Task
from genrelab.training import tensorboard
from genrelab.training.fit_calibration import calibrate

if TYPE_CHECKING:
    from numpy.typing import NDArray


def view_of(model: type[Model], settings: TrainSettings, held: Mapping[str, View]) -> str:
    """The view that a model reads: the requested one if the model supports it, else its first one that exists.

    Args:
        held: the views in the preparation, by name.

    Raises:
        MissingRequirementError: none of its views exists.
    """
    if settings.view in model.views:
        return str(settings.view)
    found = [v for v in model.views if v in held]
    if not found:
        options = f"--views {','.join([*held, model.views[0]])}{view_options(held.values())}"
        remedy = "" if "table" in held else f": prepare with {options}"
        raise MissingRequirementError(
            f"{model.name} reads the view {model.views[0]}, but the prepared folder has only {', '.join(held)}{remedy}"
        )
    return found[0]


@dataclass
class ModelRuns:
    """Trains the models of one run, one after the other."""

    task: Task
    run: Folder
    settings: TrainSettings
    resume: bool
    notify: Notify
    bar: ProgressBar
    scratch: Path
    keep_going: bool = False  # list a named model that cannot be trained, as with all models
    summary: bool = False  # print Keras' summary of each network
    examples: dict[tuple[str, bool], Examples] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    corrupt: dict[str, list[str]] = field(default_factory=dict)
    reported_notes: set[str] = field(default_factory=set)

    def train_all(self) -> list[dict[str, str]]:
        """Train each model; return those that cannot be trained here, with the reason.

        Raises:
            ModelError: a model that was named cannot be trained (unless `keep_going`), or no model could be.
        """
        not_run = []
        names = registry.models_of(self.settings)
        for name in names:
            try:
                if need := registry.model_class(name).missing_requirement(self.settings):
                    raise MissingRequirementError(need)
                self._train_model(registry.create(name, self.settings, self.task.genres))
            except ModelError as e:
                if self.settings.models and not self.keep_going:
                    raise
                reason = str(e).removeprefix(f"{name}: ")  # most messages name the model
                failed = {} if isinstance(e, MissingRequirementError) else {"failed": "yes"}  # it would fail again
                not_run.append({"model": name, "reason": reason, **failed})
                self.notify(f"{name}: not trained: {reason}")
                self.run.remove(name)
        if len(not_run) == len(names):
            raise ModelError(f"no model could be trained. {not_run[0]['model']}: {not_run[0]['reason']}")
        return not_run

    def _train_model(self, model: Model) -> None:
        if self.resume and self.run.exists(f"{model.name}/metrics.json"):
            self.notify(f"{model.name}: finished in an earlier run, kept")
            self.seconds[model.name] = self.run.read_json(f"{model.name}/metrics.json")["train_s"]
            return
        examples = self._examples(model)
        local = self._local_folder(model.name)
        start = time.perf_counter()
        with self.bar(f"Training {model.name}", "epochs") as progress:
            model.resume, model.progress, model.notify = self.resume, progress, self.notify
            model.prints_summary = self.summary
            model.data_is_local = self.task.prepared.folder.is_local
            model.fit(examples, local)
        self.seconds[model.name] = time.perf_counter() - start
        self._write_results(model, examples, local)

    def _local_folder(self, name: str) -> Path:
        """The model's folder on this disk: RUN/MODEL if RUN is local, else one that is copied to RUN later."""
        if self.run.is_local:
            if not self.resume:
                self.run.remove(name)
            folder = self.run.local / name
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        (self.scratch / name).mkdir()
        return self.scratch / name

    def _examples(self, model: Model) -> Examples:
        view = view_of(type(model), self.settings, self.task.prepared.views)
        key = (view, model.needs_validation)
        if key not in self.examples:
            labels = self.task.labels(chooses=model.needs_validation)
            cache = self.scratch / "shards"
            found = load_examples(self.task.prepared, view, labels, cache=cache, strict=self.settings.strict)
            if found.damage and found.damage not in self.reported_notes:
                self.corrupt[view] = [found.damage]
                self.notify(found.damage)
                self.reported_notes.add(found.damage)
            for role in ("fit", "score"):
                if not (found.role == role).any():
                    part = "training" if role == "fit" else self.task.split.scored_part
                    what = f"no {part} track with the view {view} can be read"
                    raise PreparedError(f"{self.task.prepared.folder}: {what}: {RERUN_HINT}")
            self.examples[key] = found
        return self.examples[key]

    def _write_results(self, model: Model, examples: Examples, local: Path) -> None:
        calibration = self._calibrate(model, examples)
        windows = calibration.probabilities
        tracks, probabilities = pool(examples.track, windows)
        folder = self.run / model.name
        write_parquet(Folder(local), "predictions.parquet", self._prediction_table(tracks, probabilities))
        scores = self._scores(tracks, probabilities)
        parts = self._scores_by_part(model, examples, tracks, probabilities, windows)
        metrics_json = self._metrics_json(model, examples, scores) | parts | {"calibration": calibration.about}
        predict_ms, size = export.write_model_bundle(
            local / "bundle", model, self.task, examples, metrics_json, calibration
        )
        metrics_json |= {"predict_ms": predict_ms, "size_bytes": size}
        model.save(local)
        self._write_tensorboard(model, local, metrics_json)
        folder.publish_tree(local)
        folder.write_json("metrics.json", metrics_json)  # last: a model without it is unfinished
        if self.run.is_local:
            drop_state(local)
        else:
            shutil.rmtree(local)
        self.notify(
            f"{model.display}: {format_percent(scores['accuracy'])} of {scores['n']:,} {self.task.split.scored_part} "
            f"tracks correct; trained in {self.seconds[model.name]:.0f} s"
        )
        for note in metrics_json["notes"]:
            if note not in self.reported_notes:  # once for all models; the leaderboard has each
                self.notify(f"  {note}")
        self.reported_notes.update(metrics_json["notes"])

    def _calibrate(self, model: Model, examples: Examples) -> Calibration:
        with tempfile.TemporaryDirectory(dir=self.scratch) as scratch:
            p = model.predict_proba(examples)
            found = calibrate(
                model, examples, p, parts=self.task.split.parts, scratch=Path(scratch), part=self.task.split.scored_part
            )
        model.notes += found.notes
        return found

    def _scores_by_part(
        self,
        model: Model,
        examples: Examples,
        tracks: NDArray[np.int64],
        probabilities: NDArray[np.float64],
        windows: NDArray[np.float64],
    ) -> dict[str, Any]:
        """Accuracy on the training and validation tracks, and on single windows of the scored part."""
        labels, groups = examples.labels, self.task.groups()
        by_track = None if groups is None else [groups[i] for i in tracks]
        role = labels.role[tracks]
        accuracy = partial(metrics.accuracy_of, labels.y[tracks], probabilities, by_track)
        return {
            "training": accuracy(where=role == "fit"),
            "validation": accuracy(where=role == "choose"),
            "segments": metrics.segment_scores(
                examples.y, windows, examples.track, groups, where=examples.role == "score"
            ),
        }

    def _write_tensorboard(self, model: Model, local: Path, metrics_json: dict[str, Any]) -> None:
        counts = np.array(metrics_json["scores"]["confusion"], np.int64)
        order = metrics.similarity_order(counts)
        names = [printable(self.task.genres[i]) for i in order]
        picture = plots.confusion(counts[np.ix_(order, order)], names, title=printable(metrics_json["display"]))
        hparams = {key: metrics_json[key] for key in ("model", "view", "split")}
        hparams |= {key: getattr(self.settings, key) for key in ("seed", "preset", "pca")}
        hparams["class_weight"] = model.class_weight
        if model.needs_validation:  # the networks
            hparams |= {"epochs": self.settings.epochs, "early_stopping": self.settings.stops_early}
        hparams |= self.settings.params.get(metrics_json["model"], {})  # what a search found
        shown = ("accuracy", "balanced_accuracy", "macro_f1", "top3", "log_loss", "ece")
        tensorboard.write(
            local, hparams=hparams, metrics={n: metrics_json["scores"][n] for n in shown}, confusion_png=picture,
            scored_on=pluralize(metrics_json["scores"]["n"], f"{metrics_json['part']} track"),
        )  # fmt: skip

    def _prediction_table(self, tracks: NDArray[np.int64], probabilities: NDArray[np.float64]) -> pa.Table:
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
        of_track = self.task.groups()
        groups = [of_track[i] for i in tracks[scored]] if of_track is not None else None
        name = "artists" if self.task.knows_artists() else "recordings"
        return metrics.score(y, probabilities[scored], self.task.genres, groups, group_name=name)

    def _metrics_json(self, model: Model, examples: Examples, scores: dict[str, Any]) -> dict[str, Any]:
        notes = list(model.notes)
        if examples.damage:
            notes.append(examples.damage)
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
