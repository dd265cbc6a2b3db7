"""Damages networks, loads them as bundles and says how each ended; runs as a process of its own, which may die.

python -m tests.support.fuzzing FOLDER SEED N: of each bundle below FOLDER, N damaged ones.
"""

from __future__ import annotations

import hashlib
import json
import random
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from genrelab.bundle import bundle as bundles
from genrelab.bundle.onnx_guard.shapes import RULES
from genrelab.core.errors import BundleError
from tests.support.guards import HANG_S

MEMORY = 4 << 30
"""Of address space."""

NUMBERS = (
    0,
    1,
    2,
    -1,
    -2,
    3,
    7,
    127,
    128,
    1 << 16,
    (1 << 31) - 1,
    1 << 31,
    1 << 32,
    1 << 62,
    (1 << 63) - 1,
    -(1 << 63),
)
OPERATORS = [op for _, op in RULES]


def flipped(data: bytes, rng: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def spliced(data: bytes, rng: random.Random) -> bytes:
    at, other, n = rng.randrange(len(data)), rng.randrange(len(data)), rng.choice((1, 4, 16, 200))
    return data[:at] + data[other : other + n] + data[at + rng.choice((0, n)) :]


def edited(data: bytes, rng: random.Random) -> bytes:
    """Whole to protobuf, wrong to everybody else."""
    proto = onnx.load_model_from_string(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        rng.choice(EDITS)(proto, rng)
    content: bytes = proto.SerializeToString()
    return content


def _change_input_names(proto: Any, rng: random.Random) -> None:
    nodes = proto.graph.node
    inputs = rng.choice(nodes).input
    name = rng.choice([name for node in nodes for name in (*node.input, *node.output)])
    rng.choice((lambda: inputs.append(name), lambda: inputs.insert(0, name), lambda: inputs[:1].clear()))()
    if inputs and rng.random() < 0.7:
        inputs[rng.randrange(len(inputs))] = name


def _change_operator(proto: Any, rng: random.Random) -> None:
    rng.choice(proto.graph.node).op_type = rng.choice(OPERATORS)


def _delete_or_repeat_node(proto: Any, rng: random.Random) -> None:
    nodes = proto.graph.node
    at = rng.randrange(len(nodes))
    if rng.random() < 0.5 and len(nodes) > 1:
        del nodes[at]
    else:
        nodes.add().CopyFrom(nodes[at])


def _change_attribute(proto: Any, rng: random.Random) -> None:
    having = [node for node in proto.graph.node if node.attribute]
    if not having:
        return
    attribute = rng.choice(rng.choice(having).attribute)
    attribute.i = rng.choice(NUMBERS)
    if attribute.type != onnx.AttributeProto.INT:
        attribute.ClearField("i")
        attribute.f = rng.choice((0.0, -1.0, float("nan"), 1e38))
    if attribute.type != onnx.AttributeProto.FLOAT:
        attribute.ClearField("f")
    for values in (attribute.ints, attribute.floats):
        if values and rng.random() < 0.5:
            del values[rng.randrange(len(values)) :]
        elif values:
            values[rng.randrange(len(values))] = rng.choice(NUMBERS)


def _change_constant(proto: Any, rng: random.Random) -> None:
    if not proto.graph.initializer:
        return
    tensor = rng.choice(proto.graph.initializer)
    what = rng.randrange(3)
    if what == 0 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)
    elif what == 1:
        tensor.data_type = rng.randrange(20)
    elif tensor.int64_data:
        tensor.int64_data[rng.randrange(len(tensor.int64_data))] = rng.choice(NUMBERS)
    elif tensor.data_type == onnx.TensorProto.INT64 and tensor.raw_data:
        values = np.frombuffer(tensor.raw_data, "<i8").copy()
        values[rng.randrange(len(values))] = rng.choice(NUMBERS)
        tensor.raw_data = values.tobytes()


def _change_graph_input_or_output(proto: Any, rng: random.Random) -> None:
    tensor = rng.choice([*proto.graph.input, *proto.graph.output]).type.tensor_type
    if rng.random() < 0.5 or not tensor.shape.dim:
        tensor.elem_type = rng.randrange(20)
    else:
        rng.choice(tensor.shape.dim).dim_value = rng.choice(NUMBERS)


def _change_opset_version(proto: Any, rng: random.Random) -> None:
    rng.choice(proto.opset_import).version = rng.choice((0, 1, 9, 11, 13, 18, 23, 99, -1))


EDITS: tuple[Callable[[Any, random.Random], None], ...] = (
    _change_input_names, _change_operator, _delete_or_repeat_node, _change_attribute, _change_constant,
    _change_constant, _change_graph_input_or_output, _change_opset_version,
)  # fmt: skip


def outcome(folder: Path, data: bytes) -> str:
    """`works` or `refused`; whatever else happens is what the test is about."""
    about = json.loads((folder / "bundle.json").read_text())
    about["files"]["model.onnx"] = hashlib.sha256(data).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(about))
    (folder / "model.onnx").write_bytes(data)
    try:
        bundle = bundles.load_bundle(folder)
        bundle.probabilities(np.ones((3, *bundle.view.shape), np.float32))
    except BundleError as e:
        return "refused" if "model.onnx" in str(e) and "\n" not in str(e) else f"odd words: {e}"
    return "works"


def peak_mb() -> int:
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss also knows what the process that began this one held
        return int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) >> 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main(folder: Path, seed: int, n: int) -> None:
    """One line for each, written before and after: the last line of a process that dies tells which it was."""
    if sys.platform == "linux":  # others have no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for base in sorted(folder.iterdir()):
        original = (base / "model.onnx").read_bytes()
        for i in range(n):
            rng = random.Random(f"{base.name} {seed} {i}")
            damaged = rng.choice((flipped, flipped, cut, spliced, edited, edited, edited))(original, rng)
            signal.alarm(HANG_S)  # for one network
            print(base.name, i, end=" ", flush=True)
            print(outcome(base, damaged), peak_mb(), flush=True)
        (base / "model.onnx").write_bytes(original)


if __name__ == "__main__":
    bundles.THREADS = 1
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
