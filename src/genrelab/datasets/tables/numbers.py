"""Numbers as people and programs write them: `1,234.56`, `1.234,56`, `1 234,56`, `1'234.56`, `12 %`, `(1.5)`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genrelab.core.csv_tables import MISSING_VALUES
from genrelab.core.errors import printable
from genrelab.core.text import join_first, pluralize

DecimalMark = Literal["point", "comma"]
MARKS: tuple[DecimalMark, ...] = ("point", "comma")

_MISSING = frozenset(value.casefold() for value in MISSING_VALUES)

_LOOKALIKES = str.maketrans(
    dict.fromkeys("\u00a0\u2007\u2009\u202f", " ") | {"\u2212": "-", "\u2019": "'", "\u02bc": "'", "\uff0c": ","}
)
"""Unusual spaces, minus signs and apostrophes → those of a keyboard."""

_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)


def _pattern(mark: str, groups: str, more: str = "") -> re.Pattern[str]:
    """Numbers with this decimal mark; groups of thousands are separated by one of `groups`."""
    grouped = rf"[1-9]\d{{0,2}}(?P<sign>[{groups}])\d{{3}}(?:(?P=sign)\d{{3}})*{more}"
    exponent = r"(?:[eE][+-]?\d+)?"
    return re.compile(rf"[+-]?(?:(?:\d+(?:{mark}\d*)?|{mark}\d+){exponent}|(?:{grouped})(?:{mark}\d*)?)", re.ASCII)


_POINT = _pattern(r"\.", ",' ", r"|[1-9]\d?(?:,\d\d)+,\d{3}")  # and 12,34,567.8 as in India
_COMMA = _pattern(",", ".' ")
_POINT_SIGNS, _COMMA_SIGNS = str.maketrans("", "", ",' "), str.maketrans(",", ".", ".' ")


@dataclass(frozen=True)
class WrittenNumbers:
    """A column of texts, read with a decimal point and with a decimal comma.

    Attributes:
        texts: the cells; None where a number is missing.
        point, comma: their values, shape (cells,); NaN where a cell is no such number.
    """

    texts: tuple[str | None, ...]
    point: NDArray[np.float64]
    comma: NDArray[np.float64]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which cells are not empty."""
        return np.array([text is not None for text in self.texts], bool)

    @property
    def mark(self) -> DecimalMark | None:
        """The decimal mark that fits more cells; None if both fit the same number."""
        fits_point, fits_comma = (int((~np.isnan(values)).sum()) for values in (self.point, self.comma))
        if fits_point == fits_comma:
            return None
        return "point" if fits_point > fits_comma else "comma"

    @property
    def is_ambiguous(self) -> bool:
        """Do both marks fit the same number of cells with different values (`1,234`)?"""
        return self.mark is None and not np.array_equal(self.point, self.comma, equal_nan=True)

    def values(self, mark: DecimalMark) -> NDArray[np.float64]:
        """The values with this decimal mark."""
        return self.point if mark == "point" else self.comma

    def fits(self, mark: DecimalMark) -> bool:
        """Is every cell a number with this decimal mark?"""
        return not bool((np.isnan(self.values(mark)) & self.known).any())


def read_numbers(cells: Sequence[str | None]) -> WrittenNumbers:
    """The cells of a column as numbers, in both notations."""
    texts = tuple(None if cell is None or cell.strip().casefold() in _MISSING else cell.strip() for cell in cells)
    clean = [None if text is None else _plain(text) for text in texts]
    percents = [text is not None and text.endswith("%") for text in clean]
    # A few cells with a percent sign among others, or a few without, are unclear.
    wanted = 2 * sum(percents) >= sum(text is not None for text in clean)
    usable = [
        text.removesuffix("%").rstrip() if text is not None and percent == (wanted and any(percents)) else ""
        for text, percent in zip(clean, percents, strict=True)
    ]
    point, comma = (
        np.array([_value(text, pattern, table) for text in usable], np.float64)
        for pattern, table in ((_POINT, _POINT_SIGNS), (_COMMA, _COMMA_SIGNS))
    )
    return WrittenNumbers(texts, point, comma)


def are_whole(values: NDArray[np.float64]) -> bool:
    """Are all numbers finite and without a fraction?"""
    return bool(np.isfinite(values).all() and (values % 1 == 0).all())


def default_mark(votes: set[DecimalMark], delimiter: str | None) -> tuple[DecimalMark, str]:
    """The decimal mark of ambiguous columns (`1,234`), and the reason."""
    if len(votes) == 1:
        return next(iter(votes)), "like the other columns"
    mark: DecimalMark = "comma" if delimiter == ";" else "point"
    return mark, "by default" if delimiter is None else f"as usual with {delimiter!r}"


def notation_notes(columns: dict[str, WrittenNumbers], marks: dict[str, DecimalMark], reason: str) -> list[str]:
    """How unusual notations of numbers were read, with an example of each."""
    groups: dict[tuple[DecimalMark, bool], list[str]] = {}
    for c, column in columns.items():
        if column.is_ambiguous or any(map(_odd_signs, column.texts)):
            groups.setdefault((marks[c], column.is_ambiguous), []).append(c)
    notes = []
    for (mark, ambiguous), names in groups.items():
        texts = columns[names[0]].texts
        row = max(range(len(texts)), key=lambda i: _odd_signs(texts[i]))
        example = f"{printable(str(texts[row]))!r} is {columns[names[0]].values(mark)[row]:.15g}"
        doubt = f" ({reason}; ambiguous)" if ambiguous else ""
        notes.append(
            f"{pluralize(names, 'column')} with a decimal {mark}{doubt}, so {example}: {join_first(names, most=20)}"
        )
    return notes


def _odd_signs(text: str | None) -> int:
    """The number of unusual signs in a number."""
    return (
        len(re.findall(r"[^0-9.+\-eE]", text or "")) + 2 * (text or "").count(",") + max(0, (text or "").count(".") - 1)
    )


def _plain(text: str) -> str:
    """The text with usual signs, and its minus in front: `(1.5)` and `1.5-` are -1.5."""
    if not text.isascii():
        text = text.translate(_LOOKALIKES).strip()
    if text[:1] == "(" and text[-1:] == ")":
        text = f"-{text[1:-1].strip()}"
    elif text[-1:] == "-":
        text = f"-{text[:-1].strip()}"
    return text[0] + text[1:].lstrip() if text[:1] in ("+", "-") else text


def _value(text: str, pattern: re.Pattern[str], no_groups: Mapping[int, int | None]) -> float:
    if pattern.fullmatch(text):
        return float(text.translate(no_groups))
    return float(text) if _INFINITE.fullmatch(text) else np.nan
