"""Does the view `rhythm` help to classify genres? Views alone and together, on the same tracks, artists kept apart.

    python benchmarks/rhythm_genres.py DATA [--json PATH]

Five folds of artists, in each of which scaling, logistic regression (C 0.1) and an RBF SVM (C 3) are fitted on the
training tracks; every track is scored once. The 95 % intervals of differences are paired and over artists
(`difference_interval`). Prints a Markdown table for docs/results.md. DATA has gtzan_15s, gtzan_2s, gtzan_fault_filtered
and emotify_30s; tracks of unknown artists, and genres of fewer than three artists, are left out.
"""

from __future__ import annotations

from sides import FIGURES, command, machine, one_core  # isort: skip

import argparse
import json
import sys
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from starter import Track, emotify_tracks, gtzan_tracks

from genrelab.audio.clips import read
from genrelab.core.config import DescriptorsView, EmbeddingView, RhythmView
from genrelab.evaluation.intervals import difference_interval, share_interval
from genrelab.evaluation.percent import format_interval, percent, points
from genrelab.features.description import RHYTHM
from genrelab.features.statistics import DESCRIPTORS, ENCODING_DEPENDENT, STATISTICS
from genrelab.features.views import compute_all

PAIRS = (
    ("statistics", "statistics + rhythm"),
    ("descriptors", "descriptors + rhythm"),
    ("embedding", "embedding + rhythm"),
)
"""A view, and the same with `rhythm`."""
PARTS = {"tempo and beat": ("tempo_", "beat_", "onset_"), "key": ("key_", "tuning", "harmonic_"),
         "dynamics": ("level_", "loudness_", "crest", "steadiness_")}  # fmt: skip
SEED = 42
MIN_ARTISTS = 3
"""Of a genre: a genre of one artist is always wrong, for its artist is held out."""
KEPT = np.array([i for i, name in enumerate(DESCRIPTORS) if name not in ENCODING_DEPENDENT])
"""Columns of `descriptors` that models read."""

Columns = dict[str, NDArray[np.float64]]


def of_several_artists(tracks: list[Track]) -> list[Track]:
    """The tracks of genres with at least `MIN_ARTISTS`."""
    artists = {genre: {t.artist for t in tracks if t.genre == genre} for genre in {t.genre for t in tracks}}
    return [t for t in tracks if len(artists[t.genre]) >= MIN_ARTISTS]


def columns_of(track: Track) -> dict[str, NDArray[np.float32]]:
    """Each view of the first 30 s of a track."""
    y, sr = read(track.path)
    windows = compute_all((DescriptorsView(), EmbeddingView(), RhythmView()), y[: 30 * sr], sr)
    return {name: found[0].x for name, found in windows.items()}


def load(tracks: list[Track]) -> Columns:
    """Columns of all combinations of views, (tracks, columns) each."""
    rows = [columns_of(track) for track in tracks]
    found = {name: np.stack([row[name] for row in rows]).astype(np.float64) for name in rows[0]}
    x = {
        "statistics": found["descriptors"][:, KEPT[len(STATISTICS) > KEPT]],
        "descriptors": found["descriptors"][:, KEPT],
        "embedding": found["embedding"],
        "rhythm": found["rhythm"],
    }
    for view, both in PAIRS:
        x[both] = np.hstack((x[view], x["rhythm"]))
    for part, starts in PARTS.items():
        own = [i for i, name in enumerate(RHYTHM) if name.startswith(starts)]
        x[f"rhythm: {part}"] = x["rhythm"][:, own]
        x[f"descriptors + {part}"] = np.hstack((x["descriptors"], x["rhythm"][:, own]))
    return x


def correct(model: BaseEstimator, x: NDArray[np.float64], y: NDArray[np.str_], artists: list[str]) -> NDArray[np.bool_]:
    """Which tracks are right, each by a model that was fitted without its artist, (tracks,)."""
    warnings.filterwarnings("ignore", "The least populated class")  # of fewer than five artists
    right = np.zeros(len(y), bool)
    for fit, out in StratifiedGroupKFold(5, shuffle=True, random_state=SEED).split(x, y, artists):
        right[out] = model.fit(x[fit], y[fit]).predict(x[out]) == y[out]
    return right


def main() -> None:
    """Print the table and write its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--json", type=Path, default=FIGURES / "rhythm_genres.json")
    options = parser.parse_args()
    one_core()
    gtzan = [t for t in gtzan_tracks(options.data) if t.artist]
    sets = {
        "GTZAN, 15 s": [t for t in gtzan if "gtzan_15s" in t.path.parts],
        "GTZAN, 2 s": [t for t in gtzan if "gtzan_2s" in t.path.parts],
        "Emotify, 30 s": [t for t in emotify_tracks(options.data) if t.artist],
    }
    sets = {name: of_several_artists(tracks) for name, tracks in sets.items()}
    models = {
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2_000)),
        "RBF SVM": make_pipeline(StandardScaler(), SVC(C=3.0)),
    }
    figures = []
    print("| tracks of unseen artists | model | columns | accuracy % [95 % interval] | gain by rhythm, points |")
    print("|---|---|---|---|---|")
    for name, tracks in sets.items():
        x = load(tracks)
        y, artists = np.array([t.genre for t in tracks]), [str(t.artist) for t in tracks]
        for model_name, model in models.items():
            right = {columns: correct(model, values, y, artists) for columns, values in x.items()}
            for columns, own in right.items():
                alone = columns.partition(" + ")[0]
                gain = "" if alone == columns else gain_of(own, right[alone], artists)
                accuracy = f"{percent(own.mean())} [{format_interval(*share_interval(own, artists))}]"
                label = f"{name}: {len(tracks)} by {len(set(artists))} artists"
                print(
                    f"| {label} | {model_name} | {columns} ({x[columns].shape[1]}) | {accuracy} | {gain} |", flush=True
                )
                figures.append([name, model_name, columns, float(own.mean()), gain])
    options.json.write_text(json.dumps({"rows": figures, "command": command(), "machine": machine()}, indent=1) + "\n")


def gain_of(more: NDArray[np.bool_], less: NDArray[np.bool_], artists: list[str]) -> str:
    """Difference in points with its 95 % interval."""
    low, high = difference_interval(more, less, artists)
    return f"{points(more.mean() - less.mean())} [{format_interval(low, high, signed=True)}]"


if __name__ == "__main__":
    main()
