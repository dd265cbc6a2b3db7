"""Formats counts, shares and lists of names for messages, always on one line."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Collection, Sequence, Sized

from genrelab.core.errors import printable

MAX_NAME_LENGTH = 1_000
"""Maximum length of a name: of a model, genre, dataset, split or licence."""


def is_printable_line(text: str) -> bool:
    """Is it short enough, and free of control characters (they could rewrite a terminal) and lone surrogates?"""
    return len(text) <= MAX_NAME_LENGTH and not any(unicodedata.category(c) in ("Cc", "Cs") for c in text)


def join_first(names: Collection[str], *, most: int = 5) -> str:
    """The first `most` names: `a, b, c and 4 more`."""
    shown = ", ".join(printable(n) for n in itertools.islice(names, most))
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def join_all(names: Sequence[str]) -> str:
    """All names joined for a sentence: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def pluralize(things: Sized | int, what: str, plural: str | None = None) -> str:
    """`1 row`, `7,197 rows`; `things` may be the number itself. `plural` is given where `what` + `s` is wrong."""
    n = things if isinstance(things, int) else len(things)
    return f"{n:,} {what if n == 1 else plural or what + 's'}"


def format_duration(seconds: float) -> str:
    """`20 ms`, `8.0 s`, `80 s`, `12 min`, `3.4 h`."""
    if seconds < 0.1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:,.1f} h"


def percent(share: float) -> str:
    """A share in whole percent: `48 %`; with one digit: `evaluation.percent.format_percent`."""
    return f"{100 * share:.0f} %"
