"""Would more tracks help? The model again on 10, 25, 50 and 100 % of its training tracks (`--learning-curve`).

The shares are nested: what is learned from at 10 % is learned from at 25 % too. Artists are taken whole, genre by
genre, so that each keeps its share and none is lost; the small shares are drawn several times, for much depends on
which few artists they hold. All are scored on the run's scored part, and the last step, from half to all, is judged by
its paired interval. Nothing is said of tracks that are not there: a curve of four points does not foretell the fifth.
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
from genrelab.training.cross_fit import CrossFit, cross_fit

FILE = "learning_curve.json"
DRAWS = {0.10: 5, 0.25: 4, 0.50: 3, 1.00: 1}
"""Share of the training tracks → how often it is drawn; networks, which take long, are drawn once."""

MIN_GAIN = 0.02
"""Where the last doubling of the tracks brought less than this, the next one is hardly worth the trouble."""

MAX_HALF_SHARE = 0.75
"""Of the training tracks that the half may hold, artists being whole: the step from more to all doubles nothing."""

RISING, LEVEL, NOISY = "still rising", "flat", "too noisy to tell"
HEADERS = ("model", "share %", "tracks", "accuracy % [95 %]", "from half to all")

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
        models: names; `majority` learns from no track and is left out.

    Raises:
        SplitError: the run's own split is none any more.
    """
    task = make_task(prepared, settings)
    names = [m for m in models if m != "majority"]
    scored = np.array(task.split.roles) != "none"
    found: list[dict[str, Any]] = []
    sentences: list[str] = []
    for name in names:
        if estimate := _estimate(run, name):
            notify(estimate)
    n_fits, done = sum(sum(_draws(name).values()) for name in names), counting(1)
    with bar("Learning curve", "fits") as progress, cross_fit(task, settings, scored) as fits:
        fits.fitted = lambda: progress(next(done), n_fits)
        for name in names:
            try:
                fits.check(name)
                _check_half(fits, name)
                curve = [_fit_share(fits, name, share) for share in DRAWS]
            except ModelError as e:
                sentences.append(f"{name}: no learning curve: {e}")
                continue
            found.append(_curve_json(task, name, curve))
            sentences += _sentences(found[-1], curve)
    about = {"part": task.split.scored_part, "models": found, "sentences": sentences}
    run.write_json(FILE, about)
    for sentence in sentences:
        notify(sentence)
    return about


def table(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """One row a model and share, as printed under HEADERS."""
    rows: list[tuple[str, ...]] = []
    for model in found["models"]:
        for p in model["points"]:
            accuracy = f"{100 * p['accuracy']:.1f} [{100 * p['low']:.1f}, {100 * p['high']:.1f}]"
            verdict = model["verdict"] if p is model["points"][-1] else ""
            rows.append((printable(model["model"]), f"{100 * p['share']:.0f}", f"{p['n_tracks']:,}", accuracy, verdict))
    return rows


def subset(y: Ints, groups: Ints, learned: NDArray[np.bool_], share: float, *, seed: int) -> NDArray[np.bool_]:
    """Which tracks are learned from at a share; those of a smaller share with the same seed are among them.

    Each genre's groups stand in a random order, the same in every genre, and are taken from its beginning, at least
    one, until the genre's count is as near to the share as it gets. A group of several genres is taken as a whole, so
    a share may hold a little more than it says.

    Args:
        y, groups: genre and artist number of each track, shape (tracks,).
        learned: tracks to draw from, shape (tracks,).
        share: above 0, at most 1.
        seed: of the order.
    """
    if share >= 1:
        return learned
    order = np.random.default_rng(seed).permutation(int(groups.max()) + 1)
    taken: set[int] = set()
    for genre in np.unique(y[learned]):
        here = groups[learned & (y == genre)]
        names = np.unique(here)
        names = names[np.argsort(order[names])]
        reached = np.cumsum([(here == g).sum() for g in names])
        nearest = int(np.abs(reached - share * len(here)).argmin())
        taken |= set(names[: nearest + 1].tolist())
    return learned & np.isin(groups, sorted(taken))


# === One share ===


@dataclass(frozen=True)
class _Point:
    """A model on one share: `correct` is the part of the draws in which each scored track was right, shape (n,)."""

    share: float
    n_tracks: int
    tracks: Ints
    correct: Floats


def _draws(name: str) -> dict[float, int]:
    return dict.fromkeys(DRAWS, 1) if model_class(name).needs_validation else DRAWS


def _check_half(fits: CrossFit, name: str) -> None:
    whole = fits.task.labels(chooses=model_class(name).needs_validation)
    learned = whole.role == "fit"
    half = int(subset(whole.y, whole.group, learned, 0.5, seed=fits.settings.seed).sum())
    n = int(learned.sum())
    if half > MAX_HALF_SHARE * n:
        nearest = f"{half:,} of {pluralize(n, 'training track')} come nearest"
        raise ModelError(f"artists cannot be halved: {nearest}; add artists")


def _fit_share(fits: CrossFit, name: str, share: float) -> _Point:
    whole = fits.task.labels(chooses=model_class(name).needs_validation)
    rights, sizes = [], []
    for draw in range(_draws(name)[share]):
        seed = fits.settings.seed + draw
        kept = subset(whole.y, whole.group, whole.role == "fit", share, seed=seed)
        answers = fits.answers(name, np.where((whole.role == "fit") & ~kept, "none", whole.role))
        rights.append(answers.correct(whole.y))
        sizes.append(int(kept.sum()))
    return _Point(share, round(float(np.mean(sizes))), answers.tracks, np.mean(rights, axis=0))


def _estimate(run: Folder, name: str) -> str | None:
    """What to expect of a network, from how long its training in RUN took; None of a model that is quick."""
    if not model_class(name).needs_validation or not run.exists(f"{name}/metrics.json"):
        return None
    seconds = run.read_json(f"{name}/metrics.json")["train_s"] * sum(DRAWS)
    return f"learning curve of {name}: {len(DRAWS)} trainings, about {max(1, round(seconds / 60))} min"


# === What it means ===


def _curve_json(task: Task, name: str, curve: Sequence[_Point]) -> dict[str, Any]:
    half, all_ = curve[-2:]
    y, artists = task.labels(chooses=False).y[all_.tracks], task.artists()
    groups = [artists[i] for i in all_.tracks] if artists is not None else None
    gain = all_.correct - half.correct
    measured = [i for i in range(len(task.genres)) if (y == i).any()]
    by_genre = {}
    for i in measured:
        here = y == i
        mine = [g for g, h in zip(groups, here, strict=True) if h] if groups is not None else None
        # So many genres are looked at that one of them would seem to rise by chance.
        by_genre[task.genres[i]] = _step(gain[here], mine, level=1 - 0.05 / len(measured))
    points = [
        {**_point_json(p, groups), "per_genre": {g: _recall(p, y, i) for i, g in enumerate(task.genres)}} for p in curve
    ]
    step = _step(gain, groups)
    return {"model": name, "points": points, "verdict": step["verdict"], "step": step, "genres": by_genre}


def _point_json(point: _Point, groups: Sequence[str | None] | None) -> dict[str, Any]:
    once = bool(np.isin(point.correct, (0, 1)).all())
    low, high = share_interval(point.correct == 1, groups) if once else mean_interval(point.correct, groups)
    return {
        "share": point.share, "n_tracks": point.n_tracks, "accuracy": float(point.correct.mean()),
        "low": max(0.0, low), "high": min(1.0, high),
    }  # fmt: skip


def _recall(point: _Point, y: Ints, genre: int) -> float | None:
    here = y == genre
    return float(point.correct[here].mean()) if here.any() else None


def _step(gain: Floats, groups: Sequence[str | None] | None, *, level: float = 0.95) -> dict[str, Any]:
    """The gain from half of the tracks to all, its interval, and what that says."""
    low, high = (float(v) for v in np.clip(mean_interval(gain, groups, level=level), -1, 1))
    verdict = RISING if low > 0 else LEVEL if high < MIN_GAIN else NOISY
    return {"gain": float(gain.mean()), "low": low, "high": high, "verdict": verdict}


def _sentences(model: dict[str, Any], curve: Sequence[_Point]) -> list[str]:
    half, all_ = model["points"][-2:]
    step, name = model["step"], model["model"]
    meaning = {
        RISING: "more tracks would help",
        LEVEL: f"as many tracks again would hardly bring {100 * MIN_GAIN:.0f} points",
        NOISY: f"{pluralize(len(curve[-1].tracks), 'scored track')} cannot tell whether more would help",
    }[step["verdict"]]
    once = model_class(name).needs_validation
    unsaid = "; each share was trained once, and how far trainings differ is not in the interval" if once else ""
    first = (
        f"{name}: {half['n_tracks']:,} training tracks {100 * half['accuracy']:.1f} %, {all_['n_tracks']:,} "
        f"{100 * all_['accuracy']:.1f} %: {_points(step)}: {step['verdict']}: {meaning}{unsaid}"
    )
    rising = [f"{printable(g)} {_points(s)}" for g, s in model["genres"].items() if s["verdict"] == RISING]
    return [first, *([f"{name}: still rising by genre: {join_first(rising, most=len(rising))}"] if rising else [])]


def _points(step: dict[str, Any]) -> str:
    return f"{100 * step['gain']:+.1f} points [{100 * step['low']:.1f}, {100 * step['high']:.1f}]"
