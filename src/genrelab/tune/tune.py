"""The article's hyper-parameter study, on training tracks alone (`genrelab tune`).

Every trial is a model with other hyper-parameters, fitted on four fifths of the training tracks and asked about the
last one, five times, artists kept whole. The first trial has our defaults, the second the article's values, so the
best one is never worse than either on these folds. Validation and test tracks are not loaded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from genrelab.core.config import TrainSettings
from genrelab.core.errors import SettingsError, printable
from genrelab.core.hyperparameters import SPACES
from genrelab.core.progress import Notify, Progress, ProgressBar, ignore, no_bar
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize
from genrelab.models import registry
from genrelab.records.prepared import Prepared
from genrelab.records.task import make_task
from genrelab.training.cross_fit import cross_fit
from genrelab.tune import plots
from genrelab.tune.best_params import TRACKS_FILE, TUNE_FOLDER, track_keys
from genrelab.tune.results import describe, write_trials
from genrelab.tune.search import Search, assign_to_folds
from genrelab.tune.study import Study, open_study
from genrelab.tune.trial import reject_unusable_best, run_trial

DEFAULT_TRIALS = 50  # where neither a number nor a time is given
PLOT_FILE = "parameters.png"


def tune(
    prepared: Prepared,
    run: Folder,
    model: str,
    settings: TrainSettings,
    *,
    trials: int | None = None,
    seconds: float | None = None,
    notify: Notify = ignore,
    bar: ProgressBar = no_bar,
) -> dict[str, Any]:
    """Search for better hyper-parameters of one model; the same call goes on with what an interrupted one left.

    Args:
        run: a local folder; gets `tune/<model>/` with `study.db`, `trials.json`, `tracks.txt`, `parameters.png`.
        settings: of the training that the result is for; `models` and `params` do not count.
        trials: how many in all, with those of earlier calls.
        seconds: how long they may take, all together; a trial that has begun is finished. Without both: 50 trials.

    Returns:
        The content of `trials.json`.

    Raises:
        SettingsError: a model without hyper-parameters, a RUN that is not local, or a budget that is none.
        PreparedError: the folder holds a search of other data, folds, space or settings.
        ModelError: the model cannot be trained here, or not even with its defaults.
    """
    _check(run, model, trials, seconds)
    settings = replace(settings, models=(model,), params={})
    task = make_task(prepared, settings)
    among = np.array(task.split.parts) == "training"
    home = run / f"{TUNE_FOLDER}/{model}"
    with cross_fit(task, settings, among, notify) as fits:
        fits.check(model)
        fold, groups, notes = assign_to_folds(task, among, settings.seed)
        search = Search(fits, model, settings, fold, groups)
        for note in notes:
            notify(f"  {note}")
        with open_study(
            home.local, asked=search.asked(), space=search.space, seed=settings.seed, notify=notify
        ) as study:
            seen = sorted(track_keys(task, among.tolist()))
            home.write_bytes(TRACKS_FILE, "".join(f"{key}\n" for key in seen).encode())
            if study.trials:
                notify(f"{model}: goes on after {pluralize(study.trials, 'trial')}")
            n_trials = trials or (None if seconds else DEFAULT_TRIALS)
            with bar(f"Tuning {model}", "trials" if n_trials else "seconds") as progress:
                while not _is_over(study, n_trials, seconds, progress):
                    trial = run_trial(search, study)
                    write_trials(search, study.trials, home)
                    notify(describe(trial, study.trials))
            reject_unusable_best(search, study, notify)
            about = write_trials(search, study.trials, home, notes)
    home.write_bytes(PLOT_FILE, plots.plot_parameters(about))
    for sentence in about["sentences"]:
        notify(sentence)
    return about


def _is_over(study: Study, trials: int | None, seconds: float | None, progress: Progress) -> bool:
    """Is one of the budgets used up? One trial at least is run."""
    n, spent = len(study.trials), sum(t.seconds for t in study.trials)
    progress(*((n, trials) if trials else (int(spent), int(seconds or 0))))
    return bool(n and ((trials and n >= trials) or (seconds and spent >= seconds)))


def _check(run: Folder, model: str, trials: int | None, seconds: float | None) -> None:
    if model not in SPACES:
        what = "has no hyper-parameters" if model in registry.known_models() else "is not known"
        raise SettingsError(f"--model {printable(model)} {what}: choose one of {', '.join(SPACES)}")
    if not run.is_local:
        raise SettingsError(f"{run}: a search is a database on this machine's disk: choose a local --out")
    if trials is not None and trials < 1:
        raise SettingsError(f"--trials must be above 0. Received: {trials}")
    if seconds is not None and not seconds > 0:
        raise SettingsError(f"the time for a search must be above 0 s. Received: {seconds}")
