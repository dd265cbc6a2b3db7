"""Measures every sample of a file: lengths, levels, equal channels, checksums and fingerprints.

`faults.py` decides which measurements are faults. A file is read block by block, so that memory does not grow with its
length, and by the decoders of training and prediction: a file that fails here fails there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genrelab.audio.channels import Block, blocks
from genrelab.audio.clips import SILENT_PEAK
from genrelab.audio.content_hash import sha256_of_audio
from genrelab.audio.mix import mix_window
from genrelab.audio.part import Part
from genrelab.audio.reader import UNREADABLE, Audio, error_text
from genrelab.audio.sndfile import DECODER_ERRORS, LENGTH_TOLERANCE_S
from genrelab.core.errors import DecodeError
from genrelab.doctor.stated import stated_lengths
from genrelab.features.fingerprint import landmarks, pack

FULL_SCALE = 0.999
"""Amplitude of a clipped peak: 16-bit samples end at 0.99997, and lossy formats change it a little."""

MIN_CLIPPED_RUN = 3
"""Consecutive samples at full scale that count as clipped: a single peak may reach it."""

FRAME_S = 0.1
"""A frame of this length without a sample above -80 dBFS counts as silent; pauses between notes are shorter."""

EQUAL_CHANNELS = 1e-6
"""Energy of the difference between channels over that of all: below it (-60 dB) one is a copy of the other."""

FINGERPRINT_S, MAX_FINGERPRINTS, MIN_FINGERPRINT_S = 30.0, 20, 1.0
"""Seconds of one fingerprint; maximum per file (ten minutes); minimum length of the last one."""

Channel = NDArray[np.float32]
"""Samples of one channel, shape (samples,)."""


@dataclass(frozen=True)
class AudioMeasurement:
    """The measurements of one file; pickled.

    Attributes:
        state: `decoded`, `missing`, `empty` (0 bytes) or `undecodable`; other fields are set only if it is `decoded`.
        error: why it was not decoded.
        damage: why libsndfile stopped, if FFmpeg decoded the rest.
        stated_s: its length by its header (of several the one farthest from `duration_s`), else by its packets.
        mono_peak: largest absolute value of the models' input: the mean of the channels, or one of them.
        cancelled: share of the time in which the channels cancel each other out, so that only the loudest is used.
        clipped, silent: share of the samples in runs at full scale; share of the time without sound.
        sha256, audio_sha256: of the file; of its audio without tags (`audio/content_hash.py`).
        notes: of the reader (`reader.Audio.notes`).
        prints: start of each fingerprinted section in seconds, and its landmarks (`fingerprint.pack`).
    """

    state: str
    error: str | None = None
    damage: str | None = None
    decoder: str = ""
    sr: int = 0
    channels: int = 0
    duration_s: float = 0.0
    stated_s: float | None = None
    finite: bool = True
    peak: float = 0.0
    mono_peak: float = 0.0
    clipped: float = 0.0
    silent: float = 0.0
    equal_channels: bool = False
    sha256: str = ""
    audio_sha256: str = ""
    prints: tuple[tuple[float, bytes], ...] = field(default=(), repr=False)
    cancelled: float = 0.0
    notes: tuple[str, ...] = ()


def measure_audio(path: str | Path) -> AudioMeasurement:
    """Decode all of a file and measure it; failures are returned as `state` and `error`."""
    path = Path(path)
    try:
        return _measure(path)
    except DecodeError as e:
        reason = e.reason
    except OSError as e:  # it disappeared while it was read
        reason = e.strerror or str(e)
    if not os.path.exists(path):  # noqa: PTH110 - it never raises
        return AudioMeasurement("missing", reason)
    return AudioMeasurement("empty" if os.path.getsize(path) == 0 else "undecodable", reason)  # noqa: PTH202 - as above


def _measure(path: Path) -> AudioMeasurement:
    with closing(Audio(path)) as audio:
        decoder, sr, channels, length_s = audio.decoder, audio.sr, audio.channels, audio.frames / audio.sr
        parts, notes = audio.parts, tuple(audio.notes)
    tally, damage = _Tally(sr), None
    try:
        tally.add_file(parts)
        if decoder != "av" and tally.duration_s < length_s - LENGTH_TOLERANCE_S:
            damage = f"decoding stops {length_s - tally.duration_s:.2f} s before the end"
    except DECODER_ERRORS as e:
        damage = error_text(e)
    if damage is not None:
        tally, decoder = _measure_with_ffmpeg(path, parts, sr, damage), "av"
    if not tally.n:
        raise DecodeError(path, UNREADABLE)
    with path.open("rb") as f:
        sha256 = hashlib.file_digest(f, "sha256").hexdigest()
    stated = stated_lengths(path) if len(parts) == 1 else []
    stated_s = max(stated, key=lambda seconds: abs(seconds - tally.duration_s), default=length_s)
    return AudioMeasurement(
        "decoded", None, damage, decoder, sr, channels, tally.duration_s, stated_s, tally.finite, tally.peak,
        tally.mono_peak, tally.clipped / tally.values, tally.silent / tally.n, tally.equal_channels, sha256,
        sha256_of_audio(path), tuple(tally.prints), tally.cancelled / tally.n, notes,
    )  # fmt: skip


def _measure_with_ffmpeg(path: Path, parts: Sequence[Part], sr: int, damage: str) -> _Tally:
    """Measure with FFmpeg after libsndfile failed, as `Audio.read` does."""
    if all(part.decoder == "av" for part in parts):
        raise DecodeError(path, damage)
    tally = _Tally(sr)
    try:
        tally.add_file([replace(part, decoder="av", corrections=()) for part in parts])
    except DECODER_ERRORS as e:
        raise DecodeError(path, error_text(e)) from e
    return tally


class _Tally:
    """Sums over all blocks of a file."""

    def __init__(self, sr: int) -> None:
        self._sr, self._frame = sr, max(round(FRAME_S * sr), 1)
        self.n = self.values = self.clipped = self.silent = self.cancelled = 0
        self.peak = self.mono_peak = self._energy = self._difference_energy = 0.0
        self.finite = True
        self.prints: list[tuple[float, bytes]] = []
        self._pending: list[Channel] = []  # for the next fingerprint

    @property
    def duration_s(self) -> float:
        """Decoded length in seconds."""
        return self.n / self._sr

    @property
    def equal_channels(self) -> bool:
        """More than one channel, not silent, and all equal."""
        return self.values > self.n and self._energy > 0 and self._difference_energy <= EQUAL_CHANNELS * self._energy

    def add_file(self, parts: Sequence[Part]) -> None:
        """Add every block of a file."""
        for x in blocks(parts):
            self._add_block(x)
        self._add_fingerprint()

    def _add_block(self, x: Block) -> None:
        self.n += len(x)
        self.values += x.size
        if not np.isfinite(x).all():
            self.finite = False
            return
        columns = np.ascontiguousarray(x.T)  # NumPy is ten times slower across two columns than along one
        for y in columns:
            self._add_levels(y)
        self._add_silence(columns)
        mono, cancelled = mix_window(x.shape[1], lambda mixer: mixer.mix(x))
        self.cancelled += cancelled * len(x)
        self.mono_peak = max(self.mono_peak, _peak(mono))
        self._pending.append(mono)
        if sum(map(len, self._pending)) >= FINGERPRINT_S * self._sr:
            self._add_fingerprint()
        for y in columns[1:]:
            difference = y - columns[0]
            self._energy += float(y @ y)
            self._difference_energy += float(difference @ difference)

    def _add_fingerprint(self) -> None:
        n, pending = sum(map(len, self._pending)), self._pending
        self._pending = []
        if n >= MIN_FINGERPRINT_S * self._sr and len(self.prints) < MAX_FINGERPRINTS:
            self.prints.append(((self.n - n) / self._sr, pack(landmarks(np.concatenate(pending), self._sr))))

    def _add_levels(self, y: Channel) -> None:
        top = _peak(y)
        self.peak = max(self.peak, top)
        self.clipped += _count_in_runs(np.abs(y) >= FULL_SCALE) if top >= FULL_SCALE else 0

    def _add_silence(self, columns: Block) -> None:
        starts = np.arange(0, columns.shape[1], self._frame)
        lengths = np.diff(starts, append=columns.shape[1])
        top = np.maximum.reduceat(columns, starts, axis=1).max(axis=0)
        bottom = np.minimum.reduceat(columns, starts, axis=1).min(axis=0)
        self.silent += int(lengths[np.maximum(top, -bottom) < SILENT_PEAK].sum())


def _peak(y: Channel) -> float:
    return float(max(y.max(), -y.min()))


def _count_in_runs(full: NDArray[np.bool_]) -> int:
    """Number of True values, shape (samples,), in runs of `MIN_CLIPPED_RUN` or more."""
    edges = np.flatnonzero(np.diff(full, prepend=False, append=False))
    runs = edges[1::2] - edges[::2]
    return int(runs[runs >= MIN_CLIPPED_RUN].sum())
