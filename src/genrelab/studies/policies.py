"""Compare the accuracies of a model under different split policies, and put the differences into sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.text import join_first, pluralize
from genrelab.evaluation.intervals import difference_interval, share_interval
from genrelab.evaluation.percent import format_percent
from genrelab.studies.study_result import points_text

POLICIES = ("segment", "random", "article", "artist", "official")
WORDS = {
    "segment": "random windows",
    "random": "random tracks",
    "article": "the article's split",
    "artist": "artists kept apart",
    "official": "the official split",
}


@dataclass(frozen=True)
class PolicyResult:
    """One model under one policy.

    Attributes:
        tracks, correct: scored tracks, sorted, and whether each was right, shape (n,).
        folds: accuracy of each fold; a single value where the split is fixed.
        part: the scored part of a fixed split.
        note: a remark for readers.
        windows: scores of single windows, where tracks have several: n, accuracy, accuracy_low, accuracy_high.
    """

    policy: str
    tracks: NDArray[np.int64]
    correct: NDArray[np.bool_]
    folds: list[float]
    n_learned: int
    part: str | None = None
    note: str | None = None
    windows: dict[str, Any] | None = None


def compare_policies(
    name: str, view: str, results: list[PolicyResult], artists: list[str | None] | None
) -> dict[str, Any]:
    """The entry of a model in honesty.json.

    Args:
        view: of the model.
        results: from the most optimistic policy to the strictest.
        artists: of each track, or None if none is known.
    """
    policies = [_policy_json(r, artists) for r in results]
    differences = [
        _difference_json(name, a, b, artists)
        for a, b in combinations(results, 2)
        if (a.policy, b.policy) in MEANINGS and np.intersect1d(a.tracks, b.tracks).size
    ]
    return {"model": name, "view": view, "policies": policies, "differences": differences}


def _policy_json(r: PolicyResult, artists: list[str | None] | None) -> dict[str, Any]:
    groups = [artists[i] for i in r.tracks] if artists is not None else None
    low, high = share_interval(r.correct, groups)
    return {
        "policy": r.policy, "accuracy": float(r.correct.mean()), "low": low, "high": high, "n": len(r.tracks),
        "n_learned": r.n_learned, "folds": r.folds, "part": r.part, "note": r.note, "windows": r.windows,
    }  # fmt: skip


def _difference_json(name: str, a: PolicyResult, b: PolicyResult, artists: list[str | None] | None) -> dict[str, Any]:
    """Accuracy of `a` less that of `b` on the tracks that both scored; `plain`: each on all of its tracks."""
    tracks, in_a, in_b = np.intersect1d(a.tracks, b.tracks, return_indices=True)
    correct_a, correct_b = a.correct[in_a], b.correct[in_b]
    groups = [artists[i] for i in tracks] if artists is not None else None
    low, high = difference_interval(correct_a, correct_b, groups)
    difference = float(correct_a.mean() - correct_b.mean())
    d = {"a": a.policy, "b": b.policy, "difference": difference, "low": low, "high": high, "n": len(tracks)}
    return d | {"plain": float(a.correct.mean()) - float(b.correct.mean()), "sentence": _sentence(name, d, a, b)}


def _sentence(name: str, d: dict[str, Any], a: PolicyResult, b: PolicyResult) -> str:
    first, second = (f"{WORDS[r.policy]} {format_percent(float(r.correct.mean()))}" for r in (a, b))
    points = points_text(d["difference"], d["low"], d["high"])
    part = b.part or a.part
    same = f" on the {d['n']:,} {part} tracks that both include" if part else ""
    if d["low"] > 0:
        meaning = MEANINGS[d["a"], d["b"]]
    else:
        meaning = "the stricter split is not harder" if d["high"] < 0 else "not significant"
    return f"{name}: {first}, {second}; difference {points} points{same}: {meaning}"


MEANINGS = {
    ("random", "artist"): "the model recognises artists",
    ("segment", "random"): "the model recognises recordings",
    ("segment", "artist"): "the model recognises recordings and artists",
    ("random", "official"): "the official split is harder than random tracks",
    ("segment", "official"): "the official split is harder than random windows",
    ("artist", "official"): "the official split is harder than artists kept apart",
    ("article", "artist"): "the model recognises artists",
    ("article", "official"): "the official split is harder than the article's",
}
"""What a significant difference between two policies means; the pair that answers the question best comes first.

`article` is random, too, so it is compared with the stricter policies alone.
"""


def finding(models: Sequence[dict[str, Any]]) -> list[str]:
    """One sentence on the best pair of policies that models were compared under; empty if there is no pair."""
    for a, b in MEANINGS:
        found = [(m["model"], d) for m in models for d in m["differences"] if (d["a"], d["b"]) == (a, b)]
        if not found:
            continue
        name, most = max(found, key=lambda f: f[1]["difference"])
        points = points_text(most["difference"], most["low"], most["high"])
        if len(found) == 1:
            return [f"{name}: {points} points with {WORDS[a]} compared with {WORDS[b]}"]
        higher = sum(d["low"] > 0 for _, d in found)
        return [
            f"{higher or 'None'} of {pluralize(found, 'model')} {'scores' if higher == 1 else 'score'} clearly higher "
            f"with {WORDS[a]} than with {WORDS[b]}; the largest difference is {points} points ({name})"
        ]
    return []


def not_run_sentences(not_run: list[dict[str, Any]]) -> list[str]:
    """What was not measured and why, one sentence per reason."""
    models: dict[tuple[str, str], list[str]] = {}
    for entry in not_run:
        models.setdefault((entry["policy"], entry["reason"]), []).extend([entry["model"]] if entry["model"] else [])
    return [
        f"not run: {WORDS[policy]}{f' ({join_first(names)})' if names else ''}: {reason}"
        for (policy, reason), names in models.items()
    ]
