"""ONNX graphs: what all of genrelab's have in common, and conversion of scikit-learn pipelines and Keras networks."""

from __future__ import annotations

import logging
from typing import Any

from genrelab.core.errors import MissingRequirementError, ModelError
from genrelab.core.tensorflow import as_numpy, load_tensorflow
from genrelab.models.pairwise_coupling import MAX_EXPONENT, pairs

OPSET = 17  # these versions are what onnxruntime 1.17 reads
ML_OPSET = 3  # of the operators `ai.onnx.ml`
IR_VERSION = 8  # the format that goes with them; onnx itself would write one too new for the onnxruntime beside it

INPUT = "x"
OUTPUT = "probabilities"


def finish_graph(proto: Any, nodes: list[Any], *, shape: tuple[int, ...], n_genres: int) -> bytes:
    """A model proto with these nodes and the two ends of every graph, checked and serialised.

    Args:
        proto: its constants and operator sets are kept.
        nodes: all nodes in order; the first reads `INPUT`, float32 (batch, *shape), the last writes `OUTPUT`,
            float32 (batch, n_genres).
        shape: of one window.
    """
    from onnx import TensorProto, helper
    from onnx.checker import check_model

    graph = proto.graph
    nodes = list(nodes)
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", *shape]))
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", n_genres]))
    proto.ir_version = IR_VERSION
    opsets = sorted((o.domain, o.version) for o in proto.opset_import)  # skl2onnx lists them in any order
    del proto.opset_import[:]
    proto.opset_import.extend(helper.make_opsetid(*o) for o in opsets)
    check_model(proto)
    return bytes(proto.SerializeToString())


class Nodes:
    """Nodes of a graph in the order in which they are added, and their constants, all named `prefix...`.

    `nodes("Add", "a", 1.0)` adds a node and returns the name of its output; an input that is not a name becomes a
    constant.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def __call__(self, op: str, *inputs: Any, **attributes: Any) -> str:
        """Add a node; returns the name of its output."""
        from onnx import helper

        names = [i if isinstance(i, str) else self._constant(i) for i in inputs]
        output = f"{self.prefix}{len(self.nodes)}_{op}"
        self.nodes.append(helper.make_node(op, names, [output], **attributes))
        return output

    def named(self, name: str, output: str) -> None:
        """Give an output the name `name` as well."""
        from onnx import helper

        self.nodes.append(helper.make_node("Identity", [output], [name]))

    def _constant(self, value: Any) -> str:
        """Add a constant and return its name: Python's int becomes int64, its float float32."""
        import numpy as np
        from onnx import numpy_helper

        array = np.asarray(value)
        name = f"{self.prefix}constant_{len(self.constants)}"
        kept = array.astype(np.float32) if array.dtype == np.float64 else array
        self.constants.append(numpy_helper.from_array(kept, name))
        return name


def add_temperature(nodes: Nodes, p: str, temperature: float) -> str:
    """Add what `Bundle.probabilities` computes from a network's output `p` (windows, genres); the result's name."""
    p = nodes("Max", p, 0.0)
    if temperature != 1:
        p = nodes("Pow", nodes("Div", p, nodes("ReduceMax", p, axes=[1])), 1 / temperature)
    return nodes("Div", p, nodes("ReduceSum", p, [1]))


def with_temperature(onnx: bytes, temperature: float) -> bytes:
    """A bundle's network with the temperature built in.

    Raises:
        ModelError: it has operators of another version than genrelab writes.
    """
    proto, nodes = read_network(onnx), Nodes("temperature/")
    from onnx.checker import check_model

    rename(proto, OUTPUT, "temperature/answer")
    nodes.named(OUTPUT, add_temperature(nodes, "temperature/answer", temperature))
    proto.graph.node.extend(nodes.nodes)
    proto.graph.initializer.extend(nodes.constants)
    check_model(proto)
    return bytes(proto.SerializeToString())


def read_network(onnx: bytes) -> Any:
    """The graph of a bundle's `model.onnx`, for adding nodes to it.

    Raises:
        ModelError: it has operators of another version than genrelab writes.
        MissingRequirementError: the package onnx is not installed.
    """
    try:
        import onnx as package
    except ImportError as e:
        raise MissingRequirementError(
            "this needs the package onnx, which is not installed: pip install 'genrelab[train]'"
        ) from e
    proto = package.load_model_from_string(onnx)
    found = next((o.version for o in proto.opset_import if not o.domain), None)
    if found != OPSET:
        raise ModelError(f"its network has ONNX operators of version {found}, and only {OPSET} can be built upon")
    return proto


def pipeline_to_onnx(
    steps: list[Any],
    classifier: Any,
    *,
    shape: tuple[int, ...],
    chosen: Any | None,
    medians: Any | None,
    bounds: tuple[Any, Any],
    beta: float | None,
    n_genres: int,
) -> bytes:
    """A pipeline of scikit-learn with the steps before and after it, as a serialised ONNX graph.

    In float64 inside: features reach 1e7, and float32 would lose what the scaler leaves of them.

    Args:
        steps: fitted transformers.
        classifier: fitted; returns probabilities, or, where `beta` is given, scores of every two genres that become
            probabilities as in `pairwise_coupling`.
        shape: of one window.
        chosen: numbers of the columns that are used, or None for all.
        medians: of each of these columns, for missing values; None where no value may be missing.
        bounds: lowest and highest value of each of these columns.
    """
    import warnings

    import numpy as np
    from onnx import TensorProto, helper, numpy_helper
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from skl2onnx.sklapi import CastTransformer
    from sklearn.pipeline import make_pipeline

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # skl2onnx asks an SVC for probA_, which will go
        proto = to_onnx(
            make_pipeline(CastTransformer(dtype=np.float64), *steps, classifier),
            initial_types=[("columns", FloatTensorType([None, len(bounds[0])]))],
            options={id(classifier): {"zipmap": False, **({} if beta is None else {"raw_scores": True})}},
            target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
        )
    rename(proto, proto.graph.output[1].name, "answer")
    constants = {"chosen": chosen, "medians": medians, "low": bounds[0], "high": bounds[1]}
    back = [helper.make_node("Cast", ["answer"], [OUTPUT], to=TensorProto.FLOAT)]
    if beta is not None:
        first, second = pairs(n_genres)
        constants |= {"minus_beta": np.float64(-beta), "first": first, "second": second, "one": np.float64(1)}
        constants |= {"least": np.float64(-MAX_EXPONENT), "most": np.float64(MAX_EXPONENT)}
        constants |= {"columns_axis": np.array([1]), "score": np.array([0]) if n_genres == 2 else None}
        rename(proto, "answer", "scores")
        back = _coupling_nodes(n_genres) + back
    proto.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(c), n) for n, c in constants.items() if c is not None
    )
    nodes = [*_input_nodes(chosen is not None, medians is not None), *proto.graph.node, *back]
    return finish_graph(proto, nodes, shape=shape, n_genres=n_genres)


def _input_nodes(chooses: bool, fills: bool) -> list[Any]:
    """Nodes from a window to its `columns`: flattened, chosen, filled, bounded."""
    from onnx import helper

    nodes = [helper.make_node("Flatten", [INPUT], ["flat"], axis=1)]
    name = "flat"
    if chooses:
        nodes.append(helper.make_node("Gather", [name, "chosen"], ["looked_at"], axis=1))
        name = "looked_at"
    if fills:
        nodes.append(helper.make_node("IsNaN", [name], ["is_hole"]))
        nodes.append(helper.make_node("Where", ["is_hole", "medians", name], ["filled"]))
        name = "filled"
    nodes.append(helper.make_node("Max", [name, "low"], ["bounded_below"]))
    return [*nodes, helper.make_node("Min", ["bounded_below", "high"], ["columns"])]


def _coupling_nodes(n_genres: int) -> list[Any]:
    """Nodes from `scores` of every two genres to their probabilities, `answer`: `pairwise_coupling.coupled` in ONNX."""
    from onnx import helper

    steps = [
        ("Mul", ["pair_scores", "minus_beta"], "unbounded"),
        ("Max", ["unbounded", "least"], "bounded_exponents_below"),
        ("Min", ["bounded_exponents_below", "most"], "exponents"),
        ("Exp", ["exponents"], "against"),
        ("Reciprocal", ["against"], "for"),
        ("MatMul", ["against", "first"], "against_first"),
        ("MatMul", ["for", "second"], "against_second"),
        ("Add", ["against_first", "against_second"], "odds_against"),
        ("Add", ["odds_against", "one"], "one_and_odds"),
        ("Reciprocal", ["one_and_odds"], "shares"),
    ]
    nodes = [helper.make_node(op, inputs, [output]) for op, inputs, output in steps]
    if n_genres == 2:  # skl2onnx gives the score of two genres in both directions; ours is the first
        nodes.insert(0, helper.make_node("Gather", ["scores", "score"], ["pair_scores"], axis=1))
    else:
        nodes.insert(0, helper.make_node("Identity", ["scores"], ["pair_scores"]))
    nodes.append(helper.make_node("ReduceSum", ["shares", "columns_axis"], ["total"], keepdims=1))
    return [*nodes, helper.make_node("Div", ["shares", "total"], ["answer"])]


def rename(proto: Any, old: str, new: str) -> None:
    """Give a tensor of a graph another name, wherever nodes write or read it."""
    for node in proto.graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]


def network_to_onnx(network: Any, *, n_genres: int) -> bytes:
    """A network that returns logits as a serialised ONNX graph that returns probabilities.

    The weights enter the conversion as inputs and become constants afterwards: Keras' own `export` copies them
    many times over, which takes half a minute where they are 64 MB.
    """
    tf, _ = load_tensorflow()
    import tf2onnx
    from onnx import helper, numpy_helper

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    variables = [*network.trainable_variables, *network.non_trainable_variables]
    n = len(network.trainable_variables)

    def probabilities(x: Any, *values: Any) -> Any:
        logits, _ = network.stateless_call(list(values[:n]), list(values[n:]), x, training=False)
        return tf.nn.softmax(logits)

    shape = tuple(network.input_shape[1:])
    signature = [tf.TensorSpec([None, *shape], tf.float32, name=INPUT)]
    signature += [tf.TensorSpec(v.shape, v.dtype, name=f"w{i}") for i, v in enumerate(variables)]
    traced = tf.function(probabilities, input_signature=signature)
    proto, _ = tf2onnx.convert.from_function(traced, input_signature=signature, opset=OPSET)
    concrete = traced.get_concrete_function()
    captured = zip(concrete.inputs[len(signature) :], concrete.captured_inputs, strict=True)  # tensors that layers hold
    constants = {placeholder.name: value.numpy() for placeholder, value in captured}
    constants |= {f"w{i}": as_numpy(v) for i, v in enumerate(variables)}
    used = {name for node in proto.graph.node for name in node.input}
    proto.graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in constants.items() if name in used)
    output = helper.make_node("Identity", [proto.graph.output[0].name], [OUTPUT])
    return finish_graph(proto, [*proto.graph.node, output], shape=shape, n_genres=n_genres)
