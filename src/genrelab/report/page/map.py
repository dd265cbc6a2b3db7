"""A map of the tracks by their sound, and feature profiles by genre, from `features.parquet`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from genrelab.core.errors import printable
from genrelab.records.prepared import Prepared
from genrelab.report.page import charts, charts_models
from genrelab.report.page.blocks import Figure, Table
from genrelab.report.page.charts import Chart, Interval
from genrelab.report.page.tracks import TrackInfo

MAX_POINTS = 1_500  # on the map: more cannot be distinguished, and make the page slow
MAX_DEVIATIONS = 5.0  # standard deviations at which a feature is clipped
PITCHES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")
FAMILIES = {"timbre (MFCC)": r"mfcc", "harmony (chroma)": r"chroma", "music networks (embedding)": r"msd_"}
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Features:
    """Features of each usable track that has any: means over its windows.

    Attributes:
        tracks: ids, (n,); `genre`, (n,).
        names: of the features; `values`, (n, features), unscaled.
    """

    tracks: Sequence[str]
    genre: NDArray[np.str_]
    names: Sequence[str]
    values: Floats

    @property
    def standard(self) -> Floats:
        """The values in standard deviations from the mean of all tracks, clipped; constant features are 0."""
        spread = self.values.std(axis=0)
        away: Floats = (self.values - self.values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        return away.clip(-MAX_DEVIATIONS, MAX_DEVIATIONS)

    def means_of(self, pattern: str) -> list[int]:
        """Indices of the features that are means of a family, such as `mfcc_mean_01` and `mfcc1_mean`."""
        return [i for i, n in enumerate(self.names) if re.match(pattern, n) and "mean" in n]


def load_features(prepared: Prepared) -> Features | None:
    """The features of a preparation; None if it has no `features.parquet`, or too few usable tracks."""
    if not prepared.folder.exists("features.parquet"):
        return None
    ids, _, names, values = prepared.features()
    numbers = {t: i for i, t in enumerate(prepared.tracks["track_id"])}
    at = np.array([numbers[t] for t in ids], np.int64)
    usable = np.isfinite(values).all(axis=1) & np.array(prepared.usable)[at]
    at, values = at[usable], values[usable]
    tracks, place = np.unique(at, return_inverse=True)
    if len(tracks) < 3 or not names:
        return None
    sums = np.zeros((len(tracks), len(names)))
    np.add.at(sums, place, values)
    genre = np.array([prepared.tracks["genre"][i] for i in tracks])
    known = [prepared.tracks["track_id"][i] for i in tracks]
    return Features(known, genre, names, sums / np.bincount(place)[:, None])


def principal_plane(standard: Floats) -> tuple[Floats, Floats]:
    """The first two principal components of rows (n, features): positions, (n, 2), and shares of the variance, (2,).

    The sign of a direction is arbitrary: its largest loading is made positive, so that a map is reproducible.
    """
    from threadpoolctl import threadpool_limits

    rows = standard - standard.mean(axis=0)
    tall = rows.shape[0] >= rows.shape[1]
    products = rows.T @ rows if tall else rows @ rows.T  # the smaller of the two: their largest eigenvalues are equal
    n = min(2, len(products))
    with threadpool_limits(1):  # on a busy machine several threads wait for each other: 100 times slower
        powers, vectors = eigh(products, subset_by_index=[len(products) - n, len(products) - 1])
    directions = (vectors if tall else rows.T @ vectors)[:, ::-1]
    directions /= np.maximum(np.linalg.norm(directions, axis=0), np.finfo(float).tiny)
    signs = np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(n)])
    places, shares = np.zeros((len(rows), 2)), np.zeros(2)
    places[:, :n] = rows @ (directions * signs)
    shares[:n] = powers[::-1].clip(0) / max(float(np.trace(products)), np.finfo(float).tiny)
    return places, shares


def map_figure(features: Features, known: TrackInfo, answered: Mapping[str, str], model: str) -> Figure:
    """Principal components of all features and of each of `FAMILIES`, with the best model's prediction.

    Args:
        answered: predicted genre by track; empty where there is no model.
        model: name of that model.
    """
    standard = features.standard
    columns = {"all features": list(range(len(features.names)))}
    for words, pattern in FAMILIES.items():
        family = [i for i, n in enumerate(features.names) if re.match(pattern, n)]
        if 2 < len(family) < len(features.names):
            columns[words] = family
    planes = [principal_plane(standard[:, of]) for of in columns.values()]
    shown = np.unique(np.linspace(0, len(features.tracks) - 1, min(MAX_POINTS, len(features.tracks))).astype(int))
    rows = [_map_point(features, known, answered, planes, int(i)) for i in shown]
    genres = [printable(g) for g in sorted(set(features.genre))]
    spec = charts_models.track_map(rows, series=genres, views=list(columns))
    first = planes[0][1]
    of = (
        f"{len(shown):,} of {len(features.tracks):,} tracks"
        if len(shown) < len(features.tracks)
        else f"{len(shown):,} tracks"
    )
    note = (
        f"Principal components of the features of {of}; of all features the two hold "
        f"{100 * first.sum():.0f} % of the variance. Press a genre to bring it out"
        + (f"; a point tells what {printable(model)} answered." if answered else ".")
    )
    label = f"Map of {of} by principal components of their features, coloured by genre"
    return Figure("Tracks by how they sound", Chart(spec, label), note, _genre_table(features, planes[0][0]), wide=True)


def _map_point(
    features: Features, known: TrackInfo, answered: Mapping[str, str], planes: Sequence[tuple[Floats, Floats]], i: int
) -> dict[str, str | float]:
    track = features.tracks[i]
    row: dict[str, str | float] = {
        "genre": printable(str(features.genre[i])),
        "track": known.name(track),
        "artist": printable(known.of(track, "artist") or "unknown"),
    }
    if answered:
        row["answer"] = printable(answered.get(track, "none, left out"))
    for number, (places, _) in enumerate(planes):
        row[f"x{number}"], row[f"y{number}"] = (round(float(v), 2) for v in places[i])
    return row


def _genre_table(features: Features, places: Floats) -> Table:
    rows = []
    for genre in sorted(set(features.genre)):
        of = places[features.genre == genre]
        centre, spread = of.mean(axis=0), of.std(axis=0)
        cells = (f"{c:.1f} ± {s:.1f}".replace("-", "−") for c, s in zip(centre, spread, strict=True))
        rows.append((printable(genre), f"{len(of):,}", *cells))
    columns = ("genre", "n", "first component", "second component")
    return Table("Where the genres lie: mean ± standard deviation", columns, rows, folded=True)


def profiles(features: Features) -> list[Figure]:
    """Chroma, MFCC and spectral centroid by genre, as far as the features hold them."""
    drawn: list[Figure] = []
    chroma = features.means_of(r"chroma_stft")
    if len(chroma) == len(PITCHES):
        drawn.append(_profile_figure(features, chroma, PITCHES, "Harmony by genre (chroma)", "pitch class"))
    mfcc = features.means_of(r"mfcc")
    if len(mfcc) > 2:
        numbers = [str(i + 1) for i in range(len(mfcc))]
        drawn.append(_profile_figure(features, mfcc, numbers, "Timbre by genre (MFCC)", "coefficient"))
    centroid = features.means_of(r"spec\w*_cent")
    if centroid:
        drawn.append(_centroid_figure(features, centroid[0]))
    return drawn


def _profile_figure(features: Features, columns: Sequence[int], names: Sequence[str], title: str, axis: str) -> Figure:
    standard, genres = features.standard[:, columns], sorted(set(features.genre))
    means = np.stack([standard[features.genre == g].mean(axis=0) for g in genres])
    most = max(float(np.abs(means).max()), np.finfo(float).tiny)
    cells = [
        {
            "down": printable(genre),
            "across": name,
            "share": round(float(means[i, j]) / most, 3),
            "text": "",
            "tip": f"{genre}, {axis} {name}: {means[i, j]:+.2f} standard deviations",
        }
        for i, genre in enumerate(map(printable, genres))
        for j, name in enumerate(names)
    ]
    spec = charts.matrix(cells, across=names, down=list(map(printable, genres)), x=axis, y="genre", numbered=False)
    rows = [(printable(g), *(f"{v:+.2f}".replace("-", "−") for v in means[i])) for i, g in enumerate(genres)]
    table = Table("Standard deviations from the mean of all tracks", ("genre", *names), rows, folded=True)
    note = f"Blue above, orange below the mean of all tracks; the deepest colour is {most:.1f} standard deviations."
    return Figure(title, Chart(spec, f"{title}: deviation from the mean of all tracks"), note, table)


def _centroid_figure(features: Features, column: int) -> Figure:
    genres = sorted(set(features.genre))
    quartiles = {g: np.percentile(features.values[features.genre == g, column], [25, 50, 75]) for g in genres}
    ordered = sorted(genres, key=lambda g: -quartiles[g][1])
    rows = [
        Interval(printable(g), middle, low, high) for g in ordered for low, middle, high in [map(float, quartiles[g])]
    ]
    spec = charts.intervals(rows, axis="spectral centroid, Hz", scale=1, digits=0)
    bright, dark = printable(ordered[0]), printable(ordered[-1])
    label = f"Spectral centroid by genre, median and quartiles: brightest {bright}, darkest {dark}"
    note = "Mean spectral centroid of the tracks: median, and the middle half of them."
    cells = [(printable(g), *(f"{quartiles[g][i]:,.0f}" for i in (0, 1, 2))) for g in ordered]
    table = Table(
        "Quartiles of the spectral centroid", ("genre", "25 % Hz", "median Hz", "75 % Hz"), cells, folded=True
    )
    return Figure("Brightness by genre (spectral centroid)", Chart(spec, label), note, table)
