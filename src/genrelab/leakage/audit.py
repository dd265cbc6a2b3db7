"""Audits: what is on both sides of a split, and which tracks of a collection are copies of each other.

An audit is a JSON object: `checks` with counts and the first pairs, a `verdict`, and `sentences` for people. In the
audit of a split `a` is a track that was learned from (role fit or choose) and `b` a scored one; in that of a
preparation they are any two tracks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any

from genrelab.core.errors import SplitError, printable
from genrelab.core.text import join_first, pluralize
from genrelab.datasets.exclusions import Exclusion
from genrelab.leakage.checks import (
    MAX_LISTED_PAIRS,
    SCHEMA,
    Check,
    Sides,
    artist_and_album_checks,
    copy_checks,
    copy_groups,
    fingerprints_of,
)
from genrelab.records.prepared import AUDIT_FILE, Prepared
from genrelab.splits.split import Split
from genrelab.splits.track_table import artist_key

FILE = AUDIT_FILE
"""Name of an audit in PREPARED and RUN."""

EXACT = ("same_track", "same_audio")
"""Checks that find exact copies: they stop a training unless --allow-leaks. Equal rows of features are only reported:
a table does not tell which recordings they are of, and published tables have such rows."""

LEAKS = {
    "same_recording": "from a recording of which another piece was learned from",
    "numbered_alike": "from a recording of which another piece was learned from: their names have such numbers",
    "same_track": "learned from, too: the same file under another id",
    "same_audio": "learned from, too, as an exact copy",
    "same_features": "learned from, too, as an equal row of features",
    "near_duplicate": "learned from, too, in another encoding or excerpt",
    "same_artist": "by an artist that was learned from",
    "same_album": "from an album that was learned from",
}
"""`3 of 76 scored tracks are` …, or of near duplicates `may be` …"""

COPIES = {
    "same_track": "the same file as another, under two ids",
    "same_audio": "exact copies of another",
    "same_features": "equal to another in every feature",
    "near_duplicate": "the same recording as another, in another encoding or excerpt",
}
"""`4 of 306 tracks are` …"""

SHARED = {
    "same_recording": "recording", "numbered_alike": "recording", "same_artist": "artist", "same_album": "album",
    "same_track": "file",
    "same_audio": "audio",
    "near_duplicate": "recording", "same_features": "row of features",
}  # fmt: skip
"""`None of 76 scored tracks shares its` …"""

RECORDINGS = ("same_recording", "numbered_alike", "same_track", "same_audio", "near_duplicate")
"""Checks for the same recording: where one of them finds something, none of them is reported as clean."""

MAX_PAIRS_NAMED = 3  # pairs in a sentence
SENTENCES_VERSION = 3  # raise it when sentences change, so that `prepare` writes them again


def audit_run(prepared: Prepared, split: Split) -> dict[str, Any]:
    """Audit of what the scored tracks of a split share with those that are learned from."""
    sides = _sides(split)
    checks = [*artist_and_album_checks(prepared, sides), *copy_checks(prepared, sides)]
    tracks = sides.learned | sides.scored
    sentences = [
        *_leak_sentences(checks, prepared),
        *_unknown_sentences(checks, prepared, tracks, "may stand on both sides unnoticed"),
    ]
    return {
        "schema": SCHEMA, "split": split.policy, "n_scored": len(sides.scored), "n_learned": len(sides.learned),
        **_checks_and_verdict(checks, prepared), "sentences": sentences,
    }  # fmt: skip


def audit_prepared(prepared: Prepared) -> dict[str, Any]:
    """Audit of which tracks of a preparation are copies of each other, whatever the split will be."""
    tracks = {i for i, status in enumerate(prepared.tracks["status"]) if status == "ok"}
    checks = copy_checks(prepared, Sides(tracks, tracks))
    unknown = _unknown_sentences(checks, prepared, tracks, "may come to stand on both sides of a split")
    return {
        "schema": SCHEMA, "split": None, "n_scored": 0, "n_learned": 0,
        **_checks_and_verdict(checks, prepared), "sentences": [*_copy_sentences(checks, prepared), *unknown],
        "fingerprints": fingerprints_of(prepared), "copies": copy_groups(prepared),
        "inputs": prepared.about["fingerprint"], "key": audit_key(prepared),
    }  # fmt: skip


def audit_key(prepared: Prepared) -> str:
    """Hash of all that `audit_prepared` depends on: equal where its result would be the same."""
    t = prepared.tracks
    content = [
        SCHEMA,
        SENTENCES_VERSION,
        prepared.about["fingerprint"],
        fingerprints_of(prepared),
        t["path"],
        t["artist"],
        t["genre"],
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def refuse_copies(found: Mapping[str, Any], *, allow: bool, where: str, manifest: str = "FILE") -> None:
    """Stop where an exact copy of a scored track, or another piece of its recording, is learned from.

    Args:
        found: the result of `audit_run`.
        allow: continue anyway (`--allow-leaks`).
        where: start of the message, such as `the official split`.
        manifest: file with the rows of `suggest_exclusions`.

    Raises:
        SplitError: there is one; the message names the first pairs and the remedies.
    """
    if allow:
        return
    for check in found["checks"]:
        if check["name"] == "same_recording" and check["leaking"]:
            raise SplitError(
                f"{where}: {check['leaking']:,} of {pluralize(found['n_scored'], 'scored track')} "
                f"{_is(check['leaking'])} from a recording of which another piece is learned from "
                f"({_named_pairs([check])}): use "
                "--split artist or random, which keep a recording on one side; name the recordings with --group-column "
                "if their names mislead; or go on with --allow-leaks"
            )
    exact = [c for c in found["checks"] if c["name"] in EXACT and c["leaking"]]
    if not exact:
        return
    n = max(c["leaking"] for c in exact)
    raise SplitError(
        f"{where}: {n:,} of {pluralize(found['n_scored'], 'scored track')} {_is(n)} learned from, too, "
        f"as an exact copy ({_named_pairs(exact)}): leave the copies out with `prepare --exclude {manifest}`, or go on "
        "with --allow-leaks"
    )


def _named_pairs(checks: Sequence[Mapping[str, Any]]) -> str:
    pairs = {(p["a"], p["b"]): None for c in checks for p in c["pairs"]}
    named = ", ".join(f"{printable(a)} = {printable(b)}" for a, b in islice(pairs, 3))
    return f"{named}, …" if len(pairs) > 3 else named


def suggest_exclusions(prepared: Prepared, split: Split) -> list[Exclusion]:
    """Rows for `prepare --exclude` that would remove the copies from a split.

    In the official split the learned copy is excluded, so that the scored part stays as published. Any other split is
    drawn again when tracks are excluded, so of all copies only the first is kept, and of one recording under two
    genres none.
    """
    t = prepared.tracks
    published = split.policy == "official"
    used = {i for i, role in enumerate(split.roles) if role != "none"}
    rows: dict[int, Exclusion] = {}
    for check in copy_checks(prepared, _sides(split) if published else Sides(used, used)):
        for a, b, what, _, _ in check.pairs():
            excluded, kept = (a, b) if published else (max(a, b), min(a, b))
            both = not published and a in check.two_genres and t["genre"][a] != t["genre"][b]
            for i, other in ((excluded, kept), (kept, excluded)) if both else ((excluded, kept),):
                reason = f"{what} as {t['track_id'][other]}{', which is scored' if published else ''}"
                rows.setdefault(i, Exclusion(t["track_id"][i], t["path"][i] or "", reason))
    return [rows[i] for i in sorted(rows)]


def _sides(split: Split) -> Sides:
    learned = {i for i, role in enumerate(split.roles) if role in ("fit", "choose")}
    return Sides(learned, {i for i, role in enumerate(split.roles) if role == "score"})


def _checks_and_verdict(checks: Sequence[Check], prepared: Prepared) -> dict[str, Any]:
    """The verdict is `unknown` where nothing leaks, and artists or recordings could be compared for no track at all."""
    if any(c.leaking for c in checks):
        verdict = "leaks"
    else:
        unknown = any(c.of and not c.known for c in checks if c.name not in ("same_album", "same_track"))
        verdict = "unknown" if unknown else "clean"
    return {"checks": [c.to_json(prepared.tracks["track_id"]) for c in checks], "verdict": verdict}


# --- sentences ---


def _leak_sentences(checks: Sequence[Check], prepared: Prepared) -> list[str]:
    of = checks[0].of
    found = _finding_sentences(checks, prepared, "scored track", LEAKS)
    same_recording = any(c.leaking for c in checks if c.name in RECORDINGS)
    clean = [c for c in checks if c.known and not c.leaking and not (same_recording and c.name in RECORDINGS)]
    if clean:
        known = "" if all(c.known == of for c in clean) else ", as far as that is known"
        shared = f"shares its {_shared(clean)} with a track that was learned from"
        found.append(f"None of the {pluralize(of, 'scored track')} {shared}{known}.")
    return found


def _finding_sentences(checks: Sequence[Check], prepared: Prepared, thing: str, words: Mapping[str, str]) -> list[str]:
    """One sentence for each check that found something; recordings under two genres first."""
    return [
        *_two_genre_sentences(checks, prepared, thing),
        *(
            f"{c.leaking:,} of {pluralize(checks[0].of, thing)} {_verb(c)} {words[c.name]}{_first_pairs(c, prepared)}."
            for c in checks
            if c.leaking
        ),
    ]


def _copy_sentences(checks: Sequence[Check], prepared: Prepared) -> list[str]:
    of = checks[0].of
    found = _finding_sentences(checks, prepared, "track", COPIES)
    clean = [c for c in checks if c.known]
    if found or not of or not clean:
        return found
    return [f"No two of {pluralize(of, 'track')} share their {_shared(clean)}."]


def _two_genre_sentences(checks: Sequence[Check], prepared: Prepared, what: str) -> list[str]:
    """Sentences on recordings under two genres: what matters most, since one of the labels is wrong."""
    genres = prepared.tracks["genre"]
    return [
        f"{len(c.two_genres):,} of {pluralize(c.of, what)} {_is(len(c.two_genres))} one recording under two genres "
        f"(decide which is right){_first_pairs(c, prepared, lambda a, b: genres[a] != genres[b])}."
        for c in checks
        if c.two_genres
    ]


def _unknown_sentences(checks: Sequence[Check], prepared: Prepared, tracks: AbstractSet[int], danger: str) -> list[str]:
    reported = ("near_duplicate", "same_features")
    found = [f"{c.note[:1].upper()}{c.note[1:]}." for c in checks if c.note and c.name in reported]
    unknown = sum(artist_key(prepared.tracks["artist"][i]) is None for i in tracks)
    if unknown:
        some_or_all = "all" if unknown == len(tracks) else f"{unknown:,} of"
        found.append(
            f"Artists are unknown for {some_or_all} {pluralize(tracks, 'track')}, so the same artist {danger}."
        )
    return found


def _first_pairs(check: Check, prepared: Prepared, wanted: Callable[[int, int], bool] | None = None) -> str:
    """The first pairs, of near duplicates with their score; of artists and albums, the first of those."""
    ids = prepared.tracks["track_id"]
    if check.name in ("same_artist", "same_album"):
        named = list(dict.fromkeys(what for _, _, what, _, _ in islice(check.pairs(), MAX_LISTED_PAIRS)))
        return (
            f" ({join_first(named, most=MAX_PAIRS_NAMED)})"
            if check.n_pairs <= MAX_LISTED_PAIRS
            else f" ({', '.join(named[:MAX_PAIRS_NAMED])}, …)"
        )
    rows = ((*row[:2], row[4]) for row in check.pairs() if wanted is None or wanted(*row[:2]))
    pairs = [_format_pair(ids[a], ids[b], score) for a, b, score in islice(rows, MAX_PAIRS_NAMED)]
    if wanted is not None:
        return f": {', '.join(pairs)}{', …' if next(rows, None) else ''}"
    more = f" and {pluralize(check.n_pairs - MAX_PAIRS_NAMED, 'more pair')}" if check.n_pairs > MAX_PAIRS_NAMED else ""
    return f": {', '.join(pairs)}{more}"


def _format_pair(a: str, b: str, score: float | None) -> str:
    alike = "=" if score is None else "~"
    return printable(f"{a} {alike} {b}") + (f" ({score:.0%} alike)" if score is not None else "")


def _verb(check: Check) -> str:
    """`may be` for near duplicates and numbers: landmarks that match are no proof, however many, nor are names."""
    return "may be" if check.name in ("near_duplicate", "numbered_alike") else _is(check.leaking)


def _is(n: int) -> str:
    return "is" if n == 1 else "are"


def _shared(checks: Sequence[Check]) -> str:
    """What the checks are about: `file, audio or recording`."""
    *most, last = dict.fromkeys(SHARED[check.name] for check in checks)
    return f"{', '.join(most)} or {last}" if most else last
