"""Patterns of the names of pieces, and when tracks with such names are pieces of one recording."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from genrelab.identity.genre_names import spelling_key

MIN_FILLED = 0.7
"""Minimum share of the numbers from 0 or 1 to the last piece that must exist if numbers are the only sign."""

MAX_NAME = 255
"""Longer names are not file names, and are ignored."""

_SONGS_TEXT = (
    "audio chunk clip clips data demo excerpt file files frame instance item mp3 music part piece piste pt rec "
    "recording recordings sample samples section segment segments slice snippet song songs sound sounds split spur "
    "take teil test titel title track tracks untitled unknown wav window"
)
SONGS = frozenset(_SONGS_TEXT.split())
"""Words before a number that counts songs: `track 07`."""

_PARTS_OF_WORKS_TEXT = (
    "act bwv caprice cd chapter concerto day disc disk ep episode etude fugue hob kv live mix movement mvt no nocturne "
    "nocturnes nr num number op opus prelude quartet remix scene season session side sonata suite symphony top v "
    "variation ver version vol volume woo year"
)
PARTS_OF_WORKS = frozenset(_PARTS_OF_WORKS_TEXT.split())
"""Words before a number that counts works, discs or versions: `Symphony No. 5`."""

_SUFFIX = re.compile(
    r"\.(?:aac|ac3|aiff?|amr|ape|au|flac|m4a|mka|mp[1-4]|og[ag]|opus|w64|wave?|webm|wma|wv|csv|json|np[yz]|png|jpe?g)$",
    re.IGNORECASE,
)
"""Of audio, and of files with the features or the picture of a piece."""

_SPLIT_FOLDER = re.compile(
    r"(?:train|training|test|testing|val|valid|validation|dev|eval|(?:fold|split)[_-]?\d+)$", re.I
)
_REPEATED_SPACE = re.compile(r"([\s._\-#])\1+")
_DATE = re.compile(r"(?:19|20)\d\d[\W_]?[01]?\d$")

_PIECE = (
    r"(?:part|pt|teil|abschnitt|partie|parte|trozo|seg|segment|chunk|clip|slice|split|snippet|excerpt|piece|window|win|"
    r"frame|section)s?"
)
_SPACE = r"[\s._\-#]"
_S = r"\s?(?:ms|s|sec|secs|seconds)"
_NUMBER = r"\d{1,9}(?:\.\d{1,6})?"
_STRETCH = rf"(?P<n>{_NUMBER})(?P<unit>s?)\s?(?:-|_|–|to)\s?(?P<end>{_NUMBER})s?"
_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6, "vii": 7, "viii": 8, "ix": 9, "x": 10}


@dataclass(frozen=True)
class NamedPiece:
    """A track whose name matches a pattern: the recording's part of it, and the numbers of the piece."""

    track: int
    stem: str
    numbers: tuple[float, ...]


@dataclass(frozen=True)
class PiecePattern:
    """A pattern of names, and when tracks of one stem are pieces of one recording.

    Attributes:
        form: its group `stem` is the recording's part of a name; without one the folder's name is.
        accepts: called with (stem, genre): can the stem name a recording?
        only_numbers: numbers are the only sign; songs may have them, too.
    """

    form: re.Pattern[str]
    accepts: Callable[[str, str | None], bool]
    are_pieces: Callable[[list[NamedPiece]], bool]
    only_numbers: bool


def match_name(pattern: PiecePattern, path: PurePosixPath, track: int, genre: str | None) -> NamedPiece | None:
    """A track as a piece of this pattern; None if its name does not match."""
    name = _REPEATED_SPACE.sub(r"\1", _SUFFIX.sub("", path.name))
    fits = pattern.form.match(name) if len(name) <= MAX_NAME else None
    if fits is None:
        return None
    stem = fits["stem"].strip(" ._-(") if "stem" in pattern.form.groupindex else path.parent.name
    if not pattern.accepts(stem, genre):
        return None
    numbers = tuple(_value(text) for key, text in fits.groupdict().items() if key not in ("stem", "unit") and text)
    return NamedPiece(track, stem, numbers)


def without_split_folders(folder: PurePosixPath) -> str:
    """A folder's path without `train`, `test`, `fold1` and the like, which may separate pieces of one recording."""
    return "/".join(part for part in folder.parts if not _SPLIT_FOLDER.match(part))


def _value(text: str) -> float:
    """`07`, `1.5`, `iv` or `b` as a number."""
    if text[0].isdigit():
        return float(text)
    return _ROMAN.get(text.casefold(), ord(text[0].casefold()) - ord("a") + 1)


# --- Which stems a pattern accepts ---


def names_something(stem: str, genre: str | None) -> bool:
    """Is it more than a word for any song, and not the genre?"""
    words = re.findall(r"[^\W\d_]+|\d+", stem.casefold())
    return bool(words) and not SONGS.issuperset(words) and spelling_key(stem) != spelling_key(genre or "")


def _any_stem(stem: str, genre: str | None) -> bool:
    return bool(stem) and spelling_key(stem) != spelling_key(genre or "")


def _names_a_song(stem: str, genre: str | None) -> bool:
    """Can it be the title of one song, without a last word that numbers songs or works?"""
    words = re.findall(r"[^\W\d_]+", stem.casefold())
    counts = bool(words) and words[-1] in SONGS | PARTS_OF_WORKS
    return len("".join(words)) > 1 and not counts and not _DATE.search(stem) and names_something(stem, genre)


def _ends_with_number(stem: str, genre: str | None) -> bool:
    """Is it a numbered song (`blues.00000`, `track 12`), but not a date or disc?"""
    ends = re.search(r"(?P<word>[^\W\d_]*)[\W_]*(?P<number>\d+)$", stem.casefold())
    if ends is None or ends["word"] in PARTS_OF_WORKS or _DATE.search(stem):
        return False
    return any(c.isalpha() for c in stem) or len(ends["number"]) > 2


# --- When tracks of one stem are pieces ---


def _is_run(group: list[NamedPiece]) -> bool:
    """Are they numbered from 0 or 1, with few gaps?"""
    numbers = {piece.numbers[0] for piece in group}
    return min(numbers) <= 1 and len(numbers) >= MIN_FILLED * (max(numbers) - min(numbers) + 1)


def _is_run_or_steps(group: list[NamedPiece]) -> bool:
    """Are they numbered from 0 or 1, or do they start at 0, 30, 60 …?"""
    return _is_run(group) or (len({piece.numbers for piece in group}) > 2 and _are_starts(group))


def _is_long_run(group: list[NamedPiece]) -> bool:
    return len({piece.numbers for piece in group}) > 2 and _is_run(group)


def _are_starts(group: list[NamedPiece]) -> bool:
    """Are they 0, 30 and 60? `Hits of the 70s` and of the 80s are not."""
    first, step, *more = sorted({piece.numbers[0] for piece in group})
    last = max([step, *more])
    regular = all(abs(start / step - round(start / step)) < 1e-6 for start in more)
    return first == 0 and regular and 2 + len(more) >= MIN_FILLED * (last / step + 1)


def _are_stretches(group: list[NamedPiece]) -> bool:
    """Do all but a shorter last one have one length, or does each start where another ends? Years are not seconds."""
    stretches = sorted({piece.numbers for piece in group})
    lengths = [round(end - start, 2) for start, end in stretches]
    if min(lengths) <= 0 or max(lengths) < 2 or all(1900 <= n <= 2100 for stretch in stretches for n in stretch):
        return False
    one_length = len(set(lengths[:-1])) == 1 and lengths[-1] <= lengths[0]
    return one_length or all(a[1] == b[0] for a, b in pairwise(stretches))


def _pattern(
    form: str,
    accepts: Callable[[str, str | None], bool] = names_something,
    are_pieces: Callable[[list[NamedPiece]], bool] = lambda group: True,
    *,
    only_numbers: bool = False,
) -> PiecePattern:
    return PiecePattern(re.compile(form, re.IGNORECASE), accepts, are_pieces, only_numbers)


PATTERNS = (
    # song (part 2), song pt. II
    _pattern(
        rf"(?P<stem>.*?\w){_SPACE}?[\s._\-(\[]\s?(?:part|pt|teil|partie|parte)s?"
        rf"(?:{_SPACE}{{0,3}}(?P<n>\d{{1,5}})|{_SPACE}{{1,3}}(?P<r>[ivx]{{1,4}}|[a-h]))"
        r"(?:\s?(?:of|/|von|de|sur)\s?\d+)?\s?[)\]]?$",
        _any_stem,
    ),
    # song_chunk_07, song.seg3, blues00000seg1
    _pattern(rf"(?P<stem>.*?\w)(?:{_SPACE}?[\s._\-(\[]\s?|(?<=\d)){_PIECE}{_SPACE}{{0,3}}(?P<n>\d{{1,5}})\s?[)\]]?$"),
    # part1_song, chunk 2 - song
    _pattern(rf"{_PIECE}{_SPACE}?(?P<n>\d{{1,5}}){_SPACE}{{1,3}}(?P<stem>.+)$"),
    # song 1 of 3
    _pattern(rf"(?P<stem>.+?){_SPACE}(?P<n>\d{{1,5}})\s?of\s?\d{{1,5}}$"),
    # track-3s-7
    _pattern(rf"(?P<stem>.+?){_SPACE}{{1,3}}{_NUMBER}{_S}{_SPACE}{{1,3}}(?P<n>\d{{1,5}})$", _any_stem),
    # song_0-30, song_30-60
    _pattern(rf"(?P<stem>.+?)[\s._\-@(\[]{{1,3}}{_STRETCH}[)\]]?$", names_something, _are_stretches),
    # a folder for each song: song/0-30
    _pattern(rf"{_STRETCH}$", names_something, _are_stretches),
    # song_0s, song_30s, song_start60s
    _pattern(
        rf"(?P<stem>.+?)[\s._\-@]{{1,3}}(?:t|at|start|from|offset)?{_SPACE}?(?P<n>{_NUMBER}){_S}$",
        names_something,
        _are_starts,
    ),
    # blues.00000.0
    _pattern(r"(?P<stem>.*?[^\s._\-(\[#])[\s._\-(\[#]{1,3}(?P<n>\d{1,5})\s?[)\]]?$", _ends_with_number),
    # a folder for each song: song/segment_3
    _pattern(rf"{_PIECE}{_SPACE}?(?P<n>\d{{1,5}})$", names_something, _is_run),
    # a folder for each song, or for each album: song/0
    _pattern(r"(?P<n>\d{1,5})$", _names_a_song, _is_run, only_numbers=True),
    # song_01, song [2], song_30
    _pattern(
        r"(?P<stem>.*?[^\s._\-(\[#])[\s._\-(\[#]{1,3}(?P<n>\d{1,9})\s?[)\]]?$",
        _names_a_song,
        _is_run_or_steps,
        only_numbers=True,
    ),
    # 0_song, 1_song
    _pattern(r"(?P<n>\d{1,5})[\s._\-]{1,3}(?P<stem>.*[^\W\d_].*)$", _names_a_song, _is_run, only_numbers=True),
    # song_a, song_b, song_c
    _pattern(r"(?P<stem>.*?\w)[\s._\-(]{1,3}(?P<n>[a-h])\)?$", _names_a_song, _is_long_run, only_numbers=True),
)
"""The clearest first. A track counts for the first pattern by which it is a piece."""
