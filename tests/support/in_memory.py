"""Examples in memory, so that models are tested without preparing any audio."""

from __future__ import annotations

from typing import Any

import numpy as np

from genrelab.core.config import SamplesView, TableView, View
from genrelab.records.examples import Examples, Labels


def examples_of(x: Any, y: Any, *, view: View, role: Any = None, group: Any = None) -> Examples:
    """One window a track; everything is `fit` and every track has its own artist unless told otherwise."""
    y = np.asarray(y, np.int64)
    n = len(y)
    labels = Labels(
        genres=tuple(f"genre{i}" for i in range(int(y.max()) + 1)),
        y=y,
        role=np.full(n, "fit") if role is None else np.asarray(role),
        group=np.arange(n) if group is None else np.asarray(group, np.int64),
    )
    values = np.asarray(x, np.float32)
    kept = np.flatnonzero(labels.role != "none")
    return Examples(view, labels, kept, np.zeros(len(kept), np.float32), "in memory", _values=values[kept])


def table_view(columns: int) -> TableView:
    return TableView(columns=tuple(f"c{i}" for i in range(columns)))


def blobs(n: int = 120, columns: int = 12, genres: int = 4, **more: Any) -> Examples:
    """Genres as Gaussian clouds whose columns differ in size by nine powers of ten; every fifth row is scored."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % genres
    x = rng.normal(size=(n, columns)) + 2 * rng.normal(size=(genres, columns))[y]
    x = x * 10.0 ** rng.integers(-2, 7, columns) + 10.0 ** rng.integers(-2, 7, columns)
    role = np.where(np.arange(n) // genres % 5 == 4, "score", "fit")
    return examples_of(x, y, **{"view": table_view(columns), "role": role, **more})


def tones(n: int = 60, samples: int = 200) -> Examples:
    """Three genres as tones of three pitches: three fifths to fit, a fifth to choose, a fifth to score."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    phase = 2 * np.pi * np.array([0.02, 0.07, 0.15])[y][:, None] * np.arange(samples) + rng.uniform(0, 6, n)[:, None]
    x = np.sin(phase) + 0.1 * rng.normal(size=(n, samples))
    role = np.array(["fit", "fit", "fit", "choose", "score"])[np.arange(n) // 3 % 5]
    return examples_of(x, y, view=SamplesView(n_samples=samples), role=role)
