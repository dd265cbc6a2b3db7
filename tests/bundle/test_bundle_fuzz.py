"""A damaged or hostile network is refused or runs; it never ends the process, hangs or fills the memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from genrelab.bundle.bundle import load_bundle, write_bundle
from genrelab.core.config import ClipSettings, MelImageView, TableView, TrainSettings, View
from genrelab.models import registry
from genrelab.records.examples import Examples
from tests.support.in_memory import blobs, examples_of
from tests.support.paths import PROJECT

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

CLASSICAL = ("gaussian_nb", "knn", "logistic_regression", "majority", "mlp", "svm")
EACH = 120
PEAK_MB = 2_500
"""Python with its packages, and the memory that the guard allows, all in float64."""


def convolutional() -> bytes:
    """Like Keras' networks: transposed, convolved, normalised, pooled, with shapes computed from shapes."""
    rng = np.random.default_rng(0)
    floats = {"k": (4, 1, 3, 3), "k2": (4, 1, 3, 3), "w": (4, 3)}
    constants = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in floats.items()}
    constants |= {"one": np.ones(4, np.float32), "axes": np.array([3]), "minus": np.array([-1])}
    constants |= {"first": np.array([0]), "second": np.array([1])}
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axes"], ["image"]),
        helper.make_node("Transpose", ["image"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["nchw", "k"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        helper.make_node("BatchNormalization", ["c", "one", "one", "one", "one"], ["b"]),
        helper.make_node("Clip", ["b"], ["relu"]),
        helper.make_node("Conv", ["relu", "k2"], ["d"], group=4, kernel_shape=[3, 3]),
        helper.make_node("MaxPool", ["d"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("ReduceMean", ["pooled"], ["mean"], axes=[2, 3], keepdims=1),
        helper.make_node("Shape", ["mean"], ["sizes"]),
        helper.make_node("Slice", ["sizes", "first", "second"], ["batch"]),
        helper.make_node("Concat", ["batch", "minus"], ["target"], axis=0),
        helper.make_node("Reshape", ["mean", "target"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 24, 24])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(v, n) for n, v in constants.items()],
    )
    model: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()
    return model


def write(folder: Path, network: bytes, view: View, n_genres: int) -> None:
    write_bundle(
        folder,
        onnx=network,
        name=folder.name,
        genres=tuple(f"genre{i}" for i in range(n_genres)),
        view=view,
        clips=ClipSettings(),
        metrics={},
        dataset="d",
        split="artist",
        licence=None,
        readme="# Card\n",
    )


def write_all(folder: Path) -> None:
    examples = blobs(n=60, columns=6)
    for name in CLASSICAL:
        model = registry.create(name, TrainSettings(), examples.genres).fit(examples, folder)
        write(folder / name, model.onnx(), examples.view, len(examples.genres))
    write(folder / "convolutional", convolutional(), MelImageView(size=24), 3)


@pytest.mark.slow
def test_damaged_networks_are_refused_or_work(tmp_path: Path) -> None:
    write_all(tmp_path)
    for folder in tmp_path.iterdir():
        load_bundle(folder)
    words = [sys.executable, "-m", "tests.support.fuzzing", str(tmp_path), "1", str(EACH)]
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # each needs address space
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | one_thread, cwd=PROJECT)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"{lines[-1]}: exit {done.returncode}: {done.stderr[-500:]}"
    ends = Counter(line.split(maxsplit=2)[2].rsplit(maxsplit=1)[0] for line in lines)
    assert ends.keys() == {"works", "refused"}, ends
    assert sum(ends.values()) == EACH * (len(CLASSICAL) + 1)
    assert ends["refused"] > EACH and ends["works"] > EACH, "both results occur often"
    assert max(int(line.split()[-1]) for line in lines) < PEAK_MB


N_LARGE, LARGE = 40, 1 << 23


def read_late() -> bytes:
    """Large arrays, one after the other in the file; a little of each is read at the end."""
    constants = {"w": np.zeros((6, 3), np.float32), "size": np.array([LARGE]), "one": np.array([1])}
    constants |= {"zero": np.array([0]), "nothing": np.float32(0)}
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("Reshape", ["total", "one"], ["s"]),
    ]
    for i in range(N_LARGE):
        constants[f"k{i}"] = np.array([i], np.float32)
        nodes += [
            helper.make_node("Add", ["s", f"k{i}"], [f"s{i}"]),
            helper.make_node("Expand", [f"s{i}", "size"], [f"large{i}"]),
            helper.make_node("Slice", [f"large{i}", "zero", "one"], [f"a{i}"]),
            helper.make_node("ReduceMax", [f"large{i}"], [f"b{i}"], keepdims=1),
        ]
    nodes += [helper.make_node("Concat", [f"{c}{i}" for i in range(N_LARGE)], [c], axis=0) for c in "ab"]
    nodes += [
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("ReduceSum", ["c"], ["d"], keepdims=0),
        helper.make_node("Mul", ["d", "nothing"], ["e"]),
        helper.make_node("MatMul", ["x", "w"], ["f"]),
        helper.make_node("Add", ["f", "e"], ["g"]),
        helper.make_node("Softmax", ["g"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def test_peak_memory_stays_within_the_measured_estimate(tmp_path: Path) -> None:
    """onnxruntime's default order starts from the end and would keep all the large arrays: 1.3 GB."""
    write(tmp_path / "bundle", read_late(), TableView(columns=tuple("abcdef")), 3)
    words = "import sys; from tests.support import fuzzing; from genrelab.bundle.bundle import load_bundle; "
    words += "load_bundle(sys.argv[1]); print(fuzzing.peak_mb())"
    command = [sys.executable, "-c", words, str(tmp_path / "bundle")]
    paths = os.pathsep.join([str(PROJECT), *sys.path])
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": paths})
    assert int(done.stdout) < 4 * N_LARGE * LARGE >> 21


@pytest.mark.parametrize("genres", [2, 4])
@pytest.mark.parametrize("settings", [{}, {"preset": "article"}, {"pca": 3}], ids=str)
@pytest.mark.parametrize("name", CLASSICAL)
def test_every_trained_classical_model_can_be_loaded(
    tmp_path: Path, name: str, settings: dict[str, object], genres: int
) -> None:
    x = blobs(n=80, columns=5, genres=genres)
    for i, examples in enumerate((x, with_holes(x)) if name != "majority" else (x,)):
        model = registry.create(name, TrainSettings(**settings), x.genres).fit(examples, tmp_path)  # type: ignore[arg-type]
        write(tmp_path / str(i), model.onnx(), x.view, genres)
        p = load_bundle(tmp_path / str(i)).probabilities(examples.rows().x)
        np.testing.assert_allclose(p, model.predict_proba(examples), atol=1e-4)


def with_holes(whole: Examples) -> Examples:
    x = whole.rows().x.copy()
    x[::7, 2] = np.nan
    return examples_of(x, whole.y, view=whole.view, role=whole.role)
