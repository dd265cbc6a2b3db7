"""A track under altered conditions: re-encoded, by telephone, quieter, clipped, noisy, delayed, or shortened.

A condition changes the waveform before anything is computed from it, so that it works for every view. The changed track
is cut into clips as `predict` cuts a file (`clips.clips_from_audio`), one after the other: memory does not grow with
the length of a track.
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
from genrelab.audio.clips import AudioInMemory
from genrelab.audio.reader import Audio
from genrelab.core.config import ClipSettings

Samples = NDArray[np.float32]
Change = Callable[[Samples, int, np.random.Generator], Samples]
"""(mono samples (n,), rate, random generator) → n samples."""

BIT_RATE = 64_000
TELEPHONE_HZ = (300.0, 3_400.0)
TELEPHONE_SR = 8_000
QUIETER_DB = -12.0
CLIPPED_DB = 12.0
SNR_DB = 20.0
LEAD_IN_S = 3.0
DESCRIPTION = (
    "MP3: 64 kbit/s, mono. Telephone: 300 to 3,400 Hz at 8 kHz. Quieter: by 12 dB. Clipped: 12 dB above full scale. "
    "Pink noise: 20 dB below the music. Silence first: 3 s of recorded silence."
)
DITHER = 2.0**-15
"""One step of 16 bits. Recorded silence is noise of about one step, as from a 16-bit recorder; only digital silence is
zero in every sample, and some features (zero crossings, spectral shape) take very different values on the two."""

MAX_CACHED_S = 60.0
"""Tracks up to this length are decoded once and kept in memory; of longer ones each part is read on request."""


@dataclass(frozen=True)
class Condition:
    """One alteration of a track.

    Attributes:
        name: short, for programs.
        label: for readers.
        change: applied to each part that is read; None: nothing.
        sr: rate of the result; None: that of the file.
        lead_in_s: seconds of recorded silence before the track.
        seconds: length of an excerpt from its middle; None: the whole track.
    """

    name: str
    label: str
    change: Change | None = None
    sr: int | None = None
    lead_in_s: float = 0.0
    seconds: float | None = None


class AlteredAudio:
    """A track under a condition, with the interface of `reader.Audio`: `path`, `sr`, `frames`, `read`.

    Args:
        source: the track; `open_cached` makes repeated reading cheap.
        seed: of the noise, which also depends on the start of the part that is read, so that it is reproducible.
    """

    def __init__(self, source: Audio | AudioInMemory, condition: Condition, *, seed: int) -> None:
        self.path, self.condition, self._source, self._seed = source.path, condition, source, seed
        duration_s = source.frames / source.sr
        used_s = duration_s if condition.seconds is None else min(condition.seconds, duration_s)
        self._start_s = (duration_s - used_s) / 2
        self.sr = condition.sr or source.sr
        whole = condition.sr is None and condition.seconds is None
        lead = round(condition.lead_in_s * self.sr)
        self.frames = lead + (source.frames if whole else round(used_s * self.sr))

    def clips(self, settings: ClipSettings) -> Iterator[audio_clips.Clip]:
        """The clips for a model with these settings, cut as in `predict`.

        Raises:
            DecodeError: nothing usable is left of the track.
        """
        return audio_clips.clips_from_audio(cast(Audio, self), settings)

    def read(self, start_s: float, seconds: float | None) -> Samples:
        """Mono samples from `start_s` on, (samples,): `seconds` of them, fewer at the end; None: all that are left."""
        rng = np.random.default_rng([self._seed, round(start_s * 1_000)])
        left_s = self.frames / self.sr - start_s
        wanted_s = left_s if seconds is None else min(seconds, left_s)
        silent_s = min(max(self.condition.lead_in_s - start_s, 0.0), wanted_s)
        track_start_s = self._start_s + max(start_s - self.condition.lead_in_s, 0.0)
        to_the_end = seconds is None and self.condition.seconds is None
        y = self._source.read(track_start_s, None if to_the_end else wanted_s - silent_s)
        if self.condition.change is not None:
            y = self.condition.change(y, self._source.sr, rng)
        y = audio_clips.resample(y, self._source.sr, self.sr)
        return np.concatenate((recorded_silence(round(silent_s * self.sr), rng), y)) if silent_s else y


def open_cached(path: str | Path) -> Audio | AudioInMemory:
    """Open a file that is read several times: decoded once, unless it is longer than `MAX_CACHED_S`.

    Raises:
        DecodeError: not a readable audio file.
    """
    audio = Audio(path)
    if audio.frames > MAX_CACHED_S * audio.sr:
        return audio
    try:
        return AudioInMemory(audio.path, audio.read(0.0, None), audio.sr)
    finally:
        audio.close()


# --- changes of a part: (y of shape (n,), sr, rng) -> (n,) ---


def mp3(y: Samples, sr: int, rng: np.random.Generator) -> Samples:
    """Encoded by LAME at 64 kbit/s mono (comparable to 128 kbit/s stereo), and decoded as in `predict`."""
    with tempfile.TemporaryDirectory(prefix="genrelab-") as folder:
        path = Path(folder) / "altered.mp3"
        write_mp3(path, y, sr)
        decoded, rate = audio_clips.read(path)
    same_rate = audio_clips.resample(decoded, rate, sr)[: len(y)]
    return np.pad(same_rate, (0, len(y) - len(same_rate)))


def write_mp3(path: Path, y: Samples, sr: int) -> None:
    """Write a mono MP3 at `BIT_RATE`, at the rate of `y`, (n,), or the next one that MP3 supports."""
    import av

    rates = av.codec.Codec("libmp3lame", "w").audio_rates or [sr]
    rate = min((r for r in rates if r >= sr), default=max(rates))
    planar = np.clip(audio_clips.resample(y, sr, rate), -1, 1)[None, :]
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(planar, np.float32), format="fltp", layout="mono")
    frame.sample_rate = rate
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=rate, layout="mono", bit_rate=BIT_RATE)
        container.mux([*stream.encode(frame), *stream.encode(None)])


def telephone(y: Samples, sr: int, rng: np.random.Generator) -> Samples:
    """Telephone band, 300 to 3,400 Hz (Butterworth, sixth order per side); the rate of the condition is 8 kHz."""
    from scipy import signal

    low, high = TELEPHONE_HZ
    band = (low, "highpass") if high >= 0.49 * sr else ((low, high), "bandpass")
    filtered: Samples = signal.sosfilt(signal.butter(6, *band, fs=sr, output="sos"), y).astype(np.float32)
    return filtered


def quieter(y: Samples, sr: int, rng: np.random.Generator) -> Samples:
    """Quieter by 12 dB."""
    return y * np.float32(10 ** (QUIETER_DB / 20))


def clipped(y: Samples, sr: int, rng: np.random.Generator) -> Samples:
    """Peaks amplified to 12 dB over full scale and clipped there: a far too high recording level, for any file."""
    peak = float(np.abs(y).max(initial=0.0))
    return y if peak == 0 else np.clip(y * np.float32(10 ** (CLIPPED_DB / 20) / peak), -1, 1)


def noisy(y: Samples, sr: int, rng: np.random.Generator) -> Samples:
    """With pink noise 20 dB below the power of the part: equal power per octave, so nearly the same at every rate."""
    from scipy import fft

    n = fft.next_fast_len(len(y), real=True)
    hz = fft.rfftfreq(n, 1 / sr)
    spectrum = fft.rfft(rng.standard_normal(n, np.float32)) / np.sqrt(np.maximum(hz, 20.0)).astype(np.float32)
    noise = fft.irfft(spectrum, n)[: len(y)]
    gain = np.sqrt(np.mean(y**2, dtype=np.float64) / max(np.mean(noise**2, dtype=np.float64), 1e-30))
    loud: Samples = y + noise * np.float32(gain * 10 ** (-SNR_DB / 20))
    return loud


def recorded_silence(n: int, rng: np.random.Generator) -> Samples:
    """Triangular noise of one step of 16 bits, (n,), as in a recording of silence."""
    return np.round(rng.random(n, np.float32) - rng.random(n, np.float32)) * np.float32(DITHER)


CLEAN = Condition("clean", "unaltered")
CONDITIONS = (
    CLEAN,
    Condition("mp3_64", "MP3", mp3),
    Condition("telephone", "telephone", telephone, sr=TELEPHONE_SR),
    Condition("quieter", "quieter", quieter),
    Condition("clipped", "clipped", clipped),
    Condition("noise", "pink noise", noisy),
    Condition("lead_in", "silence first", lead_in_s=LEAD_IN_S),
)
EXCERPT_SECONDS = (1.0, 3.0, 5.0, 10.0, 30.0)


def excerpt(seconds: float) -> Condition:
    """The middle `seconds` of a track: beginnings are untypical, and excerpts in data sets are from the middle."""
    return Condition(f"{seconds:g}_s", f"middle {seconds:g} s", seconds=seconds)


def can_encode_mp3() -> bool:
    """Can this build of FFmpeg encode MP3? Not every build has LAME."""
    import av

    try:
        av.codec.Codec("libmp3lame", "w")
    except (av.error.FFmpegError, ValueError):
        return False
    return True
