"""Hyper-parameters of every model: their names, allowed values, defaults, and the ranges that `tune` searches.

Each space contains the article's study: k from 1 to 100, variance smoothing of 1e-11 to 1e-9, all solvers and
kernels, hidden sizes, PCA. What cannot be exported to ONNX is left out: neighbours weighted by distance (skl2onnx
flips the sign of the distances, so that its graph votes without weights) and the Chebyshev distance (unsupported).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from genrelab.core.errors import SettingsError, printable

Params = dict[str, Any]
Conditions = Mapping[str, tuple[Any, ...]]

SHARED = ("pca", "batch_size", "fine_tune")
"""Hyper-parameters that are options of the whole training too; a model's own value overrides the option."""


@dataclass(frozen=True)
class NumericParameter:
    """A number: `tune` searches from `low` to `high`; `least` to `most` is allowed.

    Attributes:
        log: is it searched on a logarithmic scale?
        whole: is it an int?
        where: other hyper-parameters and their values with which it has an effect.
    """

    low: float
    high: float
    least: float
    most: float
    log: bool = False
    whole: bool = False
    where: Conditions = field(default_factory=dict)

    def allows(self, value: object) -> bool:
        """Is `value` of the right type and in range?"""
        kinds = (int,) if self.whole else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.least <= value <= self.most

    @property
    def rule(self) -> str:
        """The allowed values, for error messages."""
        return f"a {'whole ' if self.whole else ''}number from {self.least:g} to {self.most:g}"

    def to_json(self) -> dict[str, Any]:
        """The searched range, as written to `trials.json`."""
        return {
            "type": "int" if self.whole else "float", "low": self.low, "high": self.high, "log": self.log,
            "choices": None, "where": _conditions_to_json(self.where),
        }  # fmt: skip


@dataclass(frozen=True)
class CategoricalParameter:
    """One of a few values; with `more`, numbers above 0 are allowed too, though not searched."""

    choices: tuple[str | float | None, ...]
    more: bool = False
    where: Conditions = field(default_factory=dict)

    def allows(self, value: object) -> bool:
        """Is `value` one of the choices, or allowed by `more`?"""
        if isinstance(value, int | float) and not isinstance(value, bool) and self.more:
            return 0 < value < math.inf and (value < 1 or value == int(value))
        return not isinstance(value, bool) and value in self.choices

    @property
    def rule(self) -> str:
        """The allowed values, for error messages."""
        if self.more:
            return "a share of the variance (above 0 and below 1), a whole number of components, or null"
        return f"one of {', '.join(map(str, self.choices))}"

    def to_json(self) -> dict[str, Any]:
        """The searched choices, as written to `trials.json`."""
        return {
            "type": "categorical", "low": None, "high": None, "log": False,
            "choices": list(self.choices), "where": _conditions_to_json(self.where),
        }  # fmt: skip


Space = dict[str, NumericParameter | CategoricalParameter]

PCA = CategoricalParameter((None, 0.8, 0.9, 0.95, 0.99), more=True)
DROPOUT = NumericParameter(0.0, 0.8, 0.0, 0.95)
LEARNING_RATE = NumericParameter(1e-4, 1e-2, 1e-7, 1.0, log=True)

SPACES: dict[str, Space] = {
    "logistic_regression": {
        "solver": CategoricalParameter(("lbfgs", "newton-cg", "sag", "saga", "liblinear")),  # liblinear is one-vs-rest
        "penalty": CategoricalParameter(("l2", "l1"), where={"solver": ("saga", "liblinear")}),
        "C": NumericParameter(1e-4, 1e2, 1e-8, 1e8, log=True),
        "pca": PCA,
    },
    "knn": {
        "k": NumericParameter(1, 100, 1, 100_000, whole=True),
        "metric": CategoricalParameter(("euclidean", "manhattan", "cosine")),
        "pca": PCA,
    },
    "gaussian_nb": {
        "var_smoothing": NumericParameter(1e-11, 1e-1, 0.0, 1e3, log=True),
        "pca": PCA,
    },
    "svm": {
        "kernel": CategoricalParameter(("rbf", "poly", "linear", "sigmoid")),
        "C": NumericParameter(1e-2, 1e2, 1e-8, 1e8, log=True),
        # In units of scikit-learn's `scale`, 1 / (columns * variance), so that it means the same with any PCA.
        "gamma": NumericParameter(1e-2, 1e1, 1e-8, 1e8, log=True, where={"kernel": ("rbf", "poly", "sigmoid")}),
        "degree": NumericParameter(2, 5, 1, 10, whole=True, where={"kernel": ("poly",)}),
        "pca": PCA,
    },
    "svm_poly": {
        "C": NumericParameter(1e-2, 1e2, 1e-8, 1e8, log=True),
        "gamma": NumericParameter(1e-2, 1e1, 1e-8, 1e8, log=True),
        "degree": NumericParameter(2, 5, 1, 10, whole=True),
        "pca": PCA,
    },
    "mlp": {
        "hidden": NumericParameter(10, 500, 1, 100_000, log=True, whole=True),  # units of every hidden layer
        "layers": NumericParameter(1, 3, 1, 10, whole=True),
        "activation": CategoricalParameter(("relu", "tanh", "logistic")),
        "alpha": NumericParameter(1e-6, 1e1, 0.0, 1e6, log=True),
        "learning_rate": LEARNING_RATE,
        "pca": PCA,
    },
    "musicnn": {
        "C": NumericParameter(1e-4, 1e0, 1e-8, 1e8, log=True),
    },
    "raw_cnn": {
        "learning_rate": LEARNING_RATE,
        "dropout": DROPOUT,
        "dense": NumericParameter(20, 400, 1, 100_000, log=True, whole=True),  # units of the first dense layer
        "batch_size": NumericParameter(8, 128, 1, 100_000, log=True, whole=True),
    },
    "mobilenet_v2": {
        "hidden": NumericParameter(0, 256, 0, 100_000, whole=True),  # units between base and logits; 0: a linear head
        "dropout": DROPOUT,
        "learning_rate": LEARNING_RATE,
        "fine_tune": NumericParameter(0, 3, 0, 17, whole=True),
    },
}
"""The search space of every model that has hyper-parameters."""

# Of the five folds, how many are used to fit the one number of the pairwise coupling.
CALIBRATION_FOLDS = NumericParameter(1, 5, 1, 5, whole=True)
UNTUNED_SPACES: dict[str, Space] = {
    "svm": {"calibration_folds": CALIBRATION_FOLDS},
    "svm_poly": {"calibration_folds": CALIBRATION_FOLDS},
}
"""Hyper-parameters that change the speed, not the quality; `tune` does not search them."""

FAST_PARAMS: dict[str, Params] = {"svm": {"calibration_folds": 1}, "svm_poly": {"calibration_folds": 1}}
"""Their values where a model is fitted many times: two SVMs in place of six."""


def with_fast_params(params: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, Mapping[str, Any]]:
    """`TrainSettings.params` for fitting a model many times: nearly the same predictions, faster."""
    return {**params, name: {**params.get(name, {}), **FAST_PARAMS[name]}} if name in FAST_PARAMS else dict(params)


DEFAULTS: dict[str, Params] = {
    "logistic_regression": {"solver": "lbfgs", "penalty": "l2", "C": 1.0},
    "knn": {"k": 5, "metric": "euclidean"},
    "gaussian_nb": {"var_smoothing": 1e-9},
    "svm": {"kernel": "rbf", "C": 1.0, "gamma": 1.0, "degree": 3, "calibration_folds": 5},
    "svm_poly": {"C": 1.0, "gamma": 1.0, "degree": 3, "calibration_folds": 5},
    "mlp": {"hidden": 100, "layers": 1, "activation": "relu", "alpha": 1e-4, "learning_rate": 1e-3},
    "musicnn": {"C": 0.003},  # unless tuned, folds of the training set choose it
    "raw_cnn": {"learning_rate": 1e-3, "dropout": 0.5, "dense": 100},
    "mobilenet_v2": {"hidden": 0, "dropout": 0.5, "learning_rate": 1e-3},
}
"""scikit-learn's defaults, and for the networks the article's values; `SHARED` ones come from the training options."""

ARTICLE: dict[str, Params] = {
    "logistic_regression": {"solver": "liblinear"},
    "knn": {"k": 21},
    "gaussian_nb": {"var_smoothing": 1.29e-10},
    "mlp": {"hidden": 140, "layers": 1},  # with this preset they mean `ARTICLE_MLP`
}
"""Values that `--preset article` uses instead."""

ARTICLE_MLP = (140, 2)
"""Units of the hidden layers of the article's MLP: only two between the first layer and the genres. Layers of different
sizes are not in the search space, so the preset uses these where `hidden` and `layers` have its values."""

ARTICLE_SVM_STEPS = 2_000
"""Most steps of the article's SVM for each pair of genres."""

KEPT_BETTER: tuple[str, ...] = (
    "Features are scaled with the mean and standard deviation of the training tracks; the article scaled each track by "
    "itself, or not at all.",
    "Logistic regression runs for up to 1,000 iterations instead of 100, so that it converges.",
    "Each SVM gives probabilities, from the scores of genre pairs and folds of the training tracks; its most probable "
    "genre can differ from the vote of the pairs that the article used.",
    "Probabilities of all models are calibrated with tracks that the model was not trained on, where there are enough "
    "of them.",
    "The classifier of mobilenet_v2 reads standardised outputs of the frozen base, with dropout and weight decay.",
    "The test tracks choose nothing; the article's hyper-parameter study used all tracks.",
)
"""What `--preset article` knowingly does better than the article, or differently, one sentence each."""

SECOND_TRIAL_PARAMS: dict[str, Params] = {
    **{model: own for model, own in ARTICLE.items() if model != "mlp"},
    "svm": {"kernel": "poly"},
}
"""The second trial of `tune`: the article's values; of its two kernels the one that is not the default. Those of `mlp`
mean the article's layers only with `--preset article`, where they are the first trial."""


def resolve_params(model: str, params: Mapping[str, Mapping[str, Any]], *, preset: str = "default") -> Params:
    """All hyper-parameters of a model besides the `SHARED` ones: its own, else the preset's, else the defaults."""
    article = ARTICLE.get(model, {}) if preset == "article" else {}
    return {**DEFAULTS.get(model, {}), **article, **params.get(model, {})}


def active_params(space: Space, params: Params) -> Params:
    """The `params` that have an effect with the values of the others, in the order of the space."""
    return {name: params[name] for name, p in space.items() if name in params and is_active(p, params)}


def widen_space(space: Space, starts: Iterable[Params]) -> Space:
    """The space extended to contain these values: given options may be outside it."""
    wide = dict(space)
    for name, value in (item for start in starts for item in start.items()):
        p = wide[name]
        if isinstance(p, NumericParameter):
            wide[name] = replace(p, low=min(p.low, value), high=max(p.high, value))
        elif value not in p.choices:
            wide[name] = replace(p, choices=(*p.choices, value))
    return wide


def is_active(parameter: NumericParameter | CategoricalParameter, params: Mapping[str, Any]) -> bool:
    """Does a hyper-parameter have an effect with these values of the others?"""
    return all(params.get(other) in values for other, values in parameter.where.items())


def validated_params(params: Mapping[str, Mapping[str, Any]]) -> dict[str, Params]:
    """A validated copy in plain JSON.

    Raises:
        SettingsError: an unknown model or hyper-parameter, or a value that is not allowed.
    """
    for model, own in params.items():
        space = SPACES.get(model)
        if space is None:
            raise SettingsError(f"{_printable_value(model)} has no hyper-parameters: choose one of {', '.join(SPACES)}")
        if not isinstance(own, Mapping):
            raise SettingsError(f"hyper-parameters of {model} need names. Received: {_printable_value(own)}")
        space = space | UNTUNED_SPACES.get(model, {})
        for name, value in own.items():
            if name not in space:
                raise SettingsError(
                    f"{model} has no hyper-parameter {_printable_value(name)}: choose one of {', '.join(space)}"
                )
            if not space[name].allows(value):
                raise SettingsError(
                    f"{name} of {model} must be {space[name].rule}. Received: {_printable_value(value)}"
                )
    copy: dict[str, Params] = json.loads(json.dumps({m: dict(own) for m, own in params.items()}, sort_keys=True))
    return {model: own for model, own in copy.items() if own}


def _printable_value(value: object) -> str:
    return printable(str(value))[:80]


def _conditions_to_json(where: Conditions) -> dict[str, list[Any]]:
    return {name: list(values) for name, values in where.items()}
