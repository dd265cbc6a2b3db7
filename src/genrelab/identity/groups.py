"""Groups of tracks that share something: a person, a recording, their audio."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def connected_groups(n: int, *keyings: Sequence[Iterable[object]], pairs: Iterable[tuple[int, int]] = ()) -> list[int]:
    """Number of the group of each of `n` items: items are in one group if a chain of shared keys or pairs links them.

    Args:
        keyings: keys of each item; equal keys of one keying link items.
        pairs: numbers of linked items.

    Returns:
        The smallest number of an item in the group, for each item.
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
