"""Trains the starter model that comes with genrelab, from scratch, on the parts of GTZAN that lie below DATA.

    python scripts/starter.py DATA [--out src/genrelab/starter]

DATA holds the folders gtzan_2s, gtzan_15s and gtzan_30s and the table gtzan_fault_filtered/artists.csv. Many tracks lie
in several of the folders: they are merged by their id, and the longest file counts. The folders of emotify_30s are only
asked, never learned from: they tell what becomes of the model in another collection.

The recipe: multinomial logistic regression on `descriptors` of windows of 2.5 s, each also heard 6 % faster and slower
(which tells the model that neither pitch nor tempo as such is a genre); features are scaled and cut off two deviations
from their mean; every track weighs the same within its genre, every genre the same; a track's probabilities are the
mean over its windows. The strength of the penalty and the temperature are chosen on artists that a model was not fitted
on, and what it answered there is kept as the bundle's calibration; the figures of the card come from artists that had
no part in either choice (nested cross-validation). Tracks of unknown artist are learned from and never scored: who
knows on which side their artist stands?

Nothing depends on time or on the number of cores: running it again with the same packages gives the same bytes.
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

os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))  # before NumPy: sums of several threads come in any order

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
from genrelab.predict.file import pool

FOLDERS = ("gtzan_30s", "gtzan_15s", "gtzan_2s")
"""The longest first."""

VIEW = DescriptorsView()
CLIPS = ClipSettings(clip_s=2.5, max_clips=12)
SPEEDS = (1.0, 0.94, 1.06)
PENALTIES = (0.008, 0.016, 0.032, 0.064)
"""What scikit-learn calls C, for a total weight of one a track."""

FOLDS, INNER_FOLDS = 5, 3
LICENCE = "none: learned from GTZAN, copyrighted music that research uses by custom; for demonstration and research"

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Recipe:
    """What `starter_study.py` varies; as it stands here it was chosen there."""

    n_columns: int = VIEW.shape[0]  # the first 518 are the statistics
    n_speeds: int = len(SPEEDS)
    farthest: float = 2.0  # standard deviations from the mean at which a feature is cut off
    equal_genres: bool = True
    seed: int = 42  # of the folds


@dataclass(frozen=True)
class Tracks:
    """Tracks in memory: `x[i]` are the windows of one, shape (windows, speeds, *view.shape)."""

    genres: tuple[str, ...]
    x: list[NDArray[np.float32]]
    y: Ints
    artist: Ints  # -1: unknown

    @property
    def known(self) -> Ints:
        """Numbers of the tracks whose artist is known."""
        return np.flatnonzero(self.artist >= 0)

    def some(self, chosen: Ints) -> Tracks:
        """These tracks."""
        return Tracks(self.genres, [self.x[i] for i in chosen], self.y[chosen], self.artist[chosen])


# === From files to windows ===


def load(data: Path, folders: Sequence[str]) -> Tracks:
    """One file of each track: the one in the first of these folders that has it."""
    files: dict[str, Path] = {}
    for folder in folders:
        for path in sorted((data / folder).rglob("*.*")):
            if named := re.match(r"[a-z]+\.\d{5}(?=\.)", path.name):
                files.setdefault(named[0], path)
    with (data / "gtzan_fault_filtered/artists.csv").open(newline="", encoding="utf-8") as table:
        artists = {row["id"]: row["artist"] for row in csv.DictReader(table)}
    ids = sorted(files)
    genres = tuple(sorted({i.partition(".")[0] for i in ids}))
    x = all_windows([files[i] for i in ids])
    y = np.array([genres.index(i.partition(".")[0]) for i in ids])
    return Tracks(genres, x, y, artist_numbers([artists.get(i, "") for i in ids]))


def artist_numbers(credited: Sequence[str]) -> Ints:
    """A number for each artist, -1 where nobody is named; credits that share a name (`A`, `A and B`) get the same."""
    names = [[n for n in map(str.strip, re.split(r",|&|\band\b", c.casefold())) if n] for c in credited]
    number: dict[str, int] = {}
    for k, mine in enumerate(names):
        same = {number[n] for n in mine if n in number}
        number = {n: k if of in same else of for n, of in number.items()} | dict.fromkeys(mine, k)
    return np.array([number[mine[0]] if mine else -1 for mine in names])


def all_windows(paths: Sequence[Path]) -> list[NDArray[np.float32]]:
    """The windows of each file."""
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
    """Bounds, scaler and classifier, as they stand in the bundle's graph."""

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
    """Fit on all windows at all speeds; a track weighs 1, and then every genre the same."""
    columns = storage_independent_columns(VIEW)
    assert columns is not None
    columns = columns[columns < recipe.n_columns]
    heard = [track[:, : recipe.n_speeds].reshape(-1, *VIEW.shape) for track in tracks.x]
    rows = np.array([len(track) for track in heard])
    x, y, weight = np.concatenate(heard)[:, columns], np.repeat(tracks.y, rows), np.repeat(1 / rows, rows)
    if recipe.equal_genres:
        of_genre = np.bincount(y, weights=weight)
        weight *= len(tracks.x) / len(of_genre) / of_genre[y]
    mean = np.average(x.astype(np.float64), axis=0, weights=weight)
    reach = recipe.farthest * np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weight))
    bounds = (mean - reach).astype(np.float32), (mean + reach).astype(np.float32)
    scaler = StandardScaler().fit(x.clip(*bounds).astype(np.float64), sample_weight=weight)
    z = scaler.transform(x.clip(*bounds).astype(np.float64))
    classifier = LogisticRegression(C=penalty, max_iter=2_000).fit(z, y, sample_weight=weight)
    return Fitted(columns, bounds, scaler, classifier)


def pooled(windows_p: list[Floats], temperature: float) -> Floats:
    """Probabilities of tracks (tracks, genres) from those of their windows, as a bundle gives them."""
    p = apply_temperature(np.concatenate(windows_p), temperature)
    return pool(np.repeat(np.arange(len(windows_p)), [len(w) for w in windows_p]), p)[1]


def choose(tracks: Tracks, recipe: Recipe, *, by_artist: bool) -> tuple[float, float, Floats]:
    """Penalty and temperature of least log loss on tracks that were not fitted on; what they make of these tracks.

    Returns:
        Penalty, temperature, and the probabilities of the tracks of known artist (tracks.known, genres).
    """
    best: tuple[float, float, float, list[Floats]] | None = None
    y = tracks.y[tracks.known]
    for penalty in PENALTIES:
        held: dict[int, Floats] = {}
        for fitted, out in folds(tracks, INNER_FOLDS, recipe.seed, by_artist=by_artist):
            held |= dict(zip(out, fit(tracks.some(fitted), penalty, recipe)(tracks.some(out).x), strict=True))
        answers = [held[i] for i in tracks.known]
        found = minimize_scalar(
            lambda t, answers=answers: metrics.log_loss(y, pooled(answers, t)), bounds=(0.3, 3), method="bounded"
        )
        if best is None or found.fun < best[0]:
            best = (float(found.fun), penalty, round(float(found.x), 3), answers)
    assert best is not None
    _, penalty, temperature, answers = best
    return penalty, temperature, pooled(answers, temperature)


def folds(tracks: Tracks, n: int, seed: int, *, by_artist: bool) -> Iterator[tuple[Ints, Ints]]:
    """(fitted, held-out) tracks: whole artists, or tracks whoever they are by; unknown artists are never held out."""
    known, unknown = tracks.known, np.flatnonzero(tracks.artist < 0)
    y, together = tracks.y[known], tracks.artist[known] if by_artist else known
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")  # a genre of few artists: some folds hold none
        apart = list(StratifiedGroupKFold(n, shuffle=True, random_state=seed).split(y, y, together))
    yield from ((np.concatenate([known[fitted], unknown]), known[out]) for fitted, out in apart)


# === What it is worth ===


def cross_validated(tracks: Tracks, recipe: Recipe = Recipe(), *, by_artist: bool) -> dict[str, Any]:
    """Scores over all tracks of known artists, each answered by a model whose fitting and choices it had no part in."""
    known, p = tracks.known, np.empty((len(tracks.x), len(tracks.genres)))
    outer = list(folds(tracks, FOLDS, recipe.seed, by_artist=by_artist))
    with ProcessPoolExecutor(initializer=threadpool_limits, initargs=(1,)) as workers:
        answers = workers.map(answered, repeat(tracks), outer, repeat(recipe), repeat(by_artist))
        for (_, out), answer in zip(outer, answers, strict=True):
            p[out] = answer
    artists = [str(n) for n in tracks.artist[known]]
    return metrics.score(tracks.y[known], p[known], tracks.genres, artists)


def answered(tracks: Tracks, fold: tuple[Ints, Ints], recipe: Recipe, by_artist: bool) -> Floats:
    """Probabilities of the held-out tracks of one fold."""
    learned = tracks.some(fold[0])
    penalty, temperature, _ = choose(learned, recipe, by_artist=by_artist)
    return pooled(fit(learned, penalty, recipe)(tracks.some(fold[1]).x), temperature)


def elsewhere(data: Path, model: Fitted, temperature: float, genres: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Tracks of another collection, by genre: how many, and how many of them are answered right."""
    found = {}
    for genre in genres:
        if paths := sorted((data / "emotify_30s" / genre).glob("*.mp3")):
            p = pooled(model(all_windows(paths)), temperature)
            found[genre] = len(paths), int((p.argmax(1) == genres.index(genre)).sum())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "src/genrelab/starter")
    options = parser.parse_args()
    if options.out.exists() and not is_only_a_bundle(options.out):
        parser.error(f"{options.out} is no bundle: choose another --out")
    threadpool_limits(1)  # sums of several threads come in any order
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
