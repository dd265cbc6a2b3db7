"""What a search found: `trials.json`, whole after every trial, and a line for every trial."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

import numpy as np

from genrelab.core.hyperparameters import Params
from genrelab.core.storage import Folder
from genrelab.tune import gain
from genrelab.tune.search import Search
from genrelab.tune.study import Trial
from genrelab.tune.trial import best_trial

TRIALS_FILE = "trials.json"


def write_trials(search: Search, trials: list[Trial], home: Folder, notes: Collection[str] = ()) -> dict[str, Any]:
    """Write `trials.json`, whole, and return its content; `notes` are added to its sentences."""
    about = _summary(search, trials)
    about["sentences"] += notes
    home.write_json(TRIALS_FILE, about)
    return about


def _summary(search: Search, trials: list[Trial]) -> dict[str, Any]:
    complete = [t for t in trials if t.state == "complete"]
    best = best_trial(trials)
    rights = np.stack([t.right for t in complete])
    found_gain = None
    if best.number:
        found_gain = gain.estimate_gain(rights, complete.index(best), search.groups, seed=search.settings.seed)
    shown = {
        name: {"params": t.params, **gain.accuracy_interval(t.right, search.groups)}
        for name, t in (("default", trials[0]), ("best", best))
    }
    about: dict[str, Any] = {
        "model": search.model,
        "view": search.fits.view(search.model),
        "score": search.score,
        "grouped_by": search.grouped_by,
        "n_tracks": sum(map(len, search.held)),
        "n_folds": len(search.held),
        "space": {name: p.to_json() for name, p in search.space.items()},
        "default": shown["default"],
        "best": {"number": best.number, **shown["best"]},
        "gain": found_gain,
        "trials": [_trial_row(t) for t in trials],
    }
    states = Counter(t.state for t in trials)
    counts = {state: states[state] for state in ("complete", "pruned", "failed")}
    about["sentences"] = gain.sentences(search.model, about, found_gain, counts)
    return about


def _trial_row(trial: Trial) -> dict[str, Any]:
    names = ("number", "params", "value", "state", "seconds", "reason")
    return {**{name: getattr(trial, name) for name in names}, "n": len(trial.right)}


def describe(trial: Trial, so_far: list[Trial]) -> str:
    """A finished trial in one line, beside the best one so far."""
    what = f"{trial.value:.1%}" if trial.value is not None else f"failed: {trial.reason}"
    early = " of the first folds, clearly behind" if trial.state == "pruned" else ""
    best = best_trial(so_far)
    how = f"{format_params(trial.params)}; {trial.seconds:.1f} s"
    return f"  trial {trial.number}: {what}{early} ({how}); best {best.value:.1%}, trial {best.number}"


def format_params(params: Params) -> str:
    """`C 3.16, gamma 0.01`."""
    return ", ".join(f"{n} {v:.3g}" if isinstance(v, float) else f"{n} {v}" for n, v in params.items())
