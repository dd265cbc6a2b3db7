"""Tempo and key of a track, from one stretch at its middle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from genrelab.audio.clips import SILENT_PEAK, AudioInMemory
from genrelab.audio.reader import Audio
from genrelab.core.errors import GenrelabError
from genrelab.features.description import MusicDescription, describe

STRETCH_S = 30.0
"""Seconds at the middle of a track that are described: there, tempo and key are rarely those of an intro or a fade."""

MIN_S = 0.5
"""Less than this is not described."""

MAX_PEAK = 1e12
"""Louder samples are not described: from about 1e16 on, spectra overflow float32. Full scale is 1; a few programs write
floats up to 2^31."""

NO_DESCRIPTION = MusicDescription(None, 0.0, None, 0.0)
"""Of a track that has neither tempo nor key, such as silence."""

OUT_OF_RANGE = replace(
    NO_DESCRIPTION, problem="the middle of the track has samples that are NaN, infinite or far above full scale"
)
UNDECODABLE = replace(NO_DESCRIPTION, problem="the middle of the track cannot be decoded")
OUT_OF_MEMORY = replace(NO_DESCRIPTION, problem="not enough memory for the middle of the track")


def describe_track(audio: Audio | AudioInMemory) -> MusicDescription:
    """Tempo and key of the `STRETCH_S` seconds at the middle of a track, or of all of a shorter one.

    Both are None, with a confidence of 0, if this stretch is silent, shorter than `MIN_S`, or has samples that are not
    finite or above `MAX_PEAK`.

    Raises:
        DecodeError: the stretch cannot be decoded.
    """
    y = _read_middle(audio)
    peak = np.abs(y).max(initial=0.0)  # NaN if a sample is
    if not peak <= MAX_PEAK:
        return OUT_OF_RANGE
    if len(y) < MIN_S * audio.sr or peak < SILENT_PEAK:
        return NO_DESCRIPTION
    return describe(y, audio.sr)


def description_after(error: GenrelabError | MemoryError) -> MusicDescription:
    """Of a track whose middle cannot be read."""
    no_memory = isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError)
    return OUT_OF_MEMORY if no_memory else UNDECODABLE


def _read_middle(audio: Audio | AudioInMemory) -> NDArray[np.float32]:
    """Mono samples of the stretch, again if another decoder takes over, which may measure another length."""
    while True:
        duration_s = audio.frames / audio.sr
        y = audio.read(max(0.0, (duration_s - STRETCH_S) / 2), STRETCH_S)
        if audio.frames / audio.sr == duration_s:
            return y
