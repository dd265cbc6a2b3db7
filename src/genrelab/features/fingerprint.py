"""A compact acoustic fingerprint of a clip: the positions of its spectral peaks.

A landmark is a point of the spectrogram that is louder than all points around it. Changes of level do not move these
points, MP3 and low-passes above 3 kHz move few of them, and an excerpt has those of its part of the recording.

Source: A. Wang, "An Industrial-Strength Audio Search Algorithm", ISMIR 2003. It stores
hashes of pairs of points; here the points are stored, so that `near_duplicates.py` can align two clips.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import soxr
from numpy.typing import NDArray

from genrelab.features.spectrogram import power_blocks

RATE = 11_025  # Hz
N_FFT = 1_024  # 93 ms, 10.8 Hz per bin
HOP = 384
FRAME_S = HOP / RATE
"""Seconds per frame: 34.8 ms."""

FIRST_BIN, BINS = 19, 256
"""205 to 2,950 Hz, about telephone bandwidth; 256 bins, so that a bin number fits in a byte."""

PEAK_RADIUS_FRAMES, PEAK_RADIUS_BINS = 5, 9
"""A landmark is the loudest point within 174 ms and 97 Hz to either side. Music has about 28 landmarks per second."""

FLOOR = 1e-6
"""Below this power there is only rounding noise of 16-bit samples."""

MAX_FRAMES = 1 << 16

Landmarks = NDArray[np.uint16]
"""(n, 2): frame and bin (0 is `FIRST_BIN`), sorted by frame, then by bin."""


@dataclass(frozen=True)
class Fingerprint:
    """The fingerprint of one clip.

    Attributes:
        track_id: clips of one track are not compared with each other.
        start_s: where in the track the clip starts.
        landmarks: (n, 2), see `landmarks`.
    """

    track_id: str
    start_s: float
    landmarks: Landmarks = field(repr=False)


def landmarks(y: NDArray[np.float32], sr: int) -> Landmarks:
    """The landmarks of a clip.

    Args:
        y: mono samples, (n,); those beyond `MAX_FRAMES` frames (38 minutes) are ignored.
        sr: their rate in Hz.

    Returns:
        (landmarks, 2); none where the clip is silent.
    """
    if sr != RATE:  # landmarks lie below 3 kHz: soxr's quality LQ suffices, at two thirds of the cost of HQ
        y = soxr.resample(y, sr, RATE, quality="LQ")
    samples = y[: (MAX_FRAMES - 1) * HOP]
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
    """The inverse of `pack`.

    Raises:
        ValueError: the bytes are not landmarks.
    """
    n, left = divmod(len(content), 3)
    if left:
        raise ValueError(f"{len(content)} bytes are not landmarks of three bytes each")
    frames = np.frombuffer(content, "<u2", n).astype(np.uint16)
    return np.stack((frames, np.frombuffer(content, np.uint8, n, 2 * n).astype(np.uint16)), axis=1)


def _running_max(levels: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """Maximum of each value and `radius` rows before and after it; doubling the span needs few steps."""
    margin = np.zeros((radius, levels.shape[1]), np.float32)
    largest, span = np.concatenate((margin, levels, margin)), 1
    while span < 2 * radius + 1:
        step = min(span, 2 * radius + 1 - span)
        largest = np.maximum(largest[:-step], largest[step:])
        span += step
    return largest
