"""Trains a model again of which only the ONNX graph is stored: models are not pickled."""

from __future__ import annotations

import tempfile
from pathlib import Path

from genrelab.bundle.bundle import Bundle
from genrelab.core.config import TrainSettings
from genrelab.core.errors import ModelError, PreparedError
from genrelab.core.storage import Folder
from genrelab.models import registry
from genrelab.models.base import Model
from genrelab.records.examples import load_examples
from genrelab.records.prepared import find_prepared
from genrelab.records.task import make_task


def refit(home: Path, bundle: Bundle) -> Model:
    """Train the model of RUN/MODEL again from the run's PREPARED: same rows, same seed, same numbers.

    Args:
        home: RUN/MODEL.

    Raises:
        GenrelabError: impossible, for example because PREPARED has changed.
    """
    run = Folder(home.parent)
    try:
        held, facts = run.read_json("settings.json"), run.read_json("run.json")
        task_key = held.pop("task", None)
        del held["fingerprint"]
        settings = TrainSettings(**{**held, "models": tuple(held["models"])})
        prepared = find_prepared(run, facts)
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise PreparedError(f"{run}: settings.json or run.json is damaged: train again") from e
    model_class = registry.model_class(bundle.name)
    if model_class.needs_validation:
        raise ModelError(f"{home / 'model.keras'} is missing, and a network is not trained again for --check")
    if prepared is None:
        raise PreparedError(
            f"the prepared tracks of {run} are missing or were changed after the run: prepare and train again"
        )
    task = make_task(prepared, settings)
    if task_key not in (None, task.key) or task.genres != bundle.genres:
        raise PreparedError(
            f"{prepared.folder}: genres, artists or splits of its tracks differ from those of {run}: train again"
        )
    with tempfile.TemporaryDirectory(prefix="genrelab-") as scratch:
        labels = task.labels(chooses=False)
        examples = load_examples(prepared, bundle.view.name, labels, cache=Path(scratch) / "shards", strict=True)
        return model_class(settings, task.genres).fit(examples, Path(scratch))
