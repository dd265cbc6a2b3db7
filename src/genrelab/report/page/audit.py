"""Page sections on leaks and on labels in doubt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from genrelab.core.errors import printable
from genrelab.core.text import pluralize
from genrelab.evaluation.percent import ABSENT
from genrelab.report.page.blocks import Block, Fold, Section, Table, TrackCard, TrackList, details
from genrelab.report.page.tracks import TrackInfo

CHECKS = {
    "same_recording": "another piece of the same recording",
    "numbered_alike": "possibly another piece of the same recording (numbered names)",
    "same_track": "the same track",
    "same_artist": "the same artist",
    "same_album": "the same album",
    "same_audio": "identical audio",
    "near_duplicate": "near-duplicate: possibly the same recording",
    "same_features": "identical features",
}
VERDICTS = {
    "clean": "No leak was found between the {training} and the {scored}.",
    "leaks": (
        "There are leaks: some of the {scored} are also among the {training}, or share a recording or an artist with "
        "them."
    ),
    "unknown": "Not every kind of leak between the {training} and the {scored} could be checked.",
}
MAX_DOUBTS_SHOWN = 6  # tracks with a player; the table contains all
MAX_PER_ARTIST = 2


def audit_section(found: Mapping[str, Any], known: TrackInfo) -> Section:
    """Section of an `audit.json`, of a split or of a whole preparation."""
    split, sentences = found["split"], list(found["sentences"])
    sides = ("track used in training", f"{_scored_part(known)} track") if split else ("track", "other track")
    if split:
        part = _scored_part(known)
        training = pluralize(
            found["n_learned"], "training track" if part == "validation" else "training and validation track"
        )
        scored = pluralize(found["n_scored"], f"{part} track")
        sentences.insert(0, VERDICTS[found["verdict"]].format(training=training, scored=scored))
    rows = [_check_row(check) for check in found["checks"]]
    columns = ("shared", "note", "tracks checked", "leaking tracks" if split else "tracks", "pairs")
    table = Table("What was checked", columns, rows, words=2, wide=True, cards=True)
    pairs = [_pairs_table(check, known, sides) for check in found["checks"] if check["pairs"]]
    title = "Is there a leak?" if split else "Are there duplicates?"
    blocks = details(sentences[1:], table, *pairs)
    return Section("audit", title, blocks, sentences[:1], "Leaks" if split else "Duplicates")


def _scored_part(known: TrackInfo) -> str:
    """The part of a split that is scored: `test`, or `validation` where there are no test tracks."""
    roles, parts = (known.columns.get(name, ()) for name in ("role", "part"))
    return next((part for role, part in zip(roles, parts, strict=False) if role == "score"), "test")


def _check_row(check: Mapping[str, Any]) -> tuple[str, ...]:
    checked, of = check["known"], check["of"]
    name, leaking = CHECKS.get(check["name"], check["name"]), f"{check['leaking']:,}" if checked else ABSENT
    return name, printable(check["note"] or ABSENT), f"{checked:,} of {of:,}", leaking, f"{check['n_pairs']:,}"


def _pairs_table(check: Mapping[str, Any], known: TrackInfo, sides: tuple[str, str]) -> Table:
    rows = [
        (
            *(f"{known.name(pair[side])} ({printable(str(known.of(pair[side], 'genre') or '?'))})" for side in "ab"),
            printable(pair["what"] or ABSENT),
            ABSENT if pair["offset_s"] is None else f"{pair['offset_s']:.2f}",
            ABSENT if pair["score"] is None else f"{pair['score']:.2f}",
        )
        for pair in check["pairs"]
    ]
    more = f", {len(rows):,} of {check['n_pairs']:,} pairs" if check["n_pairs"] > len(rows) else ""
    caption = f"Pairs: {CHECKS.get(check['name'], check['name'])}{more}"
    return Table(caption, (*sides, "what", "offset, s", "score"), rows, words=3, folded=True, wide=True)


def doubts_section(found: Mapping[str, Any], known: TrackInfo) -> Section:
    """Section of `doubts.json`: labels that the model contradicts on tracks that it was not trained on."""
    columns = (
        "track",
        "artist",
        "album",
        "label",
        "suggested",
        "probability of the label",
        "probability of the suggestion",
        "copies",
    )
    rows = [
        (
            known.name(r["track_id"]),
            *(printable(r[column] or ABSENT) for column in ("artist", "album", "genre", "suggested")),
            f"{r['p_genre']:.2f}",
            f"{r['p_suggested']:.2f}",
            f"{r['copies']}",
        )
        for r in found["rows"]
    ]
    sentences = found["sentences"]
    table = Table("Labels in doubt", columns, rows, words=5, folded=True, sortable=True, wide=True, cards=True)
    note = (
        f"The clearest cases, at most {MAX_PER_ARTIST} per artist. Write `accept` or `reject` into the column "
        "`decision` of doubts.csv, then run `genrelab relabel`."
    )
    cards = [_doubt_card(r, known) for r in clearest_doubts(found["rows"])]
    listed = [Fold("Listen to the clearest cases", [TrackList("Clearest cases", cards, note)])]
    audible = any(track.href or track.picture for track in cards)
    blocks: list[Block] = [*([table] if rows else []), *(listed if audible else []), *details(sentences[1:])]
    return Section("doubts", "Which labels are in doubt?", blocks, sentences[:1], "Doubts")


def clearest_doubts(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The tracks to show first: in order, but few per artist, whose songs are often mislabelled together."""
    n_by_artist: Counter[str] = Counter()
    chosen = []
    for row in rows:
        n_by_artist[row["artist"] or row["track_id"]] += 1
        if n_by_artist[row["artist"] or row["track_id"]] <= MAX_PER_ARTIST:
            chosen.append(row)
    return chosen[:MAX_DOUBTS_SHOWN]


def _doubt_card(row: Mapping[str, Any], known: TrackInfo) -> TrackCard:
    suggested = f"{printable(row['suggested'])} ({100 * row['p_suggested']:.0f} %)"
    return known.card(row["track_id"], f"label {printable(row['genre'])}, suggested {suggested}")
