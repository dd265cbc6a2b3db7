"""Tempo and key of a track, from one stretch at its middle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genrelab.audio.clips import SILENT_PEAK, AudioInMemory
from genrelab.audio.reader import Audio
from genrelab.features.description import MusicDescription, describe
from genrelab.predict.prediction import NO_DESCRIPTION

STRETCH_S = 30.0
"""Seconds at the middle of a track that are described: there, tempo and key are rarely those of an intro or a fade."""

MIN_S = 0.5
"""Less than this is not described."""


def describe_track(audio: Audio | AudioInMemory) -> MusicDescription:
    """Tempo and key of the `STRETCH_S` seconds at the middle of a track, or of all of a shorter one.

    Both are None, with a confidence of 0, if this stretch is silent, shorter than `MIN_S`, or has samples that are not
    finite.

    Raises:
        DecodeError: the stretch cannot be decoded.
    """
    y = _read_middle(audio)
    if len(y) < MIN_S * audio.sr or not np.isfinite(y).all() or np.abs(y).max() < SILENT_PEAK:
        return NO_DESCRIPTION
    return describe(y, audio.sr)


def _read_middle(audio: Audio | AudioInMemory) -> NDArray[np.float32]:
    """Mono samples of the stretch, again if another decoder takes over, which may measure another length."""
    while True:
        duration_s = audio.frames / audio.sr
        y = audio.read(max(0.0, (duration_s - STRETCH_S) / 2), STRETCH_S)
        if audio.frames / audio.sr == duration_s:
            return y
