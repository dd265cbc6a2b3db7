"""Rules that find warnings about the figures of a run, with remedies.

In this field accuracies are invalidated more by leakage than by models, and rankings by too few artists. Each rule
reads the facts of a run and returns one short sentence, or None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from genrelab.core.errors import printable
from genrelab.core.text import join_all, join_first, pluralize
from genrelab.evaluation.percent import format_number, format_percent
from genrelab.evaluation.verdict import RunFacts, Verdict

MIN_GENRE_TRACKS = 5
"""With fewer test tracks the recall of a genre is meaningless."""

VALIDATION_MARGIN = 0.05
"""Validation accuracy further above test accuracy than this, and than chance explains, is reported."""

GAP = 0.20
"""Training accuracy further above validation accuracy than this is overfitting."""

MAX_NAMED = 3
"""Models or genres that one sentence names; the details name all."""

ANY_N = ("synthesised", "leaks", "split", "no_test")
"""Rules on the tracks and how they were split; the others use accuracies, which a few tracks do not support."""

MORE_TEST = "Add test tracks by more artists"
MORE_TRAINING = "Add training tracks by more artists"
LEAVE_OUT = "Find duplicates with `genrelab doctor FOLDER`, then leave them out with `--exclude`"
BY_ARTIST = "Split by artist: `--split artist`"
HONESTY = "Compare with `--honesty`, which repeats every split over 5 folds"

Finding = tuple[str, Sequence[str], str]
"""Sentence, remedies and details."""


def find_warnings(run: RunFacts, verdict: Verdict) -> list[dict[str, Any]]:
    """All warnings that apply to a run, the most serious first.

    Returns:
        Dicts of `rule`, `sentence` (one line), `remedies`, and `details`: figures that the sentence sums up. A study
        that was run already is no remedy.
    """
    warnings = []
    for rule, check in RULES.items():
        found = check(run, verdict) if verdict.ranked or rule in ANY_N else None
        if found is not None:
            sentence, remedies, details = found
            left = [r for r in remedies if r != HONESTY or not run.has_honesty_study]
            warnings.append({"rule": rule, "sentence": sentence, "remedies": left, "details": details})
    return warnings


LEAK_WORDS = {
    "same_track": ("is also a training track", "are also training tracks"),
    "same_audio": ("is an exact copy of a training track", "are exact copies of training tracks"),
    "same_features": ("has the features of a training track", "have the features of training tracks"),
    "near_duplicate": ("is a near-duplicate of a training track", "are near-duplicates of training tracks"),
    "same_recording": ("shares a recording with training tracks", "share recordings with training tracks"),
    "numbered_alike": ("may share a recording with training tracks", "may share recordings with training tracks"),
    "same_artist": ("shares its artist with training tracks", "share artists with training tracks"),
    "same_album": ("shares its album with training tracks", "share albums with training tracks"),
}


def _check_synthesised(run: RunFacts, verdict: Verdict) -> Finding | None:
    return ("the tracks are synthetic: these scores do not apply to real music", (), "") if run.synthesised else None


def _check_leaks(run: RunFacts, verdict: Verdict) -> Finding | None:
    if not run.leaking:
        return None
    words = [
        f"{c['leaking']:,} of {pluralize(c['of'], f'{run.part} track')} {LEAK_WORDS[c['name']][c['leaking'] > 1]}"
        for c in run.leaking
    ]
    duplicates = {c["name"] for c in run.leaking} - {"same_artist", "same_album"}
    remedies = [
        *([BY_ARTIST] if run.facts["split"]["policy"] != "artist" else []),
        *([LEAVE_OUT] if duplicates else []),
    ]
    return f"{words[0]}: the accuracies are too high", remedies, "; ".join(words[1:])


def _check_too_good(run: RunFacts, verdict: Verdict) -> Finding | None:
    if not run.too_good or run.ceiling is None:
        return None
    name, limit, why = run.ceiling
    figures = join_all([f"{run.name(m)} {format_percent(run.scores(m)['accuracy'])}" for m in run.too_good])
    sentence = f"above {format_percent(limit)} on {name}, which only a leak explains: {_named(run, run.too_good)}"
    remedies = [f"Check the audit for duplicates and artists in both the training and the {run.part} set", HONESTY]
    return sentence, remedies, f"{figures}; {why}"


def _check_split(run: RunFacts, verdict: Verdict) -> Finding | None:
    split, sets = run.facts["split"], f"both the training and the {run.part} set"
    if any("artists are unknown" in note.lower() for note in split["notes"]):  # they cannot be kept apart
        sentence = f"artists are unknown and may be in {sets}: the accuracies may be too high"
        return sentence, ["Name the artists: prepare with `--artists FILE`", HONESTY], ""
    if split["policy"] not in ("random", "article"):
        return None
    return f"the {split['policy']} split puts artists in {sets}, which raises accuracies", [BY_ARTIST, HONESTY], ""


def _check_test_part(run: RunFacts, verdict: Verdict) -> Finding | None:
    split = run.facts["split"]
    if not split["no_test"]:
        return None
    remedies = [MORE_TEST] if split["policy"] == "artist" else [MORE_TEST, BY_ARTIST]
    return "there is no test set: all accuracies are of validation tracks", remedies, ""


def _check_baseline(run: RunFacts, verdict: Verdict) -> Finding | None:
    below = run.not_above_baseline
    if not below:
        return None
    networks = [m for m in below if _is_network(run, m)]
    longer = f"{_all_names(run, networks)}: train longer with `--epochs`, if the curve still rises"
    if verdict.kind == "not_above_baseline":
        sentence = f"the models may have learned nothing, or {run.tracks} are too few to show it"
    else:
        sentence = f"not significantly better than {run.baseline_name}: {_named(run, below)}"
    details = _all_names(run, below) if len(below) > MAX_NAMED else ""
    return sentence, [MORE_TRAINING, MORE_TEST, *([longer] if networks else [])], details


def _check_selection(run: RunFacts, verdict: Verdict) -> Finding | None:
    """Would validation have chosen another model than the best one, from which that one is not significantly different?

    Then the accuracy of the best one is partly luck: it was chosen on the tracks that it is reported for.
    """
    if not verdict.best or not all(run.models[m].get("validation") for m in run.learners):
        return None
    first = verdict.best[0]
    chosen = max(run.learners, key=lambda m: run.models[m]["validation"]["accuracy"])
    reached, expected = (run.scores(m)["accuracy"] for m in (first, chosen))
    if chosen not in verdict.similar or reached == expected:
        return None
    figure = f"the {format_percent(reached)} of {run.name(first)}"
    sentence = f"expect less than {figure}, the highest of {pluralize(run.learners, 'model')} on these tracks"
    details = f"{_chosen_on(run)} favour {run.name(chosen)}, which reaches {format_percent(expected)} here"
    return sentence, [MORE_TEST, HONESTY], details


def _check_intervals(run: RunFacts, verdict: Verdict) -> Finding | None:
    """None where any two models differ significantly in the paired test: overlapping intervals do not refute that."""
    if len(verdict.best + verdict.similar) < 2 or any(p["separable"] for p in run.comparisons):
        return None
    best, worst = run.scores(run.learners[0]), run.scores(run.learners[-1])
    width, spread = best["accuracy_high"] - best["accuracy_low"], best["accuracy"] - worst["accuracy"]
    if width <= spread:
        return None
    over = best["interval_over"]
    by = "" if over == "tracks" else f" by {pluralize(best['n_groups'], over.removesuffix('s'))}"
    sentence = f"{run.tracks}{by} are too few to rank the models: no two differ significantly"
    wide = f"the 95 % interval of {run.name(run.learners[0])} is {format_number(100 * width)} points wide"
    return sentence, [MORE_TEST, HONESTY], f"{wide}, but the models differ by only {format_number(100 * spread)} points"


def _check_validation(run: RunFacts, verdict: Verdict) -> Finding | None:
    """A warning where the difference is large, and larger than the 95 % interval of a difference of two sets."""
    above = {}
    for m in run.learners:
        seen, scored = run.models[m].get("validation"), run.scores(m)
        if not seen:
            continue
        gain, noise = seen["accuracy"] - scored["accuracy"], math.hypot(_half_width(seen), _half_width(scored))
        if gain > max(VALIDATION_MARGIN, noise):
            explained = f"(chance explains {format_number(100 * noise)})"
            above[m] = f"{run.name(m)} by {format_number(100 * gain)} points {explained}"
    if not above:
        return None
    sentence = f"better on {_chosen_on(run)} than on {run.part} tracks by more than chance: {_named(run, above)}"
    remedies = [
        f"Use the {run.part} accuracies: epochs and settings were chosen on the other tracks",
        "Check the audit for duplicates and albums that the two sets share",
    ]
    return sentence, remedies, "; ".join(above.values())


def _check_overfitting(run: RunFacts, verdict: Verdict) -> Finding | None:
    figures = {}
    for m in run.learners:
        training, unseen = run.models[m].get("training"), run.models[m].get("validation") or run.scores(m)
        if training and training["accuracy"] - unseen["accuracy"] > GAP:
            seen, new = format_percent(training["accuracy"]), format_percent(unseen["accuracy"])
            figures[m] = f"{run.name(m)} {seen} on training tracks, {new} on new ones"
    if not figures:
        return None
    networks = [m for m in figures if _is_network(run, m)]
    others = [m for m in figures if m not in networks]
    advice = ((networks, "fewer `--epochs`, or dropout chosen by"), (others, "simpler settings, chosen by"))
    remedies = [f"{_all_names(run, these)}: {what} `genrelab tune`" for these, what in advice if these]
    margin = f"over {format_number(100 * GAP, 0)} points better on training tracks than on new ones"
    sentence = f"overfitting, {margin}: {_named(run, figures)}"
    return sentence, [MORE_TRAINING, *remedies], "; ".join(figures.values())


def _check_thin_genres(run: RunFacts, verdict: Verdict) -> Finding | None:
    counts = {g: row["n"] for g, row in run.scores(next(iter(run.models)))["per_genre"].items() if row["n"]}
    thin = {printable(g): n for g, n in counts.items() if n < MIN_GENRE_TRACKS}
    if not thin:
        return None
    where = join_first(list(thin), most=MAX_NAMED) if len(thin) < len(counts) else "every genre"
    sentence = f"fewer than {MIN_GENRE_TRACKS} {run.part} tracks in {where}: recall and F1 there mean little"
    details = ", ".join(f"{g}: {pluralize(n, 'track')}" for g, n in thin.items())
    return sentence, ["Add tracks of these genres by other artists"], details


RULES: Mapping[str, Callable[[RunFacts, Verdict], Finding | None]] = {
    "synthesised": _check_synthesised,
    "leaks": _check_leaks,
    "too_good": _check_too_good,
    "split": _check_split,
    "no_test": _check_test_part,
    "choice": _check_selection,
    "not_above_majority": _check_baseline,
    "wide_intervals": _check_intervals,
    "validation_above": _check_validation,
    "overfitting": _check_overfitting,
    "thin_genre": _check_thin_genres,
}
"""By name, the most serious first."""


def _is_network(run: RunFacts, folder: str) -> bool:
    return run.models[folder].get("curve") is not None


def _chosen_on(run: RunFacts) -> str:
    """The tracks that epochs and settings are chosen on; without a test set these are training tracks set aside."""
    return "tracks set aside from training" if run.facts["split"]["no_test"] else "validation tracks"


def _all_names(run: RunFacts, folders: Iterable[str]) -> str:
    return join_all([run.name(m) for m in folders])


def _named(run: RunFacts, folders: Collection[str]) -> str:
    """Names of a few models, or the number of many."""
    few = len(folders) <= MAX_NAMED
    return _all_names(run, folders) if few else f"{len(folders)} of {pluralize(run.learners, 'model')}"


def _half_width(share: Mapping[str, Any]) -> float:
    """Half the width of its 95 % interval."""
    return float(share["accuracy_high"] - share["accuracy_low"]) / 2
