"""Bundles that hear, made without training anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from genrelab.bundle.bundle import write_bundle
from genrelab.core.config import ClipSettings, View
from genrelab.predict.classifier import Classifier, load_bundle

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

GENRES = ("Blues", "Folk", "Rock")
SR = 8_000


def bundle_for(
    folder: Path,
    view: View,
    clips: ClipSettings = ClipSettings(),  # noqa: B008
    weights: NDArray[np.float32] | None = None,
    bias: tuple[float, ...] | None = None,
    genres: tuple[str, ...] = GENRES,
    **changes: object,
) -> Classifier:
    """softmax of a fixed product with the view: with a hundredth of `weights`, (numbers, genres), or of random ones."""
    if weights is None:
        weights = np.random.default_rng(0).standard_normal((int(np.prod(view.shape)), len(genres))).astype(np.float32)
    bias = bias or (0.0,) * len(genres)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["x"], ["flat"], axis=1),
            helper.make_node("Gemm", ["flat", "w", "b"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *view.shape])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", len(genres)])],
        [numpy_helper.from_array(weights * np.float32(0.01), "w"), numpy_helper.from_array(np.float32(bias), "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    settings: dict[str, object] = {"name": "linear", "genres": genres, "metrics": {}, "dataset": "d", "split": "artist"}
    settings |= {"licence": None, "readme": "# Card\n"} | changes
    write_bundle(folder, onnx=model.SerializeToString(), view=view, clips=clips, **settings)  # type: ignore[arg-type]
    return load_bundle(folder)


def noise(seconds: float, sr: int = SR, seed: int = 0) -> NDArray[np.float32]:
    return (0.3 * np.random.default_rng(seed).standard_normal(round(seconds * sr))).astype(np.float32)
