"""The ONNX operators that a network may have, and the shapes of their outputs.

Every operator that genrelab's exporters write has a rule here, from the shapes of its inputs to those of its outputs.
None of them runs code, opens files or loops an unknown number of times. Sizes may depend on other sizes
(`Call.numbers`), but not on the audio.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce

from genrelab.bundle.onnx_guard.operator import Call, Shape, axis_of
from genrelab.bundle.onnx_guard.reader import ITEM_BYTES


def _same_shape(c: Call) -> list[Shape]:
    return [c.shape(0)]


def _cast(c: Call) -> list[Shape]:
    if c.get("to", 0) not in ITEM_BYTES:
        raise ValueError("its output is not numeric")
    return [c.shape(0)]


def _broadcast(c: Call) -> list[Shape]:
    return [reduce(_broadcast_shapes, (c.shape(i) for i in range(len(c.values))))]


def _broadcast_shapes(a: Shape, b: Shape) -> Shape:
    n = max(len(a), len(b))
    pairs = zip((1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b, strict=True)
    return tuple(_require_equal(x, y) if 1 not in (x, y) else x * y for x, y in pairs)


def _require_equal(x: int, y: int) -> int:
    if x != y:
        raise ValueError(f"sizes {x} and {y} do not match")
    return x


def _matmul(c: Call) -> list[Shape]:
    a, b = c.shape(0), c.shape(1)
    if not a or not b:
        raise ValueError("an input is a single number, not a matrix")
    rows, columns = a if len(a) > 1 else (1, *a), b if len(b) > 1 else (*b, 1)
    _require_equal(rows[-1], columns[-2])
    batch = _broadcast_shapes(rows[:-2], columns[:-2])
    return [batch + (rows[-2],) * (len(a) > 1) + (columns[-1],) * (len(b) > 1)]


def _gemm(c: Call) -> list[Shape]:
    a, b = (c.shape(i)[::-1] if c.get(f"trans{'AB'[i]}", 0) else c.shape(i) for i in (0, 1))
    if len(a) != 2 or len(b) != 2:
        raise ValueError("its inputs are not matrices")
    _require_equal(a[1], b[0])
    out = (a[0], b[1])
    if c.has(2) and _broadcast_shapes(out, c.shape(2)) != out:
        raise ValueError("its third input is too large")
    return [out]


def _conv(c: Call) -> list[Shape]:
    (n, channels, *space), (filters, each, *kernel) = _require_image(c.shape(0)), _require_image(c.shape(1))
    groups = c.get("group", 1)
    stated = list(c.get("kernel_shape", tuple(kernel)))
    if groups < 1 or each * groups != channels or filters % groups or stated != kernel:
        raise ValueError("its filters do not match its input")
    if c.has(2):
        _require_equal(math.prod(c.shape(2)), filters)
    return [(n, filters, *_window_positions(c, space, kernel))]


def _pool(c: Call) -> list[Shape]:
    n, channels, *space = _require_image(c.shape(0))
    kernel: Shape = c.get("kernel_shape", ())
    pads: Shape = c.get("pads", ())
    if c.get("ceil_mode", 0) or any(pad >= size for pad, size in zip(pads, 2 * kernel, strict=False)):
        raise ValueError("its window does not match its input")
    return [(n, channels, *_window_positions(c, space, kernel))] * 2


def _global_pool(c: Call) -> list[Shape]:
    n, channels, *space = _require_image(c.shape(0))
    return [(n, channels, *(1 for _ in space))]


def _require_image(shape: Shape) -> Shape:
    if len(shape) < 3:
        raise ValueError(f"its input has shape {shape}")
    return shape


def _window_positions(c: Call, space: Sequence[int], kernel: Sequence[int]) -> list[int]:
    """Output sizes of a window that slides over `space`."""
    n = len(space)
    steps, gaps = c.get("strides", (1,) * n), c.get("dilations", (1,) * n)
    pads, auto = c.get("pads", (0,) * (2 * n)), c.get("auto_pad", b"NOTSET")
    lengths = (len(kernel), len(steps), len(gaps), len(pads))
    if lengths != (n, n, n, 2 * n) or min(*kernel, *steps, *gaps) < 1 or min(pads) < 0:
        raise ValueError("its window does not match its input")
    if auto in (b"SAME_UPPER", b"SAME_LOWER"):
        return [-(-size // step) for size, step in zip(space, steps, strict=True)]
    both = [pads[i] + pads[i + n] if auto == b"NOTSET" else 0 for i in range(n)]
    room = [space[i] + both[i] - (kernel[i] - 1) * gaps[i] - 1 for i in range(n)]
    if min(room) < 0:
        raise ValueError("its window does not match its input")
    return [free // step + 1 for free, step in zip(room, steps, strict=True)]


def _reshape(c: Call) -> list[Shape]:
    x, target = c.shape(0), list(c.numbers(1, "shape"))
    if not c.get("allowzero", 0):
        if any(n == 0 for n in target[len(x) :]):
            raise ValueError(f"its target has a 0 for an axis that shape {x} does not have")
        target = [x[i] if n == 0 else n for i, n in enumerate(target)]
    if -1 in target:
        at, rest = target.index(-1), math.prod(n for n in target if n != -1)
        target[at] = math.prod(x) // rest if rest else 0
    if min(target, default=0) < 0 or math.prod(target) != math.prod(x):
        raise ValueError(f"shape {x} cannot be changed to {target}")
    return [tuple(target)]


def _flatten(c: Call) -> list[Shape]:
    x, axis = c.shape(0), c.get("axis", 1)
    at = axis if axis == len(c.shape(0)) else axis_of(axis, len(x))
    return [(math.prod(x[:at]), math.prod(x[at:]))]


def _squeeze(c: Call) -> list[Shape]:
    x = c.shape(0)
    axes = {axis_of(a, len(x)) for a in c.numbers(1, "axes")} or {i for i, n in enumerate(x) if n == 1}
    if any(x[a] != 1 for a in axes):
        raise ValueError(f"removes an axis of {x} whose size is not 1")
    return [tuple(n for i, n in enumerate(x) if i not in axes)]


def _unsqueeze(c: Call) -> list[Shape]:
    x, axes = c.shape(0), c.numbers(1, "axes")
    n = len(x) + len(axes)
    new, old = {axis_of(a, n) for a in axes}, iter(x)
    if len(new) < len(axes):
        raise ValueError("adds an axis twice")
    return [tuple(1 if i in new else next(old) for i in range(n))]


def _transpose(c: Call) -> list[Shape]:
    x = c.shape(0)
    order = c.get("perm", tuple(range(len(x)))[::-1])
    if sorted(order) != list(range(len(x))):
        raise ValueError(f"{order} is not an order of the axes of shape {x}")
    return [tuple(x[i] for i in order)]


def _concat(c: Call) -> list[Shape]:
    shapes = [c.shape(i) for i in range(len(c.values))]
    at = c.axis(0, len(shapes[0]))
    if len({(*s[:at], *s[at + 1 :], len(s)) for s in shapes}) != 1:
        raise ValueError("its inputs do not match")
    return [(*shapes[0][:at], sum(s[at] for s in shapes), *shapes[0][at + 1 :])]


def slices(c: Call) -> tuple[slice, ...]:
    """The slice of each axis that the operator Slice takes."""
    x = c.shape(0)
    starts, ends = c.numbers(1, "starts"), c.numbers(2, "ends")
    axes = c.numbers(3, "axes") or tuple(range(len(starts)))
    steps = c.numbers(4, "steps") or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise ValueError("its slices do not match its input")
    found = [slice(None)] * len(x)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        found[axis_of(axis, len(x))] = slice(start, end, step)
    return tuple(found)


def _slice(c: Call) -> list[Shape]:
    return [tuple(len(range(*s.indices(n))) for s, n in zip(slices(c), c.shape(0), strict=True))]


def _gather(c: Call) -> list[Shape]:
    x, at = c.shape(0), c.axis(0, len(c.shape(0)))
    return [(*x[:at], *c.shape(1), *x[at + 1 :])]


def _expand(c: Call) -> list[Shape]:
    return [_broadcast_shapes(c.shape(0), _require_sizes(c.numbers(1)))]


def _tile(c: Call) -> list[Shape]:
    return [tuple(n * times for n, times in zip(c.shape(0), _require_sizes(c.numbers(1)), strict=True))]


def _pad(c: Call) -> list[Shape]:
    x, pads = c.shape(0), _require_sizes(c.numbers(1, "pads"))
    if len(pads) != 2 * len(x) or c.has(3):
        raise ValueError("its padding does not match its input")
    return [tuple(n + pads[i] + pads[i + len(x)] for i, n in enumerate(x))]


def shape_output(c: Call) -> Shape:
    """Output of the operator Shape."""
    x = c.shape(0)
    return x[c.get("start", 0) : c.get("end", len(x))]


def _shape(c: Call) -> list[Shape]:
    return [(len(shape_output(c)),)]


def _require_sizes(numbers: Shape) -> Shape:
    if min(numbers, default=0) < 0:
        raise ValueError(f"a size is negative: {min(numbers)}")
    return numbers


def _reduce(c: Call) -> list[Shape]:
    x = c.shape(0)
    if not (axes := c.numbers(1, "axes")) and c.get("noop_with_empty_axes", 0):
        return [x]
    return [_without_axes(x, {axis_of(a, len(x)) for a in axes} or set(range(len(x))), c.get("keepdims", 1))]


def _arg_max(c: Call) -> list[Shape]:
    x = c.shape(0)
    return [_without_axes(x, {c.axis(0, len(x))}, c.get("keepdims", 1))]


def _without_axes(x: Shape, axes: set[int], kept: int) -> Shape:
    return tuple(1 if i in axes else n for i, n in enumerate(x) if kept or i not in axes)


def _top_k(c: Call) -> list[Shape]:
    x, (k,) = c.shape(0), c.numbers(1)
    at = c.axis(-1, len(x))
    if not 0 <= k <= x[at]:
        raise ValueError(f"selects {k} values from an axis of size {x[at]}")
    return [(*x[:at], k, *x[at + 1 :])] * 2


def _array_features(c: Call) -> list[Shape]:
    x, n = c.shape(0), math.prod(c.shape(1))
    return [(*(x[:-1] if len(x) > 1 else (1,)), n)]


def _svm(c: Call) -> list[Shape]:
    """Support vectors of several classes; all lists must have the lengths that onnxruntime assumes."""
    per_class, labels = c.get("vectors_per_class", ()), c.get("classlabels_ints", ())
    classes, vectors, rows = len(per_class), sum(per_class), math.prod(c.shape(0)[:-1])
    pairs = classes * (classes - 1) // 2
    lists = {"support_vectors": vectors * c.shape(0)[-1], "coefficients": vectors * (classes - 1), "rho": pairs}
    good = classes > 1 and min(per_class) >= 0 and len(labels) == classes and not c.get("classlabels_strings", 0)
    good = good and all(c.get(name, 0) == n for name, n in lists.items()) and c.get("kernel_params", 0) == 3
    given = [c.get(name, 0) for name in ("prob_a", "prob_b")]
    if not good or given not in ([0, 0], [pairs, pairs]):
        raise ValueError("its support vectors are inconsistent")
    return [(rows,), (rows, classes if given[0] or classes == 2 else pairs)]


_SAME_SHAPE = """Abs BatchNormalization Clip Elu Erf Exp Gelu HardSigmoid HardSwish Identity IsNaN LayerNormalization
LeakyRelu Log LogSoftmax LpNormalization Neg Not Reciprocal Relu ReverseSequence Sigmoid Softmax Softplus Sqrt Tanh"""
_BROADCAST = "Add Div Equal Greater GreaterOrEqual Less LessOrEqual Max Min Mul PRelu Pow Sub Sum Where"
_REDUCTIONS = "LogSumExp Max Mean Min Sum SumSquare"

RULES: dict[tuple[str, str], Callable[[Call], list[Shape]]] = {
    **{("", op): _same_shape for op in _SAME_SHAPE.split()},
    **{("", op): _broadcast for op in _BROADCAST.split()},
    **{("", f"Reduce{op}"): _reduce for op in _REDUCTIONS.split()},
    **{("", op): rule for op, rule in {
        "ArgMax": _arg_max, "AveragePool": _pool, "Cast": _cast, "Concat": _concat, "Conv": _conv, "Expand": _expand,
        "Flatten": _flatten, "Gather": _gather, "Gemm": _gemm, "GlobalAveragePool": _global_pool,
        "GlobalMaxPool": _global_pool, "MatMul": _matmul, "MaxPool": _pool, "Pad": _pad, "Reshape": _reshape,
        "Shape": _shape, "Slice": _slice, "Squeeze": _squeeze, "Tile": _tile, "TopK": _top_k, "Transpose": _transpose,
        "Unsqueeze": _unsqueeze,
    }.items()},
    ("ai.onnx.ml", "ArrayFeatureExtractor"): _array_features,
    ("ai.onnx.ml", "SVMClassifier"): _svm,
}  # fmt: skip
