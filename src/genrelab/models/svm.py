"""The article's support vector machine, with probabilities from the scores of genre pairs."""

from __future__ import annotations

from typing import Any

import numpy as np

from genrelab.core.hyperparameters import ARTICLE_SVM_STEPS
from genrelab.models.classical import Classical
from genrelab.models.onnx_export import pipeline_to_onnx
from genrelab.models.pairwise_coupling import CoupledSVC, best_beta, pair_scores
from genrelab.models.sklearn_tools import as_linear_classifier
from genrelab.splits.folds import ensure_two_groups, make_folds

SVM_STEPS = 100_000
"""Most steps of a tuned SVM for each pair of genres: a linear one with a large C runs for hours and hardly improves."""


class Svm(Classical):
    """Support vector machine, RBF unless tuned; the scores of genre pairs become probabilities (`pairwise_coupling`).

    The only parameter of the coupling is fitted on artists that the SVM was not fitted on. scikit-learn's own
    calibration starts from votes, which rank the genres but contain little about confidence.
    """

    name = "svm"

    def _fit_classifier(self, z: Any, y: Any, group: Any, weights: Any) -> Any:
        rows, group, lone = ensure_two_groups(y, group)
        if lone:
            names = ", ".join(self.genres[i] for i in lone)
            self.notes.append(f"confidence may be too high for {names}: only one artist or track of each to train on")
        splits, apart = make_folds(y[rows], group, seed=self.settings.seed)
        splits = splits[: self.chosen["calibration_folds"]]
        if not apart:
            self.notes.append("confidence may be too high: SVM and probabilities were fitted on the same artists")
        z, y = z[rows], y[rows]
        by_row = np.ones(len(y)) if weights is None else weights[y]
        k = len(self.genres)
        scores = np.empty((len(y), k * (k - 1) // 2))
        for fitted, held in splits:
            scores[held] = pair_scores(self._fit_svc(z[fitted], y[fitted], by_row[fitted]), z[held])
        scored = np.sort(np.concatenate([held for _, held in splits]))
        beta = best_beta(scores[scored], y[scored], k, by_row[scored])
        return CoupledSVC(self._fit_svc(z, y, by_row), beta)

    @property
    def kernel(self) -> str:
        """Its kernel, by scikit-learn's name."""
        return str(self.chosen["kernel"])

    def _fit_svc(self, z: Any, y: Any, by_row: Any) -> Any:
        """An SVM fitted on rows `z` (n, columns) of genres `y` (n,) with the weights `by_row` (n,)."""
        from sklearn.svm import SVC

        gamma = self.chosen["gamma"]
        steps = ARTICLE_SVM_STEPS if self.is_article else SVM_STEPS if self.is_tuned else -1
        svc = SVC(
            kernel=self.kernel, C=self.chosen["C"], degree=self.chosen["degree"], max_iter=steps,
            gamma=gamma / (z.shape[1] * z.var() or 1.0), decision_function_shape="ovo",
        )  # fmt: skip
        return svc.fit(z, y, sample_weight=by_row)

    def _graph(self) -> bytes:
        svc = self.classifier_.svc
        return pipeline_to_onnx(
            self, as_linear_classifier(svc) if svc.kernel == "linear" else svc, self.classifier_.beta
        )


class SvmPoly(Svm):
    """The article's other SVM, with a polynomial kernel; `svm` has the kernel that is better in practice."""

    name = "svm_poly"
    kernel = "poly"
