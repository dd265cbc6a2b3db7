"""ONNX files are read as the package onnx reads them, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrelab.bundle.onnx_guard.protobuf import MAX_FIELDS
from genrelab.bundle.onnx_guard.reader import Tensor, read_graph

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


def simple(**changes: Any) -> Any:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3], pads=[1, -1], auto_pad="NOTSET"),
        helper.make_node("LeakyRelu", ["c"], ["y"], alpha=0.25),
    ]
    constants = [
        numpy_helper.from_array(np.zeros((2, 1, 3), np.float32), "w"),
        numpy_helper.from_array(np.array([[1, -2], [2**40, 0]]), "shape"),
        helper.make_tensor("typed", TensorProto.INT64, [3], [-1, 300, 2**62]),
        helper.make_tensor("typed32", TensorProto.INT32, [2], [-7, 7]),
        helper.make_tensor("doubles", TensorProto.DOUBLE, [2], [0.5, 1.5]),
        helper.make_tensor("flags", TensorProto.BOOL, [3], [1, 0, 1]),
        helper.make_tensor("scalar", TensorProto.FLOAT, [], [2.5]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 7])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def refused(proto: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_graph(proto if isinstance(proto, bytes) else proto.SerializeToString())


def test_graph_is_read_as_onnx_reads_it() -> None:
    graph = read_graph(simple().SerializeToString())
    conv, relu = graph.nodes
    assert (conv.op, conv.domain, conv.inputs, conv.outputs) == ("Conv", "", (b"x", b"w"), (b"c",))
    assert conv.attributes == {"kernel_shape": (3,), "pads": (1, -1), "auto_pad": b"NOTSET"}
    assert relu.attributes == {"alpha": 0.25}
    assert [(e.name, e.dtype, e.shape) for e in graph.inputs] == [(b"x", 1, (None, 1, 7))]
    assert [(e.name, e.shape) for e in graph.outputs] == [(b"y", None)]
    for tensor in simple().graph.initializer:
        found, expected = graph.constants[tensor.name.encode()], numpy_helper.to_array(tensor)
        assert (found.dtype, found.shape) == (tensor.data_type, expected.shape)
        if tensor.data_type in (TensorProto.INT32, TensorProto.INT64):
            np.testing.assert_array_equal(found.numbers, expected)
        else:
            assert found.numbers is None


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=70),
    st.booleans(),
    st.lists(st.floats(width=32), max_size=40),
    st.text(max_size=5),
)
def test_numbers_and_attributes_are_read(numbers: list[int], raw: bool, floats: list[float], name: str) -> None:
    tensor = (
        numpy_helper.from_array(np.array(numbers, np.int64), name)
        if raw
        else helper.make_tensor(name, TensorProto.INT64, [len(numbers)], numbers)
    )
    attributes: dict[str, Any] = {"t": tensor, "i": len(numbers), "s": name}
    node = helper.make_node("Any", ["a", "", "b"], ["c"], **attributes)
    node.attribute.append(helper.make_attribute("floats", floats, attr_type=onnx.AttributeProto.FLOATS))
    node.attribute.append(helper.make_attribute("ints", numbers, attr_type=onnx.AttributeProto.INTS))
    graph = helper.make_graph([node], "g", [], [], [tensor])
    found = read_graph(helper.make_model(graph).SerializeToString())
    (read,) = found.nodes
    assert read.inputs == (b"a", b"", b"b")
    assert read.attributes["ints"] == tuple(numbers)
    assert (read.attributes["floats"], read.attributes["i"]) == (len(floats), len(numbers))
    for constant in (read.attributes["t"], found.constants[name.encode()]):
        assert isinstance(constant, Tensor)
        assert constant.shape == (len(numbers),)
        if len(numbers) <= 64:
            assert constant.numbers is not None
            assert constant.numbers.tolist() == numbers


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        read_graph(data)


@given(st.data())
def test_damaged_networks_are_refused_or_read(data: st.DataObject) -> None:
    whole = bytearray(simple().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_graph(bytes(whole[: data.draw(st.integers(len(whole) // 2, len(whole)))]))
    except ValueError as e:
        assert "\n" not in str(e)


# --- refused ---


@pytest.mark.parametrize("place", ["constant", "attribute"])
def test_data_in_other_files_are_refused(place: str) -> None:
    """Recognised by the field, not by its text: a name may be `location`, and a key need not be."""
    proto = simple()
    tensor = proto.graph.initializer[0]
    if place == "attribute":
        attribute = proto.graph.node[0].attribute.add(name="value", type=onnx.AttributeProto.TENSOR)
        attribute.t.CopyFrom(tensor)
        tensor = attribute.t
    tensor.doc_string = "location"
    read_graph(proto.SerializeToString())
    tensor.data_location = TensorProto.EXTERNAL
    refused(proto, "refers to other files")
    tensor.ClearField("data_location")
    tensor.external_data.add(key="location", value="/etc/passwd")
    refused(proto, "refers to other files")


def test_functions_training_and_sparse_tensors_are_refused() -> None:
    proto = simple()
    proto.functions.add(name="f", domain="d")
    refused(proto, r"not allowed \(field 25\)")
    proto = simple()
    proto.training_info.add()
    refused(proto, r"not allowed \(field 20\)")
    proto = simple()
    proto.graph.sparse_initializer.add()
    refused(proto, r"not allowed \(field 15\)")
    proto = simple()
    proto.graph.initializer[0].string_data.append(b"x")
    refused(proto, r"not allowed \(field 6\)")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.dims.append(2), "do not match its shape"),
        (lambda t: t.dims.__setitem__(0, -1), "do not match its shape"),
        (lambda t: t.dims.__setitem__(0, 2**62), "do not match its shape"),
        (lambda t: t.dims.extend([1] * 9), "do not match its shape"),
        (lambda t: setattr(t, "data_type", TensorProto.STRING), "do not match its shape"),
        (lambda t: setattr(t, "data_type", TensorProto.DOUBLE), "do not match its shape"),
        (lambda t: setattr(t, "data_type", 0), "do not match its shape"),
        (lambda t: setattr(t, "raw_data", t.raw_data + b"x"), "do not match its shape"),
        (lambda t: t.float_data.extend([0.0] * 6), "do not match its shape"),
        (lambda t: setattr(t, "name", "shape"), "same name"),
    ],
)
def test_constants_that_do_not_fit_their_shape_are_refused(change: Any, words: str) -> None:
    proto = simple()
    change(proto.graph.initializer[0])
    refused(proto, words)


def test_duplicate_fields_are_refused() -> None:
    """protobuf merges two graphs into one; another reader might take the first."""
    data = simple().SerializeToString()
    refused(data + data, "occurs twice")
    proto = simple()
    proto.graph.node[1].attribute.append(proto.graph.node[1].attribute[0])
    refused(proto, "an attribute twice")
    proto = simple()
    proto.graph.node[1].attribute[0].i = 3
    refused(proto, "does not have the stated type")


def test_deeply_nested_graphs_are_refused() -> None:
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [], [])
    for depth in range(3):
        proto = helper.make_model(graph)
        if depth < 2:
            read_graph(proto.SerializeToString())
        else:
            refused(proto, "nested too deeply")
        graph = helper.make_graph([helper.make_node("Scan", ["x"], ["y"], body=graph)], "g", [], [])
    deep = b""
    for _ in range(5_000):  # attribute g (6) of node (1, 5) of a graph, longer than the interpreter's stack
        for tag in (0x32, 0x2A, 0x0A):
            deep = bytes([tag]) + varint(len(deep)) + deep
    refused(b"\x3a" + varint(len(deep)) + deep, "nested too deeply|damaged|not allowed|stated type")


def varint(number: int) -> bytes:
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def test_number_of_fields_is_limited() -> None:
    refused(b"\x42\x00" * (MAX_FIELDS + 1), "more than 500,000 parts")


def test_long_lists_of_floats_are_read_quickly() -> None:
    """A list of floats has a field for each float; mixed with other fields it is many short lists."""
    node = helper.make_node("SVMClassifier", ["x"], ["y"], support_vectors=[0.5] * 1_000_000)
    graph = read_graph(helper.make_model(helper.make_graph([node], "g", [], [])).SerializeToString())
    assert graph.nodes[0].attributes == {"support_vectors": 1_000_000}
    mixed = (b"\x3d\0\0\0\0" + b"\x40\x01") * 400_000  # floats (7) and ints (8) of one attribute in turn
    attribute = b"\x2a" + varint(len(mixed)) + mixed
    inner = b"\x0a" + varint(len(attribute)) + attribute
    refused(b"\x3a" + varint(len(inner)) + inner, "more than 500,000 parts")


@pytest.mark.parametrize("data", [b"\x0a\x01\x08", b"\x38\x00", b"\x0d\x00\x00\x00\x00"])
def test_field_of_another_wire_type_is_refused(data: bytes) -> None:
    """`ir_version` as bytes, `graph` as an integer, `ir_version` as a fixed-size number."""
    with pytest.raises(ValueError, match=r"it is damaged: field \d has the wrong type"):
        read_graph(data)
