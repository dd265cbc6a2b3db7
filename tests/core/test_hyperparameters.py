from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

from genrelab.core.config import TrainSettings
from genrelab.core.errors import SettingsError
from genrelab.core.hyperparameters import (
    ARTICLE,
    DEFAULTS,
    FAST_PARAMS,
    SECOND_TRIAL_PARAMS,
    SHARED,
    SPACES,
    UNTUNED_SPACES,
    CategoricalParameter,
    NumericParameter,
    active_params,
    resolve_params,
    validated_params,
    widen_space,
)
from genrelab.models import registry


def test_search_spaces_include_the_articles_study() -> None:
    def number(model: str, name: str) -> NumericParameter:
        found = SPACES[model][name]
        assert isinstance(found, NumericParameter)
        return found

    def choices(model: str, name: str) -> set[Any]:
        found = SPACES[model][name]
        assert isinstance(found, CategoricalParameter)
        return set(found.choices)

    k, smoothing, hidden = number("knn", "k"), number("gaussian_nb", "var_smoothing"), number("mlp", "hidden")
    assert (k.low, k.high, k.whole) == (1, 100, True)
    assert smoothing.low == 1e-11 and smoothing.high >= 1e-9 and smoothing.log
    assert hidden.low <= 10 and hidden.high >= 500
    assert choices("logistic_regression", "solver") == {"lbfgs", "liblinear", "newton-cg", "sag", "saga"}
    assert choices("svm", "kernel") == {"rbf", "poly", "linear", "sigmoid"}
    for model in ("logistic_regression", "knn", "gaussian_nb", "svm", "mlp"):
        assert None in choices(model, "pca") and 0.95 in choices(model, "pca")
    assert ARTICLE["knn"]["k"] == 21 and ARTICLE["gaussian_nb"]["var_smoothing"] == 1.29e-10
    assert SECOND_TRIAL_PARAMS["svm"]["kernel"] == "poly"
    assert "mlp" not in SECOND_TRIAL_PARAMS, "a search of version 0.3.0 continues as it would have"


@pytest.mark.parametrize("model", SPACES)
def test_defaults_are_complete_and_within_the_search_space(model: str) -> None:
    assert model in registry.known_models()
    space = SPACES[model]
    assert set(DEFAULTS[model]) == {*space, *UNTUNED_SPACES.get(model, {})} - set(SHARED)
    assert validated_params({model: DEFAULTS[model]}) == {model: DEFAULTS[model]}
    for preset in (DEFAULTS, SECOND_TRIAL_PARAMS):
        start = active_params(space, {**DEFAULTS[model], **preset.get(model, {})})
        assert widen_space(space, [start]) == space
    for name, p in space.items():
        assert all(list(space).index(other) < list(space).index(name) for other in p.where), "asked for after it"
        assert all(
            p.allows(v)
            for v in (p.choices if isinstance(p, CategoricalParameter) else (p.low, p.high))
            if v is not None
        )
    assert set(FAST_PARAMS.get(model, {})) <= set(UNTUNED_SPACES.get(model, {}))


def test_irrelevant_hyperparameters_are_left_out() -> None:
    space = SPACES["svm"]
    params = {"kernel": "linear", "C": 1.0, "gamma": 2.0, "degree": 4, "pca": None}
    assert active_params(space, params) == {"kernel": "linear", "C": 1.0, "pca": None}
    assert "degree" in active_params(space, {**params, "kernel": "poly"})
    assert "degree" not in active_params(space, {**params, "kernel": "rbf"})
    assert "penalty" not in active_params(SPACES["logistic_regression"], {"solver": "lbfgs", "penalty": "l1"})


def test_search_space_is_widened_to_the_users_options() -> None:
    wide = widen_space(SPACES["svm"], [{"pca": 17, "C": 1e3}])
    assert 17 in wide["pca"].choices and wide["C"].high == 1e3 and wide["C"].low == 1e-2  # type: ignore[union-attr]
    assert SPACES["svm"]["C"].high == 1e2  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"majority": {"k": 1}}, "majority has no hyper-parameters: choose one of logistic_regression"),
        ({"svm": 3}, "hyper-parameters of svm need names"),
        ({"knn": {"weights": "distance"}}, "knn has no hyper-parameter weights: choose one of k, metric, pca"),
        ({"knn": {"k": 0}}, "k of knn must be a whole number from 1 to 100000. Received: 0"),
        ({"knn": {"k": 5.0}}, "must be a whole number"),
        ({"knn": {"k": True}}, "must be a whole number"),
        ({"knn": {"metric": "chebyshev"}}, "metric of knn must be one of euclidean, manhattan, cosine"),
        ({"svm": {"C": math.nan}}, "C of svm must be a number from 1e-08"),
        ({"svm": {"C": "1"}}, "C of svm must be a number"),
        ({"mlp": {"pca": 2.5}}, "pca of mlp must be a share of the variance .* a whole number of components, or null"),
        ({"mlp": {"pca": False}}, "pca of mlp"),
        ({"mlp": {"a\nb": 1}}, r"mlp has no hyper-parameter a\\nb"),
    ],
)
def test_invalid_hyperparameters_are_refused(params: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        TrainSettings(params=params)


def test_settings_keep_a_verified_copy() -> None:
    given: dict[str, dict[str, Any]] = {"svm": {"C": 2.0}, "knn": {}}
    settings = TrainSettings(params=given)
    given["svm"]["C"] = -1
    assert settings.params == {"svm": {"C": 2.0}}
    assert TrainSettings(**json.loads(json.dumps({**settings.to_json(), "models": ()}))).params == settings.params
    assert hash(settings) == hash(dataclasses.replace(settings)) and settings != TrainSettings()
    assert TrainSettings().to_json()["params"] == {}


def test_hyperparameter_of_a_model_overrides_the_option() -> None:
    settings = TrainSettings(pca=0.5, batch_size=8, params={"svm": {"pca": None}, "raw_cnn": {"batch_size": 64}})
    assert settings.of("svm").pca is None and settings.of("knn").pca == 0.5
    assert settings.of("raw_cnn").batch_size == 64 and settings.of("mobilenet_v2").batch_size == 8
    assert settings.of("svm").of("svm") == settings.of("svm")


def test_article_preset_runs_all_epochs_whatever_else_is_asked() -> None:
    assert TrainSettings().stops_early and not TrainSettings(early_stopping=False).stops_early
    assert not TrainSettings(preset="article").stops_early and TrainSettings(preset="article").uses_last_epoch
    assert not TrainSettings(early_stopping=False).uses_last_epoch


def test_tuned_values_override_the_preset() -> None:
    assert resolve_params("knn", {}, preset="article")["k"] == 21
    assert resolve_params("knn", {"knn": {"k": 3}}, preset="article") == {"k": 3, "metric": "euclidean"}
    assert resolve_params("knn", {"svm": {"C": 3.0}})["k"] == 5
