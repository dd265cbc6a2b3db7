"""Split a clip into patches of time x frequency, attenuate them one by one, and render some of them as a WAV.

Patches are cut out of a short-time Fourier transform with a sine window for analysis and synthesis, and frames that
overlap by half: sin^2 + cos^2 = 1, so that the sum of all patches is the signal again (Princen and Bradley 1986).
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import soundfile
from numpy.typing import NDArray

from genrelab.audio.clips import resample
from genrelab.features.spectrogram import decibels, mel_filters, mel_power, power_blocks

Samples = NDArray[np.float32]

TIMES = 8
BAND_EDGES_HZ = (0.0, 250.0, 1_000.0, 4_000.0)
"""Bass, then bands of two octaves each, and the rest above."""

FRAME_S = 0.047
"""2,048 samples at 44,100 Hz, enough to separate bands of 250 Hz."""

MIN_FRAME = 16  # samples
MIN_SAMPLES = 2 * TIMES * MIN_FRAME
"""Two frames in each time; shorter clips have no map."""

ATTENUATION_DB = 20.0
"""A patch attenuated this much is hardly audible, but not silent: silence, which music hardly has, changes the output
of models that use minima of features, or pictures (measured; see docs/results.md)."""

SHOWN_SR, SHOWN_FFT, SHOWN_HOP = 22_050, 2_048, 512
SHOWN_FRAMES, SHOWN_MELS, SHOWN_DB = 96, 48, 80.0

WAV_RATES = (22_050, 16_000, 11_025, 8_000)
MAX_WAV_BYTES = 490_000
GAP_S = 0.1


@dataclass(frozen=True)
class Patches:
    """A clip divided into `TIMES` times and as many bands as lie below half its rate.

    Attributes:
        y: mono, (n,).
        sr: Hz.
    """

    y: Samples
    sr: int

    @property
    def f_edges_hz(self) -> list[float]:
        """Edges of the bands, lowest first; the last is half the rate."""
        top = self.sr / 2
        return [*(f for f in BAND_EDGES_HZ if f < 0.9 * top), top]

    @property
    def t_edges_s(self) -> list[float]:
        """Edges of the times, from the start of the clip."""
        return [float(t) for t in np.linspace(0, len(self.y) / self.sr, TIMES + 1)]

    @property
    def n_fft(self) -> int:
        """Samples of a frame, even: `FRAME_S`, or half of a time where that is shorter."""
        longest = min(FRAME_S * self.sr, len(self.y) / TIMES / 2)
        return 1 << int(math.log2(max(longest, MIN_FRAME)))

    def all(self) -> Iterator[tuple[int, int, slice, Samples]]:
        """Every patch: its band, its time, its slice of `y`, and its signal there, (n,)."""
        from scipy import signal

        hop = self.n_fft // 2
        frames = {"window": signal.windows.cosine(self.n_fft), "nperseg": self.n_fft, "noverlap": hop}
        hz, _, spectra = signal.stft(self.y, self.sr, **frames)  # the middle of frame i is sample i * hop
        band_of = np.digitize(hz, self.f_edges_hz[1:-1])
        starts = [math.ceil(t * self.sr / hop) for t in self.t_edges_s[:-1]]
        for time, (first, last) in enumerate(pairwise([*starts, spectra.shape[1]])):
            start, end = max((first - 1) * hop, 0), min(last * hop, len(self.y))
            for band in range(len(self.f_edges_hz) - 1):
                inside = spectra[:, first:last] * (band_of == band)[:, None]
                # An empty frame on either side, as `istft` scales up what only one frame covers.
                _, sound = signal.istft(np.pad(inside, ((0, 0), (1, 1))), self.sr, **frames)
                before = start - (first - 1) * hop
                yield band, time, slice(start, end), sound[before : before + end - start].astype(np.float32)

    def without(self, where: slice, sound: Samples) -> Samples:
        """`y` with a patch attenuated, (n,)."""
        remaining = self.y.copy()
        remaining[where] -= np.float32(1 - 10 ** (-ATTENUATION_DB / 20)) * sound
        return remaining


def mel_picture(y: Samples, sr: int) -> tuple[list[list[int]], list[float]]:
    """A mel spectrogram for display: integer dB relative to its maximum, (bands, frames), and the centres in Hz.

    At most `SHOWN_FRAMES` frames of equal length, each the mean power of its time.
    """
    y = resample(y, sr, SHOWN_SR)
    n_spectra = math.ceil(len(y) / (SHOWN_HOP * SHOWN_FRAMES))  # spectra that become one frame
    hop = max(math.ceil(len(y) / (SHOWN_FRAMES * n_spectra)), 16)
    mel = np.empty((1 + len(y) // hop, SHOWN_MELS), np.float32)
    for rows, powers in power_blocks(y, SHOWN_FFT, hop):
        mel_power(powers, SHOWN_SR, SHOWN_FFT, SHOWN_MELS, mel[rows])
    mel = mel[: SHOWN_FRAMES * n_spectra]
    means = np.stack([mel[i : i + n_spectra].mean(axis=0) for i in range(0, len(mel), n_spectra)])
    levels = decibels(means, top_db=SHOWN_DB)
    filters = mel_filters(SHOWN_SR, SHOWN_FFT, SHOWN_MELS)
    centres = np.fft.rfftfreq(SHOWN_FFT, 1 / SHOWN_SR)[filters.argmax(axis=1)]
    return levels.T.round().astype(int).tolist(), [round(float(hz), 1) for hz in centres]


def evidence_wav(patches: Patches, kept: Sequence[tuple[int, int]]) -> bytes:
    """A WAV file (16 bits, mono, below 500 kB) of some patches, given as (band, time), in order of time.

    Times without a patch are left out. The peak is normalised, so that quiet patches are audible.
    """
    at: dict[int, Samples] = {}
    for band, time, _, sound in patches.all():
        if (band, time) in kept:
            at[time] = at[time] + sound if time in at else sound
    gap = np.zeros(round(GAP_S * patches.sr), np.float32)
    y = np.concatenate([part for time in sorted(at) for part in (at[time], gap)])
    fitting = (rate for rate in WAV_RATES if rate <= patches.sr and 2 * len(y) * rate / patches.sr < MAX_WAV_BYTES)
    rate = next(fitting, WAV_RATES[-1])
    y = resample(y, patches.sr, rate)[: MAX_WAV_BYTES // 2]
    file = io.BytesIO()
    soundfile.write(file, 0.7 * y / max(float(np.abs(y).max()), 1e-9), rate, format="WAV", subtype="PCM_16")
    return file.getvalue()
