"""How numbers of things and lists of names read in notes and errors, always on one line."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Collection, Sized

from genrelab.core.errors import printable

MAX_NAME_LENGTH = 1_000
"""Of a name, a genre, a data set, a split, a licence."""


def is_printable_line(text: str) -> bool:
    """Something to print: no control characters, which could rewrite a terminal, and no halves of characters."""
    return len(text) <= MAX_NAME_LENGTH and not any(unicodedata.category(c) in ("Cc", "Cs") for c in text)


def join_first(names: Collection[str], *, most: int = 5) -> str:
    """The first `most` names: `a, b, c and 4 more`."""
    shown = ", ".join(printable(n) for n in itertools.islice(names, most))
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def pluralize(things: Sized | int, what: str) -> str:
    """`1 row`, `7,197 rows`; `things` may be the number itself."""
    n = things if isinstance(things, int) else len(things)
    return f"{n:,} {what}{'' if n == 1 else 's'}"
