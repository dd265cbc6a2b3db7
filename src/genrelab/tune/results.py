"""The results of a search: `trials.json`, written after every trial, and a line for every trial."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from genrelab.core.hyperparameters import Params
from genrelab.core.storage import Folder
from genrelab.tune import gain
from genrelab.tune.search import Search
from genrelab.tune.study import Study, Trial

TRIALS_FILE = "trials.json"


def write_trials(search: Search, study: Study, home: Folder, notes: Collection[str] = ()) -> dict[str, Any]:
    """Write `trials.json` atomically, and return its content; `notes` are added to its sentences."""
    trials, best = study.trials, study.best
    complete = [t for t in trials if t.state == "complete"]
    rights = np.stack([t.right for t in complete])
    found_gain = None
    if best.number:
        found_gain = gain.estimate_gain(rights, complete.index(best), search.groups, seed=search.settings.seed)
    default, winner = (
        {"params": t.params, **gain.accuracy_interval(t.right, search.groups)} for t in (trials[0], best)
    )
    names = ("number", "params", "value", "state", "seconds", "reason")
    about: dict[str, Any] = {
        "model": search.model,
        "view": search.fits.view(search.model),
        "score": search.score,
        "grouped_by": search.grouped_by,
        "n_tracks": sum(map(len, search.held)),
        "n_folds": len(search.held),
        "space": {name: p.to_json() for name, p in search.space.items()},
        "default": default,
        "best": {"number": best.number, **winner},
        "gain": found_gain,
        "trials": [{**{name: getattr(t, name) for name in names}, "n": len(t.right)} for t in trials],
    }
    counts = {state: sum(t.state == state for t in trials) for state in ("complete", "pruned", "failed")}
    about["sentences"] = [*gain.sentences(search.model, about, found_gain, counts), *notes]
    home.write_json(TRIALS_FILE, about)
    return about


def describe(trial: Trial, best: Trial) -> str:
    """A finished trial in one line, with the best one so far."""
    result = f"{100 * trial.value:.1f} %" if trial.value is not None else f"failed: {trial.reason}"
    early = ", stopped early" if trial.state == "pruned" else ""
    params = f"{format_params(trial.params)}; {trial.seconds:.1f} s"
    so_far = f"best: {100 * (best.value or 0):.1f} %, trial {best.number}"
    return f"  trial {trial.number}: {result}{early} ({params}); {so_far}"


def format_params(params: Params) -> str:
    """`C 3.16, gamma 0.01`."""
    return ", ".join(f"{n} {v:.3g}" if isinstance(v, float) else f"{n} {v}" for n, v in params.items())
