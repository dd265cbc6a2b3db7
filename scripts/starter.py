"""Train the starter model that comes with genrelab, from scratch, on the parts of GTZAN below DATA.

    python scripts/starter.py DATA [--out src/genrelab/bundle/starter]

DATA contains the folders gtzan_2s, gtzan_15s and gtzan_30s and the table gtzan_fault_filtered/artists.csv. Many tracks
are in several of the folders: they are merged by their id, and the longest file is used. The folders of emotify_30s are
only used for scoring, never for training: they show how the model does in another collection.

The recipe: multinomial logistic regression on `descriptors` of windows of 2.5 s, each also played 6 % faster and slower
(so that the model does not take pitch or tempo as such for a genre); features are scaled and clipped at two deviations
from their mean; every track has the same weight within its genre, and every genre the same; a track's probabilities are
the mean over its windows. The strength of the penalty and the temperature are chosen on artists that a model was not
fitted on, and the predictions there are kept as the bundle's calibration; the figures of the card come from artists
that had no part in either choice (nested cross-validation). Tracks of unknown artist are used for training and never
scored, as their artist may be on either side.

The result depends neither on time nor on the number of cores: the same packages give the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

from genrelab.core.processes import THREAD_VARIABLES

os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))  # before NumPy: the order of sums over threads varies

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler
from starter_card import Figures, card
from threadpoolctl import threadpool_limits

from genrelab.audio import clips as audio_clips
from genrelab.bundle.bundle import write_bundle
from genrelab.bundle.manifest import is_only_a_bundle
from genrelab.core.config import ClipSettings, DescriptorsView
from genrelab.evaluation import metrics
from genrelab.evaluation.calibration import apply_temperature, make_evidence
from genrelab.features import views
from genrelab.models.base import storage_independent_columns
from genrelab.models.onnx_export import pipeline_to_onnx
from genrelab.predict.pooling import pool

FOLDERS = ("gtzan_30s", "gtzan_15s", "gtzan_2s")
"""The folder with the longest excerpts first."""

VIEW = DescriptorsView()
CLIPS = ClipSettings(clip_s=2.5, max_clips=12)
SPEEDS = (1.0, 0.94, 1.06)
PENALTIES = (0.008, 0.016, 0.032, 0.064)
"""Values of scikit-learn's C, for a total weight of one per track."""

FOLDS, INNER_FOLDS = 5, 3
LICENCE = "none: learned from GTZAN, copyrighted music that research uses by custom; for demonstration and research"

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Recipe:
    """The parameters that `starter_study.py` varies; the defaults were chosen there."""

    n_columns: int = VIEW.shape[0]  # the first 518 are those of `statistics`
    n_speeds: int = len(SPEEDS)
    farthest: float = 2.0  # standard deviations from the mean at which a feature is clipped
    equal_genres: bool = True
    seed: int = 42  # of the folds


@dataclass(frozen=True)
class Tracks:
    """Tracks in memory: `x[i]` are the windows of track i, shape (windows, speeds, *view.shape)."""

    genres: tuple[str, ...]
    x: list[NDArray[np.float32]]
    y: Ints
    artist: Ints  # -1: unknown

    @property
    def known(self) -> Ints:
        """Indices of the tracks whose artist is known."""
        return np.flatnonzero(self.artist >= 0)

    def some(self, chosen: Ints) -> Tracks:
        """A subset of the tracks, by index."""
        return Tracks(self.genres, [self.x[i] for i in chosen], self.y[chosen], self.artist[chosen])


# === From files to windows ===


def load(data: Path, folders: Sequence[str]) -> Tracks:
    """Load one file per track, from the first of these folders that has it."""
    files: dict[str, Path] = {}
    for folder in folders:
        for path in sorted((data / folder).rglob("*.*")):
            if match := re.match(r"[a-z]+\.\d{5}(?=\.)", path.name):
                files.setdefault(match[0], path)
    with (data / "gtzan_fault_filtered/artists.csv").open(newline="", encoding="utf-8") as table:
        artists = {row["id"]: row["artist"] for row in csv.DictReader(table)}
    ids = sorted(files)
    genres = tuple(sorted({i.partition(".")[0] for i in ids}))
    x = all_windows([files[i] for i in ids])
    y = np.array([genres.index(i.partition(".")[0]) for i in ids])
    return Tracks(genres, x, y, artist_numbers([artists.get(i, "") for i in ids]))


def artist_numbers(credited: Sequence[str]) -> Ints:
    """A number per artist, -1 if none is named; credits that share a name (`A`, `A and B`) get the same number."""
    names = [[n for n in map(str.strip, re.split(r",|&|\band\b", c.casefold())) if n] for c in credited]
    number: dict[str, int] = {}
    for k, own_names in enumerate(names):
        merged = {number[n] for n in own_names if n in number}
        number = {n: k if of in merged else of for n, of in number.items()} | dict.fromkeys(own_names, k)
    return np.array([number[own_names[0]] if own_names else -1 for own_names in names])


def all_windows(paths: Sequence[Path]) -> list[NDArray[np.float32]]:
    """The windows of each file, computed by worker processes."""
    with ProcessPoolExecutor(initializer=threadpool_limits, initargs=(1,)) as workers:
        return list(workers.map(windows, paths, chunksize=8))


def windows(path: Path) -> NDArray[np.float32]:
    """The windows of a file at every speed, shape (windows, speeds, *view.shape)."""
    found = []
    for clip in audio_clips.read_clips(path, CLIPS):
        y = audio_clips.resample(clip.y, clip.sr, VIEW.sr)
        played = [audio_clips.resample(y, VIEW.sr, round(VIEW.sr * speed)) for speed in SPEEDS]
        found.append([views.compute(VIEW, faster, VIEW.sr)[0].x for faster in played])
    return np.array(found, np.float32)


# === The model ===


@dataclass(frozen=True)
class Fitted:
    """Bounds, scaler and classifier, as in the bundle's graph."""

    columns: Ints
    bounds: tuple[NDArray[np.float32], NDArray[np.float32]]
    scaler: Any
    classifier: Any

    def __call__(self, tracks: Sequence[NDArray[np.float32]]) -> list[Floats]:
        """Probabilities of the windows of each track at their own speed, each of shape (windows, genres)."""
        x = np.concatenate([track[:, 0] for track in tracks])[:, self.columns].clip(*self.bounds)
        p = self.classifier.predict_proba(self.scaler.transform(x.astype(np.float64)))
        return np.split(p, np.cumsum([len(track) for track in tracks])[:-1])


def fit(tracks: Tracks, penalty: float, recipe: Recipe) -> Fitted:
    """Fit on all windows at all speeds; each track has weight 1, then genres are scaled to equal weights."""
    columns = storage_independent_columns(VIEW)
    assert columns is not None
    columns = columns[columns < recipe.n_columns]
    windows_of = [track[:, : recipe.n_speeds].reshape(-1, *VIEW.shape) for track in tracks.x]
    rows = np.array([len(track) for track in windows_of])
    x, y, weight = np.concatenate(windows_of)[:, columns], np.repeat(tracks.y, rows), np.repeat(1 / rows, rows)
    if recipe.equal_genres:
        of_genre = np.bincount(y, weights=weight)
        weight *= len(tracks.x) / len(of_genre) / of_genre[y]
    mean = np.average(x.astype(np.float64), axis=0, weights=weight)
    limit = recipe.farthest * np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weight))
    bounds = (mean - limit).astype(np.float32), (mean + limit).astype(np.float32)
    scaler = StandardScaler().fit(x.clip(*bounds).astype(np.float64), sample_weight=weight)
    z = scaler.transform(x.clip(*bounds).astype(np.float64))
    classifier = LogisticRegression(C=penalty, max_iter=2_000).fit(z, y, sample_weight=weight)
    return Fitted(columns, bounds, scaler, classifier)


def pooled(windows_p: list[Floats], temperature: float) -> Floats:
    """Probabilities of tracks (tracks, genres) from those of their windows, as in a bundle."""
    p = apply_temperature(np.concatenate(windows_p), temperature)
    return pool(np.repeat(np.arange(len(windows_p)), [len(w) for w in windows_p]), p)[1]


def choose(tracks: Tracks, recipe: Recipe, *, by_artist: bool) -> tuple[float, float, Floats]:
    """Choose the penalty and temperature with the lowest log loss on held-out tracks.

    Returns:
        Penalty, temperature, and the out-of-fold probabilities of the tracks of known artist (tracks.known, genres).
    """
    best: tuple[float, float, float, list[Floats]] | None = None
    y = tracks.y[tracks.known]
    for penalty in PENALTIES:
        held: dict[int, Floats] = {}
        for fitted, out in folds(tracks, INNER_FOLDS, recipe.seed, by_artist=by_artist):
            held |= dict(zip(out, fit(tracks.some(fitted), penalty, recipe)(tracks.some(out).x), strict=True))
        probabilities = [held[i] for i in tracks.known]
        found = minimize_scalar(
            lambda t, probabilities=probabilities: metrics.log_loss(y, pooled(probabilities, t)),
            bounds=(0.3, 3),
            method="bounded",
        )
        if best is None or found.fun < best[0]:
            best = (float(found.fun), penalty, round(float(found.x), 3), probabilities)
    assert best is not None
    _, penalty, temperature, probabilities = best
    return penalty, temperature, pooled(probabilities, temperature)


def folds(tracks: Tracks, n: int, seed: int, *, by_artist: bool) -> Iterator[tuple[Ints, Ints]]:
    """(fitted, held-out) tracks, by whole artists or by single tracks; unknown artists are never held out."""
    known, unknown = tracks.known, np.flatnonzero(tracks.artist < 0)
    y, groups = tracks.y[known], tracks.artist[known] if by_artist else known
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")  # a genre of few artists is not in every fold
        splits = list(StratifiedGroupKFold(n, shuffle=True, random_state=seed).split(y, y, groups))
    yield from ((np.concatenate([known[fitted], unknown]), known[out]) for fitted, out in splits)


# === Scores ===


def cross_validated(tracks: Tracks, recipe: Recipe = Recipe(), *, by_artist: bool) -> dict[str, Any]:
    """Scores over all tracks of known artists, each predicted by a model that was fitted and chosen without it."""
    known, p = tracks.known, np.empty((len(tracks.x), len(tracks.genres)))
    outer = list(folds(tracks, FOLDS, recipe.seed, by_artist=by_artist))
    with ProcessPoolExecutor(initializer=threadpool_limits, initargs=(1,)) as workers:
        predictions = workers.map(predict_fold, repeat(tracks), outer, repeat(recipe), repeat(by_artist))
        for (_, out), prediction in zip(outer, predictions, strict=True):
            p[out] = prediction
    artists = [str(n) for n in tracks.artist[known]]
    return metrics.score(tracks.y[known], p[known], tracks.genres, artists)


def predict_fold(tracks: Tracks, fold: tuple[Ints, Ints], recipe: Recipe, by_artist: bool) -> Floats:
    """Probabilities of the held-out tracks of one fold. Runs in a worker process."""
    training = tracks.some(fold[0])
    penalty, temperature, _ = choose(training, recipe, by_artist=by_artist)
    return pooled(fit(training, penalty, recipe)(tracks.some(fold[1]).x), temperature)


def elsewhere(data: Path, model: Fitted, temperature: float, genres: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Another collection, by genre: number of tracks, and of correct ones."""
    counts = {}
    for genre in genres:
        if paths := sorted((data / "emotify_30s" / genre).glob("*.mp3")):
            p = pooled(model(all_windows(paths)), temperature)
            counts[genre] = len(paths), int((p.argmax(1) == genres.index(genre)).sum())
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "src/genrelab/bundle/starter")
    options = parser.parse_args()
    if options.out.exists() and not is_only_a_bundle(options.out):
        parser.error(f"{options.out} is no bundle: choose another --out")
    threadpool_limits(1)  # the order of sums over threads varies
    tracks, short = load(options.data, FOLDERS), load(options.data, FOLDERS[-1:])
    penalty, temperature, held = choose(tracks, Recipe(), by_artist=True)
    y, artists = tracks.y[tracks.known], tracks.artist[tracks.known].tolist()
    evidence = make_evidence(held, y, tracks.genres, artists=artists, fitted_on="training, out of fold")
    assert evidence is not None
    model = fit(tracks, penalty, Recipe())
    figures = Figures(
        n_tracks=len(tracks.x),
        counts=dict(zip(tracks.genres, np.bincount(tracks.y).tolist(), strict=True)),
        artist=cross_validated(tracks, by_artist=True),
        short=cross_validated(short, by_artist=True),
        leaking=cross_validated(tracks, by_artist=False),
        elsewhere=elsewhere(options.data, model, temperature, tracks.genres),
    )
    onnx = pipeline_to_onnx(
        [model.scaler], model.classifier, shape=VIEW.shape, chosen=model.columns, medians=None, bounds=model.bounds,
        beta=None, n_genres=len(tracks.genres),
    )  # fmt: skip
    write_bundle(
        options.out, onnx=onnx, name="starter", genres=tracks.genres, view=VIEW, clips=CLIPS, metrics=figures.artist,
        dataset=f"gtzan ({len(tracks.x)} of its 1,000 tracks)", split=f"artist ({FOLDS}-fold cross-validation)",
        licence=LICENCE, temperature=temperature, calibration=evidence,
        readme=card(figures, VIEW, CLIPS, LICENCE, temperature, evidence),
    )  # fmt: skip
    print(f"{options.out}: penalty {penalty}, temperature {temperature}, {len(onnx):,} bytes")
    for name in ("artist", "short", "leaking"):
        s = getattr(figures, name)
        print(f"{name}: {s['accuracy']:.3f} [{s['accuracy_low']:.3f}, {s['accuracy_high']:.3f}] top-3 {s['top3']:.3f}")


if __name__ == "__main__":
    main()
