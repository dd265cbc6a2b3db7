from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from genrelab.core.config import DescriptorsView, SamplesView, StatisticsView, TrainSettings, View
from genrelab.core.errors import ModelError
from genrelab.features.statistics import DESCRIPTORS, ENCODING_DEPENDENT, STATISTICS
from genrelab.models import registry
from genrelab.models.base import Model
from genrelab.models.classical import Knn
from genrelab.models.majority import Majority
from tests.support.in_memory import blobs


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


def test_onnx_graph_with_different_probabilities_is_refused(tmp_path: Path) -> None:
    examples = blobs(n=41)  # one row more of the first genre
    assert Majority(TrainSettings(), examples.genres).fit(examples, tmp_path).onnx()
    with pytest.raises(ModelError, match="majority: probabilities of its ONNX graph differ by"):
        Liar(TrainSettings(), examples.genres).fit(examples, tmp_path).onnx()


def test_base_model_has_usable_defaults() -> None:
    examples = blobs(n=40)
    model = Nothing(TrainSettings(), examples.genres)
    assert model.display == "nothing"
    assert model.missing_requirement(TrainSettings()) is None
    assert model.predict_proba(examples).shape == (40, 4)


def test_known_models_are_listed_and_an_unknown_name_is_refused() -> None:
    assert registry.known_models()[0] == "majority"
    for name in registry.known_models():
        assert registry.create(name, TrainSettings(), ("a", "b")).name == name
    with pytest.raises(ModelError, match=r"unknown model 'svn': use one of majority, .*mobilenet_v2"):
        registry.create("svn", TrainSettings(), ("a", "b"))


def test_the_second_svm_is_part_of_all_models_only_with_the_articles_preset() -> None:
    assert set(registry.known_models()) - set(registry.default_models("default")) == {"svm_poly"}
    assert registry.default_models("article") == registry.known_models()
    assert "svm_poly" not in registry.models_of(TrainSettings())
    assert registry.models_of(TrainSettings(models=("svm_poly",))) == ("svm_poly",)


def columns_of(view: View, preset: str = "default") -> Any:
    knn = Knn(TrainSettings(preset=preset), ("a", "b"))
    return knn._choose_columns(view, np.zeros((1, *view.shape)), np.ones(1, bool))


@pytest.mark.parametrize(("view", "names"), [(StatisticsView(), STATISTICS), (DescriptorsView(), DESCRIPTORS)])
def test_columns_that_depend_on_file_storage_are_not_used(view: View, names: tuple[str, ...]) -> None:
    columns = columns_of(view)
    assert columns is not None and [names[i] for i in columns] == [n for n in names if n not in ENCODING_DEPENDENT]
    assert view.shape == (len(names),) and len(columns) < len(names)
    assert columns_of(view, "article") is None, "the article used them all"


@pytest.mark.parametrize("view", [StatisticsView(fma_exact=True), SamplesView()])
def test_other_views_keep_all_their_columns(view: View) -> None:
    assert columns_of(view) is None
