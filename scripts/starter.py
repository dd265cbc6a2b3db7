"""Train the starter model that comes with genrelab on the parts of GTZAN and Emotify below DATA.

    python scripts/starter.py DATA [--out src/genrelab/bundle/starter]

DATA contains the folders gtzan_2s, gtzan_15s, gtzan_30s, emotify_30s and fma, and gtzan_fault_filtered/artists.csv.
Many GTZAN tracks are in several of its folders: they are merged by their id, and the longest file is used. The clips of
FMA are only scored, never learned from.

The recipe: the model `musicnn` (balanced logistic regression on what frozen music networks make of a clip), one row for
each 15 s of a track, so that a whole clip counts for more than an excerpt of 2 s. The strength of the penalty is chosen
on folds of the training part, the temperature on the other folds; the figures of the card come from tracks whose
artists had no part in either. GTZAN tracks of unknown artist are learned from and never scored, as their artist may be
on either side. `starter_study.py` shows what else was tried.

The result depends neither on time nor on the number of cores: the same packages give the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genrelab.core.processes import THREAD_VARIABLES

os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))  # before NumPy: the order of sums over threads varies

import numpy as np
from numpy.typing import NDArray
from starter_card import Figures, card

from genrelab.audio.clips import read_clips
from genrelab.bundle.bundle import write_bundle
from genrelab.bundle.manifest import is_only_a_bundle
from genrelab.core.config import EMBEDDING_CLIPS, ClipSettings, EmbeddingView
from genrelab.datasets.base import DatasetOptions
from genrelab.datasets.registry import load_dataset
from genrelab.evaluation import metrics
from genrelab.features import views
from genrelab.identity.artists import Credit, link_artists
from genrelab.identity.genre_names import usual_name
from genrelab.predict.classifier import load_bundle
from genrelab.runs.learn_head import Learned, Rows, learn_head

VIEW = EmbeddingView()
CLIPS = ClipSettings(clip_s=15.0)
SEED, MORE_SEEDS = 42, (43, 44)
COLLECTIONS = ("GTZAN", "Emotify")

GTZAN_FOLDERS = ("gtzan_30s", "gtzan_15s", "gtzan_2s")
"""The folder with the longest excerpts first."""

FMA_GENRES = {2: "Hip-Hop", 5: "Hip-Hop", 182: "Rock", 255: "Rock", 256: "Rock", 368: "Rock", 459: "Rock", 574: "Rock"}
"""The clips of FMA in DATA, by their id."""

LICENCE = (
    "for research and demonstration: trained on GTZAN (copyrighted music, used in research by custom) and Emotify "
    "(Magnatune, CC BY-NC-SA)"
)

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Track:
    """A labelled file of a collection; `artist` is a name that is equal for all tracks of one artist."""

    path: Path
    genre: str
    artist: str | None
    collection: str


def gtzan_tracks(data: Path) -> list[Track]:
    """One file per GTZAN track, from the first folder that has it."""
    files: dict[str, Path] = {}
    for folder in GTZAN_FOLDERS:
        for path in sorted((data / folder).rglob("*.*")):
            if match := re.match(r"[a-z]+\.\d{5}(?=\.)", path.name):
                files.setdefault(match[0], path)
    with (data / "gtzan_fault_filtered/artists.csv").open(newline="", encoding="utf-8") as table:
        credited = {row["id"]: row["artist"] for row in csv.DictReader(table)}
    ids = sorted(files)
    artists = link_artists([Credit((credited[i],)) if credited.get(i) else Credit() for i in ids]).artists
    return [Track(files[i], usual_name(i.partition(".")[0]), a, "GTZAN") for i, a in zip(ids, artists, strict=True)]


def emotify_tracks(data: Path) -> list[Track]:
    """The tracks of Emotify, artists from their tags."""
    dataset = load_dataset(data / "emotify_30s", name="folder", options=DatasetOptions())
    return [Track(dataset.root / str(t.path), usual_name(str(t.genre)), t.artist, "Emotify") for t in dataset.tracks]


def embed(path: Path) -> NDArray[np.float32]:
    """The rows of a file, one for each clip, shape (clips, *VIEW.shape)."""
    return np.stack([w.x for clip in read_clips(path, CLIPS) for w in views.compute(VIEW, clip.y, clip.sr)])


def load_rows(tracks: Sequence[Track], genres: tuple[str, ...]) -> Rows:
    """The rows of all tracks, computed by worker processes."""
    with ProcessPoolExecutor() as workers:
        x = list(workers.map(embed, [t.path for t in tracks], chunksize=8))
    return Rows(
        np.concatenate(x),
        np.repeat(np.arange(len(x)), [len(rows) for rows in x]),
        np.array([genres.index(t.genre) for t in tracks]),
        [t.artist and f"{t.collection} {t.artist}" for t in tracks],
        np.array([t.artist is None for t in tracks]),
        np.array([genres.index(t.genre) + len(genres) * COLLECTIONS.index(t.collection) for t in tracks]),
    )


def shuffled_without_artists(rows: Rows) -> Rows:
    """The same tracks in a random order, as if nobody knew their artists: the split that many papers used."""
    order = np.random.default_rng(SEED).permutation(len(rows.y))
    rank = np.argsort(order)
    never = rows.never_held_out
    assert never is not None
    by_track = np.argsort(rank[rows.track], kind="stable")
    return Rows(rows.x[by_track], rank[rows.track][by_track], rows.y[order], [None] * len(rows.y), never[order])


def score_collection(
    tracks: Sequence[Track], rows: Rows, learned: Learned, genres: tuple[str, ...], collection: str
) -> dict[str, Any]:
    """`metrics.score` of the held-out tracks of one collection."""
    own = np.array([tracks[i].collection == collection for i in learned.tracks])
    artists = [tracks[i].artist for i in learned.tracks[own]]
    return metrics.score(rows.y[learned.tracks[own]], learned.p[own], genres, artists)


def score_fma(data: Path, bundle: Path) -> dict[int, tuple[str, str]]:
    """Of each FMA clip the true genre and the answer of the finished bundle."""
    classifier = load_bundle(bundle)
    folder = data / "fma/fma_small/000"
    return {i: (genre, str(classifier.predict(folder / f"{i:06}.mp3").genre)) for i, genre in FMA_GENRES.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "src/genrelab/bundle/starter")
    options = parser.parse_args()
    if options.out.exists() and not is_only_a_bundle(options.out):
        parser.error(f"{options.out} is no bundle: choose another --out")
    tracks = [*gtzan_tracks(options.data), *emotify_tracks(options.data)]
    genres = tuple(sorted({t.genre for t in tracks}))
    rows = load_rows(tracks, genres)
    learned = learn_head(rows, genres, VIEW, seed=SEED, learning_curve=False)
    others = [learn_head(rows, genres, VIEW, seed=seed, learning_curve=False) for seed in MORE_SEEDS]
    shuffled = shuffled_without_artists(rows)
    leaking = learn_head(shuffled, genres, VIEW, seed=SEED, learning_curve=False)
    assert learned.evidence is not None and learned.scores is not None and leaking.scores is not None
    figures = Figures(
        tracks=[(t.collection, t.genre) for t in tracks],
        collections={c: score_collection(tracks, rows, learned, genres, c) for c in COLLECTIONS},
        both=learned.scores,
        other_draws={
            c: [score_collection(tracks, rows, other, genres, c)["accuracy"] for other in others] for c in COLLECTIONS
        },
        leaking=leaking.scores,
        fma={},
        temperature=learned.temperature,
        evidence=learned.evidence,
    )
    onnx = learned.model.onnx()

    def write(measured: Figures) -> None:
        write_bundle(
            options.out, onnx=onnx, name="starter", genres=genres, view=VIEW, clips=EMBEDDING_CLIPS,
            metrics=learned.scores or {}, dataset=f"GTZAN and Emotify ({len(tracks)} tracks)",
            split="artist (5-fold cross-validation)", licence=LICENCE, temperature=learned.temperature,
            calibration=learned.evidence, readme=card(measured, VIEW, EMBEDDING_CLIPS, LICENCE),
        )  # fmt: skip

    write(figures)
    write(replace(figures, fma=score_fma(options.data, options.out)))
    print(f"{options.out}: C {learned.model.classifier_.C}, temperature {learned.temperature}, {len(onnx):,} bytes")
    for name, s in (*figures.collections.items(), ("both", learned.scores), ("leaking", leaking.scores)):
        print(f"{name}: {s['accuracy']:.3f} [{s['accuracy_low']:.3f}, {s['accuracy_high']:.3f}] top-3 {s['top3']:.3f}")


if __name__ == "__main__":
    main()
