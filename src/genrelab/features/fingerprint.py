"""A compact acoustic fingerprint of a clip: where its spectrum peaks, and nothing else.

A landmark is a point of the spectrogram that is louder than all around it. Levels do not change where those points
are, MP3 and low-passes above 3 kHz move few of them, and an excerpt has those of the stretch that it was cut from.

Source: A. Wang, "An Industrial-Strength Audio Search Algorithm", ISMIR 2003. There pairs of points are hashed and the
hashes kept; here the points are, so that `near.py` can also lay two clips over each other and compare point by point.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from genrelab.features.spectrogram import power_blocks

RATE = 11_025  # Hz
N_FFT = 1_024  # 93 ms, 10.8 Hz a bin
HOP = 384
FRAME_S = HOP / RATE
"""Seconds a frame: 34.8 ms."""

FIRST_BIN, BINS = 19, 256
"""205 to 2,950 Hz: what a telephone leaves. 256 bins, so that one fits a byte."""

PEAK_RADIUS_FRAMES, PEAK_RADIUS_BINS = 5, 9
"""How far a landmark is the loudest point: 174 ms and 97 Hz to either side. Music has about 28 of them a second."""

FLOOR = 1e-6
"""Power below which there is only the rounding of 16-bit samples."""

MAX_FRAMES = 1 << 16

Landmarks = NDArray[np.uint16]
"""(n, 2): frame and bin (0 is `FIRST_BIN`), sorted by frame, then by bin."""


@dataclass(frozen=True)
class Fingerprint:
    """The fingerprint of one clip.

    Attributes:
        track_id: clips of one track are not compared with each other.
        start_s: where in the track the clip begins.
        landmarks: (n, 2), see `landmarks`.
    """

    track_id: str
    start_s: float
    landmarks: Landmarks = field(repr=False)


def landmarks(y: NDArray[np.float32], sr: int) -> Landmarks:
    """The landmarks of a clip.

    Args:
        y: mono samples, (n,); what lies beyond `MAX_FRAMES` frames (38 minutes) is not looked at.
        sr: their rate in Hz.

    Returns:
        (landmarks, 2); none where the clip is silent.
    """
    samples = _at_rate(y, sr)[: (MAX_FRAMES - 1) * HOP]
    levels = np.empty((1 + len(samples) // HOP, BINS), np.float32)
    for rows, powers in power_blocks(samples, N_FFT, HOP):
        levels[rows] = powers[:, FIRST_BIN : FIRST_BIN + BINS]
    loudest = _running_max(_running_max(levels, PEAK_RADIUS_FRAMES).T, PEAK_RADIUS_BINS).T
    peaks = np.flatnonzero((levels == loudest) & (levels > FLOOR))  # half of what argwhere costs
    return np.stack(np.divmod(peaks, BINS), axis=1).astype(np.uint16)


def pack(marks: Landmarks) -> bytes:
    """Landmarks as bytes, three each: all frames as little-endian uint16, then all bins as uint8."""
    return marks[:, 0].astype("<u2").tobytes() + marks[:, 1].astype(np.uint8).tobytes()


def unpack(content: bytes) -> Landmarks:
    """What `pack` packed.

    Raises:
        ValueError: these bytes are no landmarks.
    """
    n, left = divmod(len(content), 3)
    if left:
        raise ValueError(f"{len(content)} bytes are no landmarks of three bytes each")
    frames = np.frombuffer(content, "<u2", n).astype(np.uint16)
    return np.stack((frames, np.frombuffer(content, np.uint8, n, 2 * n).astype(np.uint16)), axis=1)


def _at_rate(y: NDArray[np.float32], sr: int) -> NDArray[np.float32]:
    """`y` at `RATE`. Landmarks lie below 3 kHz: soxr's LQ does for them, at two thirds of what HQ costs."""
    if sr == RATE:
        return y
    import soxr

    resampled: NDArray[np.float32] = soxr.resample(y, sr, RATE, quality="LQ")
    return resampled


def _running_max(levels: NDArray[np.float32], around: int) -> NDArray[np.float32]:
    """The largest of each value and `around` rows before and behind it; spans that double reach it in few steps."""
    margin = np.zeros((around, levels.shape[1]), np.float32)
    largest, span = np.concatenate((margin, levels, margin)), 1
    while span < 2 * around + 1:
        step = min(span, 2 * around + 1 - span)
        largest = np.maximum(largest[:-step], largest[step:])
        span += step
    return largest
