"""Finds tracks that share audio, by comparing their landmarks through one index instead of in pairs.

1. Three landmarks that closely follow each other make a hash: their bins, and their distances in time.
2. All hashes are sorted: clips with equal hashes may share audio. If many clips have a hash, each is compared only with
   the next few.
3. Hashes that two clips share at the same offset are votes. With enough votes the clips are aligned at that offset, and
   the share of matching landmarks decides.

Time and memory: at most `MAX_KEYS` hashes are kept, chosen by their value, so that two clips keep the same ones.
A collection of up to 5,000 clips of 30 s keeps all; in a larger one short excerpts are found less often.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from genrelab.features.fingerprint import BINS, FRAME_S, Fingerprint, Landmarks

FAN_OUT = 6
"""A landmark is hashed with every two of the next six."""

MAX_HASH_FRAMES = 60  # frames, 2.1 s: the longest hash
STEP = 2  # frames: distances in time are hashed this coarsely
MAX_KEYS = 1 << 26  # of 8 bytes
CHUNK = 1 << 22  # keys processed at once
COMMON_HASH_CLIPS, COMMON_HASH_PARTNERS = 32, 4
"""If more than `COMMON_HASH_CLIPS` clips have a hash, each is compared only with the next `COMMON_HASH_PARTNERS`, so
that the work stays linear."""
MAX_PAIRS = 1 << 22  # pairs of hashes whose votes are counted at once
MIN_VOTES, MIN_THINNED_VOTES = 6, 2
"""Hashes that must agree on an offset before clips are compared: 2 s of MP3 have 38 or more. For thinned hashes fewer,
but never a single one."""
OFFSETS = 4  # tried for two clips: if music repeats itself, the one with most votes may be a bar off

MIN_LANDMARKS = 16  # landmarks of either clip in the overlap; with fewer, matches may be chance
MIN_OVERLAP_FRAMES = 34  # 1.2 s
THRESHOLD, THRESHOLD_OF_MANY, MANY_LANDMARKS = 0.55, 0.51, 100
"""Minimum share of matching landmarks, and the minimum in an overlap with at least `MANY_LANDMARKS` (3 s and more):
copies reach 0.6 or more in 2 s of MP3, noisy textures 0.52 in 5 s; different songs of real music reach at most 0.24,
those of a synthesiser with the same notes and voices 0.5 (benchmarks/duplicates.py)."""

_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: spreads bits (Knuth, volume 3, 6.4)

Keys = NDArray[np.uint64]


@dataclass(frozen=True)
class NearDuplicate:
    """Two tracks that share audio: `a` at t seconds is `b` at t + `offset_s`.

    Attributes:
        score: share of matching landmarks in the overlap, from `THRESHOLD_OF_MANY` to 1.
    """

    a: str
    b: str
    offset_s: float
    score: float


def find_near_duplicates(prints: Sequence[Fingerprint]) -> list[NearDuplicate]:
    """Pairs of different tracks with the same recording, or a part of it, in any encoding.

    Args:
        prints: one for each clip.

    Returns:
        Each pair of tracks once, `a` before `b` in the order of `prints`, sorted by that order, with the best score of
        all clips and offsets.
    """
    order: dict[str, int] = {}
    tracks = np.array([order.setdefault(p.track_id, len(order)) for p in prints], np.int64)
    best: dict[tuple[int, int], tuple[float, float]] = {}
    for a, b, shift, score in _compare_candidates(prints, _candidates(prints, tracks)):
        offset_s = prints[b].start_s - prints[a].start_s + shift * FRAME_S
        first, second = int(tracks[a]), int(tracks[b])
        if first > second:
            first, second, offset_s = second, first, -offset_s
        best[first, second] = max(best.get((first, second), (0.0, 0.0)), (score, offset_s))
    ids = list(order)
    return [NearDuplicate(ids[a], ids[b], round(s[1], 2), round(s[0], 3)) for (a, b), s in sorted(best.items())]


# --- hashes ---


@dataclass(frozen=True)
class _KeyLayout:
    """Bit layout of a 64-bit key: hash, clip, frame, from the top."""

    clip_bits: int
    frame_bits: int
    expected: int  # keys
    thin: int  # one hash in `thin` is kept

    @property
    def low(self) -> np.uint64:
        """Bits below the hash."""
        return np.uint64(self.clip_bits + self.frame_bits)


def _choose_layout(prints: Sequence[Fingerprint]) -> _KeyLayout:
    marks = sum(len(p.landmarks) for p in prints)
    last = max((int(p.landmarks[-1, 0]) for p in prints if len(p.landmarks)), default=1)
    hashes = marks * FAN_OUT * (FAN_OUT - 1) // 2
    thin = max(1, -(-hashes // MAX_KEYS))
    return _KeyLayout(max(1, len(prints).bit_length()), max(1, last.bit_length()), hashes // thin, thin)


def _clip_keys(marks: Landmarks, clip: int, layout: _KeyLayout) -> Keys:
    """The kept hashes of one clip, with clip and frame in the low bits."""
    frames, bins = marks[:, 0].astype(np.int64), marks[:, 1].astype(np.uint64)
    later = np.searchsorted(frames, frames, side="right")  # the first landmark after each
    found = [_hash_triples(frames, bins, later, i, j, layout.thin) for i, j in combinations(range(FAN_OUT), 2)]
    hashes = np.concatenate([h for h, _ in found])
    where = np.concatenate([w for _, w in found]).astype(np.uint64)
    place = np.uint64(clip) << np.uint64(layout.frame_bits)
    keys: Keys = (hashes >> layout.low << layout.low) | place | where
    return keys


def _hash_triples(
    frames: NDArray[np.int64], bins: NDArray[np.uint64], later: NDArray[np.int64], i: int, j: int, thin: int
) -> tuple[Keys, NDArray[np.int64]]:
    """Hashes of every landmark with the i-th and j-th after it, and their frames."""
    a = np.flatnonzero(later + j < len(frames))
    b, c = later[a] + i, later[a] + j
    near = frames[c] - frames[a] <= MAX_HASH_FRAMES
    a, b, c = a[near], b[near], c[near]
    steps = ((frames[b] - frames[a]) // STEP * 64 + (frames[c] - frames[a]) // STEP).astype(np.uint64)
    width = np.uint64(BINS)
    hashes = (((bins[a] * width + bins[b]) * width + bins[c]) * np.uint64(64 * 64) + steps) * _MIX
    hashes ^= hashes >> np.uint64(32)
    hashes *= _MIX
    kept = (hashes & np.uint64(0xFFFF)) % np.uint64(thin) == 0  # low bits choose, high bits identify
    return hashes[kept], frames[a][kept]


def _sorted_keys(prints: Sequence[Fingerprint], layout: _KeyLayout) -> Keys:
    room = np.empty(2 * layout.expected + 1_000, np.uint64)  # memory is used only where it is written
    n = 0
    for clip, fingerprint in enumerate(prints):
        keys = _clip_keys(fingerprint.landmarks, clip, layout)[: len(room) - n]
        room[n : n + len(keys)] = keys
        n += len(keys)
    found = room[:n]
    found.sort()
    return found


def _shared_keys(keys: Keys, layout: _KeyLayout) -> tuple[Keys, NDArray[np.uint8]]:
    """The sorted keys whose hash several clips have, and the number of following keys to compare each with.

    A hash that a clip has several times is kept once. They overwrite `keys`, a chunk at a time.
    """
    at, n, n_partners = 0, 0, [np.zeros(0, np.uint8)]
    while at < len(keys):
        end = _hash_end(keys, at + CHUNK, layout)
        chunk = keys[at:end]
        chunk = chunk[_changes(chunk >> np.uint64(layout.frame_bits))]
        starts = np.flatnonzero(_changes(chunk >> layout.low))
        sizes = np.diff(starts, append=len(chunk))
        after = np.repeat(starts + sizes, sizes) - np.arange(len(chunk)) - 1
        after = np.where(np.repeat(sizes > COMMON_HASH_CLIPS, sizes), np.minimum(after, COMMON_HASH_PARTNERS), after)
        kept = np.repeat(sizes > 1, sizes)
        n_partners.append(after[kept].astype(np.uint8))
        keys[n : n + len(n_partners[-1])] = chunk[kept]
        n += len(n_partners[-1])
        at = end
    return keys[:n], np.concatenate(n_partners)


def _hash_end(keys: Keys, at: int, layout: _KeyLayout) -> int:
    """Index at which the hash at index `at` ends."""
    if at >= len(keys):
        return len(keys)
    last = keys[at] | (np.uint64(1) << layout.low) - np.uint64(1)
    return int(np.searchsorted(keys, last, side="right"))


def _changes(values: Keys) -> NDArray[np.bool_]:
    """Does each value differ from the one before?"""
    changed = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=changed[1:])
    return changed


# --- votes ---


def _candidates(prints: Sequence[Fingerprint], tracks: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Rows of (clip, later clip, offset in frames) with enough votes, sorted by clip."""
    layout = _choose_layout(prints)
    keys, n_partners = _shared_keys(_sorted_keys(prints, layout), layout)
    clips = (keys >> np.uint64(layout.frame_bits) & np.uint64((1 << layout.clip_bits) - 1)).astype(np.int32)
    by_clip = np.argsort(clips, kind="stable")
    for rows in _clip_blocks(clips[by_clip], n_partners[by_clip]):
        a = np.repeat(by_clip[rows], n_partners[by_clip[rows]])
        b = a + _count_up(n_partners[by_clip[rows]])
        other = tracks[clips[a]] != tracks[clips[b]]
        a, b = a[other], b[other]
        frame = np.uint64((1 << layout.frame_bits) - 1)
        shift = (keys[b] & frame).astype(np.int64) - (keys[a] & frame).astype(np.int64)
        yield _count_votes(
            clips[a].astype(np.int64),
            clips[b].astype(np.int64),
            shift,
            len(prints),
            max(MIN_THINNED_VOTES, MIN_VOTES // layout.thin),
        )


def _clip_blocks(clips: NDArray[np.int32], n_partners: NDArray[np.uint8]) -> Iterator[slice]:
    """Slices of rows: whole clips with about `MAX_PAIRS` pairs in all."""
    borders = np.append(np.flatnonzero(np.diff(clips, prepend=-1)), len(clips))
    pairs = np.concatenate(([0], np.cumsum(n_partners, dtype=np.int64)))[borders]
    at = 0
    while at < len(borders) - 1:
        end = max(at + 1, int(np.searchsorted(pairs, pairs[at] + MAX_PAIRS, side="right")) - 1)
        yield slice(int(borders[at]), int(borders[end]))
        at = end


def _count_up(sizes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(2, 3) -> (1, 2, 1, 2, 3)."""
    ends = np.cumsum(sizes, dtype=np.int64)
    return np.arange(1, 1 + int(ends[-1] if len(ends) else 0)) - np.repeat(ends - sizes, sizes)


def _count_votes(
    a: NDArray[np.int64], b: NDArray[np.int64], shift: NDArray[np.int64], n_clips: int, least: int
) -> NDArray[np.int64]:
    """Rows of (a, b, shift) with `least` votes on one offset or two adjacent ones; for each pair the best `OFFSETS`."""
    span = 1 << 18  # more than twice the frames that a clip can have
    cells, votes = np.unique((a * n_clips + b) * span + shift + span // 2, return_counts=True)
    together = votes.copy()
    beside = cells[1:] == cells[:-1] + 1
    together[:-1][beside] += votes[1:][beside]
    enough = np.flatnonzero(together >= least)
    order = enough[np.lexsort((-together[enough], cells[enough] // span))]
    _, best, several = np.unique(cells[order] // span, return_index=True, return_counts=True)
    rank = np.arange(len(order)) - np.repeat(best, several)
    chosen = cells[order[rank < OFFSETS]]
    pair = chosen // span
    return np.stack((pair // n_clips, pair % n_clips, chosen % span - span // 2), axis=1)


# --- comparison ---


def _compare_candidates(
    prints: Sequence[Fingerprint], candidates: Iterator[NDArray[np.int64]]
) -> Iterator[tuple[int, int, int, float]]:
    """Candidates with enough matching landmarks, and their share."""
    current, occupied = -1, np.zeros((0, 0), np.bool_)
    for a, b, shift in (row for rows in candidates for row in rows.tolist()):
        if a != current:
            current, occupied = a, _occupancy(prints[a].landmarks)
        score, n = _overlap_score(prints[b].landmarks, prints[a].landmarks, occupied, -shift)
        if score >= (THRESHOLD if n < MANY_LANDMARKS else THRESHOLD_OF_MANY):
            yield a, b, shift, score


def _occupancy(marks: Landmarks) -> NDArray[np.bool_]:
    """(frames + 2, bins + 2): is there a landmark in this or an adjacent cell? Frame and bin 0 have index 1."""
    near = np.zeros((int(marks[-1, 0]) + 3, BINS + 2), np.bool_)
    for frame in range(3):
        for bin_ in range(3):
            near[marks[:, 0] + frame, marks[:, 1] + bin_] = True
    return near


def _overlap_score(a: Landmarks, b: Landmarks, occupied: NDArray[np.bool_], shift: int) -> tuple[float, int]:
    """Share of matching landmarks where `a`, moved by `shift` frames, overlaps `b`, and their number.

    0 if the overlap is too short.
    """
    moved = a[:, 0].astype(np.int64) + shift
    start, end = max(int(moved[0]), int(b[0, 0])), min(int(moved[-1]), int(b[-1, 0]))
    if end - start < MIN_OVERLAP_FRAMES:
        return 0.0, 0
    inside = slice(*np.searchsorted(moved, (start, end + 1)))
    n_a, n_b = (int(np.diff(np.searchsorted(frames, (start, end + 1)))[0]) for frames in (moved, b[:, 0]))
    n = max(n_a, n_b)
    if min(n_a, n_b) < MIN_LANDMARKS:
        return 0.0, n
    return int(occupied[moved[inside] + 1, a[inside, 1] + 1].sum()) / n, n
