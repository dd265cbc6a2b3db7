"""Reads protobuf's wire format strictly: data that two readers could interpret differently are refused.

See protobuf.dev/programming-guides/encoding. Protobuf merges a singular field that occurs twice and keeps unknown
fields; here both are errors. `MAX_FIELDS` limits the work.
"""

from __future__ import annotations

import re
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
"""Values of each field, in order: integers without sign, everything else as memoryviews.

A value of a packed field or of a field of fixed-size numbers may contain several numbers."""


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
            ValueError: damage, an unknown field, or a singular field twice.
        """
        found: Message = {}
        for number, wire, value in _fields(data):
            self._left -= 1
            field = known.get(number)
            if self._left < 0:
                raise ValueError(f"it has more than {MAX_FIELDS:,} parts")
            if field is None:
                raise ValueError(f"{what} has a part that is not allowed (field {number})")
            if wire != field.wire and not (field.many and wire == LENGTH):
                raise ValueError(f"{what} is damaged: field {number} has the wrong type")
            values = found.setdefault(field.name, [])
            if not field.many and (values or (wire == I32 and len(value) > 4)):
                raise ValueError(f"{what} is damaged: field {number} occurs twice")
            values.append(value)
        return found


def varints(value: int | memoryview) -> Iterator[int]:
    """One integer, or packed ones, with sign."""
    if isinstance(value, int):
        yield signed(value)
        return
    at = 0
    while at < len(value):
        number, at = _varint(value, at)
        yield signed(number)


def count_varints(value: int | memoryview) -> int:
    """Number of integers that `varints` yields."""
    return 1 if isinstance(value, int) else int((np.frombuffer(value, np.uint8) < 0x80).sum())


def signed(number: int) -> int:
    """An unsigned 64-bit integer as a signed one."""
    return number - (1 << 64) if number >= 1 << 63 else number


def _fields(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and value of each field; consecutive fixed-size fields are one."""
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
            tag_bytes, size = bytes(data[start:at]), 4 if wire == I32 else 8
            run = re.compile(b"(?:%b.{%d})++" % (re.escape(tag_bytes), size), re.DOTALL).match(data, start)
            if run is None:
                raise ValueError("it is damaged: it ends too early")
            rows = np.frombuffer(run[0], np.uint8).reshape(-1, len(tag_bytes) + size)
            value, at = memoryview(rows[:, len(tag_bytes) :].tobytes()), run.end()
        else:
            raise ValueError("it is damaged: not an ONNX file")
        if at > end or tag < 8:
            raise ValueError("it is damaged: it ends too early")
        yield tag >> 3, wire, value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """An unsigned 64-bit integer, and the position after it."""
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
        shift += 7
    raise ValueError("it is damaged: it ends within a number")
