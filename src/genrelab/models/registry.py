"""Registry of models: name → class, imported only when used, so that listing the names is fast."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from genrelab.core.config import TrainSettings
from genrelab.core.errors import ModelError
from genrelab.models.base import Model

_CLASS_PATHS = {
    "majority": "majority:Majority",
    "logistic_regression": "classical:LogisticRegression",
    "knn": "classical:Knn",
    "gaussian_nb": "classical:GaussianNB",
    "svm": "svm:Svm",
    "svm_poly": "svm:SvmPoly",
    "mlp": "classical:Mlp",
    "musicnn": "classical:Musicnn",
    "raw_cnn": "raw_cnn:RawCnn",
    "mobilenet_v2": "mobilenet:MobileNetV2",
}


ARTICLE_ONLY = ("svm_poly",)
"""Models that `all` means with `--preset article` only; otherwise they are trained if they are named."""


def known_models() -> tuple[str, ...]:
    """Names of all models, in the order in which they are trained."""
    return tuple(_CLASS_PATHS)


def default_models(preset: str) -> tuple[str, ...]:
    """Names of the models that `--models all` means with this preset."""
    return tuple(n for n in _CLASS_PATHS if preset == "article" or n not in ARTICLE_ONLY)


def models_of(settings: TrainSettings) -> tuple[str, ...]:
    """Names of the models that a training trains: the named ones, else the default ones."""
    return settings.models or default_models(settings.preset)


def model_class(name: str) -> type[Model]:
    """The class of a model.

    Raises:
        ModelError: an unknown name; the message lists the known ones.
    """
    if name not in _CLASS_PATHS:
        raise ModelError(f"unknown model {name!r}: use one of {', '.join(_CLASS_PATHS)}")
    module, _, cls = _CLASS_PATHS[name].partition(":")
    return cast("type[Model]", getattr(import_module(f"genrelab.models.{module}"), cls))


def create(name: str, settings: TrainSettings, genres: tuple[str, ...]) -> Model:
    """A model that is not trained yet.

    Raises:
        ModelError: an unknown name.
    """
    return model_class(name)(settings, genres)
