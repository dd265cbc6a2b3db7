from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from in_memory import blobs

from genrelab import models
from genrelab.config import TrainSettings
from genrelab.errors import ModelError
from genrelab.model import Model
from genrelab.models.majority import Majority


class Liar(Majority):
    """Its graph is another model's."""

    def _proba(self, x: Any) -> Any:
        return super()._proba(x)[:, ::-1]


class Nothing(Model):
    name = "nothing"
    views = ("table",)

    def fit(self, examples: Any, folder: Path) -> Self:
        return self

    def _proba(self, x: Any) -> Any:
        return np.full((len(x), len(self.genres)), 1 / len(self.genres))

    def _graph(self) -> bytes:
        raise NotImplementedError


def test_a_graph_that_answers_otherwise_is_refused(tmp_path: Path) -> None:
    examples = blobs(n=41)  # one row more of the first genre
    assert Majority(TrainSettings(), examples.genres).fit(examples, tmp_path).onnx()
    with pytest.raises(ModelError, match="majority: its ONNX graph is off by"):
        Liar(TrainSettings(), examples.genres).fit(examples, tmp_path).onnx()


def test_defaults_of_a_model() -> None:
    examples = blobs(n=40)
    model = Nothing(TrainSettings(), examples.genres)
    assert model.display == "nothing"
    assert model.missing_need(TrainSettings()) is None
    assert model.predict_proba(examples).shape == (40, 4)


def test_shelf_lists_without_importing_and_answers_an_unknown_name() -> None:
    assert models.known_models()[0] == "majority"
    for name in models.known_models():
        assert models.create(name, TrainSettings(), ("a", "b")).name == name
    with pytest.raises(ModelError, match=r"unknown model 'svn': known are majority, .*mobilenet_v2"):
        models.create("svn", TrainSettings(), ("a", "b"))
