"""The model `musicnn` of genrelab/models/classical.py, on embeddings that are made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genrelab.core.config import EmbeddingView
from genrelab.core.hyperparameters import DEFAULTS
from genrelab.evaluation.calibration import MIN_TRACKS
from genrelab.models import classical
from genrelab.models.classical import PENALTIES
from genrelab.records.examples import Examples
from tests.models.test_classical import accuracy, difference_to_graph, fitted
from tests.support.in_memory import examples_of

VIEW = EmbeddingView()


def embeddings(n: int = 120, genres: int = 4, **more: Any) -> Examples:
    """Genres a little apart in all columns; two columns hardly vary, as in MSD_vgg; every fifth row is scored."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % genres
    x = rng.normal(size=(n, *VIEW.shape)) + 0.5 * rng.normal(size=(genres, *VIEW.shape))[y]
    x[:, [7, 300]] = 0.25 + 1e-5 * x[:, [7, 300]]
    role = np.where(np.arange(n) // genres % 5 == 4, "score", "fit")
    return examples_of(x, y, **{"view": VIEW, "role": role, **more})


def penalty(model: Any) -> float:
    return float(model.classifier_.C)


@pytest.mark.parametrize("genres", [2, 4])
def test_it_learns_and_its_graph_agrees(genres: int) -> None:
    examples = embeddings(genres=genres)
    model = fitted("musicnn", examples)
    assert accuracy(model, examples) > 0.9
    assert difference_to_graph(model, examples) < 5e-6


def test_columns_that_hardly_vary_are_left_out() -> None:
    examples = embeddings()
    model = fitted("musicnn", examples)
    assert sorted({*range(456)} - {*model.columns_.tolist()}) == [7, 300]
    moved = examples.rows().x.copy()
    moved[:, [7, 300]] += 1.0
    other = examples_of(moved, examples.y, view=VIEW, role=examples.role)
    np.testing.assert_array_equal(model.predict_proba(other), model.predict_proba(examples))


def test_genres_are_balanced_by_default() -> None:
    """Where nothing can be learned, a balanced model gives all genres the same probability."""
    y = np.r_[np.zeros(180), np.ones(20)].astype(int)
    examples, strong = examples_of(np.random.default_rng(0).normal(size=(200, 456)), y, view=VIEW), {"C": 1e-4}
    rare = {
        weight: fitted("musicnn", examples, class_weight=weight, params={"musicnn": strong})
        .predict_proba(examples)[:, 1]
        .mean()
        for weight in ("auto", "balanced", "none")
    }
    assert rare["auto"] == rare["balanced"] > 2 * rare["none"]


def test_the_penalty_is_chosen_on_artists_that_were_not_fitted_on() -> None:
    """Columns that name the artist say nothing of the genre: a choice that saw the artists would trust them."""
    rng = np.random.default_rng(0)
    artist = rng.permutation(300) // 4
    y = rng.integers(0, 2, 75)[artist]
    x = rng.normal(size=(75, 456))[artist] + 0.01 * rng.normal(size=(300, 456))
    chosen = {
        told: penalty(fitted("musicnn", examples_of(x, y, view=VIEW, group=group)))
        for told, group in (("artists", artist), ("nothing", None))
    }
    assert chosen == {"artists": min(PENALTIES), "nothing": max(PENALTIES)}


def test_few_tracks_get_the_default_penalty() -> None:
    default = DEFAULTS["musicnn"]["C"]
    few = embeddings(n=MIN_TRACKS - 1, role=np.full(MIN_TRACKS - 1, "fit"))
    assert penalty(fitted("musicnn", few)) == default
    lone = embeddings(group=np.arange(120) % 4)  # each genre has one artist: none can be held out
    assert penalty(fitted("musicnn", lone)) == default


def test_tuned_penalty_is_used_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classical, "make_folds", lambda *_, **__: pytest.fail("chosen again"))
    model = fitted("musicnn", embeddings(), params={"musicnn": {"C": 0.5}})
    assert penalty(model) == 0.5 and model.display == "musicnn (tuned)"


def test_same_seed_same_numbers() -> None:
    examples = embeddings(group=np.arange(120) // 3)
    first, second = (fitted("musicnn", examples).predict_proba(examples) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_other_classical_models_read_embeddings() -> None:
    examples = embeddings()
    for name in ("logistic_regression", "knn", "gaussian_nb", "svm", "mlp"):
        model = fitted(name, examples, view="embedding")
        assert accuracy(model, examples) > 0.8, name
        assert difference_to_graph(model, examples) < 1e-4, name


def test_it_writes_nothing(tmp_path: Path) -> None:
    fitted("musicnn", embeddings()).save(tmp_path)
    assert list(tmp_path.iterdir()) == []
