"""A bundle on `embedding` whose networks hear nothing but the level of the samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from genrelab.core.config import EMBEDDING_CLIPS, EmbeddingView
from genrelab.features import embedding
from genrelab.predict import file
from genrelab.predict.classifier import Classifier
from tests.support.bundles import bundle_for

VIEW = EmbeddingView()
SR = VIEW.sr
BLUES, FOLK, ROCK, NONE, LOW = 0.1, 0.2, 0.3, 0.4, 0.5
"""Levels of music: clearly of one genre, of none, and clearly Folk that hardly sounds like music."""

MUSIC, HARDLY_MUSIC = 5.0, file.CLEAR_MUSIC_MARGIN / 2
"""Music scores."""

OUTPUTS = {
    BLUES: (1.0, 0.0, 0.0, MUSIC),
    FOLK: (0.0, 1.0, 0.0, MUSIC),
    ROCK: (0.0, 0.0, 1.0, MUSIC),
    NONE: (0.0, 0.0, 0.0, MUSIC),
    LOW: (0.0, 1.0, 0.0, HARDLY_MUSIC),
}
"""Level → the networks' first outputs: the genres, and the music score. Below zero the score is, too."""

LOGIT, SURE = 5.0, 0.98
"""Of the genre of a level: its logit, and by how much its probability is above those of the others."""


def song(*levels: float, seconds: float = 3.0) -> NDArray[np.float32]:
    """Mono samples at `SR`, each level for so many seconds; silence at 0."""
    return np.repeat(np.array(levels, np.float32), round(seconds * SR))


def hear_levels(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the networks and the gate in this process; returns the levels that are heard, in that order."""
    heard: list[float] = []

    def embed_window(y: NDArray[np.float32], view: EmbeddingView) -> NDArray[np.float32]:
        level = round(float(np.median(y)), 2)
        heard.append(level)
        row = np.zeros(view.shape, np.float32)
        row[:4] = OUTPUTS[abs(level)]
        row[3] *= np.sign(level)
        return row

    monkeypatch.setattr(embedding, "embed_window", embed_window)
    monkeypatch.setattr(file, "music_score", lambda rows: rows[:, 3].astype(np.float64))
    return heard


def level_bundle(folder: Path, **changes: object) -> Classifier:
    """Blues, Folk and Rock of `LEVELS`, with the windows of any bundle on `embedding`."""
    weights = np.zeros((*VIEW.shape, 3), np.float32)
    weights[:3] = 100 * LOGIT * np.eye(3)
    return bundle_for(folder, VIEW, EMBEDDING_CLIPS, weights, **changes)  # type: ignore[arg-type]
