"""An ONNX operator and its inputs, with the shapes and numbers that are known in advance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from genrelab.bundle.onnx_guard.reader import Node

Shape = tuple[int, ...]
T = TypeVar("T")


class Value(NamedTuple):
    """An input or output of an operator.

    `numbers`: its elements, if they are known integers; `constant`: it does not depend on the input of the graph;
    `floating`: it is known to contain floating-point numbers.
    """

    shape: Shape
    numbers: NDArray[np.int64] | None = None
    constant: bool = False
    floating: bool = False

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Call:
    """An operator with its inputs."""

    node: Node
    values: tuple[Value | None, ...]

    def shape(self, i: int) -> Shape:
        """Shape of the input `i`, which must exist."""
        value = self.values[i] if i < len(self.values) else None
        if value is None:
            raise ValueError(f"its input {i} is missing")
        return value.shape

    def has(self, i: int) -> bool:
        """Is there an input `i`?"""
        return i < len(self.values) and self.values[i] is not None

    def get(self, name: str, default: T) -> T:
        """An attribute, of its default's type."""
        found = self.node.attributes.get(name, default)
        if not isinstance(found, type(default)):
            raise ValueError(f"attribute {name} has the wrong type")
        return found

    def numbers(self, i: int, name: str = "") -> Shape:
        """Elements of the input `i`, or of the attribute that older opsets have instead."""
        value = self.values[i] if i < len(self.values) else None
        if value is None:
            return self.get(name, ())
        if value.numbers is None:
            raise ValueError(f"the size of its output is not known in advance (input {i})")
        return tuple(value.numbers.reshape(-1).tolist())

    def axis(self, default: int, n: int) -> int:
        """The attribute `axis` for a shape with `n` axes, from 0 on."""
        return axis_of(self.get("axis", default), n)


def axis_of(axis: int, n: int) -> int:
    """An axis of a shape with `n` axes, from 0 on."""
    if not -n <= axis < n:
        raise ValueError(f"axis {axis} does not exist (number of axes: {n})")
    return axis % n
