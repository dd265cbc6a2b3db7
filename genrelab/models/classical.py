"""The article's standard models: scaled features, optional PCA, a classifier of scikit-learn, one pipeline."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

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

    views = ("statistics", "table", "frames")

    def fit(self, examples: Examples, folder: Path) -> Self:
        """See Model; nothing is written to `folder`.

        Raises:
            ModelError: more than 5,000 columns without PCA, a genre without training rows, an infinite feature, or
                rows that are all alike.
        """
        from sklearn.pipeline import make_pipeline

        self._check_columns(int(np.prod(examples.shape)))
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
        steps = self._steps(filled.shape)
        with _one_thread(), self._warnings_as_notes():
            z = make_pipeline(*steps).fit_transform(filled)
            weights = examples.class_weights(self.settings.class_weight)
            classifier = self._trained(z, y, rows.group[fit], weights)
        self.pipeline_ = make_pipeline(*steps, classifier)
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

    def _check_columns(self, n: int) -> None:
        if n > MOST_COLUMNS and self.settings.pca is None:
            raise ModelError(f"{self.name}: {n:,} columns are more than {MOST_COLUMNS:,}: add --pca 0.95 (or a number)")

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
        with _one_thread():
            return np.asarray(self.pipeline_.predict_proba(self._filled(self._columns(x))), np.float64)

    def _graph(self) -> bytes:
        *steps, classifier = self.pipeline_
        return self._exported(steps, classifier)

    def _exported(self, steps: list[Any], classifier: Any, beta: float | None = None) -> bytes:
        return pipeline_to_onnx(
            steps, classifier, shape=self.probes_.shape[1:], chosen=self.columns_, medians=self.medians_,
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
    """RBF support vector machine; its scores become probabilities by one temperature (Guo et al. 2017).

    The temperature is found on artists that the machine was not fitted on. Unlike a sigmoid for each genre (Platt
    1999) it leaves the order of the genres as the machine says it: on the tables of `docs/results.md` sigmoids cost
    up to 6 points of accuracy.
    """

    name = "svm"

    def _trained(self, z: Any, y: Any, group: Any, weights: Any) -> Any:
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.svm import SVC

        rows, group, lone = with_pairs(y, group)
        if lone:
            names = ", ".join(self.genres[i] for i in lone)
            self.notes.append(
                f"too sure of itself, because calibrated on the one artist or track that they have: {names}"
            )
        splits, apart = folds(y[rows], group, seed=self.settings.seed)
        if not apart:
            self.notes.append("calibrated on rows whose artists were also fitted on: genres share too few artists")
        svc = SVC(kernel="rbf", max_iter=2_000 if self.is_article else -1)
        # By row, not by `class_weight`: else the calibration, unweighted, would take the weights back.
        by_row = None if weights is None else weights[y[rows]]
        calibrated = CalibratedClassifierCV(svc, ensemble=False, cv=splits, method="temperature")
        return calibrated.fit(z[rows], y[rows], sample_weight=by_row)

    def _graph(self) -> bytes:
        *steps, calibrated = self.pipeline_
        (both,) = calibrated.calibrated_classifiers_
        return self._exported(steps, both.estimator, beta=float(both.calibrators[0].beta_))


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
