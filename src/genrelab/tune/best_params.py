"""What a training takes over from a search: the best hyper-parameters, unless it scores what the search has seen."""

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
    """The best hyper-parameters that searches found, by model, for `TrainSettings.params`.

    A model whose defaults were the best is left out, and so are models without a search: both keep their defaults.

    Args:
        study: address of a RUN with searches, or of one of them (RUN/tune/svm).
        task: what is to be trained; refused where it scores tracks that a search has learned from.
        wanted: models that are to be trained; of those without a search it is told.
        notify: gets a sentence a model.

    Raises:
        SettingsError: no search is there, one is damaged, or one has seen tracks that are to be scored.
    """
    found = _read_searches(study)
    params: dict[str, Params] = {}
    for model, (home, about) in found.items():
        if task is not None:
            _check_unseen(home, task)
        best, default, n = about["best"], about["default"], len(about["trials"])
        if best["params"] == default["params"]:
            notify(f"{model}: its defaults were the best of {pluralize(n, 'trial')}")
            continue
        params[model] = best["params"]
        against = f"{best['value']:.1%}, the defaults {default['value']:.1%}"
        noise = "" if (about.get("gain") or {}).get("beyond_noise") else "; no more than chance"
        notify(f"{model}: {format_params(best['params'])} (trial {best['number']} of {n}: {against}{noise})")
    without = [m for m in wanted if m not in found and m in SPACES]
    if without:
        notify(f"no search, so defaults: {', '.join(without)}")
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
            raise SettingsError(f"{home}/{TRIALS_FILE} is damaged ({' '.join(str(e).split())}): tune again") from e
    if not found:
        raise SettingsError(
            f"{study} holds no search: give a RUN in which `genrelab tune` has worked, or RUN/tune/MODEL"
        )
    return found


def track_keys(task: Task, chosen: list[bool]) -> set[str]:
    """Names tracks by id and content, so that those of other collections are never taken for them."""
    t = task.prepared.tracks
    return {f"{i}\t{sha or ''}" for i, sha, here in zip(t["track_id"], t["sha256"], chosen, strict=True) if here}


def _check_unseen(home: Folder, task: Task) -> None:
    if not home.exists(TRACKS_FILE):
        raise SettingsError(f"{home}/{TRACKS_FILE} is missing, and with it what the search has seen: tune again")
    seen = set(home.read_bytes(TRACKS_FILE).decode().splitlines())
    scored = track_keys(task, [role == "score" for role in task.split.roles])
    if both := len(seen & scored):
        elsewhere = len(seen - track_keys(task, [True] * len(task.prepared)))
        remedy = (
            f"{elsewhere:,} of its {pluralize(len(seen), 'track')} are not here, so these are other data: tune on "
            "them anew"
            if elsewhere
            else "tune and train on one preparation, with the same --split and --seed"
        )
        raise SettingsError(
            f"{home} was tuned on {both:,} of the {pluralize(len(scored), 'track')} that this split scores: {remedy}"
        )
