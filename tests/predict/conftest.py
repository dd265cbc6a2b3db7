from __future__ import annotations

from pathlib import Path

import pytest

from genrelab.core.config import SamplesView
from genrelab.predict import batch
from genrelab.predict.classifier import Classifier
from genrelab.predict.file import predict_file
from genrelab.predict.prediction import Prediction
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


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that `predict_files` decodes in this process."""
    names: list[str] = []

    def predict(bundle: Classifier, path: Path) -> Prediction:
        names.append(path.name)
        return predict_file(bundle, path)

    monkeypatch.setattr(batch, "predict_file", predict)
    return names
