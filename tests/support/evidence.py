"""Evidence of models that were never asked anything, and models whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from genrelab.evaluation.calibration import Evidence

GENRES = ("Blues", "Folk", "Jazz", "Rock", "Ska")


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def world(n: int, rng: np.random.Generator, *, spread: float = 1.5) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits (n, genres) of a model that is exactly as sure as it should be, and the truths drawn from them."""
    logits = spread * rng.standard_normal((n, len(GENRES)))
    truth = (softmax(logits).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return logits, truth


def evidence_from_confidences(
    right: Mapping[str, Sequence[int]],
    wrong: Mapping[str, Sequence[int]],
    missed: Sequence[int] | None = None,
    *,
    by: int = 1,
    fitted_on: str = "validation",
) -> Evidence:
    """Confidences in thousandths of right and of wrong answers, by the genre that was answered.

    Args:
        missed: of the wrong answers, the probabilities of the true genre; 0 unless given.
        by: tracks of each artist: those that stand side by side here.
    """
    genres = tuple(sorted({*right, *wrong}))
    rows = [(genres.index(g), 1, p, p) for g in genres for p in right.get(g, ())]
    no = [(genres.index(g), p) for g in genres for p in wrong.get(g, ())]
    rows += [(g, 0, p, m) for (g, p), m in zip(no, missed or [0] * len(no), strict=True)]
    answer, good, sure, true = (tuple(column) for column in zip(*rows, strict=True))
    return Evidence(genres, fitted_on, answer, good, sure, true, tuple(i // by for i in range(len(rows))))
