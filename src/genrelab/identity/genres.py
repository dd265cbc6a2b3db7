"""Genres as people write them: texts without a genre, several genres in one text, and one spelling for each genre."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from genrelab.core.text import join_first, pluralize
from genrelab.identity.genre_names import USUAL_NAMES, spelling_key, usual_name

NO_GENRE = frozenset(
    map(
        spelling_key,
        (
            "unknown", "unknown genre", "other", "others", "misc", "miscellaneous", "none", "no genre", "n/a", "null",
            "nan", "genre", "undefined", "unclassified", "unclassifiable", "uncategorized", "uncategorised", "not set",
            "unspecified", "not specified", "default", "various", "general", "unbekannt", "sonstige", "sonstiges",
            "andere", "verschiedenes", "diverse", "inconnu", "autre", "autres", "divers", "desconocido", "otro",
            "otros", "varios", "sconosciuto", "altro", "vari", "desconhecido", "outros", "onbekend", "overig",
        ),
    )
)  # fmt: skip
"""Texts for an unknown genre, by their `spelling_key`."""

USUAL_KEYS = frozenset(map(spelling_key, USUAL_NAMES))
"""Genres that are known without a collection."""

KEEP_HINT = "(--keep-spellings prevents this)"

_NUMBERED = re.compile(r"\((\d{1,3}|RX|CR)\)")
_SURE_SEPARATOR = re.compile(r"[;|\0]")
_NUMBERS = re.compile(r"\s*[+-]?\d+(?:[.,/]\d+)+\s*")


@dataclass(frozen=True)
class JoinedGenres:
    """One genre for each label, or None, and notes."""

    names: tuple[str | None, ...]
    notes: tuple[str, ...]


def is_no_genre(name: str) -> bool:
    """Does a text mean no genre: `Unknown`, `Other`, `-`, empty?"""
    return not any(unicodedata.category(c)[0] not in "PZC" for c in name) or spelling_key(name) in NO_GENRE


def separate_genres(texts: Iterable[str], known: Collection[str] = ()) -> tuple[str, ...]:
    """The genres in the values of a tag or a cell, each once, without texts that mean no genre.

    `Rock; Pop` are two. `Rock, Pop` and `Rock/Pop` are two if each part is known to be a genre; a usual name with a
    slash, such as `Hip-Hop/Rap`, is one. ID3's numbers become names: `(17)` is Rock.

    Args:
        known: `spelling_key` of further texts that are genres.
    """
    found: dict[str, str] = {}
    for text in texts:
        for whole in _SURE_SEPARATOR.split(_without_numbers(text)):
            for name in _parts(whole, known):
                clean = " ".join(unicodedata.normalize("NFC", name).split())
                if not is_no_genre(clean):
                    found.setdefault(spelling_key(clean), clean)
    return tuple(found.values())


def join_genres(labels: Sequence[str | None], *, keep_spellings: bool = False) -> JoinedGenres:
    """One genre for each label: spellings of one genre are joined under the most frequent one.

    Of several genres in a label the first is used. A label without a genre becomes None.

    Args:
        keep_spellings: leave all labels as they are.
    """
    if keep_spellings:
        return JoinedGenres(tuple(labels), ())
    known = {spelling_key(label) for label in labels if label is not None}
    separated = {label: separate_genres([label], known) for label in set(labels) if label is not None}
    firsts = [separated[label][0] if label is not None and separated[label] else None for label in labels]
    spellings = spelling_counts(name for name in firsts if name is not None)
    name_of = {key: most_frequent(found) for key, found in spellings.items()}
    names = tuple(None if name is None else name_of[spelling_key(name)] for name in firsts)
    notes = [*_joined_notes(labels, separated, names), *_several_notes(labels, separated), *_none_notes(labels, names)]
    return JoinedGenres(names, tuple(notes))


def spelling_counts(names: Iterable[str]) -> dict[str, Counter[str]]:
    """`spelling_key` → number of occurrences of each spelling."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for name in names:
        found[spelling_key(name)][name] += 1
    return found


def most_frequent(spellings: Counter[str]) -> str:
    """The most frequent spelling; of equally frequent ones the usual one, else the first in order."""
    return min(spellings, key=lambda name: (-spellings[name], name != usual_name(name), name))


def _without_numbers(text: str) -> str:
    if not _NUMBERED.match(text):
        return text
    from mutagen.id3 import TCON  # its list of names; imported late: few files have numbers

    return ";".join(TCON(encoding=3, text=[text]).genres)


def _parts(text: str, known: Collection[str]) -> list[str]:
    """`Rock, Pop/Jazz` → all three if they are genres."""
    if _NUMBERS.fullmatch(text):  # a fraction, or a time signature
        return [text]
    commas = text.split(",")
    found = [name for part in commas for name in _parts_by_slash(part, known)]
    return found if len(commas) > 1 and _are_genres(found, known) else _parts_by_slash(text, known)


def _parts_by_slash(text: str, known: Collection[str]) -> list[str]:
    """`Rock/Pop` → both if both are genres and the whole is not a usual name."""
    parts = text.split("/")
    separate = len(parts) > 1 and not _is_usual(text) and _are_genres(parts, known)
    return parts if separate else [text]


def _are_genres(names: Sequence[str], known: Collection[str]) -> bool:
    return all(name.strip() and (_is_usual(name) or spelling_key(name) in known) for name in names)


def _is_usual(name: str) -> bool:
    return spelling_key(name) in USUAL_KEYS


def _joined_notes(
    labels: Sequence[str | None], separated: dict[str, tuple[str, ...]], names: Sequence[str | None]
) -> list[str]:
    """A note on all genres with several spellings."""
    written: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for label, name in zip(labels, names, strict=True):
        if label is not None and name is not None:
            first = separated[label][0]
            written[name][first].add(first if len(separated[label]) > 1 else label.strip(" ;"))
    joined = []
    for name, spellings in sorted(written.items()):
        if len(spellings) > 1:
            joined.append(f"{', '.join(sorted(spellings))} → {name}")
        elif len(texts := set().union(*spellings.values())) > 1:
            numbered = sorted(text for text in texts if _NUMBERED.match(text))
            joined.append(f"{', '.join(numbered)} → {name}" if numbered else f"variants of {name} that look alike")
    return [f"genres joined: {join_first(joined, most=10)} {KEEP_HINT}"] if joined else []


def _several_notes(labels: Sequence[str | None], separated: dict[str, tuple[str, ...]]) -> list[str]:
    several = [label for label in labels if label is not None and len(separated[label]) > 1]
    if not several:
        return []
    example = separated[several[0]]
    return [
        f"{pluralize(several, 'track')} with several genres, such as {' and '.join(example)}: the first one is used"
    ]


def _none_notes(labels: Sequence[str | None], names: Sequence[str | None]) -> list[str]:
    texts = Counter(label.strip() for label, name in zip(labels, names, strict=True) if label and name is None)
    if not texts:
        return []
    shown = join_first([text or "(blank)" for text in sorted(texts)])
    return [f"{pluralize(texts.total(), 'track')} labelled {shown}: treated as without a genre {KEEP_HINT}"]
