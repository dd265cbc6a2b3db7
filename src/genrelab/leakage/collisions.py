"""Which tracks have something in common, counted and listed without writing out every pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import combinations, product


@dataclass(frozen=True)
class Sides:
    """Between which tracks something in common is a leak: learned ones and scored ones, or any two of a collection."""

    learned: AbstractSet[int]
    scored: AbstractSet[int]

    @property
    def within_collection(self) -> bool:
        """Is it any two tracks?"""
        return self.learned is self.scored


@dataclass(frozen=True)
class Collisions:
    """Tracks that share a key, by groups of (learned, scored); for a whole collection both are the same."""

    groups: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    within_collection: bool

    @property
    def leaking(self) -> int:
        """Scored tracks that have a learned one beside them in some group."""
        return len({i for _, scored in self.groups for i in scored})

    @property
    def n_pairs(self) -> int:
        """How many pairs there are."""
        if self.within_collection:
            return sum(len(a) * (len(a) - 1) // 2 for a, _ in self.groups)
        return sum(len(a) * len(b) for a, b in self.groups)

    def pairs(self) -> Iterator[tuple[int, int]]:
        """(learned, scored) one after the other, group by group."""
        for a, b in self.groups:
            yield from combinations(a, 2) if self.within_collection else product(a, b)


def find_collisions(keys: Sequence[object | None], sides: Sides) -> Collisions:
    """Tracks of both sides with the same key.

    Args:
        keys: by track; None where unknown, which is like no other.
    """
    by_key: dict[object, list[int]] = {}
    for i in sorted(sides.learned | sides.scored):
        if keys[i] is not None:
            by_key.setdefault(keys[i], []).append(i)
    found = []
    for members in by_key.values():
        learned = tuple(i for i in members if i in sides.learned)
        scored = tuple(i for i in members if i in sides.scored)
        if (len(members) > 1) if sides.within_collection else (learned and scored):
            found.append((learned, scored))
    return Collisions(tuple(found), sides.within_collection)
