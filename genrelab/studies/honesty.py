"""Program: how much of a model's accuracy is owed to the way its tracks were split (`--honesty`).

The same model is trained on the same tracks under four policies, from the most flattering to the strictest:

- `segment`: windows are dealt out to 5 folds at random, so that other windows of a scored track were learned from.
  Only where tracks have several windows.
- `random`: tracks are, so that other tracks of a scored artist were.
- `artist`: artists are, so that nothing of a scored artist was.
- `official`: the dataset's own parts, scored once on its test tracks, or on validation where there are none.

In the first three every track is scored once, by a model that did not learn from its fold; so two policies are compared
track by track, with an interval that draws artists as wholes (tracks, where artists are unknown).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.candidates import Bar, Say
from genrelab.config import TrainSettings
from genrelab.errors import ModelError, SplitError, printable
from genrelab.intervals import difference_interval, share_interval
from genrelab.prepared import Prepared
from genrelab.storage import Folder
from genrelab.studies import folding
from genrelab.studies.refits import Answers, Refits, refits
from genrelab.task import Task, make_task
from genrelab.wording import count, some

FILE = "honesty.json"
POLICIES = ("segment", "random", "artist", "official")
WORDS = {
    "segment": "random windows",
    "random": "random tracks",
    "artist": "artists apart",
    "official": "the official split",
}
HEADERS = ("model", "policy", "accuracy % [95 %]", "n", "learned from", "points above artists apart", "… official")


def study(
    prepared: Prepared, run: Folder, settings: TrainSettings, *, models: tuple[str, ...], say: Say, bar: Bar
) -> dict[str, Any]:
    """Train the models under every policy that the dataset allows; write RUN/honesty.json and return it.

    Args:
        prepared: what RUN was trained on.
        settings: of RUN; only its split does not count.
        models: names; `majority` listens to nothing and is left out.

    Raises:
        ModelError: a model cannot be fitted on some fold.
        SplitError: the run's own split is none any more.
    """
    task, official, reasons = _tasks(prepared, settings)
    names = [m for m in models if m != "majority"]
    among = _among(task, official)
    task = _narrowed(task, among)
    plans, more = _plans(task, among, settings.seed)
    reasons |= more
    n_fits = len(names) * (len(plans) * folding.N_FOLDS + (official is not None))
    found: list[dict[str, Any]] = []
    not_run = [{"model": None, "policy": p, "reason": reasons[p]} for p in POLICIES if p in reasons]
    with bar("Honesty", "fits") as progress, refits(task, settings, among) as fits:
        done = iter(range(1, 10**9))
        fits.fitted = lambda: progress(next(done), n_fits)
        for name in names:
            try:
                fits.check(name)
                outcomes, refused = _outcomes(fits, name, plans, official)
            except ModelError as e:
                not_run += [{"model": name, "policy": p, "reason": str(e)} for p in (*plans, "official")]
                continue
            not_run += [{"model": name, "policy": p, "reason": r} for p, r in refused.items()]
            found.append(_compared(fits, name, outcomes))
    sentences = [d["sentence"] for m in found for d in m["differences"] if d["sentence"]]
    sentences += _unmeasured(not_run)
    about = {"models": found, "not_run": not_run, "sentences": sentences}
    run.write_json(FILE, about)
    for sentence in sentences:
        say(sentence)
    return about


def table(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """One row a model and policy, as printed under HEADERS."""
    rows: list[tuple[str, ...]] = []
    for model in found["models"]:
        above = {(d["a"], d["b"]): d for d in model["differences"]}
        for p in model["policies"]:
            name = p["policy"] + (f" ({p['part']})" if p["part"] else "")
            accuracy = f"{_percent(p['accuracy'])} [{_percent(p['low'])}, {_percent(p['high'])}]"
            gaps = [_gap(above.get((p["policy"], b))) for b in ("artist", "official")]
            rows.append((printable(model["model"]), name, accuracy, f"{p['n']:,}", f"{p['n_learned']:,}", *gaps))
    return rows


# === Who is learned from under which policy ===


def _tasks(prepared: Prepared, settings: TrainSettings) -> tuple[Task, Task | None, dict[str, str]]:
    """The run's task, the one of the official split or None, and the reason why there is none."""
    task = make_task(prepared, settings)
    try:
        return task, make_task(prepared, replace(settings, split="official")), {}
    except SplitError as e:
        return task, None, {"official": str(e)}


def _among(task: Task, official: Task | None) -> NDArray[np.bool_]:
    """Tracks that every policy shares out: those in a part of the official split, or where there is none, all that
    can be used and that it does not exclude. Shape (tracks,)."""
    if official is not None:
        return np.array([part != "excluded" for part in official.split.parts])
    stated = task.prepared.tracks["official_split"]
    return np.array([ok and part != "excluded" for ok, part in zip(task.prepared.usable, stated, strict=True)])


def _narrowed(task: Task, among: NDArray[np.bool_]) -> Task:
    """The task with the genres of these tracks alone."""
    genres = {g for g, here in zip(task.prepared.tracks["genre"], among, strict=True) if here}
    return replace(task, genres=tuple(sorted(genres)))


def _plans(task: Task, among: NDArray[np.bool_], seed: int) -> tuple[dict[str, NDArray[np.int64]], dict[str, str]]:
    """Fold of every track under `random` and `artist`, and why a policy has none."""
    y, artists = task.labels(chooses=False).y, task.artists()
    plans, reasons = {}, {}
    if artists is None or not any(a for a, here in zip(artists, among, strict=True) if here):
        reasons["artist"] = "no artist is known: name them with --artists FILE, --artist-column, or in the files' tags"
    else:
        try:
            plans["artist"] = folding.by_artist(y, artists, among, seed=seed)
        except SplitError as e:
            reasons["artist"] = f"it {e}"
    try:
        plans["random"] = folding.at_random(y, among, seed=seed)
    except SplitError as e:
        reasons["random"] = f"it {e}"
    return plans, reasons


# === What a model makes of it ===


@dataclass(frozen=True)
class _Outcome:
    """One model under one policy.

    Attributes:
        tracks, correct: scored tracks, sorted, and was each right? Shape (n,).
        folds: accuracy of each fold; one where the split is fixed.
        part: that was scored, of a fixed split.
        note: what a reader must know.
        windows: of scored tracks with several: n, accuracy, accuracy_low, accuracy_high.
    """

    policy: str
    tracks: NDArray[np.int64]
    correct: NDArray[np.bool_]
    folds: list[float]
    n_learned: int
    part: str | None = None
    note: str | None = None
    windows: dict[str, Any] | None = None


def _outcomes(
    fits: Refits, name: str, plans: dict[str, NDArray[np.int64]], official: Task | None
) -> tuple[list[_Outcome], dict[str, str]]:
    """One outcome a policy, and why `segment` has none, if so. The official one comes first: `fits` learns from it."""
    found, refused = [], {}
    if official is not None:
        found.append(_official(fits, name, official))
    for policy, fold in plans.items():
        artists = fits.task.artists() if policy == "artist" else None
        held = fits.held_out(name, fold, artists)
        found.append(_scored(fits, policy, held, note=_note(fold)))
    if not fits.several(name):
        refused["segment"] = "every track has one window"
    else:
        try:
            found.append(_segments(fits, name))
        except (ModelError, SplitError) as e:
            refused["segment"] = str(e)
    return sorted(found, key=lambda o: POLICIES.index(o.policy)), refused


def _official(fits: Refits, name: str, official: Task) -> _Outcome:
    from genrelab.models import model_class

    role = official.labels(chooses=model_class(name).needs_validation).role
    part = official.split.scored_part
    note = "one fixed split, so one evaluation"
    if official.split.no_test:
        note += "; there are no test tracks: the validation part is scored"
    return _scored(fits, "official", fits.answers(name, role), part=part, note=note)


def _scored(fits: Refits, policy: str, held: Answers, **more: Any) -> _Outcome:
    correct = held.correct(fits.labels.y)
    folds = [float(correct[held.fold == k].mean()) for k in np.unique(held.fold)]
    return _Outcome(policy, held.tracks, correct, folds, held.n_learned, **more)


def _segments(fits: Refits, name: str) -> _Outcome:
    """Windows at random: tracks are scored by the mean over their windows, each of which was held out."""
    from genrelab.predict import pool

    windows, seed = fits.windows(name), fits.settings.seed
    held = fits.held_out_windows(name, folding.at_random(windows.y, np.ones(len(windows), bool), seed=seed))
    right = held.correct(windows.y)
    tracks, probabilities = pool(windows.track[held.tracks], held.probabilities)
    correct = np.asarray(probabilities.argmax(axis=1) == fits.labels.y[tracks], bool)
    folds = [float(right[held.fold == k].mean()) for k in np.unique(held.fold)]
    owners = [str(t) for t in windows.track[held.tracks]]
    low, high = share_interval(right, owners)
    figures = {"n": len(right), "accuracy": float(right.mean()), "accuracy_low": low, "accuracy_high": high}
    note = (
        f"of the {len(right):,} windows by themselves {_percent(figures['accuracy'])} % are right; folds are of these"
    )
    learned = round(held.n_learned / len(windows) * len(np.unique(windows.track)))
    return _Outcome("segment", tracks, correct, folds, learned, note=note, windows=figures)


def _note(fold: NDArray[np.int64]) -> str | None:
    always = int((fold == folding.LEARNED).sum())
    if not always:
        return None
    return f"{count(always, 'track')} of unknown artist, or of a genre's only one, always learned from and never scored"


# === What the differences mean ===


def _compared(fits: Refits, name: str, outcomes: list[_Outcome]) -> dict[str, Any]:
    artists = fits.task.artists()
    policies = [_policy_json(o, artists) for o in outcomes]
    accuracy = {o.policy: p["accuracy"] for o, p in zip(outcomes, policies, strict=True)}
    differences = [_difference(a, b, artists) for a, b in combinations(outcomes, 2)]
    for d in differences:
        d["plain"] = accuracy[d["a"]] - accuracy[d["b"]]
        a, b = (next(o for o in outcomes if o.policy == d[side]) for side in ("a", "b"))
        d["sentence"] = _sentence(name, d, accuracy, a, b)
    return {"model": name, "view": fits.view(name), "policies": policies, "differences": differences}


def _policy_json(o: _Outcome, artists: list[str | None] | None) -> dict[str, Any]:
    groups = [artists[i] for i in o.tracks] if artists is not None else None
    low, high = share_interval(o.correct, groups)
    return {
        "policy": o.policy, "accuracy": float(o.correct.mean()), "low": low, "high": high, "n": len(o.tracks),
        "n_learned": o.n_learned, "folds": o.folds, "part": o.part, "note": o.note, "windows": o.windows,
    }  # fmt: skip


def _difference(a: _Outcome, b: _Outcome, artists: list[str | None] | None) -> dict[str, Any]:
    """Accuracy of `a` less that of `b` on the tracks that both scored."""
    tracks, in_a, in_b = np.intersect1d(a.tracks, b.tracks, return_indices=True)
    right, left = a.correct[in_a], b.correct[in_b]
    groups = [artists[i] for i in tracks] if artists is not None else None
    low, high = difference_interval(right, left, groups)
    difference = float(right.mean() - left.mean())
    return {"a": a.policy, "b": b.policy, "difference": difference, "low": low, "high": high, "n": len(tracks)}


def _sentence(name: str, d: dict[str, Any], accuracy: dict[str, float], a: _Outcome, b: _Outcome) -> str:
    first, second = (f"{WORDS[p]} {_percent(accuracy[p])} %" for p in (d["a"], d["b"]))
    points = f"{100 * d['difference']:.1f} points [{100 * d['low']:.1f}, {100 * d['high']:.1f}]"
    return f"{name}: {first}, {second}: {_meaning(d, a, b, points)}"


def _meaning(d: dict[str, Any], a: _Outcome, b: _Outcome, points: str) -> str:
    if d["b"] == "official":
        plain = f"{100 * d['plain']:+.1f} points"
        same = f"on the {d['n']:,} {b.part} tracks of the official split {points}"
        fewer = f"; it learns from {b.n_learned:,} tracks, the folds from {a.n_learned:,}"
        return f"{plain}, {same}{fewer if b.n_learned < a.n_learned else ''}{_judged(d, OFFICIAL[d['a']])}"
    if d["low"] <= 0 <= d["high"]:
        return f"{points}: no difference that chance could not make"
    if d["high"] < 0:
        return f"{points}: the stricter policy is no worse, so nothing leaks that this model could use"
    return f"{points} of the first figure are {OWED[d['a'], d['b']]}"


OWED = {
    ("random", "artist"): "artists recognised, not genres",
    ("segment", "random"): "recordings recognised, not genres: other windows of the same track were learned from",
    ("segment", "artist"): "recordings and artists recognised, not genres",
}
OFFICIAL = {
    "random": "what random tracks promise and the published split does not keep",
    "segment": "what random windows promise and the published split does not keep",
    "artist": "the published split asks more than artists apart do: other tracks are scored",
}


def _judged(d: dict[str, Any], meaning: str) -> str:
    if d["low"] <= 0 <= d["high"]:
        return ": no difference that chance could not make"
    return f": {meaning}" if d["low"] > 0 else ": the published split is no harder"


def _unmeasured(not_run: list[dict[str, Any]]) -> list[str]:
    """What was not measured and why, one sentence a reason."""
    models: dict[tuple[str, str], list[str]] = {}
    for entry in not_run:
        models.setdefault((entry["policy"], entry["reason"]), []).extend([entry["model"]] if entry["model"] else [])
    return [
        f"not run: {WORDS[policy]}{f' ({some(names)})' if names else ''}: {reason}"
        for (policy, reason), names in models.items()
    ]


def _gap(difference: dict[str, Any] | None) -> str:
    if difference is None:
        return ""
    return f"{100 * difference['difference']:+.1f} [{100 * difference['low']:.1f}, {100 * difference['high']:.1f}]"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
