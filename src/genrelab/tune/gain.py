"""The gain of a search: the best trial against the default one, corrected for choosing the best of many.

The best trial is chosen on the same folds that it is scored on, so its score is too high. A bootstrap of the folds'
answers estimates by how much (Tsamardinos, Greasidou and Borboudakis 2018): the best trial is chosen on drawn artists
and scored on the others; nothing is trained again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.text import pluralize
from genrelab.evaluation.comparison import compare
from genrelab.evaluation.intervals import group_index, share_interval
from genrelab.evaluation.percent import percent, points

Bools = NDArray[np.bool_]
Groups = Sequence[str | None] | None

DRAWS = 1_000


def accuracy_interval(right: Bools, groups: Groups) -> dict[str, float]:
    """Accuracy with its 95 % interval over artists, from answers (tracks,)."""
    low, high = share_interval(right, groups)
    return {"value": float(right.mean()), "low": low, "high": high}


def estimate_gain(rights: Bools, best: int, groups: Groups, *, seed: int) -> dict[str, Any]:
    """How much better the best trial is than the default one.

    Args:
        rights: was each track classified correctly? shape (trials, tracks), the default trial first.
        best: row of the best one.
        groups: the artist of each track, None where unknown.
        seed: of the draws.

    Returns:
        `difference` with `low` and `high` as measured on the folds; `optimism` of the best trial's accuracy and
        `optimism_of_difference` of the difference, both caused by choosing the best; and `beyond_noise`: is the
        interval above 0 after that correction?
    """
    seen = compare(rights[best], rights[0], groups)
    accuracy, difference = _out_of_bag_scores(rights, groups, seed)
    optimism = max(0.0, float(rights[best].mean()) - accuracy)
    of_difference = max(0.0, seen["difference"] - difference)
    return {
        "difference": seen["difference"], "low": seen["low"], "high": seen["high"],
        "optimism": optimism, "optimism_of_difference": of_difference,
        "beyond_noise": bool(seen["low"] - of_difference > 0),
    }  # fmt: skip


def _out_of_bag_scores(rights: Bools, groups: Groups, seed: int) -> tuple[float, float]:
    """Accuracy of the trial chosen on drawn groups, and its difference to the default, on the other groups."""
    index = group_index(groups, rights.shape[1])
    if index.max() == 0:
        index = group_index(None, rights.shape[1])
    sizes = np.bincount(index).astype(np.float64)
    hits = np.stack([np.bincount(index, weights=r) for r in rights])
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(DRAWS):
        drawn = np.bincount(rng.integers(len(sizes), size=len(sizes)), minlength=len(sizes))
        left = drawn == 0
        if not left.any():
            continue  # every group was drawn
        winner = int((hits @ drawn).argmax())
        outside = hits[:, left].sum(axis=1) / sizes[left].sum()
        found.append((outside[winner], outside[winner] - outside[0]))
    accuracy, difference = np.mean(found, axis=0) if found else (rights.mean(axis=1).max(), 0.0)
    return float(accuracy), float(difference)


def sentences(model: str, found: dict[str, Any], gain: dict[str, Any] | None, counts: dict[str, int]) -> list[str]:
    """The result in sentences.

    Args:
        found: the content of `trials.json`, with `best` and `default`.
        gain: of `estimate_gain`, None where the default trial was the best.
        counts: trials by state.
    """
    best, default, n = found["best"], found["default"], sum(counts.values())
    states = ", ".join(f"{c:,} {state}" for state, c in counts.items() if c)
    trials = f"{pluralize(n, 'trial')} ({states})"
    lines = [f"{model}: {trials}, {found['score']}; validation and test tracks were not used"]
    usual = f"the defaults reach {_share(default)}"
    if gain is None:
        return [*lines, f"{model}: {usual}; no trial is better"]
    lines.append(
        f"{model}: the best trial (number {best['number']}) reaches {_share(best)} and {usual}: a difference of "
        f"{points(gain['difference'])} points [{points(gain['low'])}, {points(gain['high'])}]"
    )
    lines.append(
        f"{model}: the best of {pluralize(n, 'trial')} is about {percent(gain['optimism'])} points too high by chance "
        f"(the difference by {percent(gain['optimism_of_difference'])}): expect an accuracy of about "
        f"{100 * (best['value'] - gain['optimism']):.1f} %"
    )
    verdict = "significantly better" if gain["beyond_noise"] else "not significantly better"
    return [*lines, f"{model}: the best trial is {verdict} than the defaults"]


def _share(scores: dict[str, Any]) -> str:
    return f"{100 * scores['value']:.1f} % [{100 * scores['low']:.1f}, {100 * scores['high']:.1f}]"
