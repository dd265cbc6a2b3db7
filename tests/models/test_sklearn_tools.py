from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from genrelab.models.pairwise_coupling import pair_scores
from genrelab.models.sklearn_tools import MAX_DEVIATIONS, as_linear_classifier, bounds_of, l1_penalty, medians_of


def test_bounds_are_a_fixed_number_of_standard_deviations_away() -> None:
    x = np.random.default_rng(0).normal(3, 2, (50_000, 2)).astype(np.float32)
    low, high = bounds_of(x)
    np.testing.assert_allclose([*low, *high], [3 - 2 * MAX_DEVIATIONS] * 2 + [3 + 2 * MAX_DEVIATIONS] * 2, atol=0.15)


def test_medians_ignore_missing_values() -> None:
    x = np.array([[1, np.nan, 5], [2, np.nan, np.nan], [9, np.nan, 7]], np.float32)
    assert medians_of(x).tolist() == [2, 0, 6]


@pytest.mark.parametrize("solver", ["saga", "liblinear"])
def test_l1_penalty_works_with_the_installed_scikit_learn(solver: str) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    x = rng.normal(size=(80, 10)) + np.eye(2, 10)[y] * 3
    model = LogisticRegression(solver=solver, C=0.1, max_iter=1_000, **l1_penalty(LogisticRegression)).fit(x, y)
    assert (model.coef_[0, 2:] == 0).sum() >= 6 and (model.coef_[0, :2] != 0).all()


@pytest.mark.parametrize("k", [2, 3, 5])
def test_planes_score_like_the_linear_svm(k: int) -> None:
    """Of two genres scikit-learn scores the second one; planes go the machine's way round."""
    rng = np.random.default_rng(k)
    y = np.arange(60) % k
    x = rng.normal(size=(60, 4)) + np.eye(5, 4)[y]
    svc = SVC(kernel="linear", decision_function_shape="ovo").fit(x, y)
    scores = as_linear_classifier(svc).decision_function(x)
    np.testing.assert_allclose(-scores[:, None] if k == 2 else scores, pair_scores(svc, x), atol=1e-9)
