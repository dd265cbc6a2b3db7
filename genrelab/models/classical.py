"""The article's standard models: scaled features, optional PCA, a classifier of scikit-learn, one pipeline."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from genrelab.config import FLAT_VIEWS, TrainSettings
from genrelab.coupling import CoupledSVC, best_beta, pair_scores
from genrelab.errors import ModelError
from genrelab.folds import folds, with_pairs
from genrelab.model import Model, steady_columns
from genrelab.onnx_graph import pipeline_to_onnx

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genrelab.examples import Examples

MOST_COLUMNS = 5_000
"""More than this (the article's frames have 90,370) needs --pca."""

MAX_ITER = 1_000  # of logistic regression: scikit-learn's 100 are too few for 518 columns

FARTHEST = 5.0
"""Standard deviations from the training mean at which a feature is cut off. Kurtoses of unheard music lie 50 away:
one of them alone would take a clip out of reach of every kernel and neighbour."""


class Classical(Model):
    """[Median for missing values] + bounds + scaler + [PCA] + classifier, fitted on the training rows in float64."""

    views = FLAT_VIEWS

    def fit(self, examples: Examples, folder: Path) -> Self:
        """See Model; nothing is written to `folder`.

        Raises:
            ModelError: more than 5,000 columns without PCA, a genre without training rows, an infinite feature, or
                rows that are all alike.
        """
        if reason := self.too_many_columns(self.settings, int(np.prod(examples.shape))):
            raise ModelError(reason)
        rows, fit = examples.rows(), examples.role == "fit"
        self.columns_ = steady_columns(examples.view)
        x, y = self._columns(rows.x), rows.y[fit]
        self._check_genres(y)
        if np.isinf(x).any():
            raise ModelError(f"{self.name}: {int(np.isinf(x).any(1).sum())} rows hold an infinite feature")
        self._keep_probes(rows.x[fit])
        self.medians_ = _medians(x[fit]) if np.isnan(x).any() else None
        raw = x[fit] if self.medians_ is None else np.where(np.isnan(x[fit]), self.medians_, x[fit])
        self.bounds_ = _bounds(raw)
        filled = self._filled(x[fit])
        if (filled == filled[0]).all():
            raise ModelError(f"{self.name}: all training rows are alike, so there is nothing to learn from them")
        self.steps_ = self._steps(filled.shape)
        with _one_thread(), self._warnings_as_notes():
            z = filled
            for step in self.steps_:
                z = step.fit_transform(z)
            weights = examples.class_weights(self.settings.class_weight)
            self.classifier_ = self._trained(z, y, rows.group[fit], weights)
        return self

    @property
    def is_article(self) -> bool:
        """`--preset article`: the article's hyper-parameters instead of scikit-learn's."""
        return self.settings.preset == "article"

    @abstractmethod
    def _trained(
        self,
        z: NDArray[np.float64],
        y: NDArray[np.int64],
        group: NDArray[np.int64],
        weights: NDArray[np.float64] | None,
    ) -> Any:
        """The classifier fitted on scaled features.

        Args:
            z: shape (rows, columns).
            y: genre number, shape (rows,).
            group: artist number, shape (rows,).
            weights: of each genre, shape (genres,), or None.
        """

    @classmethod
    def too_many_columns(cls, settings: TrainSettings, n: int) -> str | None:
        """See Model."""
        if n <= MOST_COLUMNS or settings.pca is not None:
            return None
        return f"{cls.name}: {n:,} columns are more than {MOST_COLUMNS:,}: add --pca 0.95 (or a number)"

    def _columns(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """Windows (n, *shape) as rows (n, columns) of what the model looks at."""
        flat = x.reshape(len(x), -1).astype(np.float32)
        return flat if self.columns_ is None else flat[:, self.columns_]

    def _filled(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Rows (n, columns) in float64, training medians where a value is missing, none out of bounds."""
        whole = x if self.medians_ is None else np.where(np.isnan(x), self.medians_, x)
        return whole.clip(*self.bounds_).astype(np.float64)

    def _steps(self, fit_shape: tuple[int, ...]) -> list[Any]:
        from sklearn.decomposition import PCA
        from sklearn.preprocessing import StandardScaler

        steps = [StandardScaler()]
        if self.settings.pca is not None:
            steps.append(PCA(self._components(self.settings.pca, fit_shape), random_state=self.settings.seed))
        return steps

    def _components(self, pca: float, fit_shape: tuple[int, ...]) -> float | int:
        """A share of variance as it is; a number, cut to what rows and columns allow."""
        if pca < 1:
            return pca
        if pca != int(pca):
            raise ModelError(f"--pca must be a share below 1 or a whole number. Received: {pca}")
        most = min(fit_shape)
        if pca > most:
            self.notes.append(
                f"--pca {int(pca)} was cut to {most}: {fit_shape[0]} training rows, {fit_shape[1]} columns"
            )
        return min(int(pca), most)

    def _proba(self, x: NDArray[Any]) -> NDArray[np.float64]:
        z = self._filled(self._columns(x))
        with _one_thread():
            for step in self.steps_:
                z = step.transform(z)
            return np.asarray(self.classifier_.predict_proba(z), np.float64)

    def _graph(self) -> bytes:
        return self._exported(self.classifier_)

    def _exported(self, classifier: Any, beta: float | None = None) -> bytes:
        return pipeline_to_onnx(
            self.steps_, classifier, shape=self.probes_.shape[1:], chosen=self.columns_, medians=self.medians_,
            bounds=self.bounds_, beta=beta, n_genres=len(self.genres),
        )  # fmt: skip

    @contextmanager
    def _warnings_as_notes(self) -> Iterator[None]:
        """A solver that did not converge is told beside the scores; other warnings stay warnings."""
        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        for w in caught:
            if not issubclass(w.category, ConvergenceWarning):
                warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)
        if any(issubclass(w.category, ConvergenceWarning) for w in caught):
            self.notes.append("the solver stopped before it converged")


class LogisticRegression(Classical):
    """Multinomial logistic regression; the article's is one-vs-rest with liblinear."""

    name = "logistic_regression"

    def _trained(self, z: Any, y: Any, group: Any, weights: Any) -> Any:
        from sklearn.linear_model import LogisticRegression as Estimator
        from sklearn.multiclass import OneVsRestClassifier

        seed = self.settings.seed
        if not self.is_article:
            by_genre = None if weights is None else dict(enumerate(weights.tolist()))
            return Estimator(max_iter=MAX_ITER, class_weight=by_genre, random_state=seed).fit(z, y)
        if weights is not None:
            self.notes.append("class weights do not apply to one-vs-rest (--preset article)")
        return OneVsRestClassifier(Estimator(solver="liblinear", max_iter=MAX_ITER, random_state=seed)).fit(z, y)


class Knn(Classical):
    """k nearest training rows by Euclidean distance, k = 5; the article's k is 21."""

    name = "knn"

    def _trained(self, z: Any, y: Any, group: Any, weights: Any) -> Any:
        from sklearn.neighbors import KNeighborsClassifier

        wanted = 21 if self.is_article else 5
        k = min(wanted, len(z))
        if k < wanted:
            self.notes.append(f"k was cut from {wanted} to {k}, the number of training rows")
        if weights is not None:
            self.notes.append("class weights do not apply to knn")
        return KNeighborsClassifier(k).fit(z, y)


class GaussianNB(Classical):
    """Gaussian naive Bayes; the article smooths variances with 1.29e-10. Class weights make the priors equal."""

    name = "gaussian_nb"

    def _trained(self, z: Any, y: Any, group: Any, weights: Any) -> Any:
        from sklearn.naive_bayes import GaussianNB as Estimator

        n = len(self.genres)
        priors = None if weights is None else np.full(n, 1 / n)
        return Estimator(priors=priors, var_smoothing=1.29e-10 if self.is_article else 1e-9).fit(z, y)


class Svm(Classical):
    """RBF support vector machine; its scores of every two genres are coupled to probabilities (see `coupling`).

    The one number of the coupling is found on artists that the machine was not fitted on. scikit-learn's own
    calibration starts from votes, which say the rank of a genre and hardly how clear the case is.
    """

    name = "svm"

    def _trained(self, z: Any, y: Any, group: Any, weights: Any) -> Any:
        from sklearn.svm import SVC

        rows, group, lone = with_pairs(y, group)
        if lone:
            names = ", ".join(self.genres[i] for i in lone)
            self.notes.append(f"too sure of itself, calibrated on the one artist or track that they have: {names}")
        splits, apart = folds(y[rows], group, seed=self.settings.seed)
        if not apart:
            self.notes.append("calibrated on rows whose artists were also fitted on: genres share too few artists")
        z, y = z[rows], y[rows]
        by_row = np.ones(len(y)) if weights is None else weights[y]
        k = len(self.genres)
        scores = np.empty((len(y), k * (k - 1) // 2))
        svc = SVC(kernel="rbf", max_iter=2_000 if self.is_article else -1, decision_function_shape="ovo")
        for fitted, held in splits:
            scores[held] = pair_scores(svc.fit(z[fitted], y[fitted], sample_weight=by_row[fitted]), z[held])
        beta = best_beta(scores, y, k, by_row)
        return CoupledSVC(svc.fit(z, y, sample_weight=by_row), beta)

    def _graph(self) -> bytes:
        return self._exported(self.classifier_.svc, beta=self.classifier_.beta)


class Mlp(Classical):
    """One hidden layer of 100 (scikit-learn's defaults; the article's notebooks do not say theirs)."""

    name = "mlp"

    def _trained(self, z: Any, y: Any, group: Any, weights: Any) -> Any:
        from sklearn.neural_network import MLPClassifier
        from sklearn.utils.validation import has_fit_parameter

        mlp = MLPClassifier(random_state=self.settings.seed)
        if weights is None:
            return mlp.fit(z, y)
        if has_fit_parameter(mlp, "sample_weight"):
            return mlp.fit(z, y, sample_weight=weights[y])
        self.notes.append("class weights do not apply to mlp with this scikit-learn (1.7 or later is needed)")
        return mlp.fit(z, y)


def _bounds(x: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lowest and highest value of each column (columns,) that the model sees, from training rows (n, columns)."""
    mean, std = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
    return (mean - FARTHEST * std).astype(np.float32), (mean + FARTHEST * std).astype(np.float32)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums of several threads come in any order: with one, a seed gives the same model on any number of cores."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


def _medians(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Median of what is there in each column of `x` (rows, columns); 0 for a column that is empty."""
    empty = np.isnan(x).all(axis=0)
    medians: NDArray[np.float32] = np.nanmedian(np.where(empty, 0, x), axis=0).astype(np.float32)
    return medians
