"""The artists of tracks: credits as people write them become persons, and persons who share a track become groups.

A person must not be in both the training and the test set. So all persons credited on a track are linked into one
group. Ids come before names: two bands of one name with two ids stay two.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from genrelab.core.text import join_first, percent, pluralize
from genrelab.identity.artist_names import (
    NO_ARTIST_IDS,
    NO_IDS,
    is_last_name_first,
    is_no_artist,
    name_key,
    people_in,
)
from genrelab.identity.groups import connected_groups

FREQUENT_SHARE = 0.2
"""A name on a larger share of the tracks links no persons: it is a label or host, and would link most of them."""

MIN_PARTNERS = 2
"""Minimum number of other persons that a label or host is credited with."""

LARGE_SHARE = 0.2
"""A group of several persons with a larger share of the tracks is reported."""

MIN_LAST_NAMES_FIRST = 4
"""If at least this many names, and half of all, look like `Bowie, David`, the last name comes first."""

MAX_NAMES_SHOWN = 3

_ID_SEPARATOR = re.compile(r"[;/\0]")


@dataclass(frozen=True)
class Credit:
    """The credits of a track, as its tags or its table state them.

    Attributes:
        names: texts of the track's artist, one for each value: `X feat. Y` is one text.
        ids: MusicBrainz ids, or other ids of the artists, if known.
        album_names, album_ids: the same of the album's artist.
        compilation: is the album marked as a compilation?
    """

    names: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    album_names: tuple[str, ...] = ()
    album_ids: tuple[str, ...] = ()
    compilation: bool = False

    @property
    def text(self) -> str | None:
        """The artist as written; several values are joined by `; `, except those contained in earlier ones."""
        shown: list[str] = []
        for name in self.names or self.album_names:
            if not any(name_key(name) in name_key(earlier) for earlier in shown):
                shown.append(name)
        return "; ".join(shown) or None


@dataclass(frozen=True)
class ArtistGroups:
    """Name of the person or group of each track, None where unknown, and notes."""

    artists: tuple[str | None, ...]
    notes: tuple[str, ...]


def link_artists(credited: Sequence[Credit]) -> ArtistGroups:
    """The person or group that each track belongs to; equal for two tracks that share a credited person.

    A name credited on more than a fifth of the tracks links no persons, nor does `Various Artists`. The album's artist
    counts as credited, except on compilations.
    """
    people = _People(credited)
    group = connected_groups(len(credited), [people.linking(i) for i in range(len(credited))])
    group = _with_frequent_first(group, people)
    names = _group_names(group, credited, people)
    artists = tuple(names[g] if people.of[i] else None for i, g in enumerate(group))
    return ArtistGroups(artists, tuple(_notes(credited, artists, people)))


class _People:
    """The persons of each track, in the order of the credits.

    Attributes:
        of: persons of each track: an id, or the key of a name whose id isn't known.
        counts: number of tracks of each person.
        frequent: persons on more than `FREQUENT_SHARE` of the tracks.
    """

    def __init__(self, credited: Sequence[Credit]) -> None:
        self._written: dict[str, Counter[str]] = defaultdict(Counter)
        self._known_as: dict[str, set[str]] = defaultdict(set)
        texts = {text for credit in credited for text in (*credit.names, *credit.album_names)}
        turned = {text for text in texts if is_last_name_first(text)}
        self._single = {name_key(text) for text in texts if "," not in text and len(people_in([text])) == 1}
        self._last_name_first = len(turned) >= max(MIN_LAST_NAMES_FIRST, len(texts) / 2)
        found = [self._credited(credit) for credit in credited]
        # A name without an id is each of those whose ids are known under it.
        self.of = [list(dict.fromkeys(p for one in persons for p in self._resolved(one))) for persons in found]
        self.counts = Counter(person for persons in self.of for person in persons)
        partners: dict[str, set[str]] = defaultdict(set)
        for persons in self.of:
            for person in persons:
                partners[person].update(persons)
        hosts = (p for p in self.counts if len(partners[p]) > MIN_PARTNERS)  # with the person itself
        self.frequent = {p for p in hosts if self.counts[p] > FREQUENT_SHARE * len(credited)}

    def linking(self, track: int) -> list[str]:
        """The persons of a track that link it to other tracks."""
        return [person for person in self.of[track] if person not in self.frequent]

    def name(self, person: str) -> str:
        """The most frequent spelling of a person's name."""
        return _most_frequent(self._written[person]) if self._written[person] else person.removeprefix("id ")

    def _credited(self, credit: Credit) -> list[str]:
        persons = self._persons(credit.names, credit.ids)
        if not (credit.compilation or any(map(is_no_artist, credit.album_names))):
            persons += self._persons(credit.album_names, credit.album_ids)
        return persons

    def _persons(self, names: Sequence[str], ids: Sequence[str]) -> list[str]:
        """Ids and keys of names. If each name has an id, only the names of a band's members are added."""
        stated = (i.strip().casefold() for text in ids for i in _ID_SEPARATOR.split(text))
        ids = [i for i in stated if i not in NO_IDS]
        people = people_in(names, self._single, last_name_first=self._last_name_first)
        of_id = next((texts for texts in (tuple(names), people) if len(texts) == len(ids)), ())
        for i, text in zip(ids, of_id or [*names[:1]] * len(ids), strict=False):
            self._written[f"id {i}"][text] += 1
            if of_id and i not in NO_ARTIST_IDS:
                self._known_as[name_key(text)].add(f"id {i}")
        for text in people:
            self._written[name_key(text)][text] += 1
        persons = [f"id {i}" for i in ids if i not in NO_ARTIST_IDS]
        named = {name_key(text) for text in of_id}
        return [*persons, *(key for key in map(name_key, people) if key not in named)]

    def _resolved(self, person: str) -> Iterable[str]:
        return sorted(self._known_as.get(person, (person,)))


def _with_frequent_first(group: list[int], people: _People) -> list[int]:
    """The same groups; tracks of only frequent persons, or with one of them first, are joined to that person."""
    members: dict[int, list[int]] = defaultdict(list)
    for track, g in enumerate(group):
        if people.of[track]:
            members[g].append(track)
    home: dict[str, int] = {}
    moved = {}
    for g, tracks in members.items():
        first = {people.of[track][0] for track in tracks}
        if len(first) == 1 and first <= people.frequent:
            moved[g] = home.setdefault(first.pop(), g)
    return [moved.get(g, g) for g in group]


def _group_names(group: Sequence[int], credited: Sequence[Credit], people: _People) -> dict[int, str]:
    """A name for each group: the credit that all of its tracks share, else its persons, the most frequent first.

    The names are unique, none means an unknown artist, and the order of tracks does not matter.
    """
    persons: dict[int, Counter[str]] = defaultdict(Counter)
    texts: dict[int, Counter[str]] = defaultdict(Counter)
    for track, g in enumerate(group):
        persons[g].update(people.linking(track) or people.of[track][:1])
        texts[g][credited[track].text or ""] += 1
    names: dict[int, str] = {}
    taken: set[str] = set()
    for g, counts in sorted(persons.items(), key=lambda item: sorted(item[1])):
        shown = [people.name(p) for p in sorted(counts, key=lambda p: (-counts[p], people.name(p)))]
        same = len(counts) > 1 and len(set(map(name_key, texts[g]))) == 1
        name = _most_frequent(texts[g]) if same else join_first(list(dict.fromkeys(shown)), most=MAX_NAMES_SHOWN)
        if is_no_artist(name) or name_key(name) in taken:  # two bands of one name with different ids
            name = next(f"{name} [{n}]" for n in range(2, len(group) + 3) if name_key(f"{name} {n}") not in taken)
        taken.add(name_key(name))
        names[g] = name
    return names


def _most_frequent(texts: Counter[str]) -> str:
    """The most frequent text; of equally frequent ones the first in order."""
    return min(texts, key=lambda text: (-texts[text], text))


def _notes(credited: Sequence[Credit], artists: Sequence[str | None], people: _People) -> list[str]:
    written = {credit.text for credit, artist in zip(credited, artists, strict=True) if artist is not None}
    groups = {artist for artist in artists if artist is not None}
    notes = []
    if len(written) != len(groups):
        notes.append(
            f"{pluralize(groups, 'artist')} from {pluralize(written, 'name')}: spellings of a name and artists of the "
            "same track are joined"
        )
    unnamed = sum(credit.text is not None and artist is None for credit, artist in zip(credited, artists, strict=True))
    if unnamed:
        notes.append(f"{pluralize(unnamed, 'track')} by Various Artists or the like: the artist counts as unknown")
    together = {p for persons in people.of if len(persons) > 1 for p in persons}
    if hosts := sorted(people.frequent & together, key=people.name):
        shares = [f"{people.name(p)} ({percent(people.counts[p] / len(credited))})" for p in hosts]
        notes.append(
            "not used to join artists, because they are credited on more than "
            f"{percent(FREQUENT_SHARE)} of the tracks: {join_first(shares)}"
        )
    sizes = Counter(artist for artist in artists if artist is not None)
    for artist, n in sizes.most_common(1):
        n_people = len({p for own, persons in zip(artists, people.of, strict=True) if own == artist for p in persons})
        if n_people > 1 and n > LARGE_SHARE * len(credited):
            notes.append(
                f"{percent(n / len(credited))} of the tracks are by one group of {n_people:,} people who are credited "
                f"together, and stay in one set: {artist}"
            )
    return notes
