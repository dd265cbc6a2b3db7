"""2 The two decoders behind one face: libsndfile (soundfile) reads what it can, FFmpeg (PyAV) the rest.

FFmpeg also takes over where libsndfile would stop early without a word: an MP3 of varying bit rate whose first frame
does not say how long it is (libsndfile then guesses), a file that is shorter than it says, damage in the middle.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from av import AudioFrame, AudioStream, Packet
from av.container import InputContainer
from numpy.typing import NDArray

from genrelab.errors import DecodeError
from genrelab.quiet import quiet_c_stderr

SLACK_S = 0.1
"""Two counts of one file's length that differ by less are the same: encoder delay, padding, trailing tags."""

PREROLL_S = 0.5
"""What is decoded before a window and thrown away: overlaps and bit reservoirs have filled up by then."""

STRANGE_S = 1.0
"""Frames of another rate than the first that FFmpeg may find in a damaged file before it is refused."""

BLOCK_VALUES = 1 << 22
"""Values (frames x channels) that are in memory before they become mono: 16 MiB."""

MP3_TAG_BYTES = 4_096
"""How far an MP3 may differ from the size that its first frame states: tags at its end."""

FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,eac3,flac,flv,matroska,mov,mp3,mpc,mpc8,mpeg,mpegts,ogg,rm,"
    "shorten,tak,tta,w64,wav,wv"
)
"""What FFmpeg may take a file for. Play lists are not among them: they make it open other files and addresses."""

FAULTS = (av.FFmpegError, OSError, ValueError, RuntimeError, ArithmeticError, LookupError, TypeError, MemoryError)
"""What decoders raise on bad input; soundfile's own errors are RuntimeErrors."""


class Audio:
    """One audio file, open for reading.

    Attributes:
        sr, channels, frames: rate, channels, and length in samples of one channel.
        decoder: `soundfile` or `av`.

    Raises:
        DecodeError: no file (stage `read`), or no decoder reads it; with the decoder's words, or both decoders'.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        _refuse_what_is_no_file(self.path)
        self._use(_choose(self.path))

    def _use(self, source: _SoundFile | _FFmpeg) -> None:
        self._source, self.decoder = source, source.decoder
        self.sr, self.channels, self.frames = source.sr, source.channels, source.frames

    def read(self, start_s: float, seconds: float | None) -> NDArray[np.float32]:
        """Mono samples from `start_s` on, shape (samples,): `seconds` of them, or as many as the file holds."""
        try:
            return self._source.read(start_s, seconds)
        except FAULTS as e:
            fault = e
        if isinstance(self._source, _FFmpeg):
            raise DecodeError(self.path, _words(fault)) from fault
        self._source.close()
        ffmpeg = _ffmpeg_instead(self.path, fault)
        self._use(ffmpeg)
        try:
            return ffmpeg.read(start_s, seconds)
        except FAULTS as e:
            raise DecodeError(self.path, f"soundfile: {_words(fault)}; FFmpeg: {_words(e)}") from e

    def close(self) -> None:
        """Lets the file go."""
        self._source.close()


def _refuse_what_is_no_file(path: Path) -> None:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would block for ever
            kind = "a folder, not a file" if path.is_dir() else "not a regular file"
            raise DecodeError(path, kind, stage="read")
        if status.st_size == 0:
            raise DecodeError(path, "the file is empty", stage="read")
        path.open("rb").close()
    except (OSError, ValueError) as e:
        raise DecodeError(path, _words(e), stage="read") from e


def _choose(path: Path) -> _SoundFile | _FFmpeg:
    try:
        source = _SoundFile(path)
    except FAULTS as e:
        return _ffmpeg_instead(path, e)
    if source.reaches_its_end():
        return source
    try:
        ffmpeg = _FFmpeg(path)
    except FAULTS:
        return source  # its length is doubtful, yet it is the only one that reads it
    if abs(ffmpeg.frames / ffmpeg.sr - source.frames / source.sr) <= SLACK_S:
        return source
    source.close()
    return ffmpeg


def _ffmpeg_instead(path: Path, fault: BaseException) -> _FFmpeg:
    try:
        return _FFmpeg(path)
    except FAULTS as e:
        raise DecodeError(path, f"soundfile: {_words(fault)}; FFmpeg: {_words(e)}") from e


def _words(e: BaseException) -> str:
    """What a decoder says, without the name of the file: the error around it says that."""
    return getattr(e, "error_string", None) or getattr(e, "strerror", None) or str(e) or type(e).__name__


# --- libsndfile ---


class _SoundFile:
    decoder = "soundfile"

    def __init__(self, path: Path) -> None:
        # A descriptor, not a name: from a name's suffix libsndfile would take any text called `.au` for 8 kHz noise.
        self._path, self._handle = path, path.open("rb")
        try:
            with quiet_c_stderr:
                self._file = soundfile.SoundFile(self._handle.fileno(), closefd=False)
        except BaseException:
            self._handle.close()
            raise
        self.sr, self.channels, self.frames = self._file.samplerate, self._file.channels, self._file.frames
        if not 0 < self.frames < 1 << 40:  # a FLAC that was streamed does not know
            self.close()
            raise ValueError(f"states a length of {self.frames} samples")

    def reaches_its_end(self) -> bool:
        """Is the file as long as it says? An MP3's first frame tells; of others the last samples are read."""
        if self._file.format == "MP3":
            return _mp3_is_as_long_as_stated(self._path)
        tail = min(self.frames, 64)
        try:
            with quiet_c_stderr:
                self._file.seek(self.frames - tail)
                return bool(len(self._file.read(tail, dtype="float32")) == tail)
        except FAULTS:
            return False

    def read(self, start_s: float, seconds: float | None) -> NDArray[np.float32]:
        start = min(round(start_s * self.sr), self.frames)
        wanted = self.frames - start
        if seconds is not None:
            wanted = min(wanted, round(seconds * self.sr))
        # An MP3 is read in one go from well before the window: libsndfile goes back too little after a seek.
        mp3 = self._file.format == "MP3"
        lead = min(start, round(PREROLL_S * self.sr)) if mp3 else 0
        weights = np.full(self.channels, 1 / self.channels, np.float32)
        pieces, missing = [np.empty(0, np.float32)], lead + wanted
        with quiet_c_stderr:
            self._file.seek(start - lead)
            while missing > 0:
                block = missing if mp3 else min(missing, max(BLOCK_VALUES // self.channels, 1))
                x = self._file.read(block, dtype="float32", always_2d=True)
                pieces.append(x @ weights if self.channels > 1 else x[:, 0])
                missing -= len(x)
                if len(x) < block:
                    break
        if missing > SLACK_S * self.sr:
            raise ValueError(f"stops {missing / self.sr:.2f} s before its end")
        return (pieces[1] if len(pieces) == 2 else np.concatenate(pieces))[lead:]

    def close(self) -> None:
        with quiet_c_stderr:
            self._file.close()
        self._handle.close()


def _mp3_is_as_long_as_stated(path: Path) -> bool:
    """Does the first frame carry a Xing, Info or VBRI tag with a size that is the file's?

    Without one libsndfile takes the first frame's bit rate for all, and so reads only a part of a VBR file.
    """
    start = 0
    with path.open("rb") as file:
        while (head := file.read(10))[:3] == b"ID3" and len(head) == 10:
            start += 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
            file.seek(start)
        frame = head + file.read(4_096)
    sync = re.search(rb"\xff[\xe2-\xff]", frame)
    tag = re.search(rb"Xing|Info|VBRI", frame[: sync.start() + 64]) if sync else None
    if sync is None or tag is None:
        return False
    # VBRI: version, delay, quality (2 bytes each), bytes. Xing and Info: flags, frames, bytes (4 each).
    flags, at = (3, 6) if tag[0] == b"VBRI" else (int.from_bytes(frame[tag.end() : tag.end() + 4]), 8)
    stated = int.from_bytes(frame[tag.end() + at : tag.end() + at + 4])
    return flags & 3 == 3 and abs(path.stat().st_size - start - sync.start() - stated) <= MP3_TAG_BYTES


# --- FFmpeg ---


class _FFmpeg:
    """Holds no file open: every read opens it anew, so that a read never depends on the one before."""

    decoder = "av"

    def __init__(self, path: Path) -> None:
        self._path = path
        with _ffmpeg(path) as (container, stream):
            first, end = None, 0
            for packet in _packets(container, stream):
                first = first or next(iter(_decoded(packet)), None)
                end = max(end, (packet.pts or 0) + (packet.duration or 0))
            if first is None:
                raise ValueError("nothing in it can be decoded")
            self.sr, self.channels = first.sample_rate, first.layout.nb_channels
            self._origin = (first.pts or 0) * _time_base(stream)
            self.frames = max(round((end * _time_base(stream) - self._origin) * self.sr), first.samples)

    def read(self, start_s: float, seconds: float | None) -> NDArray[np.float32]:
        start = round(start_s * self.sr)
        stop = start + (self.frames if seconds is None else round(seconds * self.sr))
        pieces, at, strange_s = [np.empty(0, np.float32)], 0, 0.0
        with _ffmpeg(self._path) as (container, stream):
            unit = _time_base(stream)
            if start_s > PREROLL_S:
                container.seek(int((float(self._origin) + start_s - PREROLL_S) / unit), stream=stream)
            for frame in (f for p in _packets(container, stream) for f in _decoded(p)):
                if frame.sample_rate != self.sr:  # one frame: damage that looks sound; many: another recording
                    strange_s += frame.samples / frame.sample_rate
                    if strange_s > STRANGE_S:
                        raise ValueError(f"its rate changes from {self.sr} to {frame.sample_rate} Hz")
                    continue
                # Time stamps say where the window begins; from there on frames follow each other without a gap.
                if at <= start and frame.pts is not None:
                    at = round((frame.pts * unit - self._origin) * self.sr)
                if at >= stop:
                    break
                y = _mono(frame)
                pieces.append(y[max(start - at, 0) : stop - at])
                at += len(y)
        return np.concatenate(pieces)

    def close(self) -> None:
        pass


@contextmanager
def _ffmpeg(path: Path) -> Iterator[tuple[InputContainer, AudioStream]]:
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    with av.open(f"file:{path.absolute()}", metadata_errors="ignore", options=options) as container:
        if not container.streams.audio:
            raise ValueError("there is no sound in it")
        yield container, container.streams.audio[0]


def _time_base(stream: AudioStream) -> Fraction:
    """Seconds of one unit of the time stamps; of some containers a thousandth, so that windows begin within it."""
    return stream.time_base or Fraction(1, stream.rate)


def _packets(container: InputContainer, stream: AudioStream) -> Iterator[Packet[AudioStream]]:
    with suppress(*FAULTS):  # cut off in the middle of a packet: what came before it counts
        yield from container.demux(stream)


def _decoded(packet: Packet[AudioStream]) -> list[AudioFrame]:
    try:
        return packet.decode()
    except FAULTS:  # a damaged packet is left out, as every player does
        return []


def _mono(frame: AudioFrame) -> NDArray[np.float32]:
    """Mean of the channels, shape (samples,); integer formats become -1 to 1."""
    x, channels = frame.to_ndarray(), frame.layout.nb_channels
    x = x if frame.format.is_planar else x.reshape(-1, channels).T
    if x.dtype.kind in "iu":
        full = 2.0 ** (8 * x.dtype.itemsize - 1)
        x = x / full - (1.0 if x.dtype.kind == "u" else 0.0)
    y: NDArray[np.float32] = np.full(channels, 1 / channels, np.float32) @ x.astype(np.float32)
    return y
