"""Which tracks are pieces of one recording: as stated, else by names such as `blues.00000.0` and `song (part 2)`.

Pieces of one recording are nearly the same track: learned from and scored at once they make any model look good. Names
prove nothing, so only patterns count that plain numbering of songs does not have.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from genrelab.core.text import join_first, pluralize
from genrelab.identity.genre_names import spelling_key

MIN_FILLED = 0.7
"""Of the numbers from 0 or 1 to the last piece so many must be there, where the numbers alone are the sign."""

MAX_PIECES = 20
"""A longer run that is most of its genre, and the only one there, may as well be numbered songs."""

_SONGS_TEXT = (
    "audio chunk clip data demo excerpt file frame instance item mp3 part piece piste pt rec recording sample section "
    "segment slice snippet song sound split spur take teil test titel title track untitled unknown wav window"
)
SONGS = frozenset(_SONGS_TEXT.split())
"""Words before a number that counts songs: `track 07`."""

_PARTS_OF_WORKS_TEXT = (
    "act bwv cd chapter concerto day disc disk ep episode etude hob kv live mix movement mvt no nocturne nr num number "
    "op opus prelude quartet remix scene season session side sonata suite symphony top v ver version vol volume woo "
    "year"
)
PARTS_OF_WORKS = frozenset(_PARTS_OF_WORKS_TEXT.split())
"""Words before a number that counts works, discs or versions: `Symphony No. 5`."""

_SUFFIX = re.compile(
    r"\.(?:aac|ac3|aiff?|amr|ape|au|flac|m4a|mka|mp[1-4]|og[ag]|opus|w64|wave?|webm|wma|wv|csv|json|np[yz]|png|jpe?g)$",
    re.IGNORECASE,
)
"""Of audio, and of files with the features or the picture of a piece."""

_PIECE = (
    r"(?:part|pt|teil|partie|parte|seg|segment|chunk|clip|slice|split|snippet|excerpt|piece|window|frame|section)s?"
)
_SPACE = r"[\s._\-#]"
_S = r"\s*(?:ms|s|sec|secs|seconds)"
_DATE = re.compile(r"(?:19|20)\d\d[\W_]?[01]?\d$")
_NUMBER = r"\d+(?:\.\d+)?"


@dataclass(frozen=True)
class Recordings:
    """The recording of each track, None for one by itself, and what was found, one sentence each."""

    of: tuple[str | None, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Piece:
    """A track whose name fits a pattern: the recording's part of it, and the numbers of the piece."""

    track: int
    stem: str
    numbers: tuple[float, ...]


@dataclass(frozen=True)
class _Pattern:
    """A form of names, and when tracks of one stem are pieces of one recording."""

    form: re.Pattern[str]
    accepts: Callable[[str, str | None], bool]
    are_pieces: Callable[[list[_Piece]], bool]
    only_sign: bool = False  # numbers alone: songs may be numbered so, too


def find_recordings(
    names: Sequence[str], genres: Sequence[str | None], stated: Sequence[str | None] | None = None
) -> Recordings:
    """The tracks that are pieces of one recording.

    Args:
        names: path below ROOT, or id, of each track.
        genres: of each track: a number for each track of a genre (`rock_01`) is no sign of pieces.
        stated: the recording where it is known, such as from a column; names are looked at where it is not.
    """
    known = {i: key for i, key in enumerate(stated or ()) if key is not None}
    by_name: dict[int, str] = {}
    unsure: list[list[_Piece]] = []
    for pattern in _PATTERNS:
        left = [i for i in range(len(names)) if i not in known and i not in by_name]
        groups = _groups(pattern, names, genres, left)
        if pattern.only_sign:
            groups, maybe = _without_plain_numbering(groups, genres)
            unsure += maybe
        by_name |= {piece.track: _key(names, group) for group in groups for piece in group}
    notes = [*_stated_note(known), *_name_note(names, by_name), *_unsure_note(names, unsure)]
    return Recordings(tuple(known.get(i) or by_name.get(i) for i in range(len(names))), tuple(notes))


def _groups(
    pattern: _Pattern, names: Sequence[str], genres: Sequence[str | None], tracks: Sequence[int]
) -> list[list[_Piece]]:
    """Tracks of one folder, stem and genre that are pieces by this pattern."""
    found: dict[tuple[str, str, str | None], list[_Piece]] = defaultdict(list)
    for i in tracks:
        path = PurePosixPath(names[i].replace("\\", "/"))
        fits = pattern.form.match(_SUFFIX.sub("", path.name))
        if fits is None:
            continue
        stem = fits["stem"].strip(" ._-(") if "stem" in fits.re.groupindex else path.parent.name
        if pattern.accepts(stem, genres[i]):
            numbers = tuple(_value(text) for name, text in fits.groupdict().items() if name != "stem" and text)
            found[str(path.parent), stem.casefold(), genres[i]].append(_Piece(i, stem, numbers))
    groups = [g for g in found.values() if len(g) > 1 and len({p.numbers for p in g}) == len(g)]
    # Where pieces are missing, many recordings together show how they were numbered.
    shared = pattern.only_sign and len(groups) > 2 and pattern.are_pieces([p for group in groups for p in group])
    return [group for group in groups if shared or pattern.are_pieces(group)]


def _without_plain_numbering(
    groups: list[list[_Piece]], genres: Sequence[str | None]
) -> tuple[list[list[_Piece]], list[list[_Piece]]]:
    """Groups beside which their genre has other tracks; and those that are (nearly) all of it: songs, or pieces?

    A stem that several genres have is plain numbering: neither.
    """
    sizes = Counter(genres)
    spread: dict[str, set[str | None]] = defaultdict(set)
    for group in groups:
        spread[group[0].stem.casefold()].add(genres[group[0].track])
    own = [group for group in groups if len(spread[group[0].stem.casefold()]) == 1]
    runs = Counter(genres[group[0].track] for group in own)

    def may_be_songs(group: list[_Piece]) -> bool:
        genre = genres[group[0].track]
        only_run = runs[genre] == 1 and len(group) > MAX_PIECES and 2 * len(group) > sizes[genre]
        return only_run or len(group) == sizes[genre]

    unsure = [group for group in own if may_be_songs(group)]
    return [group for group in own if group not in unsure], unsure


# --- Which stems a pattern takes ---


def _names_something(stem: str, genre: str | None) -> bool:
    """Is it more than a word for any song, and not the genre?"""
    words = re.findall(r"[^\W\d_]+|\d+", stem.casefold())
    return bool(words) and not SONGS.issuperset(words) and spelling_key(stem) != spelling_key(genre or "")


def _names_a_song(stem: str, genre: str | None) -> bool:
    """Is it what one song may be called, and its last word none after which songs or works are numbered?"""
    words = re.findall(r"[^\W\d_]+", stem.casefold())
    counts = bool(words) and words[-1] in SONGS | PARTS_OF_WORKS
    return len("".join(words)) > 1 and not counts and not _DATE.search(stem) and _names_something(stem, genre)


def _ends_with_number(stem: str, genre: str | None) -> bool:
    """Is it a numbered song (`blues.00000`, `track 12`), and neither a date nor a disc?"""
    ends = re.search(r"(?P<word>[^\W\d_]*)[\W_]*(?P<number>\d+)$", stem.casefold())
    if ends is None or ends["word"] in PARTS_OF_WORKS or _DATE.search(stem):
        return False
    return any(c.isalpha() for c in stem) or len(ends["number"]) > 2


def _is_no_genre_folder(folder: str, genre: str | None) -> bool:
    return bool(folder) and spelling_key(folder) != spelling_key(genre or "")


# --- When tracks of one stem are pieces ---


def _always(group: list[_Piece]) -> bool:
    return True


def _is_run(group: list[_Piece]) -> bool:
    """Are they numbered from 0 or 1 on, with few gaps?"""
    numbers = {piece.numbers[0] for piece in group}
    return min(numbers) <= 1 and len(numbers) >= MIN_FILLED * (max(numbers) - min(numbers) + 1)


def _are_starts(group: list[_Piece]) -> bool:
    """Are they 0, 30 and 60, or 30, 60 and 90? `Hits of the 70s` and of the 80s are not."""
    starts = sorted(piece.numbers[0] for piece in group)
    step = starts[1] if starts[0] == 0 else starts[0]
    return all(abs(start / step - round(start / step)) < 1e-6 for start in starts)


def _are_stretches(group: list[_Piece]) -> bool:
    """Have all one length above 0?"""
    lengths = {round(piece.numbers[1] - piece.numbers[0], 2) for piece in group}
    return len(lengths) == 1 and min(lengths) > 0


def _form(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


_PATTERNS = (
    # song (part 2), song_chunk_07, song.seg3, song pt. II
    _Pattern(
        _form(
            rf"(?P<stem>.*?\w){_SPACE}*[\s._\-(\[]\s*{_PIECE}(?:{_SPACE}*(?P<n>\d{{1,5}})|{_SPACE}+(?P<r>[ivx]{{1,4}}|[a-h]))"
            r"(?:\s*(?:of|/|von|de|sur)\s*\d+)?\s*[)\]]?$"
        ),
        _names_something,
        _always,
    ),
    # track-3s-7
    _Pattern(_form(rf"(?P<stem>.+?){_SPACE}+{_NUMBER}{_S}{_SPACE}+(?P<n>\d{{1,5}})$"), _is_no_genre_folder, _always),
    # song_0-30, song_30-60
    _Pattern(
        _form(rf"(?P<stem>.+?)[\s._\-@(\[]+(?P<n>{_NUMBER})\s*s?\s*(?:-|_|–|to)\s*(?P<end>{_NUMBER})\s*s?[)\]]?$"),
        _names_something,
        _are_stretches,
    ),
    # song_0s, song_30s, song_start60s
    _Pattern(
        _form(rf"(?P<stem>.+?)[\s._\-@]+(?:t|at|start|from|offset)?{_SPACE}*(?P<n>{_NUMBER}){_S}$"),
        _names_something,
        _are_starts,
    ),
    # blues.00000.0
    _Pattern(_form(r"(?P<stem>.*?[^\s._\-(\[#])[\s._\-(\[#]+(?P<n>\d{1,5})\s*[)\]]?$"), _ends_with_number, _always),
    # a folder for each song: song/0, song/part1
    _Pattern(_form(rf"(?:{_PIECE}{_SPACE}*)?(?P<n>\d{{1,5}})$"), _is_no_genre_folder, _is_run, only_sign=True),
    # song_01, song [2]
    _Pattern(
        _form(r"(?P<stem>.*?[^\s._\-(\[#])[\s._\-(\[#]+(?P<n>\d{1,5})\s*[)\]]?$"),
        _names_a_song,
        _is_run,
        only_sign=True,
    ),
    # 0_song, 1_song
    _Pattern(_form(r"(?P<n>\d{1,5})[\s._\-]+(?P<stem>.*[^\W\d_].*)$"), _names_a_song, _is_run, only_sign=True),
)
"""The surest first. A track counts for the first pattern by which it is a piece."""

_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6, "vii": 7, "viii": 8, "ix": 9, "x": 10}


def _value(text: str) -> float:
    """`07`, `1.5`, `iv` or `b` as a number."""
    if text[0].isdigit():
        return float(text)
    return _ROMAN.get(text.casefold(), ord(text[0].casefold()) - ord("a") + 1)


def _key(names: Sequence[str], group: list[_Piece]) -> str:
    """A name for a recording: that of its first piece, which no other recording has."""
    return names[min(group, key=lambda piece: piece.numbers).track]


# --- notes ---


def _stated_note(known: dict[int, str]) -> list[str]:
    sizes = Counter(known.values())
    pieces = sum(n for n in sizes.values() if n > 1)
    n = sum(size > 1 for size in sizes.values())
    return [f"{pluralize(pieces, 'track')} stated to be pieces of {pluralize(n, 'recording')}"] if pieces else []


def _name_note(names: Sequence[str], by_name: dict[int, str]) -> list[str]:
    if not by_name:
        return []
    n = len(set(by_name.values()))
    first = next(iter(by_name.values()))
    example = join_first([names[i] for i, key in by_name.items() if key == first], most=3)
    return [
        f"{pluralize(by_name, 'track')} are pieces of {pluralize(n, 'recording')} by their names ({example}): those of "
        f"one recording stay together in every split; {pluralize(len(names) - len(by_name) + n, 'recording')} in all"
    ]


def _unsure_note(names: Sequence[str], unsure: list[list[_Piece]]) -> list[str]:
    if not unsure:
        return []
    n = sum(map(len, unsure))
    example = " … ".join(names[unsure[0][i].track] for i in (0, -1))
    return [
        f"{n:,} tracks are numbered as pieces of one recording may be ({example}): if they are, every figure is too "
        "high until a column of a table names their recordings (--group-column)"
    ]
