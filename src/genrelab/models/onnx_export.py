"""Converts scikit-learn pipelines and Keras networks to ONNX graphs, and extends the graph of a bundle."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from genrelab.core.errors import MissingRequirementError, ModelError
from genrelab.core.tensorflow import as_numpy, load_tensorflow
from genrelab.models.pairwise_coupling import MAX_EXPONENT, pair_weights, pairs

OPSET = 17  # these versions are what onnxruntime 1.17 reads
ML_OPSET = 3  # of the operators `ai.onnx.ml`
IR_VERSION = 8  # the format of these versions; the default of onnx may be too new for the installed onnxruntime

INPUT = "x"
OUTPUT = "probabilities"


def finish_graph(
    proto: Any, nodes: list[Any], shape: Sequence[int | str], output_shape: Sequence[int | str], name: str = INPUT
) -> bytes:
    """A model proto with these nodes and one input and output, both float32, checked and serialised.

    Args:
        proto: its constants and operator sets are kept.
        nodes: all nodes in order; the first reads the input, the last writes `OUTPUT`.
        shape: of the input; a word is an axis of any length.
        output_shape: of `OUTPUT`.
        name: of the input.
    """
    from onnx import TensorProto, helper
    from onnx.checker import check_model

    graph, nodes = proto.graph, list(nodes)
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, output_shape))
    proto.ir_version = IR_VERSION
    opsets = sorted((o.domain, o.version) for o in proto.opset_import)  # skl2onnx lists them in any order
    del proto.opset_import[:]
    proto.opset_import.extend(helper.make_opsetid(*o) for o in opsets)
    check_model(proto)
    return bytes(proto.SerializeToString())


class Nodes:
    """Nodes of a graph in the order in which they are added, and their constants, all named `prefix...`.

    `nodes("Add", "a", 1.0)` adds a node and returns the name of its output; an input that is not a name becomes a
    constant: an int becomes int64, a float `floats`.
    """

    def __init__(self, prefix: str, floats: type[np.floating[Any]] = np.float32) -> None:
        self.prefix, self.floats = prefix, floats
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
        from onnx import numpy_helper

        array = np.asarray(value)
        name = f"{self.prefix}constant_{len(self.constants)}"
        kept = array.astype(self.floats) if array.dtype == np.float64 else array
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
        raise ModelError(f"its network uses ONNX opset {found}; genrelab can extend opset {OPSET} only")
    return proto


def pipeline_to_onnx(model: Any, classifier: Any, beta: float | None = None) -> bytes:
    """A fitted model of `classical.py`, with the steps before and after its classifier, as a serialised ONNX graph.

    The graph computes in float64: features reach 1e7, too large for float32 before scaling.

    Args:
        model: its columns, medians, bounds (None: no clipping) and steps are used.
        classifier: fitted; returns probabilities, or, if `beta` is given, scores of genre pairs, which become
            probabilities as in `pairwise_coupling`.
    """
    import warnings

    from onnx import TensorProto
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from skl2onnx.sklapi import CastTransformer
    from sklearn.pipeline import make_pipeline

    # skl2onnx computes kernels in float32; a cubic one has terms so large that a probability is 0.0003 off.
    is_poly = getattr(classifier, "kernel", None) == "poly"
    options = {"zipmap": False, **({} if beta is None else {"raw_scores": True})}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # skl2onnx reads probA_ of an SVC, which scikit-learn will drop
        proto = to_onnx(
            make_pipeline(CastTransformer(dtype=np.float64), *model.steps_, *([] if is_poly else [classifier])),
            initial_types=[("columns", FloatTensorType([None, model.steps_[0].n_features_in_]))],
            options=None if is_poly else {id(classifier): options},
            target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
        )
    front, back = Nodes("input/"), Nodes("coupling/", np.float64)
    x = front("Flatten", INPUT, axis=1)
    if model.columns_ is not None:
        x = front("Gather", x, model.columns_, axis=1)
    if model.medians_ is not None:
        x = front("Where", front("IsNaN", x), model.medians_, x)
    if model.bounds_ is not None:
        low, high = model.bounds_
        x = front("Min", front("Max", x, low), high)
    front.named("columns", x)
    rename(proto, proto.graph.output[-1].name, "answer")
    p = _add_poly_scores(back, "answer", classifier) if is_poly else "answer"
    p = p if beta is None else _add_coupling(back, p, beta, len(model.genres))
    back.named(OUTPUT, back("Cast", p, to=TensorProto.FLOAT))
    proto.graph.initializer.extend([*front.constants, *back.constants])
    nodes = [*front.nodes, *proto.graph.node, *back.nodes]
    return finish_graph(proto, nodes, ["batch", *model.probes_.shape[1:]], ["batch", len(model.genres)])


def _add_poly_scores(nodes: Nodes, z: str, svc: Any) -> str:
    """Add what `pairwise_coupling.pair_scores` computes from scaled features with a polynomial kernel; its name."""
    weights, bias = pair_weights(svc)
    products = nodes("Mul", nodes("MatMul", z, svc.support_vectors_.T), float(svc.gamma))
    kernel = nodes("Pow", nodes("Add", products, float(svc.coef0)), float(svc.degree))
    return nodes("Add", nodes("MatMul", kernel, weights), bias)


def _add_coupling(nodes: Nodes, scores: str, beta: float, n_genres: int) -> str:
    """Add what `pairwise_coupling.coupled` computes from the scores of every two genres; the result's name."""
    if n_genres == 2:  # skl2onnx gives the score of two genres in both directions; ours is the first
        scores = nodes("Gather", scores, [0], axis=1)
    first, second = pairs(n_genres)
    exponents = nodes("Min", nodes("Max", nodes("Mul", scores, -beta), -MAX_EXPONENT), MAX_EXPONENT)
    against = nodes("Exp", exponents)
    odds = nodes("Add", nodes("MatMul", against, first), nodes("MatMul", nodes("Reciprocal", against), second))
    shares = nodes("Reciprocal", nodes("Add", odds, 1.0))
    return nodes("Div", shares, nodes("ReduceSum", shares, [1], keepdims=1))


def rename(proto: Any, old: str, new: str) -> None:
    """Give a tensor of a graph another name, wherever nodes write or read it."""
    for node in proto.graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]


def network_to_onnx(network: Any, *, n_genres: int) -> bytes:
    """A network that returns logits as a serialised ONNX graph that returns probabilities.

    The weights are inputs of the conversion and become constants afterwards: Keras' own `export` copies them many
    times, which takes half a minute for 64 MB.
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
    return finish_graph(proto, [*proto.graph.node, output], ["batch", *shape], ["batch", n_genres])
