"""Compare the accuracies of a model under different split policies, and put the differences into sentences."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.text import join_first
from genrelab.evaluation.intervals import difference_interval, share_interval

POLICIES = ("segment", "random", "artist", "official")
WORDS = {
    "segment": "random windows",
    "random": "random tracks",
    "artist": "artists apart",
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
    accuracy = {r.policy: p["accuracy"] for r, p in zip(results, policies, strict=True)}
    pairs = [_paired_difference(a, b, artists) for a, b in combinations(results, 2)]
    differences = [d for d in pairs if d is not None]
    for d in differences:
        d["plain"] = accuracy[d["a"]] - accuracy[d["b"]]
        a, b = (next(r for r in results if r.policy == d[side]) for side in ("a", "b"))
        d["sentence"] = _sentence(name, d, accuracy, a, b)
    return {"model": name, "view": view, "policies": policies, "differences": differences}


def _policy_json(r: PolicyResult, artists: list[str | None] | None) -> dict[str, Any]:
    groups = [artists[i] for i in r.tracks] if artists is not None else None
    low, high = share_interval(r.correct, groups)
    return {
        "policy": r.policy, "accuracy": float(r.correct.mean()), "low": low, "high": high, "n": len(r.tracks),
        "n_learned": r.n_learned, "folds": r.folds, "part": r.part, "note": r.note, "windows": r.windows,
    }  # fmt: skip


def _paired_difference(a: PolicyResult, b: PolicyResult, artists: list[str | None] | None) -> dict[str, Any] | None:
    """Accuracy of `a` less that of `b` on the tracks that both scored; None if there are none."""
    tracks, in_a, in_b = np.intersect1d(a.tracks, b.tracks, return_indices=True)
    if not len(tracks):
        return None
    correct_a, correct_b = a.correct[in_a], b.correct[in_b]
    groups = [artists[i] for i in tracks] if artists is not None else None
    low, high = difference_interval(correct_a, correct_b, groups)
    difference = float(correct_a.mean() - correct_b.mean())
    return {"a": a.policy, "b": b.policy, "difference": difference, "low": low, "high": high, "n": len(tracks)}


def _sentence(name: str, d: dict[str, Any], accuracy: dict[str, float], a: PolicyResult, b: PolicyResult) -> str:
    first, second = (f"{WORDS[p]} {percent(accuracy[p])} %" for p in (d["a"], d["b"]))
    points = f"{100 * d['difference']:+.1f} points [{100 * d['low']:.1f}, {100 * d['high']:.1f}]"
    return f"{name}: {first}, {second}: {_meaning(d, a, b, points)}"


def _meaning(d: dict[str, Any], a: PolicyResult, b: PolicyResult, points: str) -> str:
    if d["b"] == "official":
        plain = f"{100 * d['plain']:+.1f} points"
        same = f"and {points} on the {d['n']:,} {b.part} tracks that both scored"
        fewer = f"; it learns from {b.n_learned:,} tracks, the folds from {a.n_learned:,}"
        meaning = _official_meaning(d, OFFICIAL_EXPLANATIONS[d["a"]])
        return f"{plain}, {same}{fewer if b.n_learned < a.n_learned else ''}{meaning}"
    if d["low"] <= 0 <= d["high"]:
        return f"{points}: chance may explain the difference"
    if d["high"] < 0:
        return f"{points}: the stricter policy is no worse, so nothing leaks that this model could use"
    return f"{points} of the first figure are {EXPLANATIONS[d['a'], d['b']]}"


EXPLANATIONS = {
    ("random", "artist"): "artists recognised, not genres",
    ("segment", "random"): "recordings recognised, not genres: other windows of the same track were learned from",
    ("segment", "artist"): "recordings and artists recognised, not genres",
}
OFFICIAL_EXPLANATIONS = {
    "random": "what random tracks promise and the published split does not keep",
    "segment": "what random windows promise and the published split does not keep",
    "artist": "the published split leaves less to learn these tracks from",
}


def _official_meaning(d: dict[str, Any], meaning: str) -> str:
    if d["low"] <= 0 <= d["high"]:
        return ": chance may explain the difference"
    return f": {meaning}" if d["low"] > 0 else ": the published split is no harder"


def not_run_sentences(not_run: list[dict[str, Any]]) -> list[str]:
    """What was not measured and why, one sentence per reason."""
    models: dict[tuple[str, str], list[str]] = {}
    for entry in not_run:
        models.setdefault((entry["policy"], entry["reason"]), []).extend([entry["model"]] if entry["model"] else [])
    return [
        f"not run: {WORDS[policy]}{f' ({join_first(names)})' if names else ''}: {reason}"
        for (policy, reason), names in models.items()
    ]


def percent(share: float) -> str:
    """`0.4263` → `42.6`."""
    return f"{100 * share:.1f}"
