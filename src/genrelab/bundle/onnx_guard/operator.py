"""An ONNX operator and its inputs, with the sizes that are known before anything is computed."""

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

    `numbers` are its elements where they are sizes; `constant`: it does not depend on the graph's input; `floating`:
    it is known to hold floating-point numbers.
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
        """Shape of the input `i`, which must be there."""
        value = self.values[i] if i < len(self.values) else None
        if value is None:
            raise ValueError(f"reads nothing as its input {i}")
        return value.shape

    def has(self, i: int) -> bool:
        """Is there an input `i`?"""
        return i < len(self.values) and self.values[i] is not None

    def get(self, name: str, default: T) -> T:
        """An attribute, of its default's type."""
        found = self.node.attributes.get(name, default)
        if not isinstance(found, type(default)):
            raise ValueError(f"attribute {name} is of a wrong type")
        return found

    def numbers(self, i: int, name: str = "") -> Shape:
        """Elements of the input `i`, or of the attribute that older operators have in its place."""
        value = self.values[i] if i < len(self.values) else None
        if value is None:
            return self.get(name, ())
        if value.numbers is None:
            raise ValueError(f"the size of what it gives cannot be told beforehand (input {i})")
        return tuple(value.numbers.reshape(-1).tolist())

    def axis(self, default: int, n: int) -> int:
        """The attribute `axis` of something with `n` axes, from 0 on."""
        return axis_of(self.get("axis", default), n)


def axis_of(axis: int, n: int) -> int:
    """An axis of something with `n` axes, from 0 on."""
    if not -n <= axis < n:
        raise ValueError(f"axis {axis} of {n}")
    return axis % n
