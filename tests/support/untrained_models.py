"""Models that were never trained, as RUN/MODEL and as bundles, for tests of what becomes of trained ones."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from genrelab.bundle.bundle import write_bundle
from genrelab.core.config import ClipSettings, SamplesView, View

GENRES = ("Blues", "Folk", "Rock", "Ska")


def network(shape: tuple[int, ...], *, opset: int = 17, seed: int = 0) -> bytes:
    """softmax(x @ weights) that is sure of nothing, so that every difference between two windows shows.

    Pictures in dB spread by some 20 about their mean, which the weights leave out; samples by some 0.1.
    """
    n, spread = math.prod(shape), 20.0 if len(shape) == 2 else 0.1
    weights = np.random.default_rng(seed).standard_normal((n, len(GENRES)))
    weights = ((weights - weights.mean(axis=0)) * 2 / math.sqrt(n) / spread).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", len(GENRES)])],
        [numpy_helper.from_array(weights, "w")],
    )
    model: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8
    ).SerializeToString()
    return model


def bundle_of(folder: Path, view: View, *, opset: int = 17, seed: int = 0, **changes: Any) -> Path:
    """A bundle whose network reads this view."""
    said: dict[str, Any] = {
        "onnx": network(view.shape, opset=opset, seed=seed),
        "name": "svm",
        "genres": GENRES,
        "view": view,
        "clips": ClipSettings(),
        "metrics": {"accuracy": 0.5},
        "dataset": "a test",
        "split": "artist",
        "licence": None,
        "readme": "# svm\n\nA card.\n\n## How it is fed\n\nAs a bundle.\n",
    }
    write_bundle(folder, **{**said, **changes})
    return folder


def model_of(run: Path, view: View | None = None, *, name: str = "svm", **changes: Any) -> Path:
    """RUN/MODEL as `train` leaves it, as far as export reads it."""
    (run / name).mkdir(parents=True)
    bundle_of(run / name / "bundle", view or SamplesView(sr=8_000, n_samples=400), name=name, **changes)
    (run / name / "metrics.json").write_text("{}")
    return run / name
