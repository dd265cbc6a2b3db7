"""The majority baseline: the genre shares of the training tracks, whatever the input."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from genrelab.core.config import VIEWS
from genrelab.models.base import Model
from genrelab.models.onnx_export import INPUT, OPSET, OUTPUT, Nodes, finish_graph

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genrelab.records.examples import Examples


class Majority(Model):
    """Returns the genre shares of the training tracks for every window; the most frequent genre is the answer."""

    name = "majority"
    views = ("statistics", *(v for v in VIEWS if v != "statistics"))

    def fit(self, examples: Examples, folder: Path) -> Self:
        """See Model; only the labels are used."""
        tracks = np.unique(examples.track[examples.role == "fit"])  # a track counts once, however many its windows
        y = examples.labels.y[tracks]
        self._check_genres(y)
        self.shares_: NDArray[np.float64] = np.bincount(y, minlength=len(self.genres)) / len(y)
        self.probes_ = np.zeros((2, *examples.shape), np.float32)
        return self

    def predict_proba(self, examples: Examples) -> NDArray[np.float64]:
        """See Model."""
        return np.tile(self.shares_, (len(examples), 1))

    def _proba(self, x: NDArray[Any]) -> NDArray[np.float64]:
        return np.tile(self.shares_, (len(x), 1))

    def _graph(self) -> bytes:
        from onnx import helper

        nodes = Nodes("majority/")
        times = nodes("Concat", nodes("Shape", INPUT, end=1), [1], axis=0)
        nodes.named(OUTPUT, nodes("Expand", self.shares_[None], times))
        graph = helper.make_graph([], self.name, [], [], nodes.constants)
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        return finish_graph(proto, nodes.nodes, ["batch", *self.probes_.shape[1:]], ["batch", len(self.genres)])
