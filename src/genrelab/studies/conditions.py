"""The same track as it sounds elsewhere: re-encoded, by telephone, quieter, clipped, noisy, late, or shorter.

A condition changes the waveform before anything is computed from it, so that it works for every view. What a model
hears of the changed track is cut as `predict` cuts a file (`decode.clips_of`), stretch by stretch: memory does not grow
with the length of a track.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from genrelab.audio import clips as audio_clips
from genrelab.audio.reader import Audio
from genrelab.core.config import ClipSettings

Samples = NDArray[np.float32]
Change = Callable[[Samples, int, np.random.Generator], Samples]
"""From mono samples, (n,), and their rate to as many samples."""

BIT_RATE = 64_000
MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Of MPEG 1, 2 and 2.5, layer III; others are raised to the next one, or lowered to the last."""

TELEPHONE_HZ = (300.0, 3_400.0)
TELEPHONE_SR = 8_000
QUIETER_DB = -12.0
CLIPPED_DB = 12.0
SNR_DB = 20.0
LEAD_IN_S = 3.0
DITHER = 2.0**-15
"""One step of 16 bits. Recorded silence is noise of about a step, as a 16-bit recorder leaves it; only made silence is
zero in every sample, and some features (zero crossings, spectral shape) take very different values on the two."""

MAX_CACHED_S = 60.0
"""Tracks up to this length are decoded once and held; of longer ones each stretch is read when it is asked for."""


@dataclass(frozen=True)
class Condition:
    """One way in which a track may be heard.

    Attributes:
        name: short, for programs.
        label: for people, behind "when heard".
        change: what happens to each stretch.
        sr: the rate at which it comes out; None: that of the file.
        lead_in_s: of recorded silence before the track.
        seconds: only so much of it is heard, from its middle; None: all.
    """

    name: str
    label: str
    change: Change | None = None
    sr: int | None = None
    lead_in_s: float = 0.0
    seconds: float | None = None


class AlteredAudio:
    """A track under a condition, with the face of `decoders.Audio`: `path`, `sr`, `frames`, `read`.

    Args:
        source: the track; `open_cached` makes reading it again cheap.
        seed: of the noise; the same stretch gets the same.
    """

    def __init__(self, source: Audio | CachedTrack, condition: Condition, *, seed: int) -> None:
        self.path, self.condition, self._source, self._seed = source.path, condition, source, seed
        duration_s = source.frames / source.sr
        heard_s = duration_s if condition.seconds is None else min(condition.seconds, duration_s)
        self._begin_s, self._end_s = (duration_s - heard_s) / 2, (duration_s + heard_s) / 2
        self.sr = condition.sr or source.sr
        whole = condition.sr is None and condition.seconds is None
        lead = round(condition.lead_in_s * self.sr)
        self.frames = lead + (source.frames if whole else round(heard_s * self.sr))

    def clips(self, settings: ClipSettings) -> Iterator[audio_clips.Clip]:
        """The stretches that a model with these settings hears, as `predict` cuts them.

        Raises:
            DecodeError: nothing usable is left of the track.
        """
        return audio_clips.clips_from_audio(cast(Audio, self), settings)

    def read(self, start_s: float, seconds: float | None) -> Samples:
        """Mono samples from `start_s` on, (samples,): `seconds` of them, or as many as there are."""
        rng = np.random.default_rng([self._seed, round(start_s * 1_000)])
        left_s = self.frames / self.sr - start_s
        wanted_s = left_s if seconds is None else min(seconds, left_s)
        silent_s = min(max(self.condition.lead_in_s - start_s, 0.0), wanted_s)
        y = self._track(max(start_s - self.condition.lead_in_s, 0.0), None if seconds is None else wanted_s - silent_s)
        if self.condition.change is not None:
            y = self.condition.change(y, self._source.sr, rng)
        y = audio_clips.resample(y, self._source.sr, self.sr)
        return np.concatenate((recorded_silence(round(silent_s * self.sr), rng), y)) if silent_s else y

    def _track(self, start_s: float, seconds: float | None) -> Samples:
        if self.condition.seconds is not None:
            left_s = self._end_s - self._begin_s - start_s
            seconds = left_s if seconds is None else min(seconds, left_s)
        return self._source.read(self._begin_s + start_s, seconds)


@dataclass(frozen=True)
class CachedTrack:
    """A track in memory: `y` of shape (samples,)."""

    path: Path
    y: Samples
    sr: int

    @property
    def frames(self) -> int:
        """Samples in all."""
        return len(self.y)

    def read(self, start_s: float, seconds: float | None) -> Samples:
        """As `decoders.Audio.read`."""
        start = round(start_s * self.sr)
        return self.y[start:] if seconds is None else self.y[start : start + round(seconds * self.sr)]

    def close(self) -> None:
        """As `decoders.Audio.close`: nothing is open."""


def open_cached(path: str | Path) -> Audio | CachedTrack:
    """A file to be heard several times: decoded once, unless it is long.

    Raises:
        DecodeError: not a readable audio file.
    """
    audio = Audio(path)
    if audio.frames > MAX_CACHED_S * audio.sr:
        return audio
    try:
        return CachedTrack(audio.path, audio.read(0.0, None), audio.sr)
    finally:
        audio.close()


# --- what happens to a stretch: (y of shape (n,), sr, rng) -> (n,) ---


def mp3(y: Samples, sr: int, rng: np.random.Generator) -> Samples:
    """Through LAME at 64 kbit/s, mono (about what 128 kbit/s are for stereo), and back by the decoder of `predict`."""
    with tempfile.TemporaryDirectory(prefix="genrelab-") as folder:
        path = Path(folder) / "altered.mp3"
        write_mp3(path, y, sr)
        heard, rate = audio_clips.read(path)
    return _match_length(y, audio_clips.resample(heard, rate, sr))


def write_mp3(path: Path, y: Samples, sr: int) -> None:
    """A mono MP3 of `BIT_RATE`, at the rate of `y`, (n,), or the next one that MP3 knows."""
    import av

    rate = next((r for r in MP3_RATES if r >= sr), MP3_RATES[-1])
    planar = np.clip(audio_clips.resample(y, sr, rate), -1, 1)[None, :]
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(planar, np.float32), format="fltp", layout="mono")
    frame.sample_rate = rate
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=rate, layout="mono", bit_rate=BIT_RATE)
        container.mux([*stream.encode(frame), *stream.encode(None)])


def telephone(y: Samples, sr: int, rng: np.random.Generator) -> Samples:
    """The band of a telephone, 300 to 3,400 Hz (Butterworth, sixth order a side); the condition's rate is 8 kHz."""
    from scipy import signal

    low, high = TELEPHONE_HZ
    band = (low, "highpass") if high >= 0.49 * sr else ((low, high), "bandpass")
    filtered: Samples = signal.sosfilt(signal.butter(6, *band, fs=sr, output="sos"), y).astype(np.float32)
    return filtered


def quieter(y: Samples, sr: int, rng: np.random.Generator) -> Samples:
    """By 12 dB."""
    return y * np.float32(10 ** (QUIETER_DB / 20))


def clipped(y: Samples, sr: int, rng: np.random.Generator) -> Samples:
    """Peaks 12 dB over full scale, cut off there: a recorder set far too loud, however quiet the file is."""
    peak = float(np.abs(y).max(initial=0.0))
    return y if peak == 0 else np.clip(y * np.float32(10 ** (CLIPPED_DB / 20) / peak), -1, 1)


def noisy(y: Samples, sr: int, rng: np.random.Generator) -> Samples:
    """Pink noise 20 dB below the stretch's own power: equal power in every octave, so much the same at every rate."""
    from scipy import fft

    n = fft.next_fast_len(len(y), real=True)
    hz = fft.rfftfreq(n, 1 / sr)
    spectrum = fft.rfft(rng.standard_normal(n, np.float32)) / np.sqrt(np.maximum(hz, 20.0)).astype(np.float32)
    noise = fft.irfft(spectrum, n)[: len(y)]
    gain = np.sqrt(np.mean(y**2, dtype=np.float64) / max(np.mean(noise**2, dtype=np.float64), 1e-30))
    loud: Samples = y + noise * np.float32(gain * 10 ** (-SNR_DB / 20))
    return loud


def recorded_silence(n: int, rng: np.random.Generator) -> Samples:
    """Triangular noise of one step of 16 bits, (n,): what a recorder leaves where nothing sounds."""
    return np.round(rng.random(n, np.float32) - rng.random(n, np.float32)) * np.float32(DITHER)


def _match_length(y: Samples, other: Samples) -> Samples:
    return other[: len(y)] if len(other) >= len(y) else np.pad(other, (0, len(y) - len(other)))


CLEAN = Condition("clean", "as it is")
CONDITIONS = (
    CLEAN,
    Condition("mp3_64", "as an MP3 of 64 kbit/s", mp3),
    Condition("telephone", "through a telephone (300 to 3,400 Hz, 8 kHz)", telephone, sr=TELEPHONE_SR),
    Condition("quieter", "12 dB quieter", quieter),
    Condition("clipped", "clipped, 12 dB too loud", clipped),
    Condition("noise", "in pink noise 20 dB below it", noisy),
    Condition("lead_in", "after 3 s of recorded silence", lead_in_s=LEAD_IN_S),
)
EXCERPT_SECONDS = (1.0, 3.0, 5.0, 10.0, 30.0)


def excerpt(seconds: float) -> Condition:
    """So many seconds from the middle of a track: beginnings mislead, and excerpts in data sets are middles, too."""
    return Condition(f"{seconds:g}_s", f"for {seconds:g} s from its middle", seconds=seconds)


def can_encode_mp3() -> bool:
    """Can FFmpeg make MP3 here? Not every build has LAME."""
    import av

    try:
        av.codec.Codec("libmp3lame", "w")
    except (av.error.FFmpegError, ValueError):
        return False
    return True
