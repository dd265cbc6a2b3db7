"""Protobuf's wire format, read strictly: what two readers could read differently is refused.

See protobuf.dev/programming-guides/encoding. Where a singular field occurs twice protobuf merges the two, and it keeps
fields that it does not know: here both are errors. Work is limited by `MAX_FIELDS`, not only by the file's size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

VARINT, I64, LENGTH, I32 = 0, 1, 2, 5
MAX_FIELDS = 500_000


class Field(NamedTuple):
    """How one field of a message is written."""

    name: str
    wire: int
    many: bool = False


Message = dict[str, list[Any]]
"""Values of each field that is there, in order: integers as they are written, without sign; all else as memoryviews.

One value of a field of fixed-size numbers may hold several of them, and so may one of a packed field."""


class Reader:
    """Reads nested messages, and counts their fields."""

    def __init__(self) -> None:
        self._left = MAX_FIELDS

    def message(self, data: memoryview, known: Mapping[int, Field], what: str) -> Message:
        """The fields of one message.

        Args:
            data: its bytes.
            known: its fields by number.
            what: name of the message, for the error.

        Raises:
            ValueError: damage, a field that is not known, or a singular one twice.
        """
        found: Message = {}
        for number, wire, value in _fields(data):
            self._left -= 1
            field = known.get(number)
            if self._left < 0:
                raise ValueError(f"it has more than {MAX_FIELDS:,} parts")
            if field is None:
                raise ValueError(f"{what} has a part of a kind that is not allowed (field {number})")
            if wire != field.wire and not (field.many and wire == LENGTH):
                raise ValueError(f"{what} is damaged: field {number} is written in another way")
            values = found.setdefault(field.name, [])
            if not field.many and (values or (wire == I32 and len(value) > 4)):
                raise ValueError(f"{what} is damaged: field {number} stands there twice")
            values.append(value)
        return found


def varints(value: int | memoryview) -> Iterator[int]:
    """One integer, or those that are packed; with sign."""
    at, size = 0, 0 if isinstance(value, int) else len(value)
    if isinstance(value, int):
        yield signed(value)
    else:
        while at < size:
            number, at = _varint(value, at)
            yield signed(number)


def count_varints(value: int | memoryview) -> int:
    """Number of integers that `varints` gives."""
    return 1 if isinstance(value, int) else int((np.frombuffer(value, np.uint8) < 0x80).sum())


def signed(number: int) -> int:
    """An unsigned integer of 64 bits as a signed one."""
    return number - (1 << 64) if number >= 1 << 63 else number


def _fields(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and value of each field; consecutive fixed-size ones are returned as one."""
    at, end = 0, len(data)
    while at < end:
        start = at
        tag, at = _varint(data, at)
        wire = tag & 7
        value: Any
        if wire == VARINT:
            value, at = _varint(data, at)
        elif wire == LENGTH:
            size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        elif wire in (I32, I64):
            stride = at - start + (4 if wire == I32 else 8)
            repeats = _repeats(data, start, stride) if at - start == 1 else 1
            value, at = _joined_values(data, start, at - start, stride, repeats), start + repeats * stride
        else:
            raise ValueError("it is damaged: not protobuf")
        if at > end or tag < 8:
            raise ValueError("it is damaged: a part ends beyond its end")
        yield tag >> 3, wire, value


def _repeats(data: memoryview, start: int, stride: int) -> int:
    """Number of consecutive complete fields with the same tag of one byte, at least one.

    Searches in growing steps, so that the work is in proportion to the result.
    """
    tags = np.frombuffer(data, np.uint8)[start : len(data) - stride + 1 : stride]
    found, step = 1, 16
    while found < len(tags):
        others = np.flatnonzero(tags[found : found + step] != data[start])
        if len(others):
            return found + int(others[0])
        found, step = min(found + step, len(tags)), 4 * step
    return found


def _joined_values(data: memoryview, start: int, tag_bytes: int, stride: int, repeats: int) -> memoryview:
    if repeats == 1 or start + stride > len(data):
        return data[start + tag_bytes : start + stride]
    rows = np.frombuffer(data[start : start + stride * repeats], np.uint8).reshape(repeats, stride)
    return memoryview(rows[:, tag_bytes:].tobytes())


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """An integer of 64 bits without sign, and where it ends."""
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
        shift += 7
    raise ValueError("it is damaged: it ends in the middle of a number")
