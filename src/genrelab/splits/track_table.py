"""The tracks of a split, and which of them must stay together."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from genrelab.identity.artist_names import is_no_artist
from genrelab.identity.groups import connected_groups


@dataclass(frozen=True)
class TrackTable:
    """The columns that a policy uses. `rows` are the usable tracks, ordered by path."""

    rows: tuple[int, ...]
    genres: tuple[str, ...]  # of each track; "" where it is not usable
    artists: tuple[str | None, ...]  # of each track; the artist split keeps equal ones together
    recordings: tuple[object | None, ...]
    official: tuple[str | None, ...]
    seed: int

    @property
    def names(self) -> list[str]:
        """Sorted genres of the usable tracks."""
        return sorted({self.genres[i] for i in self.rows})

    @property
    def own_group(self) -> tuple[str, ...]:
        """One group per recording, sorted like `rows`; the tab avoids clashes with names of artists."""
        first: dict[object, int] = {}
        place = {i: n for n, i in enumerate(self.rows)}
        for i in self.rows:
            if self.recordings[i] is not None:
                place[i] = first.setdefault(self.recordings[i], place[i])
        return tuple(f"\t{place.get(i, -1):09d}" for i in range(len(self.genres)))

    @property
    def n_recordings(self) -> int:
        """Number of recordings of the usable tracks."""
        own_group = self.own_group
        return len({own_group[i] for i in self.rows})

    @property
    def sizes(self) -> Counter[str]:
        """Number of usable tracks of each genre."""
        return Counter(self.genres[i] for i in self.rows)

    @property
    def known_artists(self) -> int:
        """Number of usable tracks with an artist."""
        return sum(self.artists[i] is not None for i in self.rows)


def artist_key(artist: str | None) -> str | None:
    """Normal form of an artist's name, without case, spacing and encoding of accents; None if unknown.

    Other spellings of a name were joined when the dataset was loaded (`identity/artists.py`).
    """
    if artist is None or is_no_artist(artist):
        return None
    return unicodedata.normalize("NFKC", " ".join(artist.split())).casefold()


def artists_with_recordings(
    artists: Sequence[str | None], recordings: Sequence[object | None] | None
) -> tuple[str | None, ...]:
    """Key of the artist of each track, equal for artists of one recording; None if unknown.

    A track without an artist gets that of its recording.
    """
    keys = [artist_key(artist) for artist in artists]
    if recordings is None or not any(r is not None for r in recordings):
        return tuple(keys)
    by_artist, by_recording = ([() if k is None else (k,) for k in of] for of in (keys, recordings))
    group = connected_groups(len(keys), by_artist, by_recording)
    name: dict[int, str] = {}
    for g, key in zip(group, keys, strict=True):
        if key is not None:
            name[g] = min(key, name.get(g, key))  # whatever the order of the tracks
    return tuple(name.get(g) for g in group)
