"""Helpers for scikit-learn's estimators: preparation of their columns, and differences between its versions."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = NDArray[np.float32]

MAX_DEVIATIONS = 5.0
"""Standard deviations from the training mean at which a feature is clipped. A kurtosis of new music may be 50 away:
that alone would make a clip too distant for every kernel and neighbour."""


def bounds_of(x: Columns) -> tuple[Columns, Columns]:
    """Bounds to which each column is clipped, two arrays (columns,), from training rows (n, columns)."""
    mean, std = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
    return (mean - MAX_DEVIATIONS * std).astype(np.float32), (mean + MAX_DEVIATIONS * std).astype(np.float32)


def medians_of(x: Columns) -> Columns:
    """Median of each column of `x` (rows, columns) without its missing values; 0 for a column that is empty."""
    empty = np.isnan(x).all(axis=0)
    medians: Columns = np.nanmedian(np.where(empty, 0, x), axis=0).astype(np.float32)
    return medians


def one_thread() -> Any:
    """Limit numerical libraries to one thread: several sum in any order, so that a seed would not determine a model."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


@contextmanager
def early_stops_as_notes(notes: list[str]) -> Iterator[None]:
    """Add to `notes` that a solver did not converge; other warnings stay warnings."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for w in caught:
        if not issubclass(w.category, ConvergenceWarning):
            warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)
    if any(issubclass(w.category, ConvergenceWarning) for w in caught):
        notes.append("the solver stopped before it converged")


def l1_penalty(estimator: Any) -> dict[str, Any]:
    """Arguments for the L1 penalty in this version of scikit-learn: until 1.7 its name, then a ratio."""
    from inspect import signature

    named = signature(estimator).parameters["penalty"].default == "l2"
    return {"penalty": "l1"} if named else {"l1_ratio": 1.0}


def as_linear_classifier(svc: Any) -> Any:
    """A linear SVM, by its plane for each pair of genres, as a classifier that skl2onnx can convert.

    skl2onnx would convert it by its support vectors, where large numbers cancel each other in float32.
    """
    from sklearn.linear_model import LogisticRegression as Estimator

    made = Estimator()
    made.coef_, made.intercept_ = svc.coef_, svc.intercept_
    made.classes_ = np.arange(max(2, len(svc.coef_)))
    made.n_features_in_ = svc.coef_.shape[1]
    return made
