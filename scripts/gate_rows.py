"""Recordings of music and of what is none, and what the frozen networks make of them, for `scripts/gate.py`."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gate_files import MUSIC, RECORDED, audio_files, matching
from gate_solos import INSTRUMENTS, player
from gate_sounds import MADE, SR, Maker, Random, Samples, band, coloured, log_uniform
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from genrelab.audio import clips as audio_clips
from genrelab.core.config import EmbeddingView
from genrelab.core.errors import GenrelabError
from genrelab.features.embedding import embed_window, window_length, window_starts

VIEW = EmbeddingView(max_windows=10)
LONG_S, LONG, SHORT = 30.0, 8, 12  # of every kind of no music: so many recordings of 30 s and of 0.5 to 3 s
SHORTEST_S = 0.5
SILENT = 1e-4  # root mean square of a window that says nothing about its recording
EXCERPT_S = 30.0  # of music, from the middle
TRACKS = 12  # of a package's music
SOLOS, SOLO_S = 12, 15.0  # of every kind of instrument

FOLDERS = ("gtzan_30s", "gtzan_15s", "gtzan_2s")
"""The folder with the longest excerpts first."""


@dataclass(frozen=True)
class Recording:
    """Windows of one recording; `group` is what must not lie on both sides of a fold."""

    kind: str  # of no music, or the genre
    family: str  # of kinds, or the collection
    group: str
    name: str
    music: bool
    plain: bool  # as it was found: not altered, not cut
    rows: NDArray[np.float32]  # (windows, outputs)


def embed(y: Samples) -> NDArray[np.float32]:
    """The windows of a recording at 16 kHz, (at most 10, outputs), without silent ones unless all are."""
    pieces = [y[start : start + window_length(VIEW)].astype(np.float32) for start in window_starts(len(y), VIEW)]
    loud = [piece for piece in pieces if np.sqrt(np.mean(np.square(piece))) > SILENT]
    return np.stack([embed_window(piece, VIEW) for piece in loud or pieces])


def alter(rng: Random, y: Samples) -> Samples:
    """Another room, microphone, background and level: the same for music and for what is none."""
    power = max(float(np.sqrt(np.mean(np.square(y)))), 1e-9)
    if rng.random() < 0.3:
        t = np.arange(int(rng.uniform(0.1, 1.5) * SR))
        echo = rng.standard_normal(len(t)) * np.exp(-7 * t / len(t))
        wet = fftconvolve(y, echo)[: len(y)]
        y = y + rng.uniform(0.1, 0.7) * wet * power / max(float(wet.std()), 1e-9)
    if rng.random() < 0.25:
        y = band(y, rng.uniform(20, 300), rng.uniform(2_500, 7_500))
    if rng.random() < 0.3:
        y = y + power * log_uniform(rng, 0.01, 0.3) * coloured(rng, len(y), rng.uniform(0, 2))
    return at_level(rng, y)


def at_level(rng: Random, y: Samples) -> Samples:
    """As loud as -36 to -10 dB of full scale in the mean."""
    gain = 10 ** (rng.uniform(-36, -10) / 20) / max(float(np.sqrt(np.mean(np.square(y)))), 1e-9)
    return np.clip(gain * y, -1, 1)


def read(path: Path, rng: Random | None = None, seconds: float = EXCERPT_S) -> Samples:
    """At most so much of a file, mono at 16 kHz: from its middle, or from anywhere."""
    spare = max(0.0, audio_clips.probe(path).duration_s - seconds)
    y, sr = audio_clips.read(path, start_s=spare * (0.5 if rng is None else rng.random()), seconds=seconds)
    return audio_clips.resample(y, sr, SR).astype(np.float64)


def joined(paths: list[Path]) -> Maker:
    """A maker that strings files of one folder together, short pauses between."""
    folders = sorted({p.parent for p in paths})

    def make(rng: Random, n: int) -> Samples:
        folder = folders[rng.integers(len(folders))]
        choice = [p for p in paths if p.parent == folder]
        parts: list[Samples] = []
        while sum(map(len, parts)) < n:
            try:
                parts.append(read(choice[rng.integers(len(choice))], rng))
            except GenrelabError:  # too short for a resampler, or damaged
                parts.append(np.zeros(100))
            parts.append(np.zeros(int(rng.uniform(0, 0.4) * SR)))
        y = np.concatenate(parts)
        start = int(rng.integers(0, max(1, len(parts[0]) - n)))
        return y[start : start + n]

    return make


def no_music(folder: Path) -> Iterator[Recording]:
    """Recordings of every kind, made with seeds of their own; every second one is altered."""
    paths = audio_files(folder)
    makers = dict(MADE)
    makers |= {kind: (family, joined(matching(paths, folder, p))) for kind, (family, p) in RECORDED.items()}
    for number, (kind, (family, make)) in enumerate(makers.items()):
        for i in range(LONG + SHORT * (3 if family == "tones" else 1)):
            rng = np.random.default_rng([number, i])
            seconds = LONG_S if i < LONG else rng.uniform(SHORTEST_S, 3)
            y = make(rng, int(seconds * SR))
            if not y.any():
                continue
            plain = i % 2 == 0
            y = at_level(rng, y) if plain and kind in MADE else y if plain else alter(rng, y)
            yield Recording(kind, family, kind, f"{kind} {i}", False, plain, embed(y))


def music(data: Path, folder: Path) -> Iterator[Recording]:
    """Every track as it is, and once altered, half of these cut to 0.5 to 3 s."""
    sources = [*gtzan(data), *emotify(data), *packages(folder)]
    for i, (path, collection, genre, group) in enumerate(sources):
        y, rng = read(path), np.random.default_rng([1_000, i])
        yield Recording(genre, collection, group, path.name, True, True, embed(y))
        if np.sqrt(np.mean(np.square(part := cut(rng, y)))) > SILENT:
            yield Recording(genre, collection, group, path.name, True, False, embed(alter(rng, part)))
    yield from solos(folder)


def cut(rng: Random, y: Samples, short: float = 0.5) -> Samples:
    """0.5 to 3 s (with this probability), or 9 s, from anywhere."""
    n = int((rng.uniform(SHORTEST_S, 3) if rng.random() < short else 9.0) * SR)
    start = int(rng.integers(0, max(1, len(y) - n)))
    return y[start : start + n]


def solos(folder: Path) -> Iterator[Recording]:
    """One instrument, as it is and once altered; kinds of instruments are kept apart like artists.

    None is cut to less than 9 s: a note of half a second is a tone.
    """
    for number, kind in enumerate(INSTRUMENTS):
        make = player(folder, kind)
        for i in range(SOLOS):
            rng = np.random.default_rng([2_000, number, i])
            y = make(rng, int(SOLO_S * SR))
            for plain, part in ((True, at_level(rng, y)), (False, alter(rng, cut(rng, y, short=0)))):
                if np.sqrt(np.mean(np.square(part))) > SILENT:
                    yield Recording(kind, "solos", f"solo {kind}", f"{kind} {i}", True, plain, embed(part))


Source = tuple[Path, str, str, str]  # file, collection, genre, artist


def gtzan(data: Path) -> Iterator[Source]:
    """Tracks of GTZAN, each in its longest excerpt."""
    with (data / "gtzan_fault_filtered/artists.csv").open(newline="") as f:
        artists = {row["id"]: row["artist"].strip() for row in csv.DictReader(f)}
    chosen: dict[str, Path] = {}
    for name in FOLDERS:
        for path in sorted((data / name).rglob("*.*")):
            if found := re.match(r"([a-z]+\.\d{5})", path.name):
                chosen.setdefault(found[1], path)
    for track, path in sorted(chosen.items()):
        yield path, "GTZAN", track.split(".")[0], f"artist {artists.get(track, '').casefold() or track}"


def emotify(data: Path) -> Iterator[Source]:
    """Tracks of Emotify with the artists of their tags."""
    import mutagen

    for path in sorted((data / "emotify_30s").rglob("*.mp3")):
        tags = mutagen.File(path, easy=True)
        artist = (tags.get("artist") or [path.stem])[0] if tags else path.stem
        yield path, "Emotify", path.parent.name, f"artist {artist.strip().casefold()}"


def packages(folder: Path) -> Iterator[Source]:
    """Music of Debian packages, at most `TRACKS` of each, evenly spread over its list."""
    paths = audio_files(folder)
    for name, pattern in MUSIC.items():
        found = matching(paths, folder, pattern)
        for i in np.unique(np.linspace(0, len(found) - 1, TRACKS).round().astype(int)):
            yield found[i], "packages", name, f"package {name}"


def assorted(data: Path) -> dict[str, NDArray[np.float32]]:
    """Windows of the files that only test, by name."""
    paths = [p for p in sorted((data / "assorted").iterdir()) if p.suffix in {".ogg", ".mp3"}]
    return {p.name: embed(read(p)) for p in paths}
