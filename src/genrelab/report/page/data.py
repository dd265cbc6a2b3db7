"""Page sections on the data: tracks by genre, durations, failures, the map, mean spectra and features by genre."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import MelImageView
from genrelab.core.errors import printable
from genrelab.core.text import pluralize
from genrelab.evaluation.percent import ABSENT
from genrelab.features.spectrogram import mel_filters
from genrelab.records.prepared import Prepared
from genrelab.report.page import charts, charts_lines
from genrelab.report.page.blocks import Block, Figure, Fold, Section, Table, details
from genrelab.report.page.charts import Chart
from genrelab.report.page.map import brightness, load_features, map_figure, profiles
from genrelab.report.page.tracks import MAX_SHARDS, TrackInfo, shard_pictures

PARTS = ("training", "validation", "test", "excluded")
MAX_FAILURES = 200  # rows on the page; failures.csv contains all
SAME_LENGTH_S = 0.5  # durations that differ by less count as equal
MAX_OTHER_LENGTHS = 0.05  # share of tracks with another duration up to which a text replaces the histogram
MAX_SPECTRUM_SHARE = 0.75  # of half the rate: many encoders remove what is above
BANDS = 56  # of the mean spectrum: as many as a line on the page can show


def sections(
    prepared: Prepared, known: TrackInfo, parts: Mapping[str, str], answered: Mapping[str, str], model: str
) -> list[Section]:
    """The sections on the data, the map and the sound, as far as PREPARED has the views for them.

    Args:
        parts: part of each track of a split; empty for the page of a preparation.
        answered: predicted genre of the best model, by track.
        model: its name; empty for the page of a preparation.
    """
    features = load_features(prepared)
    lost = "features.parquet" in prepared.about.get("files", ()) and not prepared.folder.exists("features.parquet")
    notes = ["features.parquet is missing: no map and features by genre; run `genrelab prepare` again"] if lost else []
    more: list[Block] = [*_duration_histogram(prepared), *_failures(prepared)]
    origin = f"From {printable(prepared.about['root'])}"
    blocks: list[Block] = [*_counts(prepared, parts), *details([origin], *more)]
    made = [Section("data", "What is in the data?", blocks, [_sentence(prepared), *notes], "Data")]
    if features is not None:
        figure = map_figure(features, known, _map_answers(parts, answered), model)
        made.append(Section("map", "Which tracks are similar?", [figure], (), "Map"))
    sound: list[Figure] = [*_spectrum(prepared), *(profiles(features) if features is not None else ())]
    if sound:
        shown = sound[: 0 if model else 1]  # the page of a run is about its models
        folded = [Fold("Spectrum, harmony, timbre, brightness" if model else "Details", sound[len(shown) :])]
        made.append(Section("sound", "How do the genres sound?", [*shown, *folded], brightness(features), "Sound"))
    return made


def _map_answers(parts: Mapping[str, str], answered: Mapping[str, str]) -> dict[str, str]:
    """Text on the map for each track of a split: the predicted genre, or why there is none."""
    return {track: f"none ({part} track)" for track, part in parts.items()} | dict(answered)


def _sentence(prepared: Prepared) -> str:
    """The number of tracks, and of usable ones, of genres and of artists, and how long the tracks are."""
    counts, by_status = prepared.about["counts"], Counter(_track_statuses(prepared))
    n = counts | {k: by_status[k] for k in ("failed", "excluded")}
    kinds = ("failed", "excluded", "missing", "unlabelled")
    lost = [f"{n[k]:,} {'without a genre' if k == 'unlabelled' else k}" for k in kinds if n.get(k)]
    artists = {a for a, ok in zip(prepared.tracks["artist"], prepared.usable, strict=True) if ok and a}
    about = [
        f"{pluralize(n['tracks'], 'track')} in {pluralize(prepared.genres, 'genre')}",
        f"{sum(prepared.usable):,} usable ({', '.join(lost)})" if lost else "",
        pluralize(artists, "artist") if artists else "artists unknown",
        _duration_text(prepared),
    ]
    return ", ".join(text for text in about if text)


def _duration_text(prepared: Prepared) -> str:
    """The durations as text if nearly all of them are equal, else nothing: there is a histogram."""
    seconds = np.array([d for d in prepared.tracks["duration_s"] if d], np.float64)
    others = _other_lengths(seconds)
    if not len(seconds) or len(others) > MAX_OTHER_LENGTHS * len(seconds):
        return ""
    hours, each = f"{seconds.sum() / 3600:.1f} hours in total", f"{np.median(seconds):.1f} s each"
    if not len(others):
        return f"{each}, {hours}"
    low, high = f"{others.min():.1f}", f"{others.max():.1f}"
    return f"{each} ({len(others):,} of {low if low == high else f'{low} to {high}'} s), {hours}"


def _other_lengths(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The durations that differ from the median."""
    return seconds[np.abs(seconds - np.median(seconds)) > SAME_LENGTH_S] if len(seconds) else seconds


def _track_statuses(prepared: Prepared) -> list[str]:
    """Status of each track: `ok`, `failed`, `missing`, or `excluded`, which is stored as a failure."""
    tracks = prepared.tracks
    return [
        "excluded" if status == "failed" and (error or "").startswith("excluded: ") else status
        for status, error in zip(tracks["status"], tracks["error"], strict=True)
    ]


def _counts(prepared: Prepared, parts: Mapping[str, str]) -> list[Figure]:
    tracks = prepared.tracks
    n: Counter[tuple[str, str]] = Counter()
    for track, genre, status in zip(tracks["track_id"], tracks["genre"], _track_statuses(prepared), strict=True):
        if genre is not None:
            n[genre, (parts.get(track, "excluded") if parts else "usable") if status == "ok" else status] += 1
    among = PARTS if parts else ("usable", "excluded")
    kinds = [p for p in (*among, "failed", "missing") if any(k == p for _, k in n)]
    genres = sorted({g for g, _ in n}, key=lambda g: (-sum(n[g, k] for k in kinds), g))
    rows = [{"name": printable(g), "part": k, "n": n[g, k]} for g in genres for k in kinds if n[g, k]]
    if not rows:
        return []
    spec = charts.track_counts(rows, parts=kinds)
    cells = [(printable(g), *(f"{n[g, k]:,}" for k in kinds), f"{sum(n[g, k] for k in kinds):,}") for g in genres]
    table = Table("Tracks by genre", ("genre", *kinds, "all"), cells, folded=True, sortable=True)
    most, least = cells[0], cells[-1]
    extremes = (
        f"From {least[-1]} of {least[0]} to {most[-1]} of {most[0]}" if most[-1] != least[-1] else f"{most[-1]} of each"
    )
    return [Figure("Tracks by genre", Chart(spec, f"Tracks by genre. {extremes}"), "", table)]


def _duration_histogram(prepared: Prepared) -> list[Figure]:
    seconds = np.array([d for d in prepared.tracks["duration_s"] if d], np.float64)
    if _duration_text(prepared) or not len(seconds):
        return []
    n, edges = np.histogram(seconds, bins=_bin_edges(seconds))
    bins = [(round(float(a), 2), round(float(b), 2), int(c)) for a, b, c in zip(edges, edges[1:], n, strict=False)]
    low, middle, high = np.percentile(seconds, [0, 50, 100])
    words = f"{low:.1f} to {high:.1f} s, median {middle:.1f} s; {seconds.sum() / 3600:.1f} hours in total"
    spec = charts.histogram(bins, axis="seconds", of="tracks")
    rows = [(f"{a:.2f} to {b:.2f}", f"{c:,}") for a, b, c in bins if c]
    table = Table("Tracks by duration", ("seconds", "tracks"), rows, folded=True)
    return [Figure("Duration", Chart(spec, f"Duration of the tracks: {words}"), f"{words}.", table)]


def _bin_edges(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges of 10 to 25 bins whose width is 1, 2 or 5 times a power of ten."""
    from matplotlib.ticker import MaxNLocator

    return np.asarray(MaxNLocator(22, steps=[1, 2, 5, 10]).tick_values(seconds.min(), seconds.max()))


def _failures(prepared: Prepared) -> list[Table]:
    if not prepared.folder.exists("failures.csv"):
        return []
    failures = list(csv.DictReader(io.StringIO(prepared.folder.read_bytes("failures.csv").decode("utf-8", "replace"))))
    if not failures:
        return []
    stages = Counter("excluded" if f["error"].startswith("excluded: ") else f"in {f['stage']}" for f in failures)
    rows = [tuple(printable(f[k] or ABSENT) for k in ("path", "stage", "error")) for f in failures[:MAX_FAILURES]]
    by_stage = ", ".join(f"{n:,} {words}" for words, n in stages.most_common())
    more = f", the first {MAX_FAILURES}" if len(failures) > MAX_FAILURES else ""
    caption = f"{pluralize(failures, 'unused file')} ({by_stage}){more}"
    return [Table(caption, ("file", "stage", "error"), rows, words=3, wide=True, cards=True)]


def _spectrum(prepared: Prepared) -> list[Figure]:
    """Mean level by frequency of each genre, from `mel_image`, over at most `MAX_SHARDS` evenly spread shards."""
    view = prepared.views.get("mel_image")
    shards = prepared.shards("mel_image") if isinstance(view, MelImageView) else []
    if not shards or not isinstance(view, MelImageView):
        return []
    chosen = sorted({int(i) for i in np.linspace(0, len(shards) - 1, min(MAX_SHARDS, len(shards)))})
    usable = prepared.usable
    levels: dict[str, list[Any]] = {}
    for shard in (shards[i] for i in chosen):
        for track, picture in shard_pictures(prepared, shard):
            if usable[track]:
                levels.setdefault(prepared.tracks["genre"][track], []).append(picture.mean(axis=0, dtype=np.float32))
    if not levels:
        return []
    hz = _band_centres_hz(view)
    means = {g: _average_bands(np.mean(rows, axis=0)) for g, rows in sorted(levels.items())}
    values = [
        {"series": printable(g), "x": round(float(x), 1), "y": round(float(y), 2)}
        for g, row in means.items()
        for x, y in zip(hz, row, strict=True)
        if x < MAX_SPECTRUM_SHARE * view.sr / 2
    ]
    n = sum(map(len, levels.values()))
    spec = charts_lines.lines(values, x="Hz", y="dB below the loudest", log=True, dots=False)
    cells = [
        (f"{x:,.0f}", *(f"{means[g][i]:.1f}".replace("-", "−") for g in means)) for i, x in enumerate(hz) if not i % 4
    ]
    table = Table("Mean level in dB by frequency", ("Hz", *map(printable, means)), cells, folded=True)
    note = f"Mean mel spectrum of {n:,} windows. Click or tap a genre to highlight it."
    return [
        Figure("Mean spectrum by genre", Chart(spec, f"Mean spectrum of {len(means)} genres"), note, table, wide=True)
    ]


def _band_centres_hz(view: MelImageView) -> Any:
    """Centre in Hz of each drawn band."""
    filters = mel_filters(view.sr, view.n_fft, view.size).astype(np.float64)
    at = np.fft.rfftfreq(view.n_fft, 1 / view.sr)
    return np.maximum(_average_bands((filters @ at) / np.maximum(filters.sum(axis=1), 1e-12)), 20.0)


def _average_bands(row: Any) -> Any:
    """Means of neighbouring bands: `BANDS` of them, or up to twice as many."""
    each = max(1, len(row) // BANDS)
    return np.asarray(row[: len(row) // each * each]).reshape(-1, each).mean(axis=1)
