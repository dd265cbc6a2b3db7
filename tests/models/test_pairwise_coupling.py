from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from sklearn.svm import SVC

from genrelab.models import pairwise_coupling
from genrelab.models.pairwise_coupling import best_beta, coupled, pair_scores


@pytest.mark.parametrize("k", [2, 3, 6])
def test_probabilities_are_recovered_from_consistent_pairs(k: int) -> None:
    """Where every r_ij is p_i / (p_i + p_j), the coupling finds p: the formula is exact there."""
    p = np.random.default_rng(k).dirichlet(np.ones(k), size=50)
    beta = 1.7
    scores = np.stack([np.log(p[:, i] / p[:, j]) / beta for i, j in combinations(range(k), 2)], axis=1)
    np.testing.assert_allclose(coupled(scores, k, beta), p, rtol=1e-9)


def test_larger_scores_give_a_higher_probability() -> None:
    weak, strong = (coupled(np.array([[d, d, 0.0]]), 3, 1.0)[0] for d in (0.5, 3.0))
    assert weak.argmax() == strong.argmax() == 0
    assert weak[0] < 0.6 < 0.9 < strong[0]


def test_best_beta_recovers_the_scale_of_the_scores() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), size=4_000)
    y = np.array([rng.choice(3, p=row) for row in p])
    scores = np.stack([np.log(p[:, i] / p[:, j]) / 2.5 for i, j in combinations(range(3), 2)], axis=1)
    assert best_beta(scores, y, 3, None) == pytest.approx(2.5, rel=0.05)
    wrong = np.arange(4_000) % 2 == 0  # rows without weight have no say
    y[wrong] = (y[wrong] + 1) % 3
    assert best_beta(scores, y, 3, np.where(wrong, 1e-9, 1.0)) == pytest.approx(2.5, rel=0.1)
    assert best_beta(scores, y, 3, None) < 1.5


@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly", "sigmoid"])
@pytest.mark.parametrize("k", [2, 4])
def test_pair_scores_match_the_decision_function_of_the_svm(
    kernel: str, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(k)
    y = rng.integers(0, k, 120)
    z = rng.normal(size=(120, 7)) + y[:, None] / 2
    svc = SVC(kernel=kernel, gamma=0.1, degree=2, decision_function_shape="ovo").fit(z, y)
    monkeypatch.setattr(
        pairwise_coupling, "KERNEL_VALUES", 10 * len(svc.support_vectors_)
    )  # several blocks, a short one last
    expected = svc.decision_function(z[:77])
    np.testing.assert_allclose(pair_scores(svc, z[:77]), -expected[:, None] if k == 2 else expected, atol=1e-10)
    assert pair_scores(svc, z[:0]).shape == (0, k * (k - 1) // 2)
