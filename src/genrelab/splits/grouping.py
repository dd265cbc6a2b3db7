"""Assigns groups of tracks to parts, so that every part holds its fraction of every genre.

A group (an artist, or a single track) is never divided. Large groups are placed first, where they are needed most; then
single moves and swaps lower the remaining squared deviation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

ROUNDS = 6  # of moves and swaps; the second seldom improves anything
PARTNERS = 128  # tried for a swap with each group; all of them in a small dataset
MIN_GAIN = 1e-7  # a smaller gain is rounding, or a track in thousands


def share_out(
    genres: Sequence[str],
    groups: Sequence[str | None],
    fractions: Sequence[float],
    *,
    needs: Sequence[int],
    seed: int,
) -> list[int]:
    """Number of the part of every track.

    The only group of a genre stays in part 0 as a whole, and so does every track without a group.

    Args:
        genres: of each track.
        groups: of each track, None without one.
        fractions: target share of each part, adding up to 1.
        needs: part p gets some of every genre that has at least needs[p] groups, where that is possible;
            needs[0] = 1, and smaller numbers have priority.
        seed: decides among equals, and the order of the search.

    Returns:
        One number per track; the same for the same tracks and seed in any order.
    """
    column = {genre: n for n, genre in enumerate(sorted(set(genres)))}
    row = {group: n for n, group in enumerate(sorted({g for g in groups if g is not None}))}
    counts: Ints = np.zeros((len(row), len(column)), dtype=np.int64)
    loose: Ints = np.zeros(len(column), dtype=np.int64)
    for genre, group in zip(genres, groups, strict=True):
        (loose if group is None else counts[row[group]])[column[genre]] += 1
    part = _Search(counts, loose, fractions, needs, seed).run()
    return [0 if group is None else int(part[row[group]]) for group in groups]


class _Search:
    """Local search: the part of each group (`part`), and the tracks by genre of each part (`placed`).

    `counts` has shape (groups, genres + 1), `placed` (parts, genres + 1), `totals` (genres + 1,). The last
    column is all genres together: it keeps the parts' sizes right where genres could deviate either way.
    """

    def __init__(self, counts: Ints, loose: Ints, fractions: Sequence[float], needs: Sequence[int], seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.counts = np.hstack([counts, counts.sum(axis=1, keepdims=True)])
        base = np.append(loose, loose.sum())
        self.totals = self.counts.sum(axis=0) + base
        self.fractions = np.array(fractions)
        groups_of_genre = (counts > 0).sum(axis=0)
        wanted = groups_of_genre[None, :] >= np.array(needs)[:, None]
        # An absent genre outweighs every deviation: 1e6 in part 0, then 1e4, then 1e2.
        self.absence = wanted * 10.0 ** (8 - 2 * np.array(needs))[:, None]
        self.free = np.flatnonzero(~((counts > 0) & (groups_of_genre == 1)).any(axis=1))
        self.part: Ints = np.zeros(len(counts), dtype=np.int64)
        self.placed = np.zeros((len(fractions), len(self.totals)), dtype=np.int64)
        self.placed[0] = self.totals - self.counts[self.free].sum(axis=0)

    def run(self) -> Ints:
        self._place_large_first()
        for _ in range(ROUNDS):
            self._apply_moves()
            if not self._apply_swaps():
                break
        return self.part

    def _place_large_first(self) -> None:
        ties = self.rng.random(len(self.free))
        for a in self.free[np.lexsort((ties, -self.counts[self.free, -1]))]:
            share = self.counts[a] / self.totals
            excess = self.placed / self.totals - self.fractions[:, None]
            self.part[a] = ((2 * excess + share) * share).sum(axis=1).argmin()
            self.placed[self.part[a]] += self.counts[a]

    def _cost(self, placed: Ints, part: Ints) -> Floats:
        """Squared deviation of parts that hold `placed`, shape (..., genres + 1), plus penalties for absent genres."""
        deviation = placed / self.totals - self.fractions[part][..., None]
        absent = (placed[..., :-1] == 0) * self.absence[part]
        cost: Floats = (deviation**2).sum(axis=-1) + absent.sum(axis=-1)
        return cost

    def _apply_moves(self) -> None:
        """Repeatedly move the one group that lowers the cost most, until no move lowers it."""
        parts: Ints = np.arange(len(self.placed))
        moving = self.counts[self.free]
        while len(self.free):
            here = self.part[self.free]
            now = self._cost(self.placed, parts)
            leaving = self._cost(self.placed[here] - moving, here) - now[here]
            arriving = np.stack([self._cost(self.placed[p] + moving, np.full_like(here, p)) for p in parts], axis=1)
            gain = leaving[:, None] + arriving - now
            gain[np.arange(len(here)), here] = 0.0
            best, to = np.unravel_index(gain.argmin(), gain.shape)
            if gain[best, to] > -MIN_GAIN:
                return
            self._reassign(int(self.free[best]), int(to))

    def _apply_swaps(self) -> bool:
        """Swap groups of different parts if that lowers the cost; for single tracks moves suffice."""
        changed = False
        for a in self.rng.permutation(self.free[self.counts[self.free, -1] > 1]):
            n = min(PARTNERS, len(self.free))
            others = self.rng.choice(self.free, n, replace=False) if n < len(self.free) else self.free
            others = others[self.part[others] != self.part[a]]
            if not len(others):
                continue
            here, there = np.full(len(others), self.part[a]), self.part[others]
            difference = self.counts[others] - self.counts[a]
            gain = self._cost(self.placed[here] + difference, here) - self._cost(self.placed[here], here)
            gain += self._cost(self.placed[there] - difference, there) - self._cost(self.placed[there], there)
            if gain.min() < -MIN_GAIN:
                b, origin = int(others[gain.argmin()]), int(self.part[a])
                self._reassign(int(a), int(self.part[b]))
                self._reassign(b, origin)
                changed = True
        return changed

    def _reassign(self, group: int, part: int) -> None:
        self.placed[self.part[group]] -= self.counts[group]
        self.placed[part] += self.counts[group]
        self.part[group] = part
