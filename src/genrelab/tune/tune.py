"""The article's hyper-parameter study, on training tracks alone (`genrelab tune`).

Every trial is a model with other hyper-parameters, fitted on four fifths of the training tracks and asked about the
last one, five times, artists kept whole. The first trial has our defaults, the second the article's values, so the
best one is never worse than either on these folds. Validation and test tracks are not loaded.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from genrelab.core.config import TrainSettings
from genrelab.core.errors import MissingRequirementError, ModelError, SettingsError, printable
from genrelab.core.hyperparameters import SPACES, Params
from genrelab.core.progress import Notify, ProgressBar
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize
from genrelab.models import registry
from genrelab.records.prepared import Prepared
from genrelab.records.task import Task, make_task
from genrelab.training.cross_fit import cross_fit
from genrelab.tune import gain, plots
from genrelab.tune.search import Search, assign_to_folds
from genrelab.tune.study import Study, Trial, open_study

DEFAULT_TRIALS = 50  # where neither a number nor a time is given
FOLDER, TRIALS_FILE, TRACKS_FILE, PLOT_FILE = "tune", "trials.json", "tracks.txt", "parameters.png"


def tune(
    prepared: Prepared,
    run: Folder,
    model: str,
    settings: TrainSettings,
    *,
    trials: int | None = None,
    seconds: float | None = None,
    notify: Notify = lambda _: None,
    bar: ProgressBar = lambda title, unit: nullcontext(lambda done, total: None),
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
    home = run / f"{FOLDER}/{model}"
    with cross_fit(task, settings, among) as fits:
        fits.check(model)
        fold, artists, notes = assign_to_folds(task, among, settings.seed)
        search = Search(fits, model, settings, fold, artists)
        for note in notes:
            notify(f"  {note}")
        with open_study(home.local, asked=search.asked(), space=search.space, seed=settings.seed) as study:
            home.write_bytes(
                TRACKS_FILE, "".join(f"{key}\n" for key in sorted(_track_keys(task, among.tolist()))).encode()
            )
            most = trials or (None if seconds else DEFAULT_TRIALS)
            _run_trials(search, study, most, seconds, home, notify, bar)
            _reject_unusable_best(search, study, notify)
            about = _write(search, study.trials, home, notes)
    home.write_bytes(PLOT_FILE, plots.plot_parameters(about))
    for sentence in about["sentences"]:
        notify(sentence)
    return about


def params_of(
    study: str, *, task: Task | None = None, wanted: Collection[str] = (), notify: Notify = lambda _: None
) -> dict[str, Params]:
    """The best hyper-parameters that searches found, by model, for `TrainSettings.params`.

    A model whose defaults were the best is left out, and so are models without a search: both keep their defaults.

    Args:
        study: address of a RUN with searches, or of one of them (RUN/tune/svm).
        task: what is to be trained; refused where it scores tracks that a search has learned from.
        wanted: models that are to be trained; of those without a search it is told.
        say: told a sentence a model.

    Raises:
        SettingsError: no search is there, one is damaged, or one has seen tracks that are to be scored.
    """
    found = _searches(study)
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
        notify(f"{model}: {_format_params(best['params'])} (trial {best['number']} of {n}: {against}{noise})")
    without = [m for m in wanted if m not in found and m in SPACES]
    if without:
        notify(f"no search, so defaults: {', '.join(without)}")
    verified: dict[str, Params] = TrainSettings(params=params).to_json()["params"]
    return verified


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


# === Trials ===


def _run_trials(
    search: Search,
    study: Study,
    trials: int | None,
    seconds: float | None,
    home: Folder,
    notify: Notify,
    bar: ProgressBar,
) -> None:
    """Trials until one of the budgets is used up, and one at least."""
    if study.trials:
        notify(f"{search.model}: goes on after {pluralize(study.trials, 'trial')}")
    with bar(f"Tuning {search.model}", "trials" if trials else "seconds") as progress:
        while True:
            n, spent = len(study.trials), sum(t.seconds for t in study.trials)
            progress(*((n, trials) if trials else (int(spent), int(seconds or 0))))
            if n and ((trials and n >= trials) or (seconds and spent >= seconds)):
                return
            tried = _run_trial(search, study)
            _write(search, study.trials, home)
            notify(_trial_message(tried, study.trials))


def _run_trial(search: Search, study: Study) -> Trial:
    """One more trial; it ends early where it is clearly behind the best one, unless it is one of the first."""
    n = len(study.trials)
    must = n < len(search.starts)
    trial, params = (None, search.starts[n]) if must else study.ask()
    began = time.perf_counter()
    right: list[Any] = []
    state, reason = "complete", ""
    best = None if must else _best(study.trials)
    try:
        for answers in _repeated_answers(search, study, params) or search.answers(params):
            right.append(answers)
            if best and len(right) < len(search.held) and search.is_behind(right, best.right):
                state = "pruned"
                break
    except MissingRequirementError:
        raise
    except (ModelError, ValueError, ArithmeticError) as e:
        if not n:
            raise ModelError(f"{search.model} cannot be fitted with its defaults: {' '.join(str(e).split())}") from e
        state, reason, right = "failed", " ".join(str(e).split()), []
    return study.tell(trial, params, state, time.perf_counter() - began, right, reason)


def _reject_unusable_best(search: Search, study: Study, notify: Notify) -> None:
    """Leave out the best trials as long as no bundle can be made of them: a training would fail with those."""
    while (best := _best(study.trials)).number:
        reason = search.unfit(best.params)
        if reason is None:
            return
        notify(f"  trial {best.number} is left out: {reason}")
        study.refuse(best.number, reason)


def _repeated_answers(search: Search, study: Study, params: Params) -> list[Any]:
    """The answers, fold by fold, of an earlier trial with these very hyper-parameters; none where there is none."""
    ends = np.cumsum([len(h) for h in search.held])[:-1]
    return next((np.split(t.right, ends) for t in study.trials if t.state == "complete" and t.params == params), [])


def _best(tried: list[Trial]) -> Trial:
    """The first of the best: the default trial, where nothing is better than it."""
    return max((t for t in tried if t.state == "complete"), key=lambda t: (t.value or 0.0, -t.number))


def _trial_message(tried: Trial, so_far: list[Trial]) -> str:
    what = f"{tried.value:.1%}" if tried.value is not None else f"failed: {tried.reason}"
    early = " of the first folds, clearly behind" if tried.state == "pruned" else ""
    best = _best(so_far)
    how = f"{_format_params(tried.params)}; {tried.seconds:.1f} s"
    return f"  trial {tried.number}: {what}{early} ({how}); best {best.value:.1%}, trial {best.number}"


def _format_params(params: Params) -> str:
    return ", ".join(f"{n} {v:.3g}" if isinstance(v, float) else f"{n} {v}" for n, v in params.items())


# === What is told ===


def _write(search: Search, tried: list[Trial], home: Folder, notes: Collection[str] = ()) -> dict[str, Any]:
    """Write `trials.json`, whole, and return it."""
    about = _summary(search, tried)
    about["sentences"] += notes
    home.write_json(TRIALS_FILE, about)
    return about


def _summary(search: Search, tried: list[Trial]) -> dict[str, Any]:
    complete = [t for t in tried if t.state == "complete"]
    best = _best(tried)
    rights = np.stack([t.right for t in complete])
    told = None
    if best.number:
        told = gain.estimate_gain(rights, complete.index(best), search.groups, seed=search.settings.seed)
    shown = {
        name: {"params": t.params, **gain.accuracy_interval(t.right, search.groups)}
        for name, t in (("default", tried[0]), ("best", best))
    }
    about: dict[str, Any] = {
        "model": search.model,
        "view": search.fits.view(search.model),
        "score": search.score,
        "grouped_by": "tracks" if search.groups is None else "artists",
        "n_tracks": sum(map(len, search.held)),
        "n_folds": len(search.held),
        "space": {name: p.to_json() for name, p in search.space.items()},
        "default": shown["default"],
        "best": {"number": best.number, **shown["best"]},
        "gain": told,
        "trials": [_trial(t) for t in tried],
    }
    states = Counter(t.state for t in tried)
    counts = {state: states[state] for state in ("complete", "pruned", "failed")}
    about["sentences"] = gain.sentences(search.model, about, told, counts)
    return about


def _trial(tried: Trial) -> dict[str, Any]:
    names = ("number", "params", "value", "state", "seconds", "reason")
    return {**{name: getattr(tried, name) for name in names}, "n": len(tried.right)}


# === What a training takes over ===


def _searches(study: str) -> dict[str, tuple[Folder, dict[str, Any]]]:
    """Model → its folder and `trials.json`."""
    here = Folder(study)
    homes = [here] if here.exists(TRIALS_FILE) else [here / f"{FOLDER}/{name}" for name in here.names(FOLDER)]
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


def _track_keys(task: Task, chosen: list[bool]) -> set[str]:
    """Names tracks by id and content, so that those of other collections are never taken for them."""
    t = task.prepared.tracks
    return {f"{i}\t{sha or ''}" for i, sha, here in zip(t["track_id"], t["sha256"], chosen, strict=True) if here}


def _check_unseen(home: Folder, task: Task) -> None:
    if not home.exists(TRACKS_FILE):
        raise SettingsError(f"{home}/{TRACKS_FILE} is missing, and with it what the search has seen: tune again")
    seen = set(home.read_bytes(TRACKS_FILE).decode().splitlines())
    scored = _track_keys(task, [role == "score" for role in task.split.roles])
    if both := len(seen & scored):
        elsewhere = len(seen - _track_keys(task, [True] * len(task.prepared)))
        remedy = (
            f"{elsewhere:,} of its {pluralize(len(seen), 'track')} are not here, so these are other data: tune on them anew"
            if elsewhere
            else "tune and train on one preparation, with the same --split and --seed"
        )
        raise SettingsError(
            f"{home} was tuned on {both:,} of the {pluralize(len(scored), 'track')} that this split scores: {remedy}"
        )
