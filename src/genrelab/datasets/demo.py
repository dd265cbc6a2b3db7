"""demo: a corpus that genrelab synthesises itself, in FMA's layout.

What: tracks of 8 genres that differ in rhythm, harmony and instruments, by artists with individual sounds; some are
broken, short, silent, missing or unlabelled, as in real collections.
How much: 160 tracks of 10 s, two of each artist, and 6 faulty ones, by default.
Who: genrelab (`genrelab/datasets/synth.py`). Licence: CC0 1.0; there are no performers.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from genrelab.core.errors import DatasetError, SettingsError
from genrelab.datasets.synth import STYLES, Colour, Style, artist_style, render
from genrelab.datasets.synth_voices import SR, Samples

LICENCE = "CC0 1.0 Universal"

MARKER_FILE = "SYNTHESISED.txt"
"""Written first into the corpus: if it exists, everything may be overwritten."""

GENRE_IDS = {
    "Electronic": 15, "Experimental": 38, "Folk": 17, "Hip-Hop": 21,
    "Instrumental": 1235, "International": 2, "Pop": 10, "Rock": 12,
}  # fmt: skip
"""FMA small's genres with their ids in FMA's genres.csv."""

PROBLEMS = ("broken", "broken", "short", "silent", "missing", "unlabelled")
"""Problems of the tracks that are added to the good ones; all in the training part."""

SHORT_S = 0.1

KNOWN_BAD = (1486, 5574)
"""Low ids whose tracks are faulty in the real FMA; not used here."""

ADJECTIVES = "Amber Brass Calm Distant Early Faded Golden Hollow Idle Jagged Kind Lunar Mild Northern Open Pale"
NOUNS = "Anchors Birches Cables Doves Engines Foxes Gates Harbours Islands Jewels Kites Lamps Mills Nests Oars Pines"

COLUMNS = {
    "album": "comments date_created date_released engineer favorites id information listens producer tags title "
    "tracks type",
    "artist": "active_year_begin active_year_end associated_labels bio comments date_created favorites id latitude "
    "location longitude members name related_projects tags website wikipedia_page",
    "set": "split subset",
    "track": "bit_rate comments composer date_created date_recorded duration favorites genre_top genres genres_all "
    "information interest language_code license listens lyricist number publisher tags title",
}
"""FMA's tracks.csv: its groups (first header row) and their columns (second)."""


@dataclass(frozen=True)
class Artist:
    """One artist: genre, part and sound."""

    number: int
    name: str
    genre: str
    part: str
    style: Style
    colour: Colour


@dataclass(frozen=True)
class Song:
    """One row of tracks.csv."""

    track_id: int
    artist: Artist
    problem: str | None

    @property
    def path(self) -> str:
        """Path of its file below the corpus."""
        return f"fma_small/{self.track_id // 1000:03d}/{self.track_id:06d}.mp3"


def synthesise(root: Path, *, seed: int = 7, tracks_per_genre: int = 20, seconds: float = 10.0) -> None:
    """Write the corpus into the folder `root`; the same arguments give the same bytes on one machine.

    Args:
        root: folder for `fma_metadata/` and `fma_small/`.
        seed: of everything random.
        tracks_per_genre: at least 3, so that each part of the split has an artist of each genre.
        seconds: length of a track, at least 1.

    Raises:
        SettingsError: too few tracks, or tracks too short to be music.
        DatasetError: `root` contains other files.
    """
    if tracks_per_genre < 3 or seconds < 1:
        raise SettingsError(f"a demo needs 3 tracks per genre of 1 s or more. Received: {tracks_per_genre}, {seconds}")
    if not (root / MARKER_FILE).is_file() and root.exists() and any(root.iterdir()):
        raise DatasetError(f"{root} contains other files: choose another folder")
    root.mkdir(parents=True, exist_ok=True)
    (root / MARKER_FILE).write_text(f"Synthesised by `genrelab demo`. Licence: {LICENCE}.\n")
    rng = np.random.default_rng(seed)
    artists = [a for genre in STYLES for a in _make_artists(genre, max(3, tracks_per_genre // 2), rng)]
    songs = _make_songs(artists, tracks_per_genre, rng)
    for song in songs:
        if song.problem != "missing":
            _write_song(root / song.path, song, np.random.default_rng((seed, song.track_id)), seconds)
    _write_tables(root / "fma_metadata", songs, seconds)  # last: an unfinished corpus has none, so is not read as one


def _make_artists(genre: str, n: int, rng: np.random.Generator) -> list[Artist]:
    """A genre's artists: a tenth for test, a tenth for validation (one at least), the others for training."""
    n_held_out = max(1, round(n / 10))
    parts = ["test"] * n_held_out + ["validation"] * n_held_out + ["training"] * (n - 2 * n_held_out)
    first = list(GENRE_IDS).index(genre) * n
    return [
        Artist(first + i + 1, _artist_name(first + i), genre, part, artist_style(genre, rng), Colour.random(rng))
        for i, part in enumerate(parts)
    ]


def _artist_name(i: int) -> str:
    """The name of artist `i`: every pair of words once, then numbered."""
    adjectives, nouns = ADJECTIVES.split(), NOUNS.split()
    turn, pair = divmod(i, len(adjectives) * len(nouns))
    row, column = divmod(pair, len(adjectives))
    name = f"The {adjectives[column]} {nouns[(row + column) % len(nouns)]}"  # so neighbours share neither word
    return f"{name} {turn + 1}" if turn else name


def _make_songs(artists: Sequence[Artist], tracks_per_genre: int, rng: np.random.Generator) -> list[Song]:
    """Tracks with their artists, in an order that reveals nothing about genre or artist."""
    plan: list[tuple[Artist, str | None]] = []
    for genre in GENRE_IDS:
        own = [a for a in artists if a.genre == genre]
        plan += [(own[i % len(own)], None) for i in range(tracks_per_genre)]
    training_artists = [a for a in artists if a.part == "training"]
    plan += [(training_artists[rng.integers(len(training_artists))], problem) for problem in PROBLEMS]
    songs, track_id = [], 2
    for i in rng.permutation(len(plan)):
        songs.append(Song(track_id, *plan[i]))
        track_id += int(rng.integers(1, 9))
        track_id += track_id in KNOWN_BAD
    return songs


def _write_song(path: Path, song: Song, rng: np.random.Generator, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if song.problem == "broken":
        path.write_bytes(rng.bytes(20_000))
        return
    y: Samples = render(song.artist.style, song.artist.colour, rng, seconds)
    if song.problem == "short":
        y = y[: int(SHORT_S * SR)]
    elif song.problem == "silent":
        y = np.zeros_like(y)
    soundfile.write(path, y, SR, format="MP3", bitrate_mode="VARIABLE", compression_level=0.5)


# === Tables ===


def _write_tables(folder: Path, songs: Sequence[Song], seconds: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    header = [(group, column) for group, columns in COLUMNS.items() for column in columns.split()]
    cells = {song.track_id: _cells(song, seconds) for song in songs}
    _write_csv(
        folder / "tracks.csv", ["", *(group for group, _ in header)], ["", *(column for _, column in header)],
        ["track_id", *("" for _ in header)],
        *([i, *(own.get(f"{group}.{column}", "") for group, column in header)] for i, own in cells.items()),
    )  # fmt: skip
    labelled = Counter(s.artist.genre for s in songs if s.problem != "unlabelled")
    genres = sorted((number, labelled[title], 0, title, number) for title, number in GENRE_IDS.items())
    _write_csv(folder / "genres.csv", ["genre_id", "#tracks", "parent", "title", "top_level"], *genres)


def _write_csv(file: Path, *rows: Iterable[object]) -> None:
    with file.open("w", encoding="utf-8", newline="") as f:
        csv.writer(f, lineterminator="\n").writerows(rows)


def _cells(song: Song, seconds: float) -> dict[str, object]:
    """The cells of a track's row of tracks.csv that are not empty, by `group.column`."""
    artist = song.artist
    genre = "" if song.problem == "unlabelled" else artist.genre
    genres = f"[{GENRE_IDS[genre]}]" if genre else "[]"
    return {
        "album.id": artist.number,
        "album.title": f"Songs by {artist.name}",
        "album.tags": "[]",
        "artist.id": artist.number,
        "artist.name": artist.name,
        "artist.tags": "[]",
        "set.split": artist.part,
        "set.subset": "small",
        "track.duration": round(seconds),
        "track.genre_top": genre,
        "track.genres": genres,
        "track.genres_all": genres,
        "track.license": LICENCE,
        "track.tags": "[]",
        "track.title": f"Song {song.track_id}",
    }
