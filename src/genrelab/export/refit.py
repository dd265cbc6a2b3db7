"""Refit the trained object, for models of which only the ONNX graph is stored (nothing here is ever pickled)."""

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
from genrelab.records.prepared import Prepared, open_prepared
from genrelab.records.task import make_task


def refit(home: Path, bundle: Bundle) -> Model:
    """Fit the model of RUN/MODEL again from the run's PREPARED: same rows, same seed, same numbers.

    Args:
        home: RUN/MODEL.

    Raises:
        GenrelabError: impossible, for example because PREPARED is gone or has changed; the message says why.
    """
    run = Folder(home.parent)
    try:
        held, about = run.read_json("settings.json"), run.read_json("run.json")
        fingerprint, task_key = held.pop("fingerprint"), held.pop("task", None)
        settings = TrainSettings(**{**held, "models": tuple(held["models"])})
        places = dict.fromkeys([about["dataset"]["prepared"], str(run / "prepared")])
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise PreparedError(f"{run}: what the run was asked for cannot be read ({' '.join(str(e).split())})") from e
    model_class = registry.model_class(bundle.name)
    if model_class.needs_validation:
        raise ModelError(f"{home / 'model.keras'} is missing, and a network is not trained again for a comparison")
    prepared = _find_prepared(list(places), fingerprint)
    task = make_task(prepared, settings)
    if task_key not in (None, task.key) or task.genres != bundle.genres:
        raise PreparedError(f"{prepared.folder}: its tracks have other genres, artists or parts than in this run")
    with tempfile.TemporaryDirectory(prefix="genrelab-") as scratch:
        labels = task.labels(chooses=False)
        examples = load_examples(prepared, bundle.view.name, labels, cache=Path(scratch) / "shards", strict=True)
        return model_class(settings, task.genres).fit(examples, Path(scratch))


def _find_prepared(places: list[str], fingerprint: str) -> Prepared:
    """Find the preparation that the run was made from.

    Raises:
        PreparedError: it is in none of these places.
    """
    reason = ""
    for place in places:
        try:
            prepared = open_prepared(place)
        except PreparedError as e:
            reason = reason or str(e)
            continue
        if prepared.about["fingerprint"] == fingerprint:
            return prepared
        reason = f"{place} has been prepared anew since"
    raise PreparedError(f"the run's PREPARED is gone: {reason}")
