#!/usr/bin/env python
"""Builds the frozen music networks of the view `embedding` from the checkpoints of the PyPI wheel musicnn 0.1.0 (ISC).

    python scripts/embedding.py [--wheel FILE] [--out FOLDER]

The wheel is fetched with pip (or given), its SHA-256 is checked, TensorFlow reads the two checkpoints, and the graphs
are written by us, weights in float16. Output: `msd_musicnn.onnx` and `msd_vgg.onnx`, which turn log-mel windows into
embeddings; `tags.npz`, the last layers of both, which turn embeddings into the logits of 50 tags; `LICENSE.txt`.

Architecture: Pons and Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging" (2019), as in
the wheel's models.py, except that MSD_vgg pools as its stored graph does (4x1, 1x4, 2x2, 2x2, 4x4, stride = size).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import EmbeddingView
from genrelab.core.tensorflow import load_tensorflow
from genrelab.models.onnx_export import IR_VERSION, OPSET, Nodes

WHEEL = "musicnn==0.1.0"
WHEEL_SHA256 = "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"
LICENCE_FILE = "musicnn-0.1.0.dist-info/LICENSE.md"
OUT = Path(__file__).parents[1] / "src/genrelab/features/networks"

EPSILON = 1e-3  # of batch normalisation

MIDDLE = ("conv2d_5", "conv2d_6", "conv2d_7")  # musicnn's layers over time, whose channels lie where frequency lay

Weights = dict[str, NDArray[np.float32]]


def fetch_wheel(folder: Path) -> Path:
    """The wheel, downloaded by pip into `folder`."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), WHEEL]
    subprocess.run(command, check=True)
    return next(folder.glob("musicnn-*.whl"))


def check_wheel(wheel: Path) -> None:
    """Raises SystemExit if the wheel is not the one whose networks we know."""
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != WHEEL_SHA256:
        raise SystemExit(f"{wheel}: SHA-256 {found} is not that of {WHEEL}, {WHEEL_SHA256}")


def read_checkpoint(wheel: Path, name: str) -> Weights:
    """Variables of one network by name, without those of its optimizer.

    The files in the wheel have hidden names (`.index`), which TensorFlow takes for a folder: they get a usual one.
    """
    tf, _ = load_tensorflow()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as z:
        for part in (".index", ".data-00000-of-00001"):
            (Path(folder) / f"model{part}").write_bytes(z.read(f"musicnn/{name}/{part}"))
        reader = tf.train.load_checkpoint(str(Path(folder) / "model"))
        names = [n for n in reader.get_variable_to_shape_map() if "Adam" not in n and "power" not in n]
        return {n: np.asarray(reader.get_tensor(n)) for n in names}


class Network(Nodes):
    """Nodes of a graph whose weights are stored as float16 and used as float32; tensors are (batch, channels, …)."""

    def __init__(self, weights: Weights) -> None:
        super().__init__("")
        self._weights = weights

    def weight(self, value: NDArray[Any]) -> str:
        """A weight in half the bytes; onnxruntime computes with float32 as soon as it has read the file."""
        return self("Cast", value.astype(np.float16), to=1)

    def normalise(self, x: str, layer: str) -> str:
        """Batch normalisation with the stored mean and variance, as one scale and one shift of each channel."""
        gamma, beta, mean, variance = (
            self._weights[f"{layer}/{name}"].astype(np.float64)
            for name in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        scale = gamma / np.sqrt(variance + EPSILON)
        parameters = (scale, beta - mean * scale, np.zeros_like(scale), np.ones_like(scale))
        return self("BatchNormalization", x, *(p.astype(np.float32) for p in parameters), epsilon=0.0)

    def convolve(self, x: str, layer: str, pads: tuple[int, int, int, int]) -> str:
        """Convolution over (time, frequency) and ReLU. pads: time and frequency before, then after."""
        kernel = self._weights[f"{layer}/kernel"]  # (time, frequency, in, out); of the middle layers (time, in, 1, out)
        kernel = kernel.transpose((3, 1, 0, 2) if layer in MIDDLE else (3, 2, 0, 1))
        bias = self._weights[f"{layer}/bias"]
        return self("Relu", self("Conv", x, self.weight(kernel), bias, pads=list(pads)))

    def model(self, output: str, n: int, view: EmbeddingView) -> bytes:
        """The graph from `mel` (batch, frames, n_mels) to `embedding` (batch, n), checked and serialised."""
        from onnx import TensorProto, checker, helper

        self.named("embedding", output)
        graph = helper.make_graph(
            self.nodes,
            "embedding",
            [helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["batch", view.n_frames, view.n_mels])],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", n])],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())


def musicnn(weights: Weights, view: EmbeddingView) -> bytes:
    """MSD_musicnn from log-mel windows to its penultimate layer, 200 numbers."""
    net = Network(weights)
    x = net.normalise(net("Unsqueeze", "mel", [1]), "batch_normalization")
    front = []
    for i, pads in enumerate(((3, 0, 3, 0), (3, 0, 3, 0), (63, 0, 64, 0), (31, 0, 32, 0), (15, 0, 16, 0))):
        name = "conv2d" if i == 0 else f"conv2d_{i}"  # timbral 7x38 and 7x67, temporal 128, 64 and 32 frames
        found = net.normalise(net.convolve(x, name, pads), f"batch_normalization_{i + 1}")
        front.append(net("ReduceMax", found, axes=[3], keepdims=1))  # some scales are negative: pool after them
    features = net("Concat", *front, axis=1)  # (batch, 561, frames, 1)
    middle: list[str] = []
    for i, name in enumerate(MIDDLE, 6):
        x = middle[-1] if middle else features
        layer = net.normalise(net.convolve(x, name, (3, 0, 3, 0)), f"batch_normalization_{i}")
        middle.append(net("Add", layer, middle[-1]) if middle else layer)
    x = net("Concat", features, *middle, axis=1)  # (batch, 753, frames, 1)
    pools = net("ReduceMax", x, axes=[2], keepdims=1), net("ReduceMean", x, axes=[2], keepdims=1)
    x = net("Flatten", net("Concat", *pools, axis=3), axis=1)  # maximum and mean of each channel in turn
    x = net("Relu", dense(net, net.normalise(x, "batch_normalization_9"), "dense"))
    return net.model(net.normalise(x, "batch_normalization_10"), 200, view)


def dense(net: Network, x: str, layer: str) -> str:
    kernel, bias = net._weights[f"{layer}/kernel"], net._weights[f"{layer}/bias"]
    return net("Add", net("MatMul", x, net.weight(kernel)), bias)


def vgg(weights: Weights, view: EmbeddingView) -> bytes:
    """MSD_vgg from log-mel windows to what its last layer reads, 256 numbers."""
    net = Network(weights)
    x = net.normalise(net("Unsqueeze", "mel", [1]), "batch_normalization")
    for i, pool in enumerate(((4, 1), (1, 4), (2, 2), (2, 2), (4, 4)), 1):
        x = net.normalise(net.convolve(x, f"{i}CNN", (1, 1, 1, 1)), f"batch_normalization_{i}")
        x = net("MaxPool", x, kernel_shape=list(pool), strides=list(pool))
    x = net("Flatten", net("Transpose", x, perm=[0, 2, 3, 1]), axis=1)  # (time, frequency, channels)
    return net.model(x, 256, view)


BUILDERS: dict[str, Callable[[Weights, EmbeddingView], bytes]] = {"msd_musicnn": musicnn, "msd_vgg": vgg}


def build(wheel: Path) -> dict[str, bytes]:
    """The files of the folder `features/networks`, by name."""
    check_wheel(wheel)
    weights = {name: read_checkpoint(wheel, name.replace("msd", "MSD")) for name in BUILDERS}
    layers = {"msd_musicnn": "dense_1", "msd_vgg": "dense"}
    kernel = np.concatenate([weights[n][f"{layer}/kernel"] for n, layer in layers.items()])
    bias = np.stack([weights[n][f"{layer}/bias"] for n, layer in layers.items()])
    with io.BytesIO() as file:
        np.savez(file, kernel=kernel.astype(np.float16), bias=bias.astype(np.float32))
        tags = file.getvalue()
    with zipfile.ZipFile(wheel) as z:
        licence = z.read(LICENCE_FILE)
    graphs = {f"{name}.onnx": make(weights[name], EmbeddingView()) for name, make in BUILDERS.items()}
    return {**graphs, "tags.npz": tags, "LICENSE.txt": licence}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="instead of fetching it")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = build(options.wheel or fetch_wheel(Path(folder)))
    options.out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        temporary = options.out / f".{name}.tmp"
        temporary.write_bytes(content)
        temporary.replace(options.out / name)
        print(f"{options.out / name}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
