"""Every hyper-parameter that `tune` may choose: it reaches the model, and the model survives the way to a bundle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genrelab.bundle.bundle import load_bundle
from genrelab.core.config import FramesView, TrainSettings
from genrelab.core.hyperparameters import DEFAULTS, SPACES, CategoricalParameter
from genrelab.models import registry
from genrelab.records.examples import Examples
from tests.support.in_memory import blobs, examples_of, table_view, tones
from tests.support.untrained_models import bundle_of

CLASSICAL = ("logistic_regression", "knn", "gaussian_nb", "svm", "svm_poly", "mlp", "musicnn")


def fitted(name: str, examples: Examples, own: dict[str, Any], **settings: Any) -> Any:
    params = {name: own} if own else {}
    return registry.create(name, TrainSettings(params=params, **settings), examples.genres).fit(
        examples, Path("unused")
    )


def cases() -> Iterator[Any]:
    """Every choice, and both ends of every range, beside values with which they say something."""
    for name in CLASSICAL:
        for parameter, p in SPACES[name].items():
            where = {other: values[-1] for other, values in p.where.items()}
            values = p.choices if isinstance(p, CategoricalParameter) else (p.low, p.high)
            for value in values:
                yield pytest.param(name, {**where, parameter: value}, id=f"{name} {parameter} {value}")
    for kernel in ("rbf", "poly", "linear", "sigmoid"):
        for C in (1e-2, 1e2):
            yield pytest.param("svm", {"kernel": kernel, "C": C}, id=f"svm {kernel} C {C}")
    yield pytest.param("svm", {"kernel": "poly", "degree": 5, "gamma": 10.0, "C": 1e2}, id="svm wild")
    yield pytest.param("logistic_regression", {"solver": "liblinear", "penalty": "l1"}, id="liblinear l1")


@pytest.mark.parametrize(("name", "own"), list(cases()))
def test_bundle_gives_the_same_probabilities(name: str, own: dict[str, Any], tmp_path: Path) -> None:
    _compare(name, own, blobs(n=60, columns=6, genres=4), tmp_path)


@pytest.mark.parametrize("kernel", ["rbf", "poly", "linear", "sigmoid"])
def test_bundle_of_a_two_genre_svm_gives_the_same_probabilities(kernel: str, tmp_path: Path) -> None:
    """Of two genres scikit-learn and skl2onnx each have an order of their own."""
    _compare("svm", {"kernel": kernel}, blobs(n=60, columns=6, genres=2), tmp_path)


def _compare(name: str, own: dict[str, Any], examples: Examples, tmp_path: Path) -> None:
    """A model's answers with those of its bundle, which the guard has let pass; on music and on noise far from any."""
    model = fitted(name, examples, own)
    bundle = load_bundle(bundle_of(tmp_path / "b", examples.view, onnx=model.onnx(), name=name, genres=examples.genres))
    x = examples.rows().x
    far = np.concatenate([x, 1e9 * np.random.default_rng(0).normal(size=x.shape)]).astype(np.float32)
    expected = model._proba(far)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(bundle.answers(far), expected, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in CLASSICAL if name != "musicnn"])  # its penalty is chosen anew
def test_the_defaults_by_name_change_nothing(name: str) -> None:
    examples = blobs()
    usual, named = (fitted(name, examples, own) for own in ({}, DEFAULTS[name]))
    np.testing.assert_array_equal(usual.predict_proba(examples), named.predict_proba(examples))
    assert (usual.display, named.display) == (name, f"{name} (tuned)")


@pytest.mark.parametrize(
    ("name", "own", "found"),
    [
        ("knn", {"k": 7, "metric": "cosine"}, {"n_neighbors": 7, "metric": "cosine"}),
        ("gaussian_nb", {"var_smoothing": 0.1}, {"var_smoothing": 0.1}),
        ("logistic_regression", {"solver": "saga", "C": 0.1}, {"solver": "saga", "C": 0.1}),
        (
            "mlp",
            {"hidden": 9, "layers": 2, "activation": "tanh", "alpha": 1.0, "learning_rate": 0.01},
            {"hidden_layer_sizes": (9, 9), "activation": "tanh", "alpha": 1.0, "learning_rate_init": 0.01},
        ),
    ],
)
def test_parameters_reach_the_classifier(name: str, own: dict[str, Any], found: dict[str, Any]) -> None:
    classifier = fitted(name, blobs(), own).classifier_
    assert found.items() <= classifier.get_params().items()


def test_parameters_reach_the_svm() -> None:
    examples = blobs()
    own = {"kernel": "poly", "C": 3.0, "gamma": 2.0, "degree": 2}
    model = fitted("svm", examples, own)
    svc = model.classifier_.svc
    assert (svc.kernel, svc.C, svc.degree, svc.max_iter) == ("poly", 3.0, 2, 100_000)
    assert svc.gamma == pytest.approx(2 / 12, rel=1e-6)  # scaled columns have variance 1
    plain = fitted("svm", examples, {}).classifier_.svc
    assert plain.gamma == pytest.approx(1 / 12, rel=1e-6)  # what scikit-learn calls "scale"
    assert fitted("svm", examples, {}).classifier_.svc.max_iter == -1


def test_tuned_layers_replace_those_of_the_articles_mlp() -> None:
    mlp = fitted("mlp", blobs(), {"hidden": 9, "layers": 2}, preset="article").classifier_
    assert mlp.hidden_layer_sizes == (9, 9)
    own = {"hidden": 140, "layers": 1, "alpha": 0.1}  # as in a trial of `tune --preset article`
    article, usual = (fitted("mlp", blobs(), own, preset=preset).classifier_ for preset in ("article", "default"))
    assert (article.hidden_layer_sizes, article.alpha) == ((140, 2), 0.1)
    assert usual.hidden_layer_sizes == (140,)


def test_only_the_l1_penalty_makes_weights_exactly_0() -> None:
    def has_zeros(solver: str) -> bool:
        own = {"solver": solver, "penalty": "l1", "C": 0.02}
        c = fitted("logistic_regression", blobs(), own).classifier_
        return any((e.coef_ == 0).any() for e in getattr(c, "estimators_", [c]))

    assert [has_zeros(s) for s in ("saga", "liblinear", "lbfgs")] == [True, True, False]  # lbfgs knows none


def test_pca_of_one_model_is_not_that_of_another() -> None:
    params = {"knn": {"pca": 3}, "mlp": {"pca": None}}
    settings = TrainSettings(pca=0.5, params=params)
    examples = blobs()
    steps = {
        n: registry.create(n, settings, examples.genres).fit(examples, Path("unused")).steps_ for n in ("knn", "mlp")
    }
    assert len(steps["knn"]) == 2 and steps["knn"][1].n_components_ == 3 and len(steps["mlp"]) == 1
    many, view = registry.model_class("knn"), FramesView()
    n = int(np.prod(view.shape))
    assert many.too_many_columns(TrainSettings(), n) and not many.too_many_columns(settings, n)


def test_one_calibration_fold_gives_a_similar_calibration() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(300) % 3
    examples = examples_of(rng.normal(size=(300, 4)) + 1.0 * np.eye(3, 4)[y], y, view=table_view(4))
    one, all_five = (fitted("svm", examples, {"calibration_folds": n}).classifier_ for n in (1, 5))
    assert one.beta != all_five.beta
    assert one.beta == pytest.approx(all_five.beta, rel=0.6)


@pytest.mark.slow
def test_parameters_reach_the_network(tmp_path: Path) -> None:
    examples = tones(n=30, samples=80)
    own = {"learning_rate": 5e-3, "dropout": 0.2, "dense": 33, "batch_size": 8}
    model = registry.create("raw_cnn", TrainSettings(epochs=2, params={"raw_cnn": own}), examples.genres)
    model.fit(examples, tmp_path)
    assert model.display == "raw_cnn (tuned)" and model.settings.batch_size == 8
    assert [layer.units for layer in model.network_.layers if hasattr(layer, "units")] == [33, 20, 3]
    assert [layer.rate for layer in model.network_.layers if hasattr(layer, "rate")] == [0.2, 0.2]
    assert float(model.network_.optimizer.learning_rate) == pytest.approx(5e-3)
    model.onnx()


@pytest.mark.slow
def test_parameters_reach_the_mobilenet_head() -> None:
    from genrelab.models.mobilenet import build_head

    outputs = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    plain, deep = build_head(outputs, 3), build_head(outputs, 3, hidden=5, dropout=0.1)
    assert [layer.units for layer in plain.layers if hasattr(layer, "units")] == [3]
    assert [layer.units for layer in deep.layers if hasattr(layer, "units")] == [5, 3]
    assert [layer.rate for layer in deep.layers if hasattr(layer, "rate")] == [0.1, 0.1]
    settings = TrainSettings(imagenet_weights="none", params={"mobilenet_v2": {"hidden": 5, "fine_tune": 2}})
    model = registry.create("mobilenet_v2", settings, ("a", "b", "c"))
    assert model.display == "mobilenet_v2 (random initialisation, tuned)" and model.settings.fine_tune == 2
