"""Reads the best hyper-parameters of a search for a training, unless the search used the training's test tracks."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from genrelab.core.config import TrainSettings
from genrelab.core.errors import SettingsError
from genrelab.core.hyperparameters import SPACES, Params
from genrelab.core.progress import Notify, ignore
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize
from genrelab.records.task import Task
from genrelab.tune.results import TRIALS_FILE, format_params

TUNE_FOLDER, TRACKS_FILE = "tune", "tracks.txt"


def params_of(
    study: str, *, task: Task | None = None, wanted: Collection[str] = (), notify: Notify = ignore
) -> dict[str, Params]:
    """The best hyper-parameters of searches, by model, for `TrainSettings.params`.

    Models without a search, or whose defaults were the best, are left out and keep their defaults.

    Args:
        study: address of a RUN with searches, or of one of them (RUN/tune/svm).
        task: of the training; refused where a search used tracks that it scores.
        wanted: models of the training; those without a search are named in a message.
        notify: receives a message a model.

    Raises:
        SettingsError: there is no search, one is damaged, or one used tracks that the task scores.
    """
    found = _read_searches(study)
    params: dict[str, Params] = {}
    for model, (home, about) in found.items():
        if task is not None:
            _check_unseen(home, task)
        best, default, n = about["best"], about["default"], len(about["trials"])
        if best["params"] == default["params"]:
            notify(f"  {model}: defaults, the best of {pluralize(n, 'trial')}")
            continue
        params[model] = best["params"]
        scores = f"{100 * best['value']:.1f} %, defaults {100 * default['value']:.1f} %"
        noise = "" if (about.get("gain") or {}).get("beyond_noise") else ", not significantly better"
        notify(f"  {model}: {format_params(best['params'])} (trial {best['number']} of {n:,}: {scores}{noise})")
    if without := [m for m in wanted if m not in found and m in SPACES]:
        notify(f"  defaults, because they were not tuned: {', '.join(without)}")
    verified: dict[str, Params] = TrainSettings(params=params).to_json()["params"]
    return verified


def _read_searches(study: str) -> dict[str, tuple[Folder, dict[str, Any]]]:
    """Model → its folder and `trials.json`."""
    here = Folder(study)
    homes = [here] if here.exists(TRIALS_FILE) else [here / f"{TUNE_FOLDER}/{name}" for name in here.names(TUNE_FOLDER)]
    found = {}
    for home in homes:
        if not home.exists(TRIALS_FILE):
            continue
        try:
            about = home.read_json(TRIALS_FILE)
            _ = about["best"]["params"], about["best"]["value"], about["default"]["params"], about["trials"]
            found[str(about["model"])] = (home, about)
        except (ValueError, KeyError, TypeError) as e:
            raise SettingsError(f"{home}/{TRIALS_FILE} is damaged: run `genrelab tune` again") from e
    if not found:
        raise SettingsError(
            f"{study} contains no search: give the --out of a `genrelab tune`, or its folder tune/MODEL"
        )
    return found


def track_keys(task: Task, chosen: list[bool]) -> set[str]:
    """Keys made of the id and content of tracks, so that equal ids of other collections differ."""
    t = task.prepared.tracks
    return {f"{i}\t{sha or ''}" for i, sha, here in zip(t["track_id"], t["sha256"], chosen, strict=True) if here}


def _check_unseen(home: Folder, task: Task) -> None:
    if not home.exists(TRACKS_FILE):
        raise SettingsError(
            f"{home}/{TRACKS_FILE}, the list of the search's tracks, is missing: run `genrelab tune` again"
        )
    used = set(home.read_bytes(TRACKS_FILE).decode().splitlines())
    scored = track_keys(task, [role == "score" for role in task.split.roles])
    if both := len(used & scored):
        elsewhere = len(used - track_keys(task, [True] * len(task.prepared)))
        remedy = "tune and train on the same prepared folder, with the same --split and --seed"
        if elsewhere:
            remedy = f"the prepared folder lacks {elsewhere:,} of its {pluralize(used, 'track')}: tune again"
        raise SettingsError(
            f"{home} was tuned on {both:,} of the {pluralize(scored, 'track')} that this split scores: {remedy}"
        )
