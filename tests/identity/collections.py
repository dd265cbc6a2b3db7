"""Random collections of track names and credits: clean ones, and ones with a planted leak of a known kind."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

GENRES = ("rock", "jazz", "folk", "techno")
SYLLABLES = "ba be bi bo bu da de di do du ka ke ki ko ku la le li lo lu ma me mi mo mu ra re ri ro ru".split()  # noqa: SIM905

Rng = np.random.Generator


def word(rng: Rng, n: int = 3) -> str:
    """A made-up word of n syllables."""
    return "".join(rng.choice(SYLLABLES, n))


@dataclass
class Collection:
    """Tracks; `together` are sets of tracks that must not be parted."""

    names: list[str] = field(default_factory=list)
    genres: list[str] = field(default_factory=list)
    artists: list[str] = field(default_factory=list)
    together: list[set[int]] = field(default_factory=list)

    def add(self, name: str, genre: str, artist: str) -> int:
        self.names.append(name)
        self.genres.append(genre)
        self.artists.append(artist)
        return len(self.names) - 1


# --- names of tracks that are no pieces ---

PLAIN_NAMES: dict[str, Callable[[Rng, str, int], str]] = {
    "title": lambda rng, genre, k: f"{genre}/{word(rng, 4)} {word(rng, 2)}.mp3",
    "numbered title": lambda rng, genre, k: f"{genre}/{k:02d} - {word(rng, 4)}.flac",
    "number": lambda rng, genre, k: f"{genre}/{k}.wav",
    "genre and number": lambda rng, genre, k: f"{genre}/{genre}.{k:05d}.wav",
    "genre_number": lambda rng, genre, k: f"{genre}/{genre}_{k:03d}.wav",
    "track": lambda rng, genre, k: f"{genre}/Track {k:02d}.mp3",
    "song": lambda rng, genre, k: f"{genre}/song{k}.ogg",
    "fma": lambda rng, genre, k: f"{genre}/{rng.integers(10**6):06d}.mp3",
    "year": lambda rng, genre, k: f"{genre}/{word(rng, 4)} ({rng.integers(1960, 2020)}).mp3",
    "artist - title": lambda rng, genre, k: f"{genre}/{word(rng, 3).title()} - {word(rng, 4).title()}.m4a",
    "album and number": lambda rng, genre, k: f"{genre}/{word(rng, 5)}/{word(rng, 2)} {word(rng, 4)}.mp3",
    "album and track": lambda rng, genre, k: f"{genre}/album {k // 5}/{k % 5 + 1:02d} {word(rng, 4)}.mp3",
    "decade": lambda rng, genre, k: f"{genre}/Best of {1950 + 10 * (k % 7)}-{1959 + 10 * (k % 7)} {word(rng, 3)}.mp3",
    "hash folders": lambda rng, genre, k: f"{genre}/{k % 10:02d}/{rng.integers(10**7):07d}.mp3",
    "movement": lambda rng, genre, k: f"{genre}/{word(rng, 4)} Symphony No. {k} - Allegro.flac",
    "version": lambda rng, genre, k: f"{genre}/{word(rng, 4)} (remix {k}).mp3",
    "opus": lambda rng, genre, k: f"{genre}/{word(rng, 3)} No. {k}.mp3",
}


def clean(seed: int) -> Collection:
    """Tracks of different songs by different artists, named in one of the usual ways."""
    rng = np.random.default_rng(seed)
    made = Collection()
    style = list(PLAIN_NAMES.values())[seed % len(PLAIN_NAMES)]
    for genre in GENRES:
        k = 0
        for _ in range(8):
            artist = f"{word(rng).title()} {word(rng, 4).title()}"
            own = set()
            for _ in range(rng.integers(1, 4)):
                k += 1
                own.add(made.add(style(rng, genre, k), genre, artist))
            made.together.append(own)
    return made


# --- pieces of one recording ---

PIECES: dict[str, Callable[[str, int], str]] = {
    "stem.song.piece": lambda song, k: f"{song}.00007.{k}.wav",
    "song_01": lambda song, k: f"{song}_{k + 1:02d}.wav",
    "song-1": lambda song, k: f"{song}-{k + 1}.mp3",
    "song 0": lambda song, k: f"{song} {k}.mp3",
    "part": lambda song, k: f"{song} (part {k + 1}).mp3",
    "Pt. roman": lambda song, k: f"{song} Pt. {('I', 'II', 'III', 'IV', 'V')[k]}.mp3",
    "part of": lambda song, k: f"{song} (Part {k + 1} of 5).mp3",
    "segment": lambda song, k: f"{song}_seg{k}.wav",
    "chunk": lambda song, k: f"{song}-chunk-{k:04d}.wav",
    "length": lambda song, k: f"{song}-3s-{k}.wav",
    "stretch": lambda song, k: f"{song}_{30 * k}-{30 * (k + 1)}.wav",
    "seconds": lambda song, k: f"{song}_{10 * k}s.wav",
    "before": lambda song, k: f"{k}_{song}.wav",
    "brackets": lambda song, k: f"{song} [{k + 1}].ogg",
    "folder": lambda song, k: f"{song}/{k:03d}.wav",
    "folder of segments": lambda song, k: f"{song}/segment_{k}.wav",
    "numbered song": lambda song, k: f"track_{len(song) + 20}_{k}.wav",
    "shorter last": lambda song, k: f"{song}_{(0, 30, 60, 90, 103, 111)[k]}-{(0, 30, 60, 90, 103, 111)[k + 1]}.wav",
    "twice": lambda song, k: f"{song}_part{(k + 1) // 2 + 1}.{('wav', 'mp3')[k % 2]}",
    "word before": lambda song, k: f"part{k + 1}_{song}.wav",
    "of": lambda song, k: f"{song} {k + 1} of 5.mp3",
    "no blank": lambda song, k: f"{song}07seg{k}.wav",
    "folder of stretches": lambda song, k: f"{song}/{10 * k}-{10 * k + 10}.wav",
    "forms of Unicode": lambda song, k: unicodedata.normalize(("NFC", "NFD")[k % 2], f"{song}\u00e9_part{k}.wav"),
    "train and test": lambda song, k: f"{('train', 'test')[k % 2]}/{song}_chunk{k}.wav",
}
ONLY_NUMBERED = {"song_01", "song-1", "song 0", "before", "brackets", "folder"}
"""Forms that songs may have, too."""


def with_pieces(seed: int) -> Collection:
    """A clean collection with songs that are there in two to five pieces."""
    rng = np.random.default_rng(seed)
    made = clean(0)
    name = list(PIECES.values())[seed % len(PIECES)]
    for genre in GENRES:
        song = word(rng, int(rng.integers(3, 6)))
        pieces = {made.add(f"{genre}/{name(song, k)}", genre, "") for k in range(rng.integers(2, 6))}
        made.together.append(pieces)
    return made


# --- one person under several credits ---

CREDITS: dict[str, Callable[[str, str], str]] = {
    "case": lambda a, b: a.upper(),
    "spaces": lambda a, b: f"  {a.replace(' ', '  ')} ",
    "The": lambda a, b: f"The {a}",
    ", The": lambda a, b: f"{a}, The",
    "accent": lambda a, b: a.replace("a", "á"),
    "NFD": lambda a, b: unicodedata.normalize("NFD", a.replace("e", "é")),
    "full width": lambda a, b: a.replace("a", "ａ"),
    "punctuation": lambda a, b: a.replace(" ", "-") + ".",
    "feat.": lambda a, b: f"{a} feat. {b}",
    "(ft.": lambda a, b: f"{a} (ft. {b})",
    "featuring": lambda a, b: f"{b} featuring {a}",
    "&": lambda a, b: f"{a} & {b}",
    "and": lambda a, b: f"{b} and {a}",
    ";": lambda a, b: f"{a}; {b}",
    ";;": lambda a, b: f"{b};{a}",
    "with": lambda a, b: f"{b} with {a}",
    "vs.": lambda a, b: f"{a} vs. {b}",
    "x": lambda a, b: f"{a} x {b}",
    "/": lambda a, b: f"{b} / {a}",
    "comma": lambda a, b: f"{a}, {b}",
    "list": lambda a, b: f"{b}, {b[::-1].title()} & {a}",
    "+": lambda a, b: f"{a} + {b}",
    "presents": lambda a, b: f"{b} presents {a}",
    "und": lambda a, b: f"{a} und {b}",
}


def with_spellings(seed: int) -> Collection:
    """A clean collection in which artists are credited in other ways on further tracks."""
    rng = np.random.default_rng(seed)
    made = clean(0)
    credit = list(CREDITS.values())[seed % len(CREDITS)]
    for number, genre in enumerate(GENRES):
        own = next(group for group in made.together[8 * number :])
        artist = made.artists[min(own)]
        other = f"{word(rng).title()} {word(rng, 4).title()}"
        own.add(made.add(f"{genre}/{word(rng, 5)}.mp3", genre, credit(artist, other)))
    return made
