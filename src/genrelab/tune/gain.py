"""What a search was worth: the best trial against the default one, and how much of it is the choosing itself.

The best of many is chosen on the very folds that its score is from, so the score flatters it. By how much tells a
bootstrap of the answers that the folds gave (Tsamardinos, Greasidou and Borboudakis 2018): of drawn artists the best
trial is chosen, of those that were not drawn it is scored, and nothing is trained again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.evaluation.comparison import compare
from genrelab.evaluation.intervals import group_index, share_interval

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
        rights: was each track answered rightly? shape (trials, tracks), the default trial first.
        best: row of the best one.
        groups: the artist of each track, None where unknown.
        seed: of the draws.

    Returns:
        `difference` with `low` and `high` as they are seen on the folds; `optimism` of the best trial's accuracy and
        `optimism_of_difference` of the difference, which choosing among so many adds by itself; and `beyond_noise`:
        is the interval above 0, also without that?
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
    """Accuracy of what is chosen on drawn groups, and its difference to the default, on the groups that were not."""
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
            continue  # of one or two groups nothing may be left
        winner = int((hits @ drawn).argmax())
        outside = hits[:, left].sum(axis=1) / sizes[left].sum()
        found.append((outside[winner], outside[winner] - outside[0]))
    accuracy, difference = np.mean(found, axis=0) if found else (rights.mean(axis=1).max(), 0.0)
    return float(accuracy), float(difference)


def sentences(model: str, found: dict[str, Any], gain: dict[str, Any] | None, counts: dict[str, int]) -> list[str]:
    """What a reader must know.

    Args:
        found: the content of `trials.json`, with `best` and `default`.
        gain: of `estimate_gain`, None where the default trial was the best.
        counts: trials by state.
    """
    best, default, n = found["best"], found["default"], sum(counts.values())
    states = ", ".join(f"{c} {state}" for state, c in counts.items() if c)
    lines = [f"{model}: {n} trial{'' if n == 1 else 's'} ({states}), {found['score']}; no other track was looked at"]
    usual = f"the defaults reach {_share(default)}"
    if gain is None:
        return [*lines, f"{model}: {usual}, and nothing that was tried is better"]
    gained = _points(gain["difference"])
    lines.append(
        f"{model}: the best trial (number {best['number']}) reaches {_share(best)}, {usual}: {gained} points more "
        f"[{_points(gain['low'])}, {_points(gain['high'])}]"
    )
    lines.append(
        f"{model}: choosing the best of {n} flatters it by about {100 * gain['optimism']:.1f} points (the difference "
        f"by {100 * gain['optimism_of_difference']:.1f}): expect about {100 * (best['value'] - gain['optimism']):.1f} %"
    )
    verdict = "beats the defaults by more than chance" if gain["beyond_noise"] else (
        "does not beat the defaults beyond noise"
    )  # fmt: skip
    return [*lines, f"{model}: the best trial {verdict}"]


def _share(scores: dict[str, Any]) -> str:
    return f"{100 * scores['value']:.1f} % [{100 * scores['low']:.1f}, {100 * scores['high']:.1f}]"


def _points(value: float) -> str:
    return f"{100 * value:.1f}"
