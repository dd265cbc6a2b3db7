"""Audits: what test tracks share with training tracks, and which tracks of a collection are copies of each other.

An audit is a JSON object: `checks` with counts and the first pairs, a `verdict`, and `sentences` for people. In the
audit of a split `a` is a training track (role fit or choose) and `b` a test track; in that of a preparation they are
any two tracks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from genrelab.core.errors import SplitError, printable
from genrelab.core.text import join_first, percent, pluralize
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
from genrelab.splits.split import Split, unknown_artists_note
from genrelab.splits.track_table import artist_key

FILE = AUDIT_FILE
"""Name of an audit in PREPARED and RUN."""

EXACT = ("same_track", "same_audio")
"""Checks that find exact copies, which stop a training unless --allow-leaks. Equal rows of features are only reported:
their recordings are unknown, and published tables have such rows."""

LEAKS = {
    "same_recording": "from a recording that is also in the training set",
    "numbered_alike": "from a recording that is also in the training set, judging by the numbers in the names",
    "same_track": "in the training set, too, under another id",
    "same_audio": "in the training set, too, as an exact copy",
    "same_features": "in the training set, too, as an equal row of features",
    "near_duplicate": "in the training set, too, in another encoding or as an excerpt",
    "same_artist": "by an artist who is also in the training set",
    "same_album": "from an album that is also in the training set",
}
"""`3 of 76 test tracks are` … or `may be` …: here the training set includes the validation tracks."""

COPIES = {
    "same_track": "the same file as another track",
    "same_audio": "exact copies of another track",
    "same_features": "equal to another track in every feature",
    "near_duplicate": "the same recording as another track, in another encoding or as an excerpt",
}
"""`4 of 306 tracks are` …"""

SHARED = {
    "same_recording": "recording", "numbered_alike": "recording", "same_artist": "artist", "same_album": "album",
    "same_track": "file",
    "same_audio": "audio",
    "near_duplicate": "recording", "same_features": "row of features",
}  # fmt: skip
"""`None of the 76 test tracks shares its` …"""

RECORDINGS = ("same_recording", "numbered_alike", "same_track", "same_audio", "near_duplicate")
"""Checks for the same recording: if one of them finds something, none of them is reported as clean."""

MAX_PAIRS_NAMED = 3  # pairs in a sentence
SENTENCES_VERSION = 4  # raise it when sentences change, so that `prepare` writes them again


def audit_run(prepared: Prepared, split: Split) -> dict[str, Any]:
    """Audit of what the test tracks of a split share with its training tracks."""
    sides = _sides(split)
    checks = [*artist_and_album_checks(prepared, sides), *copy_checks(prepared, sides)]
    artists = [artist_key(prepared.tracks["artist"][i]) for i in sides.learned | sides.scored]
    sentences = _leak_sentences(checks, prepared, split.scored_part)
    sentences += _uncompared(checks, "near_duplicate", "same_features")
    if not any(artists):
        sentences.append(_sentence(unknown_artists_note(split.scored_part)))
    elif None in artists:
        sentences.append(f"The artist is unknown for {artists.count(None):,} of {pluralize(artists, 'track')}.")
    return {
        "schema": SCHEMA, "split": split.policy, "n_scored": len(sides.scored), "n_learned": len(sides.learned),
        **_checks_and_verdict(checks, prepared), "sentences": sentences,
    }  # fmt: skip


def audit_prepared(prepared: Prepared) -> dict[str, Any]:
    """Audit of which tracks of a preparation are copies of each other, before any split."""
    tracks = {i for i, status in enumerate(prepared.tracks["status"]) if status == "ok"}
    checks = copy_checks(prepared, Sides(tracks, tracks))
    return {
        "schema": SCHEMA, "split": None, "n_scored": 0, "n_learned": 0,
        **_checks_and_verdict(checks, prepared),
        "sentences": [*_copy_sentences(checks, prepared), *_uncompared(checks, "near_duplicate")],
        "fingerprints": fingerprints_of(prepared), "copies": copy_groups(prepared, checks),
        "inputs": prepared.about["fingerprint"], "key": audit_key(prepared),
    }  # fmt: skip


def audit_key(prepared: Prepared) -> str:
    """Hash of all that `audit_prepared` depends on: equal if its result is the same."""
    content = [SCHEMA, SENTENCES_VERSION, prepared.about["fingerprint"], fingerprints_of(prepared)]
    content += [prepared.tracks[name] for name in ("path", "artist", "genre")]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def refuse_copies(found: Mapping[str, Any], split: Split, *, manifest: str = "FILE") -> None:
    """Stop if an exact copy of a test track, or another piece of its recording, is in the training set.

    Args:
        found: the result of `audit_run`.
        manifest: file with the rows of `suggest_exclusions`.

    Raises:
        SplitError: there is one; the message names the first pairs and the remedies.
    """
    leaking = {c["name"]: c for c in found["checks"] if c["leaking"] and c["name"] in ("same_recording", *EXACT)}
    if not leaking:
        return
    name, remedy = "same_recording", "use --split artist or random, which keep recordings together (if the names are"
    remedy += " misleading, give the recordings with `prepare --group-column`)"
    if name not in leaking:
        name = max(leaking, key=lambda n: leaking[n]["leaking"])
        remedy = f"leave the copies out with `prepare --exclude {manifest}`"
    n = leaking[name]["leaking"]
    pairs = {(p["a"], p["b"]): None for c in leaking.values() for p in c["pairs"] if name in (c["name"], *EXACT)}
    named = ", ".join(f"{printable(a)} = {printable(b)}" for a, b in islice(pairs, MAX_PAIRS_NAMED))
    raise SplitError(
        f"the {split.policy} split: {n:,} of {pluralize(found['n_scored'], f'{split.scored_part} track')} {_is(n)} "
        f"{LEAKS[name]} ({named}{', …' if len(pairs) > MAX_PAIRS_NAMED else ''}): {remedy}, or train with --allow-leaks"
    )


def suggest_exclusions(prepared: Prepared, split: Split) -> list[Exclusion]:
    """Rows for `prepare --exclude` that would remove the copies from a split.

    In the official split the training copy is excluded, so that the test set stays as published. Any other split is
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
                reason = f"{what} as {t['track_id'][other]}{f', a {split.scored_part} track' if published else ''}"
                rows.setdefault(i, Exclusion(t["track_id"][i], t["path"][i] or "", reason))
    return [rows[i] for i in sorted(rows)]


def _sides(split: Split) -> Sides:
    learned = {i for i, role in enumerate(split.roles) if role in ("fit", "choose")}
    return Sides(learned, {i for i, role in enumerate(split.roles) if role == "score"})


def _checks_and_verdict(checks: Sequence[Check], prepared: Prepared) -> dict[str, Any]:
    """The verdict is `unknown` if nothing leaks, but artists or recordings could not be compared for any track."""
    if any(c.leaking for c in checks):
        verdict = "leaks"
    else:
        unknown = any(c.of and not c.known for c in checks if c.name not in ("same_album", "same_track"))
        verdict = "unknown" if unknown else "clean"
    return {"checks": [c.to_json(prepared.tracks["track_id"]) for c in checks], "verdict": verdict}


# --- sentences ---


def _leak_sentences(checks: Sequence[Check], prepared: Prepared, part: str) -> list[str]:
    of = checks[0].of
    found = _finding_sentences(checks, prepared, f"{part} track", LEAKS)
    same_recording = any(c.leaking for c in checks if c.name in RECORDINGS)
    clean = [c for c in checks if c.known and not c.leaking and not (same_recording and c.name in RECORDINGS)]
    if clean:
        known = "" if all(c.known == of for c in clean) else ", where it is known"
        tracks = pluralize(of, f"{part} track")
        found.append(f"None of the {tracks} shares its {_shared(clean)} with a training track{known}.")
    return found


def _finding_sentences(checks: Sequence[Check], prepared: Prepared, thing: str, words: Mapping[str, str]) -> list[str]:
    """One sentence for each check that found something; recordings with two genres first: one label is wrong."""
    genres = prepared.tracks["genre"]
    return [
        *(
            f"{len(c.two_genres):,} of {pluralize(c.of, thing)} {'has' if len(c.two_genres) == 1 else 'have'} a "
            "duplicate with another genre (correct one of the labels)"
            f"{_first_pairs(c, prepared, lambda a, b: genres[a] != genres[b])}."
            for c in checks
            if c.two_genres
        ),
        *(
            f"{c.leaking:,} of {pluralize(checks[0].of, thing)} {_verb(c)} {words[c.name]}{_first_pairs(c, prepared)}."
            for c in checks
            if c.leaking
        ),
    ]


def _copy_sentences(checks: Sequence[Check], prepared: Prepared) -> list[str]:
    found = _finding_sentences(checks, prepared, "track", COPIES)
    if found or not any(c.known for c in checks):
        return found
    return [f"No duplicates among {pluralize(checks[0].of, 'track')}."]


def _uncompared(checks: Sequence[Check], *names: str) -> list[str]:
    """Sentences on what some checks could not compare."""
    return [_sentence(c.note) for c in checks if c.note and c.name in names]


def _sentence(note: str) -> str:
    return f"{note[:1].upper()}{note[1:]}."


def _first_pairs(check: Check, prepared: Prepared, wanted: Callable[[int, int], bool] | None = None) -> str:
    """The first pairs, with the score of near-duplicates; or the first artists or albums."""
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
    return printable(f"{a} {alike} {b}") + (f" ({percent(score)} similar)" if score is not None else "")


def _verb(check: Check) -> str:
    """`may be` for near-duplicates and numbers: neither landmarks nor names are a proof."""
    return "may be" if check.name in ("near_duplicate", "numbered_alike") else _is(check.leaking)


def _is(n: int) -> str:
    return "is" if n == 1 else "are"


def _shared(checks: Sequence[Check]) -> str:
    """The subjects of the checks: `file, audio or recording`."""
    *most, last = dict.fromkeys(SHARED[check.name] for check in checks)
    return f"{', '.join(most)} or {last}" if most else last
