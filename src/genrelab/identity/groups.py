"""Groups of tracks that belong together because they share something: a person, a recording, their audio."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def connected_groups(n: int, *keyings: Sequence[Iterable[object]], pairs: Iterable[tuple[int, int]] = ()) -> list[int]:
    """Number of the group of each of `n` things: those are together that a chain of shared keys or pairs connects.

    Args:
        keyings: keys of each thing; equal keys of one keying connect.
        pairs: numbers of things that belong together.

    Returns:
        The smallest number of a thing of the group, for each thing.
    """
    parent = list(range(n))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def join(a: int, b: int) -> None:
        a, b = sorted((root(a), root(b)))
        parent[b] = a

    for keys in keyings:
        first: dict[object, int] = {}
        for i, own in enumerate(keys):
            for key in own:
                join(first.setdefault(key, i), i)
    for a, b in pairs:
        join(a, b)
    return [root(i) for i in range(n)]
