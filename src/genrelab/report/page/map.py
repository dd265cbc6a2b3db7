"""A map of the tracks by their sound, and feature profiles by genre, from `features.parquet`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genrelab.core.errors import printable
from genrelab.evaluation.percent import format_number
from genrelab.records.prepared import Prepared
from genrelab.report.page import charts, charts_models
from genrelab.report.page.blocks import Figure, Table
from genrelab.report.page.charts import Chart, Interval
from genrelab.report.page.tracks import TrackInfo

MAX_POINTS = 1_500  # on the map: more would overlap, and make the page slow
MAX_DEVIATIONS = 5.0  # standard deviations at which a feature is clipped
INTERVALS = ("♭2", "2", "♭3", "3", "4", "♯4", "5", "♭6", "6", "♭7", "7")  # above the strongest pitch
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
    """The first two principal components of rows (n, features): positions, (n, 2), and shares of the variance, (2,)."""
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    n, tall = min(2, *standard.shape), standard.shape[0] >= standard.shape[1]
    components = PCA(n, svd_solver="covariance_eigh" if tall else "full")
    places, shares = np.zeros((len(standard), 2)), np.zeros(2)
    with threadpool_limits(1), np.errstate(invalid="ignore"):  # threads wait for each other on a busy machine
        places[:, :n] = components.fit_transform(standard)
    shares[:n] = np.nan_to_num(components.explained_variance_ratio_)
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
    sampled = f"{len(shown):,} of " if len(shown) < len(features.tracks) else ""
    of = f"{sampled}{len(features.tracks):,} tracks"
    note = "Close points have similar features. "
    point = f"Click or tap a point to see the genre that {printable(model)} predicts."
    note += point if answered else "Click or tap a genre to highlight it."
    variance = f"{100 * planes[0][1].sum():.0f} % of the variance"
    label = f"Map of {of} by two principal components of their features ({variance}), coloured by genre"
    return Figure("", Chart(spec, label), note, _genre_table(features, planes[0][0]), wide=True)


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
        row["answer"] = printable(answered.get(track, "none (excluded track)"))
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
    return Table("Positions of the genres: mean ± standard deviation", columns, rows, folded=True)


def profiles(features: Features) -> list[Figure]:
    """Chroma, MFCC and spectral centroid by genre, as far as the features contain them."""
    drawn: list[Figure] = []
    chroma = features.means_of(r"chroma_stft")
    if len(chroma) == 1 + len(INTERVALS):
        shares = 100 * harmony(features.values[:, chroma])
        note = "Share of each interval above a track's strongest pitch, compared with the mean of all genres."
        drawn.append(_profile_figure(features, shares, INTERVALS, "Harmony (chroma)", "interval", "points", note))
    mfcc = features.means_of(r"mfcc")
    if len(mfcc) > 2:
        names = [str(i + 1) for i in range(len(mfcc))]
        note = "Each coefficient compared with the mean of all genres."
        unit = "standard deviations"
        drawn.append(
            _profile_figure(features, features.standard[:, mfcc], names, "Timbre (MFCC)", "coefficient", unit, note)
        )
    if quartiles := _centroid_quartiles(features):
        drawn.append(_centroid_figure(quartiles))
    return drawn


def harmony(chroma: Floats) -> Floats:
    """Chroma (tracks, 12) as shares (tracks, 11) of the intervals above each track's strongest pitch.

    Tracks in different keys become comparable, and loud or tonal ones do not count more.
    """
    turned = np.stack([np.roll(row, -row.argmax())[1:] for row in chroma.clip(0)])
    shares: Floats = turned / np.maximum(turned.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    return shares


def _profile_figure(
    features: Features, values: Floats, names: Sequence[str], title: str, axis: str, unit: str, note: str
) -> Figure:
    """Means of each genre, (genres, names), less their mean over the genres."""
    genres = sorted(set(features.genre))
    means = np.stack([values[features.genre == g].mean(axis=0) for g in genres])
    means -= means.mean(axis=0)
    genres = [printable(g) for g in genres]
    most = max(float(np.abs(means).max()), np.finfo(float).tiny)
    cells = [
        {
            "down": genre,
            "across": name,
            "share": round(float(means[i, j]) / most, 3),
            "tip": f"{genre}, {axis} {name}: {format_number(means[i, j], 2, signed=True)} {unit}",
        }
        for i, genre in enumerate(genres)
        for j, name in enumerate(names)
    ]
    spec = charts.matrix(cells, across=names, down=genres, x=axis, y="genre", numbered=False)
    rows = [(name, *(format_number(v, 2, signed=True) for v in means[:, j])) for j, name in enumerate(names)]
    table = Table(f"Difference from the mean of all genres, {unit}", (axis, *genres), rows, folded=True)
    note = f"{note} Blue means more, orange less; the deepest colour is {format_number(most)} {unit}."
    return Figure(title, Chart(spec, f"{title} by genre: difference from the mean of all genres"), note, table)


def brightness(features: Features | None) -> list[str]:
    """One sentence on the brightest and the darkest genre; empty without two genres or without a spectral centroid."""
    ordered = _centroid_quartiles(features) if features is not None else []
    if len(ordered) < 2:
        return []
    (bright, _, high, _), (dark, _, low, _) = ordered[0], ordered[-1]
    return [f"Brightest is {bright}, darkest {dark} (median spectral centroid {high:,.0f} and {low:,.0f} Hz)"]


def _centroid_quartiles(features: Features) -> list[tuple[str, float, float, float]]:
    """Each genre with the quartiles of its tracks' spectral centroids in Hz, the brightest first."""
    found = []
    for column in features.means_of(r"spec\w*_cent")[:1]:
        for genre in sorted(set(features.genre)):
            low, middle, high = map(
                float, np.percentile(features.values[features.genre == genre, column], [25, 50, 75])
            )
            found.append((printable(genre), low, middle, high))
    return sorted(found, key=lambda row: -row[2])


def _centroid_figure(quartiles: Sequence[tuple[str, float, float, float]]) -> Figure:
    rows = [Interval(genre, middle, low, high) for genre, low, middle, high in quartiles]
    spec = charts.intervals(rows, axis="spectral centroid, Hz", scale=1, digits=0)
    cells = [(genre, *(f"{hz:,.0f}" for hz in of_genre)) for genre, *of_genre in quartiles]
    columns = ("genre", "25th percentile, Hz", "median, Hz", "75th percentile, Hz")
    table = Table("Quartiles of the spectral centroid", columns, cells, folded=True)
    chart = Chart(spec, "Spectral centroid by genre, median and quartiles")
    return Figure("Brightness (spectral centroid)", chart, "Median and middle half of the tracks.", table)
