"""FFmpeg (PyAV) reads what libsndfile cannot, packet by packet. Imported when the first such file is opened."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from fractions import Fraction
from itertools import chain
from typing import BinaryIO, Protocol

import av
import numpy as np
from av import AudioFrame, AudioResampler, AudioStream, Packet
from av.container import InputContainer
from av.stream import Disposition
from numpy.typing import NDArray

from genrelab.audio import bitstream
from genrelab.audio.mix import CANCELLED, Mixer, mix_window
from genrelab.audio.part import AudioError, Part
from genrelab.audio.sndfile import DECODER_ERRORS, LENGTH_TOLERANCE_S, PREROLL_S

MAX_OTHER_RATE_S = 1.0
"""Seconds of frames with another rate than the first that a damaged file may have."""

FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,matroska,mov,mp3,mpc,mpc8,mpeg,mpegts,ogg,rm,"
    "shorten,tak,tta,w64,wav,wv"
)
"""Formats that FFmpeg may detect, without playlists: they make FFmpeg open other files and addresses."""

NO_SOUND = "it has no audio stream"
"""Error message for films without audio and for pictures."""

MAX_PLANES = 7
"""Maximum channels of a planar frame that PyAV can convert; with more, the process crashes."""

FFMPEG_ERRORS = (av.FFmpegError, *DECODER_ERRORS)
"""What PyAV raises on bad input."""

PIPE_PROBE_BYTES, PIPE_PROBE_US = "65536", "1000000"
"""How much of a pipe FFmpeg may probe before the first packet; without a limit it takes seconds for WAV."""


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, n: int, /) -> bytes:
        """At most `n` bytes, as soon as any are there; none at the end."""
        ...


_Frame = tuple[int | None, NDArray[np.float32]]
"""Position in samples (None without a time stamp), and the frame, shape (samples, channels)."""


class FFmpeg:
    """One part of a file, with its length measured up to `max_s` (see `reader.Audio`).

    A read that starts where the last one ended, or soon after, continues with the same decoder: in a format without an
    index, each seek reads the file from its start. Any other read opens the file again.

    Args:
        notes: gets a sentence for each remark on the file.
    """

    decoder = "av"

    def __init__(self, part: Part, notes: list[str], max_s: float | None = None) -> None:
        self.part, self._notes = part, notes
        self._frames: Generator[_Frame, None, None] | None = None
        self._last: list[_Frame] = []  # the frame in which the last read ended
        self._end = 0
        with translate_errors(), open_part(part) as (container, stream):
            length = _Length(stream, max_s)
            for packet in packets(container, stream):
                if not length.add(packet):
                    break
            first = length.first
            if first is None:
                raise ValueError("no frame can be decoded")
            self.sr, self.channels = first.sample_rate, first.layout.nb_channels
            self._origin = (first.pts or 0) * _time_base(stream)
            self.frames = max(round(length.seconds * self.sr), first.samples)
            self._stamped, self._codec = length.is_plausible, stream.codec_context
            self._tag = stream.codec_context.codec_tag if container.format.name == "wav" else None
        if not self._stamped:
            self.frames = self._count_samples(max_s)

    def _count_samples(self, max_s: float | None) -> int:
        n, limit = 0, math.inf if max_s is None else max_s * self.sr
        with translate_errors(), closing(self._frames_from(0.0)) as frames:
            while n <= limit and (frame := next(frames, None)) is not None:
                n += len(frame[1])
        return n

    def find_bitstream(self) -> str | None:
        """The name of a bitstream, such as DTS, whose bytes its samples are."""
        name = self._codec.name
        if self._tag is not None and not name.startswith(("pcm_", "adpcm_")):
            return bitstream.WAV_CODECS.get(name, "another") if self._tag in bitstream.PCM_TAGS else None
        if not name.startswith(bitstream.LOSSLESS):
            return None
        with suppress(*FFMPEG_ERRORS), closing(self._frames_from(0.0)) as frames:
            return bitstream.find_in_frames(x for _, x in frames)
        return None  # reading it raises the error

    def read(self, start_s: float, seconds: float | None) -> NDArray[np.float32]:
        """Mono samples, shape (samples,)."""
        start = round(start_s * self.sr)
        stop = start + (self.frames if seconds is None else round(seconds * self.sr))
        y, cancelled = mix_window(self.channels, lambda mixer: self._read(start, stop, mixer))
        if cancelled and CANCELLED not in self._notes:
            self._notes.append(CANCELLED)
        return y

    def _read(self, start: int, stop: int, mixer: Mixer) -> NDArray[np.float32]:
        if self._frames is None or not self._follows(start):
            self.close()
            self._frames = self._frames_from(start / self.sr)
        pieces, at = [np.empty(0, np.float32)], 0
        last, self._last = self._last, []  # after an error the next read cannot continue from here
        with translate_errors():
            for stamp, x in chain(last, self._frames):
                # Time stamps give the start of the window; after it, frames are used without gaps.
                if at <= start and stamp is not None:
                    at = stamp
                if at + len(x) > start:
                    pieces.append(mixer.mix(x[max(start - at, 0) : max(stop - at, 0)]))
                at += len(x)
                if at >= stop:
                    self._last, self._end = [(at - len(x) if stamp is None else stamp, x)], stop
                    break
        return np.concatenate(pieces)

    def _follows(self, start: int) -> bool:
        """Does a read start in the frame in which the last one ended, or soon after it?"""
        last_start = self._last[0][0] if self._last else None
        return last_start is not None and last_start <= start <= self._end + PREROLL_S * self.sr

    def _frames_from(self, start_s: float) -> Generator[_Frame, None, None]:
        """Every frame from a little before `start_s`; from the start if time stamps are wrong."""
        other_rate_s = 0.0
        with open_part(self.part) as (container, stream):
            time_base = _time_base(stream)
            if start_s > PREROLL_S and self._stamped:
                container.seek(int((float(self._origin) + start_s - PREROLL_S) / time_base), stream=stream)
            for frame in (f for p in packets(container, stream) for f in decode_packet(p)):
                if frame.sample_rate != self.sr:  # one frame: damage; many: another recording
                    other_rate_s += frame.samples / frame.sample_rate
                    if other_rate_s > MAX_OTHER_RATE_S:
                        raise AudioError(f"its sample rate changes from {self.sr:,} to {frame.sample_rate:,} Hz")
                    continue
                pts = frame.pts if self._stamped else None
                yield None if pts is None else round((pts * time_base - self._origin) * self.sr), planes(frame)

    def close(self) -> None:
        """Close the file."""
        self._last = []
        if self._frames is not None:
            self._frames.close()
            self._frames = None


class _Length:
    """The length of a stream by its packets, and whether their time stamps are plausible.

    Attributes:
        first: the first decoded frame.
    """

    def __init__(self, stream: AudioStream, max_s: float | None) -> None:
        self._time_base, self._codec = _time_base(stream), stream.codec_context
        self._limit = math.inf if max_s is None else max_s / self._time_base
        self.first: AudioFrame | None = None
        self._end, self._n, self._sum, self._jumps = 0, 0, 0, 0
        self._next: int | None = None

    def add(self, packet: Packet[AudioStream]) -> bool:
        """Add the next packet; False if no more are needed."""
        self.first = self.first or next(iter(decode_packet(packet)), None)
        pts, duration = packet.pts or 0, packet.duration or 0
        self._end = max(self._end, pts + duration)
        if not packet.is_discard and packet.pts is not None:
            self._jumps += 0 if self._next is None else abs(pts - self._next)
            self._next = pts + duration
            self._n += 1
            self._sum += duration
        return self.first is None or self._end - (self.first.pts or 0) <= self._limit

    @property
    def seconds(self) -> float:
        """From the first frame to the end of the last packet."""
        begin = 0 if self.first is None else self.first.pts or 0
        return float((self._end - begin) * self._time_base)

    @property
    def is_plausible(self) -> bool:
        """Are the packets without jumps in time, and as long as the frames of the codec?"""
        rounding_s = float(self._n * self._time_base)  # each packet is rounded to a unit, which may be a millisecond
        if self._jumps * self._time_base > LENGTH_TOLERANCE_S + rounding_s:
            return False
        frame_s = self._codec.frame_size / max(self._codec.sample_rate, 1)
        off_s = abs(self._n * frame_s - float(self._sum * self._time_base))
        return not frame_s or off_s <= LENGTH_TOLERANCE_S + rounding_s


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn FFmpeg errors that are not also built-in exceptions into ValueErrors with the same message."""
    try:
        yield
    except av.FFmpegError as e:
        if isinstance(e, DECODER_ERRORS):
            raise
        raise ValueError(e.strerror) from e


@contextmanager
def open_part(part: Part) -> Iterator[tuple[InputContainer, AudioStream]]:
    """Container and default audio stream of a part of a local file, closed at the end."""
    if part.is_plain:
        with _open_container(f"file:{part.path.absolute()}", protocol_whitelist="file") as opened:
            yield opened
        return
    with part.open() as file, _open_container(file, protocol_whitelist="none") as opened:
        yield opened


def open_pipe(source: Readable) -> AbstractContextManager[tuple[InputContainer, AudioStream]]:
    """The same for a stream of bytes, which may be endless; probing is short."""
    probing = {"probesize": PIPE_PROBE_BYTES, "analyzeduration": PIPE_PROBE_US}
    return _open_container(source, protocol_whitelist="none", **probing)


@contextmanager
def _open_container(file: str | Readable | BinaryIO, **options: str) -> Iterator[tuple[InputContainer, AudioStream]]:
    options["format_whitelist"] = FORMATS
    with av.open(file, "r", metadata_errors="ignore", options=options) as container:
        if not container.streams.audio:
            if len(container.streams):
                raise AudioError(NO_SOUND)
            raise ValueError("the file is cut off: it ends within its header")
        by_default = (stream for stream in container.streams.audio if stream.disposition & Disposition.default)
        yield container, next(by_default, container.streams.audio[0])


def _time_base(stream: AudioStream) -> Fraction:
    """Seconds per unit of the time stamps; 1/1000 in some containers, which limits the accuracy of window starts."""
    return stream.time_base or Fraction(1, stream.rate)


def packets(container: InputContainer, stream: AudioStream) -> Iterator[Packet[AudioStream]]:
    """Every complete packet of a stream."""
    with suppress(*FFMPEG_ERRORS):  # cut off in the middle of a packet: those before it are used
        yield from container.demux(stream)


def decode_packet(packet: Packet[AudioStream]) -> list[AudioFrame]:
    """The frames of a packet; none if it is damaged: players also skip such packets."""
    try:
        return packet.decode()
    except FFMPEG_ERRORS:
        return []


def mono(frame: AudioFrame) -> NDArray[np.float32]:
    """Mean of the channels, shape (samples,); integer formats become -1 to 1."""
    x = planes(frame)
    return Mixer(x.shape[1]).mix(x)


def planes(frame: AudioFrame) -> NDArray[np.float32]:
    """Every channel of a frame, shape (samples, channels); integer formats become -1 to 1."""
    channels = frame.layout.nb_channels
    if frame.format.is_planar and channels > MAX_PLANES:
        (frame,) = AudioResampler(format=frame.format.packed.name).resample(frame)  # one plane with all channels
    x = frame.to_ndarray().T if frame.format.is_planar else frame.to_ndarray().reshape(-1, channels)
    if x.dtype.kind in "iu":
        full = 2.0 ** (8 * x.dtype.itemsize - 1)
        x = x / full - (1.0 if x.dtype.kind == "u" else 0.0)
    return x.astype(np.float32, copy=False)
