"""The article's hyper-parameter study, on training tracks alone (`genrelab tune`).

Every trial is a model with other hyper-parameters, fitted on four fifths of the training tracks and scored on the
last fifth, five times, with all tracks of an artist in one fold. The first trial has our defaults (with
`--preset article` its values), the second the article's values if they are in the search space, so the best trial is
never worse than either on these folds. Validation and test tracks are not loaded.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from genrelab.core.config import TrainSettings
from genrelab.core.errors import MissingRequirementError, ModelError, SettingsError, printable
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
from genrelab.tune.study import Bools, Study, Trial, open_study

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
    """Search for better hyper-parameters of one model; the same call resumes an interrupted search.

    Args:
        run: a local folder; gets `tune/<model>/` with `study.db`, `trials.json`, `tracks.txt`, `parameters.png`.
        settings: of the training that will use the result; `models` and `params` do not count.
        trials: number of trials in all, with those of earlier calls.
        seconds: time for all of them; a trial that has started is finished. Without both: 50 trials.

    Returns:
        The content of `trials.json`.

    Raises:
        SettingsError: a model without hyper-parameters, a RUN that is not local, or a budget that is not above 0.
        PreparedError: the folder contains a search with other data, folds, space or settings.
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
                notify(f"{model}: resuming after {pluralize(study.trials, 'trial')}")
            n_trials = trials or (None if seconds else DEFAULT_TRIALS)
            with bar(f"Tuning {model}", "trials" if n_trials else "seconds") as progress:
                while not _is_over(study, n_trials, seconds, progress):
                    trial = run_trial(search, study)
                    write_trials(search, study, home)
                    notify(describe(trial, study.best))
            _reject_unusable_best(search, study, notify)
            about = write_trials(search, study, home, notes)
    home.write_bytes(PLOT_FILE, plots.plot_parameters(about))
    for sentence in about["sentences"]:
        notify(sentence)
    return about


def run_trial(search: Search, study: Study) -> Trial:
    """Run the next trial: first the starts (our defaults, the article's values), then what the sampler suggests.

    Fold by fold, until it is clearly worse than the best trial; starts are scored on all folds.

    Raises:
        ModelError: the model cannot be fitted with its defaults.
        MissingRequirementError: the model cannot be trained here.
    """
    n = len(study.trials)
    is_start = n < len(search.starts)
    params = search.starts[n] if is_start else study.suggest()
    same = next((t for t in study.trials if t.state == "complete" and t.params == params), None)
    state, right, reason, start = "complete", list[Bools](), "", time.perf_counter()
    try:
        for fold in search.split_by_fold(same.right) if same else search.score_folds(params):
            right.append(fold)
            if not is_start and len(right) < len(search.held) and search.is_worse(right, study.best.right):
                state = "pruned"
                break
    except MissingRequirementError:
        raise
    except (ModelError, ValueError, ArithmeticError) as e:
        state, right, reason = "failed", [], " ".join(str(e).split())
        if n == 0:
            raise ModelError(f"{search.model} cannot be fitted with its defaults: {reason}") from e
    return study.add(params, state, time.perf_counter() - start, right, reason)


def _reject_unusable_best(search: Search, study: Study, notify: Notify) -> None:
    """Leave out the best trials while no bundle can be made of them: a training with them would fail."""
    while study.best.number and (reason := search.export_problem(study.best.params)) is not None:
        notify(f"  trial {study.best.number} is left out: {reason}")
        study.reject(study.best.number, reason)


def _is_over(study: Study, trials: int | None, seconds: float | None, progress: Progress) -> bool:
    """Is one of the budgets used up? At least one trial is run."""
    n, spent = len(study.trials), sum(t.seconds for t in study.trials)
    progress(*((n, trials) if trials else (int(spent), int(seconds or 0))))
    return bool(n and ((trials and n >= trials) or (seconds and spent >= seconds)))


def _check(run: Folder, model: str, trials: int | None, seconds: float | None) -> None:
    if model not in SPACES:
        what = "has no hyper-parameters" if model in registry.known_models() else "is unknown"
        raise SettingsError(f"--model {printable(model)} {what}: choose one of {', '.join(SPACES)}")
    if not run.is_local:
        raise SettingsError(f"{run}: a search needs a folder on this machine: choose a local --out")
    if trials is not None and trials < 1:
        raise SettingsError(f"--trials must be above 0. Received: {trials}")
    if seconds is not None and not seconds > 0:
        raise SettingsError(f"--minutes must be above 0. Received: {seconds} s")
