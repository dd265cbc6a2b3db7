"""Reads an ONNX file without the package onnx, more strictly than onnxruntime does.

Refused, as genrelab's networks never have them: data in other files, functions, training, sparse tensors, strings.
Field numbers are those of onnx.proto (github.com/onnx/onnx).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.bundle.onnx_guard.protobuf import (
    I32,
    I64,
    LENGTH,
    VARINT,
    Field,
    Message,
    Reader,
    count_varints,
    signed,
    varints,
)
from genrelab.core.errors import printable

MAX_NODES = 20_000
MAX_CONSTANTS = 2_000  # onnxruntime's time grows with their square; MobileNetV2 has 288
MAX_AXES = 8
MAX_AXIS_LENGTH = 1 << 31
MAX_INTS = 10_000  # of one attribute
MAX_TRACKED_VALUES = 64
"""Integer constants with at most this many elements are read: shapes, axes, counts."""

FLOAT, INT32, INT64 = 1, 6, 7
FLOATING = {FLOAT, 10, 11}
ITEM_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8}
"""Element types that a tensor may have, and their size; strings are not allowed."""
LISTS = {**dict.fromkeys((2, 3, 4, 5, 6, 9, 10), "int32s"), 1: "floats", 7: "int64s", 11: "doubles"}
"""The field with the elements of a type, in a tensor that is not `raw`."""

MODEL = {
    1: Field("ir_version", VARINT), 2: Field("producer", LENGTH), 3: Field("producer_version", LENGTH),
    4: Field("domain", LENGTH), 5: Field("version", VARINT), 6: Field("doc", LENGTH), 7: Field("graph", LENGTH),
    8: Field("opsets", LENGTH, many=True), 14: Field("metadata", LENGTH, many=True),
}  # fmt: skip
GRAPH = {
    1: Field("nodes", LENGTH, many=True), 2: Field("name", LENGTH), 5: Field("constants", LENGTH, many=True),
    10: Field("doc", LENGTH), 11: Field("inputs", LENGTH, many=True), 12: Field("outputs", LENGTH, many=True),
    16: Field("metadata", LENGTH, many=True),
}  # fmt: skip
NODE = {
    1: Field("inputs", LENGTH, many=True), 2: Field("outputs", LENGTH, many=True), 3: Field("name", LENGTH),
    4: Field("op", LENGTH), 5: Field("attributes", LENGTH, many=True), 6: Field("doc", LENGTH),
    7: Field("domain", LENGTH), 9: Field("metadata", LENGTH, many=True),
}  # fmt: skip
ATTRIBUTE = {
    1: Field("name", LENGTH), 2: Field("f", I32), 3: Field("i", VARINT), 4: Field("s", LENGTH), 5: Field("t", LENGTH),
    6: Field("g", LENGTH), 7: Field("floats", I32, many=True), 8: Field("ints", VARINT, many=True),
    9: Field("strings", LENGTH, many=True), 13: Field("doc", LENGTH), 20: Field("type", VARINT),
}  # fmt: skip
ATTRIBUTE_FIELDS = {1: "f", 2: "i", 3: "s", 4: "t", 5: "g", 6: "floats", 7: "ints", 8: "strings"}
"""The field with the value of an attribute of a type."""
TENSOR = {
    1: Field("dims", VARINT, many=True), 2: Field("dtype", VARINT), 4: Field("floats", I32, many=True),
    5: Field("int32s", VARINT, many=True), 7: Field("int64s", VARINT, many=True), 8: Field("name", LENGTH),
    9: Field("raw", LENGTH), 10: Field("doubles", I64, many=True), 12: Field("doc", LENGTH),
    13: Field("external", LENGTH, many=True), 14: Field("location", VARINT),
}  # fmt: skip
VALUE_INFO = {1: Field("name", LENGTH), 2: Field("type", LENGTH), 3: Field("doc", LENGTH)}
TYPE = {1: Field("tensor", LENGTH), 6: Field("denotation", LENGTH)}
TENSOR_TYPE = {1: Field("dtype", VARINT), 2: Field("shape", LENGTH)}
SHAPE = {1: Field("dims", LENGTH, many=True)}
DIM = {1: Field("size", VARINT), 2: Field("label", LENGTH), 3: Field("denotation", LENGTH)}


@dataclass(frozen=True)
class Tensor:
    """A constant. `numbers`: its elements, if they are few integers."""

    name: bytes
    dtype: int
    shape: tuple[int, ...]
    numbers: NDArray[np.int64] | None


@dataclass(frozen=True)
class ValueInfo:
    """An input or output of a graph; an unknown size or shape is None."""

    name: bytes
    dtype: int
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Node:
    """One operator. An attribute that is a list of floats or strings is represented by its length."""

    op: str
    domain: str
    inputs: tuple[bytes, ...]
    outputs: tuple[bytes, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Graph:
    """Nodes in the order of the file."""

    nodes: tuple[Node, ...]
    constants: Mapping[bytes, Tensor]
    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]


def read_graph(onnx: bytes) -> Graph:
    """The graph of a serialised ModelProto.

    Raises:
        ValueError: it is damaged, or has parts that are not allowed; the reason is for the user.
    """
    reader = _GraphReader()
    model = reader.message(memoryview(onnx), MODEL, "it")
    if "graph" not in model:
        raise ValueError("it contains no graph")
    return reader.graph(model["graph"][0])


class _GraphReader(Reader):
    """Turns messages into graphs, nodes and tensors."""

    _depth = 0  # of graphs within graphs
    _constants = 0  # number in all graphs

    def graph(self, data: memoryview) -> Graph:
        self._depth += 1
        if self._depth > 2:
            raise ValueError("its graphs are nested too deeply")
        parts = self.message(data, GRAPH, "a graph")
        nodes = parts.get("nodes", [])
        if len(nodes) > MAX_NODES:
            raise ValueError(f"it has {len(nodes):,} operators, more than the limit of {MAX_NODES:,}")
        self._constants += len(parts.get("constants", []))
        if self._constants > MAX_CONSTANTS:
            raise ValueError(f"it has {self._constants:,} constants, more than the limit of {MAX_CONSTANTS:,}")
        constants = [self.tensor(t) for t in parts.get("constants", [])]
        named = {c.name: c for c in constants}
        if len(named) < len(constants):
            raise ValueError("two of its constants have the same name")
        ends = [tuple(self.end(e) for e in parts.get(which, [])) for which in ("inputs", "outputs")]
        graph = Graph(tuple(self.node(n) for n in nodes), named, *ends)
        self._depth -= 1
        return graph

    def node(self, data: memoryview) -> Node:
        parts = self.message(data, NODE, "an operator")
        attributes = dict(self.attribute(a) for a in parts.get("attributes", []))
        if len(attributes) < len(parts.get("attributes", [])):
            raise ValueError("an operator has an attribute twice")
        inputs, outputs = (tuple(map(bytes, parts.get(key, []))) for key in ("inputs", "outputs"))
        return Node(_string(parts, "op"), _string(parts, "domain"), inputs, outputs, attributes)

    def attribute(self, data: memoryview) -> tuple[str, Any]:
        parts = self.message(data, ATTRIBUTE, "an attribute")
        name, kind = _string(parts, "name"), ATTRIBUTE_FIELDS.get(_single_value(parts, "type", 0))
        if kind is None or not parts.keys() - {"name", "type", "doc"} <= {kind}:
            raise ValueError(f"the value of attribute {printable(name)} does not have the stated type")
        values = parts.get(kind, [])
        match kind:
            case "f":
                return name, struct.unpack("<f", values[0])[0] if values else 0.0
            case "i":
                return name, signed(values[0]) if values else 0
            case "s":
                return name, bytes(values[0]) if values else b""
            case "ints":
                if sum(map(count_varints, values)) > MAX_INTS:
                    raise ValueError(f"attribute {printable(name)} has more than {MAX_INTS:,} integers")
                return name, tuple(n for v in values for n in varints(v))
            case "floats":
                return name, sum(map(len, values)) // 4
        if not values:
            raise ValueError(f"attribute {printable(name)} is empty")
        return name, self.tensor(values[0]) if kind == "t" else self.graph(values[0])

    def tensor(self, data: memoryview) -> Tensor:
        parts = self.message(data, TENSOR, "a constant")
        name, dtype = bytes(_single_value(parts, "name", b"")), _single_value(parts, "dtype", 0)
        if "external" in parts or _single_value(parts, "location", 0):
            raise ValueError("it refers to other files, which is not allowed")
        dims = parts.get("dims", [])
        shape = tuple(n for v in dims for n in varints(v)) if sum(map(count_varints, dims)) <= MAX_AXES else (-1,)
        count = math.prod(shape)
        held = parts.keys() & {"raw", "floats", "int32s", "int64s", "doubles"}
        stored = next(iter(held), "raw")
        good = (
            dtype in ITEM_BYTES
            and 0 <= min(shape, default=0) <= max(shape, default=0) <= MAX_AXIS_LENGTH
            and len(held) <= 1
        )
        if not good or stored not in ("raw", LISTS.get(dtype)) or _count_elements(parts, stored, dtype) != count:
            raise ValueError(f"constant {printable_name(name)}: its data do not match its shape")
        small = dtype in (INT32, INT64) and count <= MAX_TRACKED_VALUES
        return Tensor(name, dtype, shape, _int_elements(parts, stored, dtype).reshape(shape) if small else None)

    def end(self, data: memoryview) -> ValueInfo:
        parts = self.message(data, VALUE_INFO, "an input or output")
        name = bytes(_single_value(parts, "name", b""))
        tensor = self._within(self._within(parts, "type", TYPE), "tensor", TENSOR_TYPE)
        dtype = _single_value(tensor, "dtype", 0)
        if "shape" not in tensor:
            return ValueInfo(name, dtype, None)
        dims = [self.message(d, DIM, "a shape") for d in self._within(tensor, "shape", SHAPE).get("dims", [])]
        if any({"size", "label"} <= d.keys() for d in dims):
            raise ValueError("a size occurs twice")
        return ValueInfo(name, dtype, tuple(signed(d["size"][0]) if "size" in d else None for d in dims))

    def _within(self, parts: Message, key: str, known: Mapping[int, Field]) -> Message:
        return self.message(parts[key][0], known, key) if key in parts else {}


def printable_name(name: bytes) -> str:
    """A name in the file, for an error."""
    return printable(name[:80].decode("utf-8", "backslashreplace"))


def _count_elements(parts: Message, stored: str, dtype: int) -> float:
    """Number of elements that a tensor holds."""
    values = parts.get(stored, [])
    if stored in ("int32s", "int64s"):
        return sum(map(count_varints, values))
    return sum(map(len, values)) / ITEM_BYTES[dtype]


def _int_elements(parts: Message, stored: str, dtype: int) -> NDArray[np.int64]:
    width = np.int64 if dtype == INT64 else np.int32
    if stored == "raw":
        raw = b"".join(parts.get("raw", []))
        return np.frombuffer(raw, np.dtype(width).newbyteorder("<")).astype(np.int64)
    return np.array([n for v in parts[stored] for n in varints(v)], np.int64).astype(width).astype(np.int64)


def _single_value(parts: Message, key: str, default: Any) -> Any:
    return parts[key][0] if key in parts else default


def _string(parts: Message, key: str) -> str:
    return bytes(_single_value(parts, key, b"")).decode("utf-8", "backslashreplace")
