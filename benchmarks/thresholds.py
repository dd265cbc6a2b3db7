"""How many genres `tag` would write at a precision, and how many of these would be right, for artists not learned from.

    python benchmarks/thresholds.py DATA [--precision 0.8]

The tracks of the starter, each answered by a model that knew neither it nor its artist, as in `scripts/starter.py`. The
thresholds for a fifth of the artists come from the answers to the other four fifths. Means of three draws.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from starter import COLLECTIONS, VIEW, emotify_tracks, gtzan_tracks, load_rows

from genrelab.evaluation.calibration import make_evidence
from genrelab.runs.learn_head import Learned, Rows, learn_head

SEEDS = (42, 43, 44)


def written(rows: Rows, learned: Learned, genres: tuple[str, ...], precision: float, seed: int) -> np.ndarray:
    """Which of the held-out tracks get a genre, shape (tracks,)."""
    y, p = rows.y[learned.tracks], learned.p
    artists = np.array([rows.artists[i] or str(i) for i in learned.tracks])
    found = np.zeros(len(y), bool)
    for others, own in StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(p, y, artists):
        evidence = make_evidence(p[others], y[others], genres, artists=artists[others].tolist(), fitted_on="others")
        assert evidence is not None
        limits = [t.confidence for t in evidence.thresholds(precision).values()]
        limit = np.array([np.inf if c is None else c for c in limits])
        found[own] = p[own].max(axis=1) >= limit[p[own].argmax(axis=1)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--precision", type=float, default=0.8)
    options = parser.parse_args()
    tracks = [*gtzan_tracks(options.data), *emotify_tracks(options.data)]
    genres = tuple(sorted({t.genre for t in tracks}))
    rows = load_rows(tracks, genres)
    shares = {c: [] for c in COLLECTIONS}  # type: dict[str, list[tuple[float, float]]]
    for seed in SEEDS:
        learned = learn_head(rows, genres, VIEW, seed=seed, learning_curve=False)
        chosen = written(rows, learned, genres, options.precision, seed)
        right = learned.p.argmax(axis=1) == rows.y[learned.tracks]
        for collection in COLLECTIONS:
            own = np.array([tracks[i].collection == collection for i in learned.tracks])
            shares[collection].append((chosen[own].mean(), right[own & chosen].mean()))
    print(f"| precision {options.precision:g} | tracks that get a genre | of these right |\n|---|---|---|")
    for collection, found in shares.items():
        share, precision = np.mean(found, axis=0)
        print(f"| {collection} | {share:.0%} | {precision:.0%} |")


if __name__ == "__main__":
    main()
