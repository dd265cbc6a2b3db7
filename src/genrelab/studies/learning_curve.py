"""Would more tracks help? The model again on 10, 25, 50 and 100 % of its training tracks (`--learning-curve`).

The shares are nested: the tracks at 10 % are among those at 25 %. Artists are kept whole, and genres keep their share.
Small shares are drawn several times, because much depends on which few artists they contain. All are scored on the
test tracks of the run (validation tracks if it has none); the last step, from half to all, is judged by its paired
interval. Nothing is extrapolated: a curve of four points does not predict the fifth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count as counting
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import TrainSettings
from genrelab.core.errors import ModelError, printable
from genrelab.core.progress import Notify, ProgressBar
from genrelab.core.storage import Folder
from genrelab.core.text import join_first, pluralize
from genrelab.evaluation.intervals import mean_interval, share_interval
from genrelab.models.registry import model_class
from genrelab.records.prepared import Prepared
from genrelab.records.task import Task, make_task
from genrelab.studies.study_result import accuracy_text, points_text, write_result
from genrelab.training.cross_fit import CrossFit, cross_fit

FILE = "learning_curve.json"
DRAWS = {0.10: 5, 0.25: 4, 0.50: 3, 1.00: 1}
"""Share of the training tracks → number of draws; for networks, which take long, one draw each."""

MIN_GAIN = 0.02
"""If the last doubling of the tracks gained less than this, another one is hardly worth the effort."""

MAX_HALF_SHARE = 0.75
"""Largest share that the "half" may contain, as artists are kept whole: from more than this to all is no doubling."""

RISING, FLAT, UNDECIDED = "still rising", "flat", "undecided"
HEADERS = ("model", "share %", "training tracks", "accuracy % [95 % interval]", "from half to all")

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def study(
    prepared: Prepared,
    run: Folder,
    settings: TrainSettings,
    *,
    models: tuple[str, ...],
    notify: Notify,
    bar: ProgressBar,
) -> dict[str, Any]:
    """Train the models on growing shares of the training part; write RUN/learning_curve.json and return it.

    Args:
        prepared, settings: of RUN: the parts are the same.
        models: names; `majority` ignores the audio and is left out.

    Raises:
        SplitError: the run's own split is no longer possible.
    """
    task = make_task(prepared, settings)
    names = [m for m in models if m != "majority"]
    scored = np.array(task.split.roles) != "none"
    found: list[dict[str, Any]] = []
    skipped: list[str] = []
    for name in names:
        if estimate := _estimate(run, name):
            notify(estimate)
    n_fits, done = sum(sum(_draws(name).values()) for name in names), counting(1)
    with bar("Learning curve", "fits") as progress, cross_fit(task, settings, scored, notify) as fits:
        fits.fitted = lambda: progress(next(done), n_fits)
        for name in names:
            try:
                fits.check(name)
                _check_half(fits, name)
                curve = [_fit_share(fits, name, share) for share in DRAWS]
            except ModelError as e:
                skipped.append(f"{name}: no learning curve: {e}")
                continue
            found.append(_curve_json(task, name, curve))
    part, n = task.split.scored_part, task.split.roles.count("score")
    sentences = [*_finding(found, pluralize(n, f"{part} track")), *map(_sentence, found), *skipped]
    return write_result(run, FILE, {"part": part, "models": found, "sentences": sentences}, notify)


def table(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """One row per model and share, as printed under HEADERS."""
    rows: list[tuple[str, ...]] = []
    for model in found["models"]:
        for p in model["points"]:
            share, verdict = f"{100 * p['share']:.0f}", model["verdict"] if p is model["points"][-1] else ""
            rows.append((printable(model["model"]), share, f"{p['n_tracks']:,}", accuracy_text(p), verdict))
    return rows


def subset(y: Ints, groups: Ints, training: NDArray[np.bool_], share: float, *, seed: int) -> NDArray[np.bool_]:
    """Mask of the training tracks at a share; those of a smaller share with the same seed are among them.

    The groups of each genre are taken in a random order, the same in every genre, at least one, until the genre's count
    is as near to the share as possible. A group of several genres is taken as a whole, so the result may exceed the
    share a little.

    Args:
        y, groups: genre and artist number of each track, shape (tracks,).
        training: tracks to draw from, shape (tracks,).
        share: above 0, at most 1.
        seed: of the order.
    """
    if share >= 1:
        return training
    order = np.random.default_rng(seed).permutation(int(groups.max()) + 1)
    taken: set[int] = set()
    for genre in np.unique(y[training]):
        here = groups[training & (y == genre)]
        names = np.unique(here)
        names = names[np.argsort(order[names])]
        reached = np.cumsum([(here == g).sum() for g in names])
        nearest = int(np.abs(reached - share * len(here)).argmin())
        taken |= set(names[: nearest + 1].tolist())
    return training & np.isin(groups, sorted(taken))


# === One share ===


@dataclass(frozen=True)
class _Point:
    """A model at one share: `correct` is the fraction of draws in which each test track was right, shape (n,)."""

    share: float
    n_tracks: int
    tracks: Ints
    correct: Floats


def _draws(name: str) -> dict[float, int]:
    return dict.fromkeys(DRAWS, 1) if model_class(name).needs_validation else DRAWS


def _check_half(fits: CrossFit, name: str) -> None:
    labels = fits.task.labels(chooses=model_class(name).needs_validation)
    training = labels.role == "fit"
    half = int(subset(labels.y, labels.group, training, 0.5, seed=fits.settings.seed).sum())
    n = int(training.sum())
    if half > MAX_HALF_SHARE * n:
        nearest = f"the nearest to a half is {half:,} of {pluralize(n, 'training track')}"
        raise ModelError(f"too few artists to halve the training tracks: {nearest}; add tracks by other artists")


def _fit_share(fits: CrossFit, name: str, share: float) -> _Point:
    labels = fits.task.labels(chooses=model_class(name).needs_validation)
    correct, sizes = [], []
    for draw in range(_draws(name)[share]):
        seed = fits.settings.seed + draw
        kept = subset(labels.y, labels.group, labels.role == "fit", share, seed=seed)
        predictions = fits.answers(name, np.where((labels.role == "fit") & ~kept, "none", labels.role))
        correct.append(predictions.correct(labels.y))
        sizes.append(int(kept.sum()))
    return _Point(share, round(float(np.mean(sizes))), predictions.tracks, np.mean(correct, axis=0))


def _estimate(run: Folder, name: str) -> str | None:
    """Message on the expected time of a network, from its training time in RUN; None for a quick model."""
    if not model_class(name).needs_validation or not run.exists(f"{name}/metrics.json"):
        return None
    seconds = run.read_json(f"{name}/metrics.json")["train_s"] * sum(DRAWS)
    return f"  learning curve of {name}: {len(DRAWS)} training runs, about {max(1, round(seconds / 60))} min"


# === JSON and sentences ===


def _curve_json(task: Task, name: str, curve: Sequence[_Point]) -> dict[str, Any]:
    half, all_ = curve[-2:]
    y, of_track = task.labels(chooses=False).y[all_.tracks], task.groups()
    groups = [of_track[i] if of_track else None for i in all_.tracks]
    gain, measured = all_.correct - half.correct, np.unique(y)
    level = 1 - 0.05 / len(measured)  # among many genres one may rise by chance
    by_genre = {
        task.genres[i]: _step_json(gain[y == i], [g for g, of in zip(groups, y, strict=True) if of == i], level=level)
        for i in measured
    }
    points = [
        {**_point_json(p, groups), "per_genre": {g: _recall(p, y, i) for i, g in enumerate(task.genres)}} for p in curve
    ]
    last_step = _step_json(gain, groups)
    return {"model": name, "points": points, "verdict": last_step["verdict"], "step": last_step, "genres": by_genre}


def _point_json(point: _Point, groups: Sequence[str | None]) -> dict[str, Any]:
    once = bool(np.isin(point.correct, (0, 1)).all())
    low, high = share_interval(point.correct == 1, groups) if once else mean_interval(point.correct, groups)
    return {
        "share": point.share, "n_tracks": point.n_tracks, "accuracy": float(point.correct.mean()),
        "low": max(0.0, low), "high": min(1.0, high),
    }  # fmt: skip


def _recall(point: _Point, y: Ints, genre: int) -> float | None:
    here = y == genre
    return float(point.correct[here].mean()) if here.any() else None


def _step_json(gain: Floats, groups: Sequence[str | None], *, level: float = 0.95) -> dict[str, Any]:
    """The gain from half of the tracks to all, its interval, and the verdict."""
    low, high = (float(v) for v in np.clip(mean_interval(gain, groups, level=level), -1, 1))
    verdict = RISING if low > 0 else FLAT if high < MIN_GAIN else UNDECIDED
    return {"gain": float(gain.mean()), "low": low, "high": high, "verdict": verdict}


def _finding(models: Sequence[dict[str, Any]], scored: str) -> list[str]:
    """One sentence: would more tracks help?"""
    if not models:
        return []
    rising = [m for m in models if m["verdict"] == RISING]
    best = max(rising or models, key=lambda m: m["step"]["gain"])
    largest = f"from half of the training tracks to all, {best['model']} gains {_gain_text(best['step'])}"
    if rising:
        return [f"More tracks would help {join_first([m['model'] for m in rising])}: {largest}"]
    if all(m["verdict"] == FLAT for m in models):
        return [f"More tracks would hardly help: {largest}"]
    return [f"{scored}: too few to show whether more training tracks would help; {largest}"]


def _sentence(model: dict[str, Any]) -> str:
    step, name = model["step"], model["model"]
    once = ", each share trained once" if model_class(name).needs_validation else ""
    rising = [f"{printable(g)} {_gain_text(s)}" for g, s in model["genres"].items() if s["verdict"] == RISING]
    genres = f"; recall still rising: {join_first(rising, most=len(rising))}" if rising else ""
    return f"{name}: {step['verdict']}, {_gain_text(step)}{once}{genres}"


def _gain_text(step: dict[str, Any]) -> str:
    return f"{points_text(step['gain'], step['low'], step['high'])} points"
