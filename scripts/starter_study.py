"""How the recipe of the starter model was chosen: how much of Emotify is learned from, and how much each clip counts.

    python scripts/starter_study.py DATA

Nested artist-grouped five-fold cross-validation as in `starter.py`, with three draws of the folds; prints means as a
Markdown table. Of Emotify the genres that are learned from are scored.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from starter import COLLECTIONS, VIEW, Track, emotify_tracks, gtzan_tracks, load_rows, score_collection

from genrelab.runs.learn_head import Rows, learn_head

SEEDS = (42, 43, 44)
EMOTIFY_GENRES = ("Classical", "Electronic", "Pop", "Rock")

LEARNED_FROM = {
    "GTZAN and Emotify's Electronic": ("Electronic",),
    "and its Rock": ("Electronic", "Rock"),
    "**and its Classical and Pop (the starter model)**": EMOTIFY_GENRES,
}


def one_row_a_track(rows: Rows) -> Rows:
    """The same with the mean of a track's clips, so that an excerpt of 2 s counts for as much as 30 s."""
    x = np.stack([rows.x[rows.track == i].mean(axis=0) for i in range(len(rows.y))])
    return replace(rows, x=x, track=np.arange(len(rows.y)))


def line(name: str, tracks: list[Track], rows: Rows, genres: tuple[str, ...], learned_from: tuple[str, ...]) -> str:
    """A row of the table, with the genres of Emotify in `learned_from`."""
    kept = [i for i, t in enumerate(tracks) if t.collection == "GTZAN" or t.genre in learned_from]
    number = {old: new for new, old in enumerate(kept)}
    chosen = np.isin(rows.track, kept)
    assert rows.never_held_out is not None and rows.strata is not None
    part = Rows(
        rows.x[chosen], np.array([number[i] for i in rows.track[chosen]]), rows.y[kept],
        [rows.artists[i] for i in kept], rows.never_held_out[kept], rows.strata[kept],
    )  # fmt: skip
    some = [tracks[i] for i in kept]
    found = []
    for seed in SEEDS:
        learned = learn_head(part, genres, VIEW, seed=seed, learning_curve=False)
        gtzan, emotify = (score_collection(some, part, learned, genres, c) for c in COLLECTIONS)
        recall = [emotify["per_genre"][g]["recall"] for g in EMOTIFY_GENRES]
        scores = [gtzan[s] for s in ("accuracy", "top3", "log_loss")]
        found.append([*scores, *(np.nan if r is None else r for r in recall)])
    shown = ["–" if np.isnan(v) else f"{v:.3f}" for v in np.mean(found, axis=0)]
    return f"| {name} | {' | '.join(shown)} |"


def main() -> None:
    data = Path(sys.argv[1])
    tracks = [*gtzan_tracks(data), *emotify_tracks(data)]
    genres = tuple(sorted({t.genre for t in tracks}))
    rows = load_rows(tracks, genres)
    print(f"| learned from | GTZAN accuracy | top-3 | log loss | Emotify {' | '.join(EMOTIFY_GENRES)} |")
    print("|---" * (4 + len(EMOTIFY_GENRES)) + "|")
    for name, learned_from in LEARNED_FROM.items():
        print(line(name, tracks, rows, genres, learned_from), flush=True)
    print(line("all of it, one row a track", tracks, one_row_a_track(rows), genres, EMOTIFY_GENRES), flush=True)


if __name__ == "__main__":
    main()
