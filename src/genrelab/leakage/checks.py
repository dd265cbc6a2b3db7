"""Checks for what tracks have in common: a file, audio, an artist, an album, a row of features.

Each compares training tracks with test tracks, or any two tracks of a collection. Unknown values are counted, and are
never treated as clean.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from itertools import combinations, islice, product
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from genrelab.core.errors import printable
from genrelab.core.text import pluralize
from genrelab.features.fingerprint import Fingerprint
from genrelab.identity.groups import connected_groups
from genrelab.identity.recordings import is_perhaps
from genrelab.leakage.near_duplicates import MIN_LANDMARKS, NearDuplicate, find_near_duplicates
from genrelab.records.prepared import AUDIT_FILE, FINGERPRINTS_FILE, Prepared
from genrelab.splits.track_table import artist_key

SCHEMA = 1
MAX_LISTED_PAIRS = 200  # listed per check; `n_pairs` counts all

ANY_ALBUM = re.compile(
    r"\W*((the|my|very) )*(greatest hits|best of|hits|singles?|collection|compilation|various|soundtrack|live"
    r"|demos?|e\.?p|lp|untitled|unknown|album|music|none|n/?a)\b"
)
"""Titles that albums of different artists share."""

NO_FINGERPRINTS = "near-duplicates and copies with other tags were not checked: run the same `prepare` again"

SharedPair = tuple[int, int, str, float | None, float | None]
"""A pair: index of a, index of b, what they share, offset_s, score."""


@dataclass(frozen=True)
class Check:
    """Result of one check: `pairs` iterates over all pairs, `two_genres` are tracks with a copy of another genre."""

    name: str
    known: int
    leaking: int
    of: int
    n_pairs: int
    pairs: Callable[[], Iterator[SharedPair]] = field(repr=False)
    note: str | None = None
    two_genres: AbstractSet[int] = frozenset()

    def to_json(self, ids: Sequence[str]) -> dict[str, Any]:
        """The check as it is written into an audit."""
        rows = islice(self.pairs(), MAX_LISTED_PAIRS)
        pairs = [{"a": ids[a], "b": ids[b], "what": w, "offset_s": o, "score": s} for a, b, w, o, s in rows]
        counts = {"known": self.known, "leaking": self.leaking, "of": self.of, "n_pairs": self.n_pairs}
        return {"name": self.name, **counts, "pairs": pairs, "note": self.note}


def copy_checks(prepared: Prepared, sides: Sides) -> list[Check]:
    """Checks for the same file under two ids, exact copies and near duplicates; in tables, for equal rows."""
    t = prepared.tracks
    if "table" in prepared.views:
        what, note = _pair_describer(t, "same features"), "a table of features has no audio to compare"
        return [shared_key_check("same_features", _feature_row_keys(prepared), sides, what, note)]
    same_track = shared_key_check("same_track", t["path"], sides, lambda a, b: "same file under two ids")
    prints, payloads = prepared.fingerprints() or (None, dict[str, str]())
    audio = _audio_keys(prepared, payloads)
    same_file, other_tags = _pair_describer(t, "same file"), _pair_describer(t, "same audio with other tags")
    same_audio = shared_key_check(
        "same_audio", audio, sides,
        lambda a, b: (same_file if t["sha256"][a] == t["sha256"][b] else other_tags)(a, b),
        None if prints is not None else "copies with other tags were not checked",
    )  # fmt: skip
    same_audio = replace(same_audio, two_genres=_two_genres(audio, t["genre"], sides))
    return [same_track, same_audio, _near_duplicate_check(prepared, sides, audio, prints)]


def copy_groups(prepared: Prepared, checks: Sequence[Check]) -> list[list[int]]:
    """Tracks that hold the same recording, by file, audio or fingerprint, or have equal rows in a table of features.

    Groups of two or more, each in order.
    """
    if "table" in prepared.views:
        rows = [() if key is None else (key,) for key in _feature_row_keys(prepared)]
        return _members(connected_groups(len(prepared), rows))
    _, payloads = prepared.fingerprints() or ([], dict[str, str]())
    pairs = [(a, b) for check in checks if check.name == "near_duplicate" for a, b, *_ in check.pairs()]
    keyings = [
        [() if k is None or status != "ok" else (k,) for k, status in zip(keys, prepared.tracks["status"], strict=True)]
        for keys in (prepared.tracks["path"], _audio_keys(prepared, payloads))
    ]
    return _members(connected_groups(len(prepared), *keyings, pairs=pairs))


def _members(group: Sequence[int]) -> list[list[int]]:
    members: dict[int, list[int]] = defaultdict(list)
    for i, g in enumerate(group):
        members[g].append(i)
    return [tracks for tracks in members.values() if len(tracks) > 1]


def _audio_keys(prepared: Prepared, payloads: Mapping[str, str]) -> list[str | None]:
    """SHA-256 of each track's audio without tags, or of its file if that is unknown."""
    t = prepared.tracks
    return [payloads.get(i) or sha for i, sha in zip(t["track_id"], t["sha256"], strict=True)]


def shared_key_check(
    name: str, keys: Sequence[str | None], sides: Sides, what: Callable[[int, int], str], note: str | None = None
) -> Check:
    """The check for tracks of both sides with the same key. Its pairs are counted without writing out every one.

    Args:
        keys: by track; None where unknown, which equals no other.
        what: called with a pair; returns what they share.
    """
    groups = _shared_key_groups(keys, sides)
    known = sum(keys[i] is not None for i in sides.scored)
    leaking = len({i for _, scored in groups for i in scored})
    if sides.within_collection:
        n_pairs = sum(len(a) * (len(a) - 1) // 2 for a, _ in groups)
    else:
        n_pairs = sum(len(a) * len(b) for a, b in groups)

    def pairs() -> Iterator[SharedPair]:
        for learned, scored in groups:
            for a, b in combinations(learned, 2) if sides.within_collection else product(learned, scored):
                yield a, b, what(a, b), None, None

    return Check(name, known, leaking, len(sides.scored), n_pairs, pairs, note)


def _two_genres(keys: Sequence[str | None], genres: Sequence[str | None], sides: Sides) -> frozenset[int]:
    """Test tracks with the key of a training track of another genre."""
    found: set[int] = set()
    for learned, scored in _shared_key_groups(keys, sides):
        named = {genres[i] for i in learned} - {None}
        found.update(i for i in scored if genres[i] is not None and named - {genres[i]})
    return frozenset(found)


def artist_and_album_checks(prepared: Prepared, sides: Sides) -> list[Check]:
    """Checks for pieces of one recording, the same artist and the same album."""
    t = prepared.tracks
    artists = [artist_key(a) for a in t["artist"]]
    albums = [_album_key(*of) for of in zip(t["artist"], t["album"], t["path"], strict=True)]

    def note(what: str, keys: Sequence[str | None]) -> str | None:
        unknown = sum(keys[i] is None for i in sides.learned | sides.scored)
        n = pluralize(len(sides.learned) + len(sides.scored), "track")
        return f"{what} are unknown for {unknown:,} of {n}" if unknown else None

    return [
        *_piece_checks(prepared, sides),
        shared_key_check(
            "same_artist", artists, sides, lambda a, b: printable(str(t["artist"][b])), note("artists", artists)
        ),
        shared_key_check(
            "same_album", albums, sides, lambda a, b: printable(str(t["album"][b])), note("albums", albums)
        ),
    ]


def _piece_checks(prepared: Prepared, sides: Sides) -> Iterator[Check]:
    """Checks for pieces of one recording, and for tracks that are only numbered like pieces; none without any."""
    recordings = prepared.tracks["recording"]
    for name, perhaps in (("same_recording", False), ("numbered_alike", True)):
        keys = [key if key is not None and is_perhaps(key) == perhaps else None for key in recordings]
        if any(key is not None for key in keys):
            found = shared_key_check(name, keys, sides, lambda a, b: "pieces of one recording")
            yield replace(found, known=found.of)


def _album_key(artist: str | None, album: str | None, path: str | None) -> str | None:
    """Key of an album. Without an artist the title must not be a common one, and the files must share a folder."""
    title, by = artist_key(album), artist_key(artist)
    if title is None:
        return None
    if by is not None:
        return f"{by}\n{title}"
    if path is None or ANY_ALBUM.match(title):
        return None
    return f"\n{PurePosixPath(path).parent}\n{title}"


def _pair_describer(tracks: Mapping[str, Sequence[Any]], what: str) -> Callable[[int, int], str]:
    def describe(a: int, b: int) -> str:
        genres = [tracks["genre"][i] for i in (a, b)]
        if None in genres or genres[0] == genres[1]:
            return what
        return f"{what}, labelled {printable(genres[0])} and {printable(genres[1])}"

    return describe


def _feature_row_keys(prepared: Prepared) -> list[str | None]:
    """By track, a hash of its row of a table; None if all values are equal: failed extractions leave such rows."""
    ids, _, _, values = prepared.features("table")
    varied = values.min(axis=1) < values.max(axis=1) if values.shape[1] else np.zeros(len(ids), np.bool_)
    of = {i: hashlib.sha256(row.tobytes()).hexdigest() for i, row, ok in zip(ids, values, varied, strict=True) if ok}
    return [of.get(i) for i in prepared.tracks["track_id"]]


def _near_duplicate_check(
    prepared: Prepared, sides: Sides, audio: Sequence[str | None], prints: Sequence[Fingerprint] | None
) -> Check:
    """Near-duplicates that are not exact copies; `prints`: the preparation's fingerprints, None if unknown."""
    of = len(sides.scored)
    if prints is None:
        return Check("near_duplicate", 0, 0, of, 0, lambda: iter(()), NO_FINGERPRINTS)
    comparable = {p.track_id for p in prints if len(p.landmarks) >= MIN_LANDMARKS}
    index = {t: i for i, t in enumerate(prepared.tracks["track_id"])}
    what = _pair_describer(prepared.tracks, "may be the same recording")
    rows: list[SharedPair] = []
    stored = _stored_pairs(prepared)
    for pair in find_near_duplicates(prints) if stored is None else stored:
        a, b, offset = index[pair.a], index[pair.b], pair.offset_s
        if not (a in sides.learned and b in sides.scored):
            a, b, offset = b, a, -offset
        if a in sides.learned and b in sides.scored and (audio[a] is None or audio[a] != audio[b]):
            rows.append((a, b, what(a, b), offset, pair.score))
    leaking = {i for a, b, *_ in rows for i in ((a, b) if sides.within_collection else (b,))}
    known = sum(prepared.tracks["track_id"][i] in comparable for i in sides.scored)
    note = None if known == of else f"{pluralize(of - known, 'track')} too short or too uniform to compare"
    return Check("near_duplicate", known, len(leaking), of, len(rows), lambda: iter(rows), note)


def _stored_pairs(prepared: Prepared) -> list[NearDuplicate] | None:
    """The pairs that `prepare` found in the same fingerprints; None unless all of them are listed."""
    try:
        held = prepared.folder.read_json(AUDIT_FILE)
        (check,) = (c for c in held["checks"] if c["name"] == "near_duplicate")
        if (
            held["fingerprints"] != fingerprints_of(prepared)
            or held["schema"] != SCHEMA
            or check["n_pairs"] > MAX_LISTED_PAIRS
        ):
            return None
        return [NearDuplicate(p["a"], p["b"], p["offset_s"], p["score"]) for p in check["pairs"]]
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return None


def fingerprints_of(prepared: Prepared) -> str | None:
    """SHA-256 of the preparation's fingerprints; None without any."""
    sha256: str | None = prepared.about.get("files", {}).get(FINGERPRINTS_FILE)
    return sha256


# --- Tracks with something in common, counted and listed without storing every pair ---


@dataclass(frozen=True)
class Sides:
    """Tracks that must have nothing in common: training (learned) and test (scored) tracks, or any two tracks."""

    learned: AbstractSet[int]
    scored: AbstractSet[int]

    @property
    def within_collection(self) -> bool:
        """Are any two tracks of a collection compared?"""
        return self.learned is self.scored


def _shared_key_groups(keys: Sequence[object | None], sides: Sides) -> list[tuple[list[int], list[int]]]:
    """Groups of (learned, scored) tracks with the same key; for a whole collection both are the same."""
    by_key: dict[object, list[int]] = defaultdict(list)
    for i in sorted(sides.learned | sides.scored):
        if keys[i] is not None:
            by_key[keys[i]].append(i)
    groups = [
        ([i for i in members if i in sides.learned], [i for i in members if i in sides.scored])
        for members in by_key.values()
    ]
    return [(a, b) for a, b in groups if (len(a) > 1 if sides.within_collection else a and b)]
