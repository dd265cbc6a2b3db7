"""How the recipe of the starter model was chosen: the effect of each of its parts on unseen artists.

    python scripts/starter_study.py DATA

Nested artist-grouped five-fold cross-validation as in `starter.py`, with three draws of the folds; prints means as a
Markdown table.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from starter import FOLDERS, Recipe, cross_validated, load
from threadpoolctl import threadpool_limits

RECIPES = {
    "518 statistics": Recipe(n_columns=518, n_speeds=1, farthest=5, equal_genres=False),
    "every genre weighs the same": Recipe(n_columns=518, n_speeds=1, farthest=5),
    "heard at three speeds": Recipe(n_columns=518, farthest=5),
    "with covariances and steps of the MFCC (descriptors)": Recipe(farthest=5),
    "cut off at 3 deviations": Recipe(farthest=3),
    "**cut off at 2 deviations (the starter model)**": Recipe(),
    "cut off at 1.5 deviations": Recipe(farthest=1.5),
}
"""Each recipe but the last adds to the one above it."""

SEEDS = (42, 43, 44)
SCORES = ("accuracy", "balanced_accuracy", "top3", "log_loss", "ece")


def main() -> None:
    threadpool_limits(1)
    tracks = load(Path(sys.argv[1]), FOLDERS)
    print(f"| recipe | {' | '.join(SCORES)} |", "|---" * (1 + len(SCORES)) + "|", sep="\n")
    for name, recipe in RECIPES.items():
        runs = [cross_validated(tracks, replace(recipe, seed=seed), by_artist=True) for seed in SEEDS]
        print(f"| {name} | {' | '.join(f'{np.mean([r[s] for r in runs]):.3f}' for s in SCORES)} |", flush=True)


if __name__ == "__main__":
    main()
