"""A network is measured before onnxruntime loads it: allowed operators, memory, multiplications."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
import pytest

from genrelab.bundle.onnx_guard.limits import MIN_WORK, measure
from genrelab.bundle.onnx_guard.operator import Call, Value
from genrelab.bundle.onnx_guard.reader import INT32, INT64, MAX_CONSTANTS, MAX_NODES, read_graph
from genrelab.bundle.onnx_guard.shapes import RULES

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

FLOAT, INT, ML = TensorProto.FLOAT, TensorProto.INT64, "ai.onnx.ml"


def model(
    nodes: list[Any],
    constants: dict[str, Any] | None = None,
    *,
    shape: Sequence[int | str] = ("n", 4),
    outputs: Sequence[str] = ("y",),
    opset: int = 17,
) -> Any:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, shape)],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(ML, 3)], ir_version=8
    )


def cost(proto: Any, windows: int = 32) -> tuple[int, int]:
    return measure(read_graph(proto.SerializeToString()), windows)


def node(op: str, *inputs: str, **attributes: Any) -> Any:
    return helper.make_node(op, [i or "x" for i in inputs or ("",)], ["y"], **attributes)


# --- shapes ---

F, I = np.float32, np.int64  # noqa: E741
UNARY = """Abs Clip Elu Erf Exp HardSigmoid HardSwish Identity IsNaN LeakyRelu Log LogSoftmax LpNormalization Neg
Reciprocal Relu Sigmoid Softmax Softplus Sqrt Tanh"""
ARITHMETIC = "Add Div Equal Greater GreaterOrEqual Less LessOrEqual Max Min Mul PRelu Pow Sub Sum"
REDUCING = "ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceSumSquare"

Case = tuple[str, list[Any], dict[str, Any]]


def values(*shape: int, dtype: Any = F) -> Any:
    return np.arange(1, 1 + int(np.prod(shape)), dtype=dtype).reshape(shape)


def cases() -> list[Case]:
    """Operator, what it reads, attributes."""
    x, flags = values(2, 3, 4), values(2, 3) > 2
    image, cube = values(2, 3, 7, 6), values(1, 2, 5, 4, 3)
    found: list[Case] = [(op, [x], {}) for op in UNARY.split()]
    found += [(op, [x, values(3, 1)], {}) for op in ARITHMETIC.split()]
    found += [(op, [x], {"axes": [0, -1], "keepdims": k}) for op in REDUCING.split() for k in (0, 1)]
    found += [("ReduceSum", [x, np.array([1])], {"keepdims": 0}), ("ReduceSum", [x], {}), ("ReduceMax", [x], {})]
    found += [
        ("ReduceSum", [x], {"noop_with_empty_axes": 1}),
        ("Not", [flags], {}),
        ("Where", [flags[:, 0, None, None], x, x], {}),
    ]
    found += [("Where", [values(4, 1, 1) > 2, values(3, 1), values(5)], {})]
    found += [(op, [x], {"axis": a, "keepdims": k}) for op in ("ArgMax",) for a, k in ((1, 0), (-1, 1))]
    found += [
        ("Cast", [x], {"to": INT}),
        ("Shape", [x], {}),
        ("Shape", [x], {"start": -2, "end": 9}),
    ]
    found += [("MatMul", pair, {}) for pair in (
        [x, values(4, 5)], [values(4), values(4, 5)], [values(2, 4), values(4)], [values(5, 1, 2, 4), values(3, 4, 1)],
    )]  # fmt: skip
    found += [("Gemm", [values(4, 2), values(3, 4), values(3)], {"transA": 1, "transB": 1})]
    found += [("Gemm", [values(2, 4), values(4, 3)], {})]
    found += [("Conv", [image, values(4, 3, 3, 2), values(4)], a) for a in (
        {}, {"strides": [2, 1], "pads": [1, 0, 2, 1]}, {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"dilations": [2, 3], "kernel_shape": [3, 2]}, {"auto_pad": "VALID"}, {"pads": [5, 5, 5, 5]},
    )]  # fmt: skip
    found += [("Conv", [image, values(3, 1, 1, 1)], {"group": 3}), ("Conv", [cube, values(4, 2, 2, 2, 2)], {})]
    found += [(op, [image], {"kernel_shape": [3, 2], **a}) for op in ("AveragePool", "MaxPool") for a in (
        {}, {"strides": [2, 2]}, {"pads": [1, 1, 2, 1]}, {"auto_pad": "SAME_LOWER", "strides": [3, 2]},
    )]  # fmt: skip
    found += [(op, [image], {}) for op in ("GlobalAveragePool", "GlobalMaxPool")]
    found += [("Reshape", [x, np.array(s)], {}) for s in ([6, 4], [0, -1], [-1], [2, 1, 0, 3])]
    found += [("Reshape", [values(0, 3), np.array([3, 0])], {"allowzero": 1})]
    found += [("Flatten", [x], a) for a in ({}, {"axis": 0}, {"axis": 3}, {"axis": -1})]
    found += [("Squeeze", [values(1, 3, 1), *a], {}) for a in ([], [np.array([0])], [np.array([-1, 0])])]
    found += [("Unsqueeze", [x, np.array(a)], {}) for a in ([0], [-1, 1], [4, 0])]
    found += [("Transpose", [x], a) for a in ({}, {"perm": [1, 2, 0]})]
    found += [("Concat", [x, values(2, 1, 4), x], {"axis": a}) for a in (1, -2)]
    found += [("Slice", [x, *map(np.array, a)], {}) for a in (
        ([1], [99]), ([0, -3], [1, -1], [0, 2]), ([-1], [-99], [1], [-2]),
        ([2**31 - 1, 0], [-(2**63), 2], [2, 1], [-1, 1]),
    )]  # fmt: skip
    found += [
        ("Gather", [x, i], {"axis": a}) for i, a in ((np.array([[0, -1]]), 1), (np.array(1), -1), (np.array([0]), 0))
    ]
    found += [("Expand", [values(3, 1), np.array(s)], {}) for s in ([2, 1, 4], [3, 5], [1])]
    found += [("Tile", [x, np.array([1, 2, 3])], {}), ("Pad", [x, np.array([0, 1, 2, 0, 0, 3])], {})]
    found += [("TopK", [x, np.array([2])], {"axis": 1})]
    found += [("ReverseSequence", [values(4, 2), np.array([1, 3])], {"batch_axis": 1, "time_axis": 0})]
    norms = [values(3)] * 4
    found += [("BatchNormalization", [image, *norms], {}), ("LayerNormalization", [x, values(4), values(4)], {})]
    found += [("ArrayFeatureExtractor", [v, np.array([[0, 2]])], {}) for v in (values(3), values(2, 3), x)]
    svm = {"kernel_type": "RBF", "kernel_params": [0.1, 0.0, 3.0], "post_transform": "NONE"}
    for classes, more in ((3, {}), (2, {}), (3, {"prob_a": [1.0] * 3, "prob_b": [0.0] * 3})):
        pairs = classes * (classes - 1) // 2
        vectors = {"support_vectors": [0.5] * 2 * classes * 4, "coefficients": [0.1] * 2 * classes * (classes - 1)}
        labels = {"classlabels_ints": list(range(classes)), "vectors_per_class": [2] * classes, "rho": [0.1] * pairs}
        found.append(("SVMClassifier", [values(5, 4)], {**svm, **vectors, **labels, **more}))
    return found


def outputs_of(op: str, attributes: dict[str, Any]) -> list[str]:
    return ["a", "b"] if op in ("TopK", "SVMClassifier") else ["a"]


@pytest.mark.parametrize("case", cases(), ids=lambda c: c[0])
def test_shapes_are_those_of_onnxruntime(case: Case) -> None:
    op, inputs, attributes = case
    domain = ML if op in ("SVMClassifier", "ArrayFeatureExtractor") else ""
    outputs, names = outputs_of(op, attributes), [f"c{i}" for i in range(len(inputs))]
    given = [helper.make_node(op, names, outputs, domain=domain, **attributes)]
    proto = model(given, dict(zip(names, inputs, strict=True)), outputs=outputs)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = session.run(None, {"x": np.zeros((1, 4), F)})
    graph = read_graph(proto.SerializeToString())
    held = tuple(Value(c.shape, c.numbers) for c in graph.constants.values())
    assert RULES[domain, op](Call(graph.nodes[0], held))[: len(found)] == [v.shape for v in found]
    measure(graph, 1)


def test_every_allowed_operator_is_compared() -> None:
    newer = {("", "Gelu")}  # of a later operator set than the one that genrelab writes
    compared = {(ML if op in ("SVMClassifier", "ArrayFeatureExtractor") else "", op) for op, _, _ in cases()}
    assert compared | newer == set(RULES)


def test_shapes_computed_from_shapes_are_known() -> None:
    """tf2onnx repeats a channel with Shape, Slice, Concat, Cast, Tile and Reshape."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Cast", ["s"], ["s32"], to=TensorProto.INT32),
        helper.make_node("Slice", ["s32", "zero", "one"], ["batch"]),
        helper.make_node("Gather", ["s32", "one"], ["columns"]),
        helper.make_node("Mul", ["columns", "three"], ["wide"]),
        helper.make_node("Concat", ["batch", "wide"], ["target"], axis=0),
        helper.make_node("Cast", ["target"], ["target64"], to=TensorProto.INT64),
        helper.make_node("Tile", ["x", "times"], ["t"]),
        helper.make_node("Reshape", ["t", "target64"], ["y"]),
    ]
    constants = {
        "zero": np.array([0], np.int32),
        "one": np.array([1], np.int32),
        "three": np.array([3], np.int32),
        "times": np.array([1, 3]),
    }
    most, _ = cost(model(nodes, constants), windows=8)
    assert 2 * 8 * 12 <= most - 8 * 4 <= 2 * 8 * 12 + 20


def test_memory_counts_only_arrays_alive_at_the_same_time() -> None:
    chain = [helper.make_node("Neg", ["x"], ["0"])]
    chain += [helper.make_node("Neg", [str(i)], [str(i + 1)]) for i in range(50)]
    assert cost(model(chain, outputs=["50"]), windows=10)[0] == 3 * 10 * 4, "with the input"
    fan = [*(helper.make_node("Neg", ["x"], [str(i)]) for i in range(50)), node("Sum", *map(str, range(50)))]
    assert cost(model(fan), windows=10)[0] == 52 * 10 * 4


SLOW_AND_QUICK = ("Transpose", "Softmax", "Neg")


def test_slow_operators_cost_more() -> None:
    """As measured for float64: sorting, transposing and powers take a hundred times as long as in a product."""
    sizes = {op: cost(model([node(op)], shape=("n", 100, 100)), 32)[1] - MIN_WORK for op in SLOW_AND_QUICK}
    assert sizes["Transpose"] == sizes["Softmax"] == 10 * sizes["Neg"] == 100 * 2 * 32 * 10_000


def test_work_is_counted_in_multiplications() -> None:
    _, work = cost(model([node("MatMul", "", "w")], {"w": np.zeros((4, 500), F)}), windows=32)
    assert 32 * 4 * 500 <= work < 32 * 4 * 500 + 20_000
    image = model([node("Conv", "", "w")], {"w": np.zeros((8, 3, 5, 5), F)}, shape=("n", 3, 20, 20))
    exact = 2 * 8 * 16 * 16 * 3 * 25
    most, work = cost(image, windows=2)
    assert exact <= work < exact + 20_000
    columns = 16 * 16 * 3 * 25  # the matrix that onnxruntime makes of one window
    assert most == 8 * 3 * 25 + 2 * 3 * 20 * 20 + 2 * 8 * 16 * 16 + columns - 8 * 3 * 25


# --- refused ---


def bombs() -> dict[str, tuple[Any, str]]:
    """By name: a harmful model, and words of the error."""
    big = np.array([30_000, 30_000])
    inner = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"])],
        "inner",
        [helper.make_tensor_value_info(n, t, []) for n, t in (("i", INT), ("go", TensorProto.BOOL))],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, [])],
    )
    doubling = [helper.make_node("Concat", ["x", "x"], ["0"], axis=1)]
    doubling += [helper.make_node("Concat", [str(i)] * 2, [str(i + 1)], axis=1) for i in range(40)]
    constants = [helper.make_node("Tile", ["one", "times"], [str(i)]) for i in range(20)]
    outer = [node("MatMul", "tall", "wide")]
    custom = helper.make_node("Sigmoid", ["x"], ["y"], domain="com.microsoft")
    filters = helper.make_node("Expand", ["one", "s"], ["w"])
    each = [helper.make_node("Tile", ["one", "times"], [f"big{i}"]) for i in range(20)]
    each = [n for i, big in enumerate(each) for n in (big, helper.make_node("ReduceMax", [f"big{i}"], [f"m{i}"]))]
    shaped = [helper.make_node("Expand", ["x", "s"], ["a"]), helper.make_node("Shape", ["a"], ["t"])]
    for i in range(5):
        shaped += [helper.make_node("Expand", ["one", "t"], [f"b{i}"]), helper.make_node("Neg", [f"b{i}"], [f"c{i}"])]
        shaped += [helper.make_node("ReduceMax", [f"c{i}"], [f"m{i}"])]
    integers = [helper.make_node("Cast", ["x"], ["i"], to=INT)]
    return {
        "ones": (model([node("Expand", "one", "s")], {"one": F([1]), "s": big}), "more than .* numbers"),
        "beyond 64 bits": (
            model([node("Expand", "one", "s")], {"one": F([1]), "s": np.array([2**62, 0])}),
            "output of shape|not known in advance",
        ),
        "negative": (model([node("Expand", "", "s")], {"s": np.array([-5])}), "a size is negative: -5"),
        "expand": (model([node("Expand", "", "s")], {"s": np.array([10**9, 1, 1])}), "more than .* numbers|of shape"),
        "tile": (model([node("Tile", "", "s")], {"s": np.array([10**4, 10**4])}), "more than .* numbers"),
        "pad": (model([node("Pad", "", "s")], {"s": np.array([10**5] * 4)}), "more than .* numbers"),
        "outer product": (
            model(outer, {"tall": np.zeros((30_000, 1), F), "wide": np.zeros((1, 30_000), F)}),
            "more than .* numbers",
        ),
        "broadcast": (
            model([node("Add", "a", "b")], {"a": np.zeros((30_000, 1), F), "b": np.zeros((1, 30_000), F)}),
            "more than .* numbers",
        ),
        "doubling": (model(doubling, outputs=["40"]), "more than .* numbers"),
        "constants that are kept": (
            model([*constants, node("Sum", *map(str, range(20)))], {"one": F([1]), "times": np.array([1 << 26])}),
            "more than .* numbers",
        ),
        "constants that are kept, each used once": (
            model([*each, node("Sum", *(f"m{i}" for i in range(20)))], {"one": F([1]), "times": np.array([1 << 26])}),
            "more than .* numbers",
        ),
        "constants of an inferred shape": (
            model(
                [*shaped, node("Sum", *(f"m{i}" for i in range(5)))],
                {"one": F([1]), "s": np.array([1 << 26])},
                shape=(1,),
            ),
            "more than .* numbers",
        ),
        "work": (
            model(
                [filters, node("Conv", "", "w")],
                {"one": F([1]), "s": np.array([1_000, 1, 38_000])},
                shape=("n", 1, 40_000),
            ),
            "multiplications",
        ),
        "32 bits that run over": (
            model(
                [node("Mul", "s", "s"), helper.make_node("Expand", ["x", "y"], ["z"])],
                {"s": np.array([1 << 16], np.int32)},
                outputs=["z"],
            ),
            "not known in advance",
        ),
        "64 bits cut to 32": (
            model(
                [helper.make_node("Cast", ["s"], ["t"], to=TensorProto.INT32), node("Expand", "", "t")],
                {"s": np.array([(1 << 32) + 1])},
            ),
            "not known in advance",
        ),
        "negative edges": (
            model([node("MaxPool", kernel_shape=[3], pads=[-1, 0])], shape=("n", 1, 9)),
            "its window does not match",
        ),
        "windows beyond the end": (
            model([node("MaxPool", kernel_shape=[3], ceil_mode=1)], shape=("n", 1, 9)),
            "its window does not match",
        ),
        "division of integers": (model([*integers, node("Div", "i", "i")]), "Div: reads integers"),
        "division of the smallest integer": (
            model([*integers, node("Div", "s", "i")], {"s": np.array([-(2**63)])}),
            "Div: reads integers",
        ),
        "mean of no integers": (model([*integers, node("ReduceMean", "i")]), "ReduceMean: reads integers"),
        "endless loop": (
            model([node("Loop", "", "yes", body=inner)], {"yes": np.array(True)}),
            "operator Loop: contains a graph",
        ),
        "unknown operator": (model([node("RandomNormal", shape=[1])]), "RandomNormal: genrelab does not allow"),
        "custom operator": (model([custom]), r"com\.microsoft\.Sigmoid: genrelab does not allow"),
        "size of the sound": (
            model([helper.make_node("Cast", ["x"], ["s"], to=INT), node("Expand", "", "s")], shape=("n",)),
            "not known in advance",
        ),
        "strings": (model([node("Cast", "", to=TensorProto.STRING)]), "not numeric"),
        "out of nothing": (model([node("Neg", "nowhere")]), "reads 'nowhere', which no earlier"),
        "no output": (model([helper.make_node("Neg", ["x"], ["z"])]), "no operator computes its output 'y'"),
        "twice": (model([node("Neg"), node("Abs")]), "the same name"),
        "no size": (model([node("Neg")], shape=("n", "m")), "has no fixed shape"),
    }


@pytest.mark.parametrize("name", bombs())
def test_networks_beyond_the_limits_are_refused(name: str) -> None:
    proto, words = bombs()[name]
    with pytest.raises(ValueError, match=words):
        cost(proto)


def test_inconsistent_support_vector_machine_is_refused() -> None:
    op, _, attributes = next(c for c in cases() if c[0] == "SVMClassifier")
    good = [helper.make_node(op, ["x"], ["label", "y"], domain=ML, **attributes)]
    cost(model(good))
    lists = [name for name, value in attributes.items() if isinstance(value, list)]
    for name in lists:
        for wrong in (attributes[name][:-1], attributes[name] * 2):
            bad = [helper.make_node(op, ["x"], ["label", "y"], domain=ML, **{**attributes, name: wrong})]
            with pytest.raises(ValueError, match="are inconsistent"):
                cost(model(bad))
    odd = {**attributes, "vectors_per_class": [5, -1, 2]}
    with pytest.raises(ValueError, match="are inconsistent"):
        cost(model([helper.make_node(op, ["x"], ["label", "y"], domain=ML, **odd)]))


def scan(rows: Any, body: list[Any], kept: int = 4, **more: Any) -> Any:
    graph = helper.make_graph(
        body,
        "body",
        [helper.make_tensor_value_info("kept", FLOAT, ["n", kept]), helper.make_tensor_value_info("row", FLOAT, [4])],
        [helper.make_empty_tensor_value_info("kept_"), helper.make_empty_tensor_value_info("found")],
    )
    nodes = [helper.make_node("Scan", ["x", "rows"], ["z", "y"], body=graph, num_scan_inputs=1, **more)]
    return model(nodes, {"rows": rows})


def distances(keep: Any = None) -> list[Any]:
    return [
        keep or helper.make_node("Identity", ["kept"], ["kept_"]),
        helper.make_node("Sub", ["kept", "row"], ["d"]),
        helper.make_node("ReduceSumSquare", ["d"], ["found"], axes=[1], keepdims=0),
    ]


def test_scan_over_neighbours_is_measured_row_by_row() -> None:
    """k nearest neighbours use `Scan`, which runs once for each row."""
    most, work = cost(scan(np.zeros((300, 4), F), distances()), windows=32)
    assert 300 * 32 < most < 300 * 32 + 2_000
    assert work >= 300 * 3 * MIN_WORK
    grows = helper.make_node("Concat", ["kept", "kept"], ["kept_"], axis=0)
    for proto, words in (
        (scan(np.zeros((300, 4), F), distances(grows)), "its state changes"),
        (scan(np.zeros((300, 4), F), distances(), scan_input_directions=[1]), "does not allow"),
        (scan(np.zeros((10**8, 0), F), distances()), "multiplications|do not match"),
    ):
        with pytest.raises(ValueError, match=words):
            cost(proto)


def test_numbers_of_operators_and_constants_are_limited() -> None:
    """20,000 operators are measured; one more is refused."""
    nodes = [helper.make_node("Neg", ["x" if i == 0 else str(i - 1)], [str(i)]) for i in range(MAX_NODES + 1)]
    cost(model(nodes[:-1], outputs=[str(MAX_NODES - 1)]))
    with pytest.raises(ValueError, match="20,001 operators, more than the limit of 20,000"):
        cost(model(nodes, outputs=[str(MAX_NODES)]))
    assert (INT32, INT64) == (TensorProto.INT32, TensorProto.INT64)
    many = {f"c{i}": F(i) for i in range(MAX_CONSTANTS + 1)}
    with pytest.raises(ValueError, match="2,001 constants, more than the limit of 2,000"):
        cost(model([node("Sum", "", *many)], many))
