"""Finds tracks that are pieces of one recording: as stated, else by names such as `blues.00000.0` and `song (part 2)`.

Pieces of one recording are nearly the same track: in both the training and the test set they make any model look good.
Some names are clear (`piece_names.py`). Others have only numbers, as songs may have, too: these tracks are kept
together as a precaution, with a note.
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
"""Start of the key of a recording that is known only by numbers in the names of its pieces."""

MAX_PIECES = 20
"""A longer run that is most of its genre, and the only one in it, may be numbered songs."""

MIN_STEMS = 3
"""Minimum number of stems with the same numbering; if they have most of the tracks, a note reports them."""


@dataclass(frozen=True)
class Recordings:
    """The recording of each track, None for a track by itself, and notes."""

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
        genres: of each track: numbered tracks of a genre (`rock_01`) are not pieces.
        stated: the recording where it is known, such as from a column; elsewhere names are used.
        artists: of each track, None where unknown: tracks of several artists with one numbering are songs.
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
    still_unsure = [[p for p in group if of[p.track] is None] for group in unsure]
    notes = [
        f"{pluralize(found, 'track')} {are} pieces of {pluralize(set(found.values()), 'recording')} (judging by "
        f"{sign}), and {own} stay in one set: {_example(names, found)}"
        for found, are, sign, own in (
            (sure, "are", "their names", "the pieces of one"),
            (perhaps, "may be", "the numbers in their names", "those with the same name before the number"),
        )
        if found
    ]
    return Recordings(of, (*notes, *_unsure_note(names, still_unsure)))


def _groups(
    pattern: PiecePattern, names: Sequence[str], genres: Sequence[str | None], tracks: Sequence[int]
) -> tuple[list[list[NamedPiece]], list[list[NamedPiece]]]:
    """Groups of tracks that are pieces of one recording by this pattern, and groups of one stem that are not."""
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
    # If pieces are missing, many recordings together show the numbering.
    together = [piece for group in groups for piece in group]
    shared = pattern.only_numbers and len(groups) >= MIN_STEMS and pattern.are_pieces(together)
    taken = [group for group in groups if shared or pattern.are_pieces(group)]
    ids = set(map(id, taken))
    return taken, [group for group in groups if id(group) not in ids]


def _without_plain_numbering(
    groups: list[list[NamedPiece]], genres: Sequence[str | None]
) -> tuple[list[list[NamedPiece]], list[list[NamedPiece]]]:
    """Groups whose genre has other tracks, too; and unclear groups, which are (nearly) all of their genre.

    A stem in several genres is plain numbering: neither.
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
    """A name for a recording: that of its first piece, which is unique."""
    return names[min(group, key=lambda piece: (piece.numbers, names[piece.track])).track]


# --- notes ---


def _example(names: Sequence[str], of: dict[int, str]) -> str:
    first = next(iter(of.values()))
    return join_first([names[i] for i, key in of.items() if key == first], most=3)


def _unsure_note(names: Sequence[str], unsure: list[list[NamedPiece]]) -> list[str]:
    groups = [group for group in unsure if len(group) > 1]
    if not groups:
        return []
    example = " … ".join(names[groups[0][i].track] for i in (0, -1))
    return [
        f"{sum(map(len, groups)):,} tracks may be pieces of recordings (judging by the numbers in their names), but "
        f"are not kept together: {example}; if they are pieces, accuracies are too high: list the tracks in a table "
        "with their recordings (--group-column)"
    ]
