"""Which tracks are pieces of one recording: as stated, else by names such as `blues.00000.0` and `song (part 2)`.

Pieces of one recording are nearly the same track: learned from and scored at once they make any model look good. Some
names say that they are pieces (`piece_names.py`). Others have numbers only, as songs may have, too: they are kept
together all the same, for that does little harm, and the note says that it is not known.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from genrelab.core.text import join_first, pluralize
from genrelab.identity.piece_names import (
    PATTERNS,
    NamedPiece,
    PiecePattern,
    match_name,
    names_something,
    without_split_folders,
)

PERHAPS = "perhaps "
"""Start of the key of a recording of which nothing but numbers in the names of its pieces is known."""

MAX_PIECES = 20
"""A longer run that is most of its genre, and the only one there, may as well be numbered songs."""

MIN_STEMS = 3
"""So many stems that are numbered alike show a way of numbering; where they are most tracks, that is said."""


@dataclass(frozen=True)
class Recordings:
    """The recording of each track, None for one by itself, and what was found, one sentence each."""

    of: tuple[str | None, ...]
    notes: tuple[str, ...]


def is_perhaps(recording: str | None) -> bool:
    """Is a recording known by numbers only?"""
    return recording is not None and recording.startswith(PERHAPS)


def find_recordings(
    names: Sequence[str],
    genres: Sequence[str | None],
    stated: Sequence[str | None] | None = None,
    artists: Sequence[str | None] | None = None,
) -> Recordings:
    """The tracks that are pieces of one recording.

    Args:
        names: path below ROOT, or id, of each track.
        genres: of each track: a number for each track of a genre (`rock_01`) is no sign of pieces.
        stated: the recording where it is known, such as from a column; names are looked at where it is not.
        artists: of each track, None where unknown: what several artists have numbered alike are songs.
    """
    known = {i: key for i, key in enumerate(stated or ()) if key is not None}
    sure: dict[int, str] = {}
    perhaps: dict[int, str] = {}
    unsure: list[list[NamedPiece]] = []
    for pattern in PATTERNS:
        left = [i for i in range(len(names)) if not (i in known or i in sure or i in perhaps)]
        groups, rest = _groups(pattern, names, genres, left)
        if pattern.only_numbers:
            groups, rest = ([g for g in some if _of_one_artist(g, artists)] for some in (groups, rest))
            groups, maybe = _without_plain_numbering(groups, genres)
            unsure += maybe
            unsure += rest if _are_most(rest, len(left)) else []
        found = perhaps if pattern.only_numbers else sure
        start = PERHAPS if pattern.only_numbers else ""
        found |= {piece.track: start + _first_name(names, group) for group in groups for piece in group}
    of = tuple(known.get(i) or sure.get(i) or perhaps.get(i) for i in range(len(names)))
    n_in_all = len(set(of) - {None}) + of.count(None)
    still_unsure = [[p for p in group if of[p.track] is None] for group in unsure]
    notes = (*_sure_note(names, sure, n_in_all), *_perhaps_note(names, perhaps), *_unsure_note(names, still_unsure))
    return Recordings(of, notes)


def _groups(
    pattern: PiecePattern, names: Sequence[str], genres: Sequence[str | None], tracks: Sequence[int]
) -> tuple[list[list[NamedPiece]], list[list[NamedPiece]]]:
    """Tracks that are pieces of one recording by this pattern; and tracks of one stem that are not."""
    found: dict[tuple[str, str, str | None], list[NamedPiece]] = defaultdict(list)
    for i in tracks:
        path = PurePosixPath(unicodedata.normalize("NFC", names[i].replace("\\", "/")))
        piece = match_name(pattern, path, i, genres[i])
        if piece is not None:
            folder, genre = str(path.parent), genres[i]
            if not pattern.only_numbers and names_something(piece.stem, genre):  # one song, wherever its pieces lie
                folder, genre = without_split_folders(path.parent), None
            found[folder, piece.stem.casefold(), genre].append(piece)
    groups = [g for g in found.values() if len({piece.numbers for piece in g}) > 1]
    # Where pieces are missing, many recordings together show how they were numbered.
    together = [piece for group in groups for piece in group]
    shared = pattern.only_numbers and len(groups) >= MIN_STEMS and pattern.are_pieces(together)
    taken = [group for group in groups if shared or pattern.are_pieces(group)]
    ids = set(map(id, taken))
    return taken, [group for group in groups if id(group) not in ids]


def _without_plain_numbering(
    groups: list[list[NamedPiece]], genres: Sequence[str | None]
) -> tuple[list[list[NamedPiece]], list[list[NamedPiece]]]:
    """Groups beside which their genre has other tracks; and those that are (nearly) all of it: songs, or pieces?

    A stem that several genres have is plain numbering: neither.
    """
    sizes = Counter(genres)
    spread: dict[str, set[str | None]] = defaultdict(set)
    for group in groups:
        spread[group[0].stem.casefold()].add(genres[group[0].track])
    own = [group for group in groups if len(spread[group[0].stem.casefold()]) == 1]
    runs = Counter(genres[group[0].track] for group in own)
    taken: list[list[NamedPiece]] = []
    unsure: list[list[NamedPiece]] = []
    for group in own:
        genre = genres[group[0].track]
        only_run = runs[genre] == 1 and len(group) > MAX_PIECES and 2 * len(group) > sizes[genre]
        (unsure if only_run or len(group) == sizes[genre] else taken).append(group)
    return taken, unsure


def _of_one_artist(group: list[NamedPiece], artists: Sequence[str | None] | None) -> bool:
    return artists is None or len({artists[piece.track] for piece in group} - {None}) < 2


def _are_most(groups: list[list[NamedPiece]], n_tracks: int) -> bool:
    return len(groups) >= MIN_STEMS and 2 * sum(map(len, groups)) >= n_tracks


def _first_name(names: Sequence[str], group: list[NamedPiece]) -> str:
    """A name for a recording: that of its first piece, which no other recording has."""
    return names[min(group, key=lambda piece: (piece.numbers, names[piece.track])).track]


# --- notes ---


def _example(names: Sequence[str], of: dict[int, str]) -> str:
    first = next(iter(of.values()))
    return join_first([names[i] for i, key in of.items() if key == first], most=3)


def _sure_note(names: Sequence[str], of: dict[int, str], n_in_all: int) -> list[str]:
    if not of:
        return []
    return [
        f"{pluralize(of, 'track')} are pieces of {pluralize(set(of.values()), 'recording')} by their names "
        f"({_example(names, of)}): those of one recording stay together in every split; "
        f"{pluralize(n_in_all, 'recording')} in all"
    ]


def _perhaps_note(names: Sequence[str], of: dict[int, str]) -> list[str]:
    if not of:
        return []
    return [
        f"{pluralize(of, 'track')} are numbered like pieces of {pluralize(set(of.values()), 'recording')} "
        f"({_example(names, of)}): in case they are, those of one stay together in every split; a table can say what "
        "is one recording (--group-column)"
    ]


def _unsure_note(names: Sequence[str], unsure: list[list[NamedPiece]]) -> list[str]:
    groups = [group for group in unsure if len(group) > 1]
    if not groups:
        return []
    example = " … ".join(names[groups[0][i].track] for i in (0, -1))
    return [
        f"{sum(map(len, groups)):,} tracks are numbered as pieces of one recording may be ({example}) and are not kept "
        "together: if they are pieces, every figure is too high until a table names their recordings (--group-column)"
    ]
