"""From an audio file to mono float32 waveforms at the file's own rate, whole or in windows.

`reader.py` chooses the decoder; this module chooses the clips of a track, and refuses unusable ones. It seeks in a long
file, so that memory and work depend on the clips only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genrelab.audio.reader import Audio
from genrelab.core.config import ClipSettings
from genrelab.core.errors import DecodeError

SILENT_PEAK = 1e-4
"""-80 dBFS: a stretch without a sample above it is silent."""

_GOLDEN_OFFSET = (0.5 + (math.sqrt(5) - 1) / 2) % 1  # golden ratio from the middle: avoids any periodic pattern best

NOT_FINITE = "contains NaN or infinite samples: convert the file again"


@dataclass(frozen=True)
class AudioInfo:
    """Properties of a file, and the decoder that reads it."""

    duration_s: float
    sr: int
    channels: int
    decoder: str  # "soundfile" or "av"


@dataclass(frozen=True)
class Clip:
    """One stretch of a track: `y` is mono, shape (samples,), at the track's own rate `sr`."""

    start_s: float
    y: NDArray[np.float32]
    sr: int


def probe(path: str | Path) -> AudioInfo:
    """Length, rate and channels of a file; almost nothing is decoded.

    Raises:
        DecodeError: not a readable audio file.
    """
    with closing(Audio(path)) as audio:
        return AudioInfo(audio.frames / audio.sr, audio.sr, audio.channels, audio.decoder)


def read_clips(path: str | Path, settings: ClipSettings = ClipSettings()) -> Iterator[Clip]:  # noqa: B008 - frozen
    """The clips of a track, in order.

    Silent clips (a pause, a fade) and clips that damage has cut too short are left out; a track without any other is
    refused. An error may be raised after clips have been yielded.

    Raises:
        DecodeError: nothing usable in the file, a clip that cannot be decoded, or samples that are not finite.
    """
    with closing(Audio(path)) as audio:
        yield from clips_from_audio(audio, settings)


def clips_from_audio(
    audio: Audio | AudioInMemory,
    settings: ClipSettings,
    *,
    more: bool = False,
    spread: bool = False,
    duration_s: float | None = None,
) -> Iterator[Clip]:
    """The same clips of an open file, or of samples in memory.

    Args:
        duration_s: its length, so that the clips of a second pass do not overlap those of the first, even if the other
            decoder, which measures another length, takes over in between.
        more: yield the clips of a second pass (see `clip_starts`); there may be none.
        spread: yield them in the order of `spread_order`.

    Raises:
        DecodeError: as `read_clips`.
    """
    duration_s = duration_s or audio.frames / audio.sr
    seconds = None if _is_one_clip(duration_s, settings) else settings.clip_s
    starts = clip_starts(duration_s, settings, more=more)
    kept, problem = 0, None
    for start_s in (starts[i] for i in spread_order(len(starts))) if spread else starts:
        y = audio.read(start_s, seconds)
        problem = _find_problem(y, audio.sr, settings)
        if problem == NOT_FINITE:
            break
        if problem is None:
            kept += 1
            yield Clip(start_s, y, audio.sr)
    if problem == NOT_FINITE or (problem is not None and not kept and not more):
        raise DecodeError(audio.path, problem, stage="check")


@dataclass(frozen=True)
class AudioInMemory:
    """Samples with the interface of `reader.Audio`: `y` of shape (samples,); errors name `path`."""

    path: str | Path
    y: NDArray[np.float32]
    sr: int

    @property
    def frames(self) -> int:
        """Number of samples."""
        return len(self.y)

    def read(self, start_s: float, seconds: float | None) -> NDArray[np.float32]:
        """As `reader.Audio.read`."""
        start = round(start_s * self.sr)
        return self.y[start:] if seconds is None else self.y[start : start + round(seconds * self.sr)]

    def close(self) -> None:
        """As `reader.Audio.close`: nothing is open."""


def clip_starts(duration_s: float, settings: ClipSettings, *, more: bool = False) -> tuple[float, ...]:
    """Starts in seconds of the clips of a track that lasts `duration_s`, in order.

    Up to `clip_s` and its tolerance the whole track is one clip. A longer track has a clip for every full window, and
    one that ends with the track if at least half a window is left. Of more than `max_clips`, only `max_clips` are
    used: the first, which is the only one for some views, and the middle one of each further equal part of the track.

    Args:
        more: instead, at most `max_clips` of the rest, for a second pass. Their positions in their parts differ, so
            that repeated material, such as a bar, is sampled at other positions.
    """
    if _is_one_clip(duration_s, settings):
        return () if more else (0.0,)
    clip_s = settings.clip_s
    full = math.floor(duration_s / clip_s + 1e-9)  # 60 s are two windows, whatever the rounding of frames / sr
    n = full + (duration_s - full * clip_s >= clip_s / 2)
    parts = np.arange(min(n, settings.max_clips))  # indices before times: a damaged header may state years
    chosen = (2 * parts + 1) * n // (2 * len(parts))
    chosen[0] = 0
    if more:
        n_left = n - len(chosen)
        parts = np.arange(min(n_left, settings.max_clips))
        left = np.floor((parts + _GOLDEN_OFFSET) * (n_left / max(len(parts), 1))).astype(np.int64)
        chosen = left + np.searchsorted(chosen - np.arange(len(chosen)), left, side="right")
    return tuple(np.where(chosen < full, chosen * clip_s, duration_s - clip_s).tolist())


def spread_order(n: int) -> tuple[int, ...]:
    """The numbers below `n`, from the middle on, in an order in which any first few are spread evenly.

    Multiples of the golden ratio, modulo 1: gaps between the first k are at most about 1.62 / k wide (three distance
    theorem), so that 4 n multiples reach each n-th part.
    """
    steps = (0.5 + np.arange(4 * n) * (math.sqrt(5) - 1) / 2) % 1
    return tuple(dict.fromkeys((steps * n).astype(int).tolist()))


def read(path: str | Path, *, start_s: float = 0.0, seconds: float | None = None) -> tuple[NDArray[np.float32], int]:
    """Mono samples of a stretch of a file, by default of the whole file.

    Args:
        path: audio file.
        start_s: where to start.
        seconds: how much to read; None: to the end. Less is returned where the file ends earlier.

    Returns:
        Samples, shape (samples,), and their rate.

    Raises:
        DecodeError: not a readable audio file.
    """
    with closing(Audio(path)) as audio:
        return audio.read(start_s, seconds), audio.sr


def resample(y: NDArray[np.float32], sr: int, target_sr: int) -> NDArray[np.float32]:
    """`y` at another rate (soxr, quality HQ); `y` itself where the rates are equal.

    Args:
        y: mono samples, (samples,).
    """
    if sr == target_sr:
        return y
    import soxr

    resampled: NDArray[np.float32] = soxr.resample(y, sr, target_sr, quality="HQ")
    return resampled


def _find_problem(y: NDArray[np.float32], sr: int, settings: ClipSettings) -> str | None:
    peak = max(y.max(initial=0.0), -y.min(initial=0.0))  # NaN if a sample is
    if not np.isfinite(peak):
        return NOT_FINITE
    if len(y) < settings.min_s * sr:
        return f"too short: {len(y) / sr:.2f} s, the minimum is {settings.min_s:g} s"
    if peak < SILENT_PEAK:
        return "silent: no sample reaches -80 dBFS"
    return None


def _is_one_clip(duration_s: float, settings: ClipSettings) -> bool:
    return duration_s <= settings.clip_s * (1 + settings.tolerance)
