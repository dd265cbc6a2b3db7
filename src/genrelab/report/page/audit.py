"""Page sections on leaks and doubtful labels: the audit of a split, and the tracks to listen to again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from genrelab.core.errors import printable
from genrelab.report.page.blocks import ABSENT, Section, Table, TrackCard, TrackList
from genrelab.report.page.tracks import TrackInfo

CHECKS = {
    "same_recording": "another piece of the same recording",
    "numbered_alike": "maybe another piece of the same recording, by its number",
    "same_track": "the same track",
    "same_artist": "the same artist",
    "same_album": "the same album",
    "same_audio": "the same audio, byte for byte",
    "near_duplicate": "maybe the same recording, encoded or cut anew",
    "same_features": "the same features",
}
VERDICTS = {
    "clean": "Clean: nothing that was learned comes back among what is scored.",
    "leaks": "Leaks: part of what is scored was heard while learning.",
    "unknown": "Unknown: not everything could be checked.",
}
MAX_DOUBTS_SHOWN = 9  # tracks with a player; the table contains all
MAX_PER_ARTIST = 2


def audit_section(found: Mapping[str, Any], known: TrackInfo) -> Section:
    """Section of an `audit.json`, of a split or of a whole preparation."""
    split = found["split"]
    sides = ("learned", "scored") if split else ("track", "other track")
    rows = [_check_row(check, bool(split)) for check in found["checks"]]
    what = f"{found['n_learned']:,} learned against {found['n_scored']:,} scored tracks" if split else "all tracks"
    columns = ("looked for", "note", "known of", "leaking" if split else "tracks", "pairs")
    blocks = [Table(f"What was compared: {what}", columns, rows, words=2, wide=True)]
    blocks += [_pairs_table(check, known, sides) for check in found["checks"] if check["pairs"]]
    title = "Does anything leak from learning into scoring?" if split else "Are there duplicates?"
    verdict = [VERDICTS[found["verdict"]]] if split else []
    return Section("audit", title, blocks, [*verdict, *found["sentences"]], "Leaks" if split else "Duplicates")


def _check_row(check: Mapping[str, Any], split: bool) -> tuple[str, ...]:
    known, of = check["known"], check["of"]
    name = CHECKS.get(check["name"], check["name"])
    leaking = f"{check['leaking']:,}" if known else ABSENT
    return name, printable(check["note"] or ABSENT), f"{known:,} of {of:,}", leaking, f"{check['n_pairs']:,}"


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
    caption = f"Pairs with {CHECKS.get(check['name'], check['name'])}{more}"
    return Table(caption, (*sides, "what", "offset s", "score"), rows, words=3, folded=True, wide=True)


def doubts_section(found: Mapping[str, Any], known: TrackInfo) -> Section:
    """Section of `doubts.json`: labels that the model contradicts on tracks that it was not trained on."""
    columns = ("track", "artist", "album", "label", "suggested", "p label", "p suggested", "copies")
    rows = [
        (
            known.name(r["track_id"]),
            printable(r["artist"] or ABSENT),
            printable(r["album"] or ABSENT),
            printable(r["genre"]),
            printable(r["suggested"]),
            f"{r['p_genre']:.2f}",
            f"{r['p_suggested']:.2f}",
            f"{r['copies']}",
        )
        for r in found["rows"]
    ]
    of = f"{found['n_doubted']:,} of {found['n_examined']:,} labels that {printable(found['model'])} doubts"
    table = Table(of, columns, rows, words=5, folded=True, sortable=True, wide=True, cards=True)
    note = f"The clearest ones, at most {MAX_PER_ARTIST} by one artist."
    listed = TrackList("Listen first to these", [_doubt_card(r, known) for r in clearest_doubts(found["rows"])], note)
    audible = any(track.href or track.picture for track in listed.tracks)
    blocks: list[TrackList | Table] = [*([listed] if audible else []), *([table] if rows else [])]
    return Section("doubts", "Which labels are in doubt?", blocks, found["sentences"], "Doubts")


def clearest_doubts(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The tracks to listen to first: in order, but few per artist, whose songs are often mislabelled together."""
    n_by_artist: Counter[str] = Counter()
    chosen = []
    for row in rows:
        n_by_artist[row["artist"] or row["track_id"]] += 1
        if n_by_artist[row["artist"] or row["track_id"]] <= MAX_PER_ARTIST:
            chosen.append(row)
    return chosen[:MAX_DOUBTS_SHOWN]


def _doubt_card(row: Mapping[str, Any], known: TrackInfo) -> TrackCard:
    suggested = f"{printable(row['suggested'])} ({100 * row['p_suggested']:.0f} %)"
    return known.card(row["track_id"], f"labelled {printable(row['genre'])}, sounds like {suggested}")
