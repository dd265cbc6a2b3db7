"""Split a clip into patches of time x frequency, attenuate them one by one, and render some of them as a WAV.

Patches are cut out of a short-time Fourier transform with a sine window for analysis and synthesis, and frames that
overlap by half: sin^2 + cos^2 = 1, so that the sum of all patches is the signal again (Princen and Bradley 1986).
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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

ATTENUATION_DB = 20.0
"""A patch attenuated this much is hardly audible, yet leaves no hole that no music has: silencing any patch entirely
changes the output of models that use minima of features, or pictures (measured; see docs/results.md)."""

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
        return 1 << max(int(math.log2(max(longest, 16))), 4)

    def all(self) -> Iterator[tuple[int, int, slice, Samples]]:
        """Every patch: its band, its time, its slice of `y`, and its signal there, (n,)."""
        for time in range(TIMES):
            where, spectra = self._spectra(time)
            for band in range(len(self.f_edges_hz) - 1):
                yield band, time, where, self._band_signal(spectra, where, band)

    def without(self, where: slice, sound: Samples) -> Samples:
        """`y` with a patch attenuated, (n,)."""
        remaining = self.y.copy()
        remaining[where] -= np.float32(1 - 10 ** (-ATTENUATION_DB / 20)) * sound
        return remaining

    def _spectra(self, time: int) -> tuple[slice, NDArray[np.complex64]]:
        """The samples covered by the frames whose middle lies in a time, and the spectra of these, (frames, bins)."""
        hop, n_frames = self.n_fft // 2, 1 + math.ceil(len(self.y) / (self.n_fft // 2))
        edges = [math.ceil(t * self.sr / hop) for t in self.t_edges_s]
        first, last = edges[time], n_frames if time == TIMES - 1 else edges[time + 1]
        start, end = (first - 1) * hop, (last - 2) * hop + self.n_fft
        y = np.zeros(end - start, np.float32)
        where = slice(max(start, 0), min(end, len(self.y)))
        y[where.start - start : where.stop - start] = self.y[where]
        frames = np.lib.stride_tricks.sliding_window_view(y, self.n_fft)[::hop]
        return where, np.fft.rfft(frames * _sine_window(self.n_fft), axis=1).astype(np.complex64)

    def _band_signal(self, spectra: NDArray[np.complex64], where: slice, band: int) -> Samples:
        """The signal of one band, by overlap-add of the frames, (n,) at `where`."""
        hop = self.n_fft // 2
        hz = np.fft.rfftfreq(self.n_fft, 1 / self.sr)
        low, high = self.f_edges_hz[band : band + 2]
        inside = (hz >= low) & ((hz < high) | (band == len(self.f_edges_hz) - 2))
        frames = np.fft.irfft(spectra * inside, self.n_fft, axis=1) * _sine_window(self.n_fft)
        y = np.zeros((len(frames) + 1) * hop)
        y[:-hop] += frames[:, :hop].ravel()
        y[hop:] += frames[:, hop:].ravel()
        before = 0 if where.start else hop  # the first frame starts half a frame before the clip
        return y[before : before + where.stop - where.start].astype(np.float32)


def _sine_window(n_fft: int) -> NDArray[np.float64]:
    window: NDArray[np.float64] = np.sin(np.pi * (np.arange(n_fft) + 0.5) / n_fft)
    return window


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
    fitting = [rate for rate in WAV_RATES if rate <= patches.sr and 2 * len(y) * rate / patches.sr < MAX_WAV_BYTES]
    rate = fitting[0] if fitting else WAV_RATES[-1]
    y = resample(y, patches.sr, rate)[: MAX_WAV_BYTES // 2]
    file = io.BytesIO()
    soundfile.write(file, 0.7 * y / max(float(np.abs(y).max()), 1e-9), rate, format="WAV", subtype="PCM_16")
    return file.getvalue()
