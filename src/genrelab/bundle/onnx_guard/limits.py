"""Limits for a network from an untrusted source: checks a bundle's model.onnx before onnxruntime loads it.

onnxruntime runs no foreign code, but it trusts a graph: it opens other files that the graph names, runs endless loops,
allocates a terabyte for 50 bytes of graph, and some damage crashes the interpreter. The sha256 in a bundle protects
against accidents, not against malice. So a graph is measured first: only operators with a rule in `shapes.py`, only
sizes that follow from the shape of a window, limits for memory and for multiplications. A trial run in a process with
limits would not do: it tests one input, and sizes may depend on the input.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from genrelab.bundle.onnx_guard.operator import Call, Shape, Value
from genrelab.bundle.onnx_guard.reader import (
    FLOATING,
    INT32,
    INT64,
    MAX_AXES,
    MAX_TRACKED_VALUES,
    Graph,
    Node,
    printable_name,
)
from genrelab.bundle.onnx_guard.shapes import RULES, shape_output, slices
from genrelab.core.errors import printable

MAX_ELEMENTS = 1 << 28
"""Elements in memory at a time, 1 GiB of float32; MobileNetV2 has a third of that for 32 windows."""

MAX_WORK = 10**12
"""Multiplications, a minute or two on a slow core; MobileNetV2 needs a ninth of that for 32 windows."""

CHEAP_COST, SLOW_COST = 10, 100
"""Cost, in multiplications, of each number that other operators read or write; the second is for `SLOW_OPERATORS`."""

_SLOW_OPERATORS = """ArrayFeatureExtractor Elu Erf Exp Gather Gelu HardSigmoid HardSwish LayerNormalization Log
LogSoftmax Pow ReduceLogSumExp ReverseSequence Sigmoid Slice Softmax Softplus Tanh TopK Transpose"""
SLOW_OPERATORS = frozenset(_SLOW_OPERATORS.split())

FLOATS_ONLY = frozenset({"Div", "ReduceMean"})
"""On integers these can crash the process: division by 0, or of the smallest integer by -1."""

MIN_WORK = 10_000
"""Least cost of an operator: a few microseconds."""


def measure(graph: Graph, windows: int) -> tuple[int, int]:
    """Cost of a graph for `windows` windows at once.

    Returns:
        Peak number of elements in memory, and multiplications; both approximate.

    Raises:
        ValueError: an unknown or inconsistent operator, or too much of either; the reason is for the user.
    """
    budget = _Budget()
    values = _constants(graph)
    for end in graph.inputs:
        first, *rest = end.shape or (None, None)
        if end.name in values or any(n is None or n < 0 for n in rest):
            raise ValueError(f"its input {printable_name(end.name)!r} has no fixed shape or is a constant")
        shape = (windows if first is None else first, *(n for n in rest if n is not None))
        values[end.name] = Value(shape, floating=end.dtype in FLOATING)
        budget.take(values[end.name].elements, 0, 0, 1)
    _measure_nodes(graph, values, budget)
    return budget.peak, budget.work


def _constants(graph: Graph) -> dict[bytes, Value]:
    return {
        c.name: Value(c.shape, c.numbers, constant=True, floating=c.dtype in FLOATING) for c in graph.constants.values()
    }


class _Budget:
    """Memory and work that operators have used so far."""

    def __init__(self) -> None:
        self.live = self.peak = self.work = 0

    def take(self, elements: int, work: int, scratch: int, times: int) -> None:
        """Add lasting memory, work (`times` times), and temporary memory (`scratch`)."""
        self.live += elements
        self.peak = max(self.peak, self.live + scratch)
        self.work += max(work, MIN_WORK) * times
        if self.peak > MAX_ELEMENTS:
            raise ValueError(f"needs memory for more than {MAX_ELEMENTS:,} numbers")
        if self.work > MAX_WORK:
            raise ValueError(f"needs more than {MAX_WORK:,} multiplications")


def _measure_nodes(
    graph: Graph, values: dict[bytes, Value], budget: _Budget, times: int = 1, *, inner: bool = False
) -> None:
    """Add the outputs of every operator to `values`, and release those that no later operator reads."""
    uses = Counter(name for node in graph.nodes for name in node.inputs)
    uses.update(end.name for end in graph.outputs)
    releasable: set[bytes] = set()  # names of values that are released after their last use
    for node in graph.nodes:
        try:
            found = _node_outputs(node, values, budget, times, inner)
        except (ValueError, TypeError, LookupError, ArithmeticError) as e:
            what = printable(f"{node.domain}.{node.op}".strip("."))
            raise ValueError(f"operator {what}: {e}") from e
        for name, value in zip(node.outputs, found, strict=False):
            if name in values:
                raise ValueError("two of its outputs have the same name")
            if name:
                values[name] = value
                if not value.constant:  # onnxruntime computes constants in advance and keeps them
                    releasable.add(name)
        uses.subtract(node.inputs)
        for name in {*node.inputs, *node.outputs} & releasable:
            if uses[name] <= 0:
                budget.live -= values[name].elements
                releasable.remove(name)
    if missing := [end.name for end in graph.outputs if end.name not in values]:
        raise ValueError(f"no operator computes its output {printable_name(missing[0])!r}")


def _node_outputs(node: Node, values: dict[bytes, Value], budget: _Budget, times: int, inner: bool) -> list[Value]:
    if missing := [name for name in node.inputs if name and name not in values]:
        raise ValueError(f"reads {printable_name(missing[0])!r}, which no earlier operator computes")
    call = Call(node, tuple(values[name] if name else None for name in node.inputs))
    if (node.domain, node.op) == ("", "Scan") and not inner:
        return _scan(call, values, budget)
    if any(isinstance(a, Graph) for a in node.attributes.values()):
        raise ValueError("contains a graph, which is not allowed")
    found = _output_values(call)
    work, scratch = _node_cost(call, found[0])
    budget.take(sum(v.elements for v in found), work, scratch, times)
    return found


def _scan(call: Call, outer: dict[bytes, Value], budget: _Budget) -> list[Value]:
    """Operator Scan, which runs a graph once for each row of an input (k nearest neighbours)."""
    attributes = call.node.attributes
    body, rows = attributes.get("body"), call.get("num_scan_inputs", 0)
    known = attributes.keys() <= {"body", "num_scan_inputs"} and isinstance(body, Graph)
    if not known or not isinstance(body, Graph) or not 0 < rows <= len(call.values) == len(body.inputs):
        raise ValueError("has attributes that genrelab does not allow")
    shapes = [call.shape(i) for i in range(len(call.values))]
    kept, scanned = shapes[:-rows], shapes[-rows:]
    if len({s[:1] for s in scanned}) != 1 or not scanned[0]:
        raise ValueError("reads inputs of different lengths")
    times = scanned[0][0]
    values = outer | _constants(body)
    for end, shape, read in zip(body.inputs, [*kept, *(s[1:] for s in scanned)], call.values, strict=True):
        values[end.name] = Value(shape, floating=read is not None and read.floating)
    _measure_nodes(body, values, budget, max(times, 1), inner=True)
    ends = [values[end.name] for end in body.outputs]
    if [v.shape for v in ends[: len(kept)]] != kept:
        raise ValueError("the shape of its state changes from step to step")
    found = [Value(v.shape if i < len(kept) else (times, *v.shape), floating=v.floating) for i, v in enumerate(ends)]
    budget.take(sum(v.elements for v in found), 0, 0, 1)
    return found


def _output_values(c: Call) -> list[Value]:
    """Outputs of an operator."""
    rule = RULES.get((c.node.domain, c.node.op))
    if rule is None:
        raise ValueError("genrelab does not allow this operator")
    shapes = rule(c)
    if any(c.node.outputs[len(shapes) :]):
        raise ValueError(f"has an unsupported number of outputs: {len(c.node.outputs)}")
    if any(len(s) > MAX_AXES or max(s, default=0) > MAX_ELEMENTS for s in shapes):
        raise ValueError(f"has an output of shape {shapes[0]}, which is too large")
    # onnxruntime treats an inferred shape as a constant, and everything computed from it, too.
    constant = c.node.op == "Shape" or all(v is None or v.constant for v in c.values)
    kinds = _output_is_float(c)
    return [Value(s, _tracked_numbers(c, s), constant, kind) for s, kind in zip(shapes, kinds, strict=False)]


def _output_is_float(c: Call) -> tuple[bool, bool]:
    """For each output of an operator, at most two: is it known to contain floating-point numbers?"""
    first = c.values[c.node.op == "Where"] if c.values else None
    if c.node.op in FLOATS_ONLY and (first is None or not first.floating):
        raise ValueError("reads integers, which is not allowed")
    match c.node.op:
        case "Cast":
            return c.get("to", 0) in FLOATING, False
        case "SVMClassifier":
            return False, True
        case "Shape" | "ArgMax" | "IsNaN" | "Not" | "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual":
            return False, False
    return first is not None and first.floating, False


def _node_cost(c: Call, out: Value) -> tuple[int, int]:
    """Approximate multiplications of an operator, and elements that it needs temporarily."""
    read = sum(v.elements for v in c.values if v is not None)
    match c.node.op:
        case "MatMul" | "Gemm":
            a = c.shape(0)
            return out.elements * (a[0] if c.node.op == "Gemm" and c.get("transA", 0) else a[-1]), read
        case "Conv":
            _, each, *kernel = c.shape(1)
            products = each * math.prod(kernel)
            return out.elements * products, products * math.prod(out.shape[2:])
        case "AveragePool" | "MaxPool":
            return out.elements * math.prod(c.get("kernel_shape", ())), 0
        case "SVMClassifier":
            return out.shape[0] * (c.get("support_vectors", 0) + c.get("coefficients", 0)), 0
    return (read + out.elements) * (SLOW_COST if c.node.op in SLOW_OPERATORS else CHEAP_COST), 0


def _tracked_numbers(c: Call, shape: Shape) -> NDArray[np.int64] | None:
    """Elements of an output that is computed from known integers; else None."""
    if math.prod(shape) > MAX_TRACKED_VALUES:
        return None
    if c.node.op == "Shape":
        return np.array(shape_output(c), np.int64)
    numbers = [v.numbers for v in c.values if v is not None]
    if not numbers or any(n is None for n in numbers):
        return None
    found = _compute_numbers(c, [n for n in numbers if n is not None], shape)
    return None if found is None or (np.abs(found) >= 1 << 31).any() else found


def _compute_numbers(c: Call, numbers: list[NDArray[np.int64]], shape: Shape) -> NDArray[np.int64] | None:
    found: NDArray[np.int64] | None = None
    match c.node.op:
        case "Cast" if c.get("to", 0) not in (INT32, INT64):
            pass
        case "Cast" | "Identity" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze":
            found = numbers[0].reshape(shape)
        case "Expand":
            found = np.broadcast_to(numbers[0], shape)
        case "Concat":
            found = np.concatenate(numbers, axis=c.get("axis", 0))
        case "Slice":
            found = numbers[0][slices(c)]
        case "Gather":
            found = np.asarray(np.take(numbers[0], numbers[1], axis=c.get("axis", 0)))
        case "Mul":
            found = numbers[0] * numbers[1]
    return found
