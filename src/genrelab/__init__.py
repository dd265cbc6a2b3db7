"""genrelab: from a folder of music to an honest genre classifier, and from that classifier to any library.

>>> import genrelab
>>> prediction = genrelab.load_bundle("RUN/svm/bundle").predict("song.mp3")   # doctest: +SKIP
>>> dataset = genrelab.load_dataset("data/fma_small")                          # doctest: +SKIP
>>> tracks = genrelab.read_fma_tracks("data")                                  # doctest: +SKIP
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genrelab.core import errors
    from genrelab.datasets.fma_metadata.dataframes import (
        read_fma_echonest,
        read_fma_features,
        read_fma_genres,
        read_fma_tracks,
    )
    from genrelab.datasets.registry import load_dataset
    from genrelab.features import views
    from genrelab.predict.classifier import load_bundle

    __version__: str

__all__ = [
    "__version__",
    "errors",
    "load_bundle",
    "load_dataset",
    "read_fma_echonest",
    "read_fma_features",
    "read_fma_genres",
    "read_fma_tracks",
    "views",
]

# onnxruntime would tell its maker about every process; it looks here when it is first imported. Music is private.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_HOMES = {
    "errors": "genrelab.core.errors",
    "load_bundle": "genrelab.predict.classifier:load_bundle",
    "load_dataset": "genrelab.datasets.registry:load_dataset",
    "read_fma_echonest": "genrelab.datasets.fma_metadata.dataframes:read_fma_echonest",
    "read_fma_features": "genrelab.datasets.fma_metadata.dataframes:read_fma_features",
    "read_fma_genres": "genrelab.datasets.fma_metadata.dataframes:read_fma_genres",
    "read_fma_tracks": "genrelab.datasets.fma_metadata.dataframes:read_fma_tracks",
    "views": "genrelab.features.views",  # every model card names `genrelab.views.compute`
}


def __getattr__(name: str) -> Any:
    # Late, so that `import genrelab` costs milliseconds whatever is asked of it later.
    if name == "__version__":
        from importlib.metadata import version

        return version("genrelab")
    if name not in _HOMES:
        raise AttributeError(f"module 'genrelab' has no attribute {name!r}: it has {', '.join(__all__)}")
    from importlib import import_module

    module, _, attribute = _HOMES[name].partition(":")
    home = import_module(module)
    return getattr(home, attribute) if attribute else home
