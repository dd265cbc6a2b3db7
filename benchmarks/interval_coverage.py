"""How often a 95 % interval contains the true accuracy, and how often two equal models are called different.

    python benchmarks/interval_coverage.py [--draws 1000]

Draws collections whose artists have as many tracks as real ones (tests/support/artists.py) and models with a known true
accuracy and answers that are correlated within artists, and prints two tables: the coverage of the percentile bootstrap
over artists beside that of `intervals.share_interval`, and false alarms. Exits 1 if the latter coverage is outside 93
to 97 % by more than three standard errors of the draws.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genrelab.evaluation.comparison import compare
from genrelab.evaluation.intervals import group_index, share_interval

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tests.support.artists import draw_correct, draw_groups

COLLECTIONS = (("gtzan", 30), ("gtzan", 60), ("gtzan", 200), ("fma", 60), ("fma", 200))
ACCURACIES = (0.2, 0.5, 0.8, 0.93)
ALIKE = (0.0, 0.3, 0.6)
WANTED = (0.93, 0.97)
RESAMPLED = 1_000


def percentile_bootstrap(
    correct: NDArray[np.bool_], groups: list[str], rng: np.random.Generator
) -> tuple[float, float]:
    """The former method: percentiles of the accuracy over artists drawn with replacement."""
    index = group_index(groups, len(correct))
    sizes, hits = np.bincount(index), np.bincount(index, weights=correct)
    drawn = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=RESAMPLED)
    low, high = np.quantile((drawn @ hits) / (drawn @ sizes), [0.025, 0.975])
    return float(low), float(high)


def coverage(like: str, n_artists: int, accuracy: float, alike: float, draws: int) -> tuple[float, ...]:
    """Mean n, then share of intervals that contain the accuracy and their mean width: of the bootstrap, and of ours."""
    rng = np.random.default_rng(0)
    found = np.zeros((draws, 5))
    for i in range(draws):
        groups = draw_groups(rng, n_artists, like)
        correct = draw_correct(rng, groups, accuracy, alike)
        both = percentile_bootstrap(correct, groups, rng), share_interval(correct, groups)
        found[i] = len(groups), *(f for low, high in both for f in (low <= accuracy <= high, high - low))
    return tuple(found.mean(axis=0))


def false_alarms(like: str, n_artists: int, alike: float, draws: int) -> tuple[float, float]:
    """Share of pairs of models of equal accuracy (0.5, drawn apart) whose p-value is below 5 %: McNemar's, ours."""
    rng = np.random.default_rng(1)
    alarms = np.zeros(2)
    for _ in range(draws):
        groups = draw_groups(rng, n_artists, like)
        a, b = (draw_correct(rng, groups, 0.5, alike) for _ in range(2))
        pair = compare(a, b, groups)
        alarms += pair["mcnemar_p"] < 0.05, pair["p_value"] < 0.05
    return float(alarms[0] / draws), float(alarms[1] / draws)


def main() -> int:
    """Print both tables; 1 if a coverage is out of range."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1_000)
    draws = parser.parse_args().draws
    slack = 3 * math.sqrt(0.05 * 0.95 / draws)
    off = 0
    print("| artists as in | artists | n | correlation | accuracy | bootstrap | width | ours | width |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for (like, n_artists), alike, accuracy in itertools.product(COLLECTIONS, ALIKE, ACCURACIES):
        n, before, width, after, ours = coverage(like, n_artists, accuracy, alike, draws)
        off += not WANTED[0] - slack <= after <= WANTED[1] + slack
        shown = f"{before:.1%} | {width:.3f} | {after:.1%} | {ours:.3f} |"
        print(f"| {like} | {n_artists} | {n:.0f} | {alike} | {accuracy} | {shown}", flush=True)
    print("\n| artists as in | artists | correlation | false alarms of McNemar | ours |\n|---|---:|---:|---:|---:|")
    for (like, n_artists), alike in itertools.product(COLLECTIONS, ALIKE):
        mcnemar, ours = false_alarms(like, n_artists, alike, draws)
        print(f"| {like} | {n_artists} | {alike} | {mcnemar:.1%} | {ours:.1%} |", flush=True)
    return int(off > 0)


if __name__ == "__main__":
    sys.exit(main())
