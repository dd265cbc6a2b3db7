"""FFmpeg (PyAV) reads what libsndfile cannot, packet by packet. Imported when the first such file is opened."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from av import AudioFrame, AudioResampler, AudioStream, Packet
from av.container import InputContainer
from numpy.typing import NDArray

from genrelab.audio.sndfile import PREROLL_S

MAX_OTHER_RATE_S = 1.0
"""Seconds of frames with another rate than the first that are tolerated in a damaged file before it is refused."""

FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,eac3,flac,flv,matroska,mov,mp3,mpc,mpc8,mpeg,mpegts,ogg,rm,"
    "shorten,tak,tta,w64,wav,wv"
)
"""Formats that FFmpeg may detect. Playlists are excluded: they make FFmpeg open other files and addresses."""

NO_SOUND = "there is no sound in it"
"""Error message for films without sound, and for pictures."""

MAX_PLANES = 7
"""Channels of a planar frame that PyAV can convert: with more it reads past their end, and the process crashes."""

FFMPEG_ERRORS = (
    av.FFmpegError,
    OSError,
    ValueError,
    RuntimeError,
    ArithmeticError,
    LookupError,
    TypeError,
    MemoryError,
)
"""What PyAV raises on bad input."""

PIPE_PROBE_BYTES, PIPE_PROBE_US = "65536", "1000000"
"""How much of a pipe FFmpeg may probe before it returns the first packet: for WAV it would wait for seconds."""


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, n: int, /) -> bytes:
        """At most `n` bytes, as soon as there are any; none at the end."""
        ...


_Frame = tuple[int | None, NDArray[np.float32]]
"""Position in the file in samples (None without a time stamp), and mono samples."""


class FFmpeg:
    """One file, with its length measured up to `most_s` (see `reader.Audio`).

    A read that starts where the last one ended, or soon after, continues with the same decoder: where a format has no
    index, each seek would read the file from its start. Any other read opens the file again.
    """

    decoder = "av"

    def __init__(self, path: Path, most_s: float | None = None) -> None:
        self._path = path
        self._frames: Generator[_Frame, None, None] | None = None
        self._last: list[_Frame] = []  # the frame in which the last read ended
        self._end = 0
        with translate_errors(), open_file(path) as (container, stream):
            first, end = None, 0
            limit = math.inf if most_s is None else most_s / _time_base(stream)
            for packet in packets(container, stream):
                first = first or next(iter(decode_packet(packet)), None)
                end = max(end, (packet.pts or 0) + (packet.duration or 0))
                if first is not None and end - (first.pts or 0) > limit:
                    break
            if first is None:
                raise ValueError("nothing in it can be decoded")
            self.sr, self.channels = first.sample_rate, first.layout.nb_channels
            self._origin = (first.pts or 0) * _time_base(stream)
            self.frames = max(round((end * _time_base(stream) - self._origin) * self.sr), first.samples)

    def read(self, start_s: float, seconds: float | None) -> NDArray[np.float32]:
        """Mono samples, shape (samples,)."""
        start = round(start_s * self.sr)
        stop = start + (self.frames if seconds is None else round(seconds * self.sr))
        if self._frames is None or not self._follows(start):
            self.close()
            self._frames = self._frames_from(start_s)
        pieces, at = [np.empty(0, np.float32)], 0
        last, self._last = self._last, []  # after an error the next read cannot continue from here
        with translate_errors():
            for stamp, y in chain(last, self._frames):
                # Time stamps locate the start of the window; from there on frames are taken to follow without a gap.
                if at <= start and stamp is not None:
                    at = stamp
                pieces.append(y[max(start - at, 0) : max(stop - at, 0)])
                at += len(y)
                if at >= stop:
                    self._last, self._end = [(at - len(y) if stamp is None else stamp, y)], stop
                    break
        return np.concatenate(pieces)

    def _follows(self, start: int) -> bool:
        """Does a read start in the frame in which the last one ended, or soon after?"""
        last_start = self._last[0][0] if self._last else None
        return last_start is not None and last_start <= start <= self._end + PREROLL_S * self.sr

    def _frames_from(self, start_s: float) -> Generator[_Frame, None, None]:
        """Every frame from a little before `start_s` on."""
        other_rate_s = 0.0
        with open_file(self._path) as (container, stream):
            time_base = _time_base(stream)
            if start_s > PREROLL_S:
                container.seek(int((float(self._origin) + start_s - PREROLL_S) / time_base), stream=stream)
            for frame in (f for p in packets(container, stream) for f in decode_packet(p)):
                if frame.sample_rate != self.sr:  # one frame: damage that still decodes; many: another recording
                    other_rate_s += frame.samples / frame.sample_rate
                    if other_rate_s > MAX_OTHER_RATE_S:
                        raise ValueError(f"its rate changes from {self.sr} to {frame.sample_rate} Hz")
                    continue
                stamp = None if frame.pts is None else round((frame.pts * time_base - self._origin) * self.sr)
                yield stamp, mono(frame)

    def close(self) -> None:
        """Close the file."""
        self._last = []
        if self._frames is not None:
            self._frames.close()
            self._frames = None


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn FFmpeg errors that are not also built-in exceptions into ValueErrors with the same message."""
    try:
        yield
    except av.FFmpegError as e:
        if isinstance(e, (OSError, ValueError, RuntimeError, ArithmeticError, LookupError, MemoryError)):
            raise
        raise ValueError(e.strerror) from e


@contextmanager
def open_file(path: Path) -> Iterator[tuple[InputContainer, AudioStream]]:
    """Container and first audio stream of a local file, closed at the end."""
    with _open_container(f"file:{path.absolute()}", protocol_whitelist="file") as opened:
        yield opened


@contextmanager
def open_pipe(source: Readable) -> Iterator[tuple[InputContainer, AudioStream]]:
    """The same for a stream of bytes, which may be endless; the first packets are decoded without long probing."""
    with _open_container(
        source, protocol_whitelist="none", probesize=PIPE_PROBE_BYTES, analyzeduration=PIPE_PROBE_US
    ) as opened:
        yield opened


@contextmanager
def _open_container(file: str | Readable, **options: str) -> Iterator[tuple[InputContainer, AudioStream]]:
    options["format_whitelist"] = FORMATS
    with av.open(file, "r", metadata_errors="ignore", options=options) as container:
        if not container.streams.audio:
            raise ValueError(NO_SOUND if len(container.streams) else "it ends before it says what is in it")
        yield container, container.streams.audio[0]


def _time_base(stream: AudioStream) -> Fraction:
    """Seconds per unit of the time stamps; in some containers 1/1000, so that window starts are accurate to that."""
    return stream.time_base or Fraction(1, stream.rate)


def packets(container: InputContainer, stream: AudioStream) -> Iterator[Packet[AudioStream]]:
    """Every complete packet of a stream."""
    with suppress(*FFMPEG_ERRORS):  # cut off in the middle of a packet: those before it are still used
        yield from container.demux(stream)


def decode_packet(packet: Packet[AudioStream]) -> list[AudioFrame]:
    """The frames of a packet; none where it is damaged: players skip such packets, too."""
    try:
        return packet.decode()
    except FFMPEG_ERRORS:
        return []


def mono(frame: AudioFrame) -> NDArray[np.float32]:
    """Mean of the channels, shape (samples,); integer formats become -1 to 1."""
    channels = frame.layout.nb_channels
    if frame.format.is_planar and channels > MAX_PLANES:
        (frame,) = AudioResampler(format=frame.format.packed.name).resample(frame)  # now one plane holds them all
    x = frame.to_ndarray()
    x = x if frame.format.is_planar else x.reshape(-1, channels).T
    if x.dtype.kind in "iu":
        full = 2.0 ** (8 * x.dtype.itemsize - 1)
        x = x / full - (1.0 if x.dtype.kind == "u" else 0.0)
    y: NDArray[np.float32] = np.full(channels, 1 / channels, np.float32) @ x.astype(np.float32)
    return y
