from __future__ import annotations

from pathlib import Path

import pytest

from genrelab.core.config import SamplesView
from genrelab.predict.classifier import Classifier
from tests.support.bundles import SR, bundle_for


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the prediction cache."""
    monkeypatch.setenv("GENRELAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bundle(tmp_path: Path) -> Classifier:
    """A linear model on raw samples."""
    return bundle_for(tmp_path / "bundle", SamplesView(sr=SR, n_samples=4_000))
