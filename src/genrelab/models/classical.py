"""The article's standard models: scaled features, optional PCA and a classifier of scikit-learn in one pipeline."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from genrelab.core.config import FLAT_VIEWS, DescriptorsView, StatisticsView, TrainSettings, View
from genrelab.core.errors import ModelError
from genrelab.core.hyperparameters import ARTICLE, ARTICLE_MLP, SPACES, active_params
from genrelab.core.text import pluralize
from genrelab.evaluation.calibration import MIN_TRACKS, apply_temperature, fit_temperature
from genrelab.evaluation.metrics import log_loss
from genrelab.features.statistics import DESCRIPTORS, ENCODING_DEPENDENT, STATISTICS
from genrelab.models.base import Model
from genrelab.models.onnx_export import pipeline_to_onnx
from genrelab.models.sklearn_tools import bounds_of, early_stops_as_notes, l1_penalty, medians_of, one_thread
from genrelab.splits.folds import make_folds, separable_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genrelab.records.examples import Examples

MAX_COLUMNS = 5_000
"""Most columns without --pca; the article's frames have 90,370."""

PENALTIES = (0.001, 0.003, 0.01, 0.03)
"""Values of C that `musicnn` tries; scaled outputs of 456 columns need strong penalties."""

MIN_DEVIATION = 1e-3
"""Two outputs of MSD_vgg have a standard deviation below 1e-4, all others one above 1e-2."""

MAX_ITER = 1_000  # of logistic regression: scikit-learn's 100 are too few for 518 columns


class Classical(Model):
    """[Median for missing values] + [bounds] + scaler + [PCA] + classifier, fitted on the training rows in float64.

    The article's preset has no bounds and uses all columns.
    """

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
        self.columns_ = self._choose_columns(examples.view, rows.x, fit)
        x, y = self._columns(rows.x), rows.y[fit]
        self._check_genres(y)
        if np.isinf(x).any():
            bad = pluralize(int(np.isinf(x).any(1).sum()), "row")
            raise ModelError(f"{self.name}: {bad} with infinite features: correct the table")
        self._keep_probes(rows.x[fit])
        missing = np.isnan(x).any()
        x = x[fit]
        self.medians_ = medians_of(x) if missing else None
        self.bounds_ = None if self.is_article else bounds_of(self._impute(x))
        filled = self._impute_and_clip(x)
        if (filled == filled[0]).all():
            raise ModelError(f"{self.name}: all training rows are the same: choose another view or check the table")
        self.steps_ = self._steps(filled.shape)
        with one_thread(), early_stops_as_notes(self.notes):
            z = filled
            for step in self.steps_:
                z = step.fit_transform(z)
            weights = examples.class_weights(self.class_weight)
            self.classifier_ = self._fit_classifier(z, y, rows.group[fit], weights)
        return self

    @abstractmethod
    def _fit_classifier(
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
        if n <= MAX_COLUMNS or settings.of(cls.name).pca is not None:
            return None
        what = f"{cls.name}: {n:,} columns, more than the limit of {MAX_COLUMNS:,}"
        return f"{what}: add --pca 0.95 (or a number of components)"

    def _choose_columns(self, view: View, x: NDArray[Any], fit: NDArray[np.bool_]) -> NDArray[np.int64] | None:
        """Columns that the model uses, shape (columns,), None for all; `fit` (n,) marks the training rows of `x`.

        Of `statistics` and `descriptors` these are all but `ENCODING_DEPENDENT`, so that a clip stored at 44.1 kHz gets
        the same result as at 22.05 kHz. FMA's own statistics keep all columns, for comparison with published results,
        and so does the article's preset.
        """
        if self.is_article:
            return None
        match view:
            case StatisticsView(fma_exact=False):
                names = STATISTICS
            case DescriptorsView():
                names = DESCRIPTORS
            case _:
                return None
        return np.array([i for i, name in enumerate(names) if name not in ENCODING_DEPENDENT], np.int64)

    def _columns(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """Windows (n, *shape) as rows (n, columns) of the columns that the model uses."""
        flat = x.reshape(len(x), -1).astype(np.float32, copy=False)
        return flat if self.columns_ is None else flat[:, self.columns_]

    def _impute_and_clip(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Rows (n, columns) in float64, with training medians for missing values, clipped to the bounds if any."""
        filled = self._impute(x)
        if self.bounds_ is None:
            return filled.astype(np.float64)
        return filled.clip(*self.bounds_, out=np.empty(filled.shape))

    def _impute(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows (n, columns) with training medians for missing values; unchanged if no training row had any."""
        return x if self.medians_ is None else np.where(np.isnan(x), self.medians_, x)

    def _steps(self, fit_shape: tuple[int, ...]) -> list[Any]:
        from sklearn.decomposition import PCA
        from sklearn.preprocessing import StandardScaler

        steps = [StandardScaler()]
        if self.settings.pca is not None:
            steps.append(PCA(self._components(self.settings.pca, fit_shape), random_state=self.settings.seed))
        return steps

    def _components(self, pca: float, fit_shape: tuple[int, ...]) -> float | int:
        """A share of variance unchanged; a number of components, reduced to the number of rows or columns."""
        if pca < 1:
            return pca
        if pca != int(pca):
            rule = "--pca must be a share of the variance (above 0 and below 1) or a whole number of components"
            raise ModelError(f"{rule}. Received: {pca}")
        limit = min(fit_shape)
        if pca > limit:
            self.notes.append(
                f"--pca {int(pca)} was reduced to {limit}: {pluralize(fit_shape[0], 'training row')} and "
                f"{pluralize(fit_shape[1], 'column')} allow no more components"
            )
        return min(int(pca), limit)

    def _proba(self, x: NDArray[Any]) -> NDArray[np.float64]:
        z = self._impute_and_clip(self._columns(x))
        with one_thread():
            for step in self.steps_:
                z = step.transform(z)
            return np.asarray(self.classifier_.predict_proba(z), np.float64)

    def _graph(self) -> bytes:
        return pipeline_to_onnx(self, self.classifier_)


class LogisticRegression(Classical):
    """Multinomial logistic regression; the article's is one-vs-rest with liblinear."""

    name = "logistic_regression"

    def _fit_classifier(self, z: Any, y: Any, group: Any, weights: Any) -> Any:
        from sklearn.linear_model import LogisticRegression as Estimator
        from sklearn.multiclass import OneVsRestClassifier

        own = active_params(SPACES[self.name], self.chosen)
        penalty = l1_penalty(Estimator) if own.get("penalty") == "l1" else {}
        made = Estimator(
            C=own["C"], solver=own["solver"], max_iter=MAX_ITER, random_state=self.settings.seed, **penalty
        )
        if own["solver"] != "liblinear":
            by_genre = None if weights is None else dict(enumerate(weights.tolist()))
            return made.set_params(class_weight=by_genre).fit(z, y)
        if weights is not None:
            reason = "solver liblinear" if self.is_tuned else "--preset article"
            self.notes.append(f"class weights do not apply to one-vs-rest ({reason})")
        return OneVsRestClassifier(made).fit(z, y)


class Musicnn(Classical):
    """Transfer learning from music: balanced logistic regression on the outputs of frozen music networks.

    The penalty is chosen on folds of the training rows, split by artist, by the log loss after fitting a temperature.
    The coefficients are divided by that temperature: a strong penalty, which suits few tracks, makes all genres about
    equally probable, and the temperature undoes that.
    """

    name = "musicnn"
    views = ("embedding",)
    is_article = False  # the article has no such model

    def _choose_columns(self, view: View, x: Any, fit: Any) -> NDArray[np.int64]:
        """See Classical; outputs that hardly vary are left out: scaling them would only amplify noise."""
        return np.flatnonzero(x[fit].std(axis=0) > MIN_DEVIATION)

    def _fit_classifier(self, z: Any, y: Any, group: Any, weights: Any) -> Any:
        penalty, temperature = (self.chosen["C"], 1.0) if self.is_tuned else self._choose_penalty(z, y, group)
        estimator = self._estimator(penalty).fit(z, y)
        estimator.coef_, estimator.intercept_ = estimator.coef_ / temperature, estimator.intercept_ / temperature
        return estimator

    def _estimator(self, penalty: float) -> Any:
        from sklearn.linear_model import LogisticRegression as Estimator

        weight = None if self.settings.class_weight == "none" else "balanced"
        return Estimator(C=penalty, class_weight=weight, max_iter=MAX_ITER, random_state=self.settings.seed)

    def _choose_penalty(
        self, z: NDArray[np.float64], y: NDArray[np.int64], group: NDArray[np.int64]
    ) -> tuple[float, float]:
        """The best of `PENALTIES` and its temperature on rows whose artist can be held out; else the default and 1."""
        used = np.flatnonzero(separable_rows(y, group))
        if len(used) < MIN_TRACKS or len(np.unique(y[used])) < 2:
            return float(self.chosen["C"]), 1.0
        folds, _ = make_folds(y[used], group[used], seed=self.settings.seed)
        tried = []
        for penalty in PENALTIES:
            p = np.zeros((len(used), len(self.genres)))
            for fitted, out in folds:
                estimator = self._estimator(penalty).fit(z[used[fitted]], y[used[fitted]])
                p[np.ix_(out, estimator.classes_)] = estimator.predict_proba(z[used[out]])
            temperature = fit_temperature(np.arange(len(used)), p, y[used])
            tried.append((log_loss(y[used], apply_temperature(p, temperature)), penalty, temperature))
        _, penalty, temperature = min(tried)
        return penalty, temperature


class Knn(Classical):
    """k nearest training rows, k = 5 by Euclidean distance unless tuned; the article's k is 21."""

    name = "knn"

    def _fit_classifier(self, z: Any, y: Any, group: Any, weights: Any) -> Any:
        from sklearn.neighbors import KNeighborsClassifier

        wanted = self.chosen["k"]
        k = min(wanted, len(z))
        if k < wanted:
            self.notes.append(f"k was reduced from {wanted} to {k}, the number of training rows")
        if weights is not None:
            self.notes.append("class weights do not apply to knn")
        return KNeighborsClassifier(k, metric=self.chosen["metric"]).fit(z, y)


class GaussianNB(Classical):
    """Gaussian naive Bayes; the article smooths variances with 1.29e-10. Class weights make the priors equal."""

    name = "gaussian_nb"

    def _fit_classifier(self, z: Any, y: Any, group: Any, weights: Any) -> Any:
        from sklearn.naive_bayes import GaussianNB as Estimator

        n = len(self.genres)
        priors = None if weights is None else np.full(n, 1 / n)
        return Estimator(priors=priors, var_smoothing=self.chosen["var_smoothing"]).fit(z, y)


class Mlp(Classical):
    """One hidden layer of 100 unless tuned (scikit-learn's defaults); the article's has 140 and 2 units."""

    name = "mlp"

    def _fit_classifier(self, z: Any, y: Any, group: Any, weights: Any) -> Any:
        from sklearn.neural_network import MLPClassifier
        from sklearn.utils.validation import has_fit_parameter

        own = self.chosen
        is_articles = self.is_article and ARTICLE["mlp"].items() <= own.items()
        layers = ARTICLE_MLP if is_articles else (own["hidden"],) * own["layers"]
        mlp = MLPClassifier(
            layers, activation=own["activation"], alpha=own["alpha"],
            learning_rate_init=own["learning_rate"], random_state=self.settings.seed,
        )  # fmt: skip
        if weights is None:
            return mlp.fit(z, y)
        if has_fit_parameter(mlp, "sample_weight"):
            return mlp.fit(z, y, sample_weight=weights[y])
        self.notes.append("class weights do not apply to mlp with this scikit-learn (1.7 or later is needed)")
        return mlp.fit(z, y)
