"""What stands around scikit-learn's estimators: columns made fit for them, and where its versions differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = NDArray[np.float32]

MAX_DEVIATIONS = 5.0
"""Standard deviations from the training mean at which a feature is cut off. Kurtoses of unheard music lie 50 away:
one of them alone would take a clip out of reach of every kernel and neighbour."""


def bounds_of(x: Columns) -> tuple[Columns, Columns]:
    """Lowest and highest value of each column (columns,) that the model sees, from training rows (n, columns)."""
    mean, std = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
    return (mean - MAX_DEVIATIONS * std).astype(np.float32), (mean + MAX_DEVIATIONS * std).astype(np.float32)


def medians_of(x: Columns) -> Columns:
    """Median of what is there in each column of `x` (rows, columns); 0 for a column that is empty."""
    empty = np.isnan(x).all(axis=0)
    medians: Columns = np.nanmedian(np.where(empty, 0, x), axis=0).astype(np.float32)
    return medians


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums of several threads come in any order: with one, a seed gives the same model on any number of cores."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


def l1_penalty(estimator: Any) -> dict[str, Any]:
    """How this scikit-learn is asked for the L1 penalty: until 1.7 by its name, then by a ratio."""
    from inspect import signature

    named = signature(estimator).parameters["penalty"].default == "l2"
    return {"penalty": "l1"} if named else {"l1_ratio": 1.0}


def as_linear_classifier(svc: Any) -> Any:
    """A linear machine by the plane of every two genres, in the clothes of a classifier that skl2onnx knows.

    By its support vectors, as skl2onnx would have it, large numbers cancel each other in float32.
    """
    from sklearn.linear_model import LogisticRegression as Estimator

    made = Estimator()
    made.coef_, made.intercept_ = svc.coef_, svc.intercept_
    made.classes_ = np.arange(max(2, len(svc.coef_)))
    made.n_features_in_ = svc.coef_.shape[1]
    return made
