"""One interface to two decoders: libsndfile (soundfile) reads what it can, FFmpeg (PyAV) the rest.

FFmpeg also reads files where libsndfile would stop early without an error: an MP3 of variable bit rate whose first
frame does not state its length (libsndfile then guesses), a file that is shorter than stated, damage in the middle.
What can be decoded counts, not what a header states: the frames of MP3 and FLAC are counted (`lengths.py`, `flac.py`),
and files of several parts, such as chained Ogg files, are read part by part (`part.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genrelab.audio import bitstream
from genrelab.audio.files import why_unreadable
from genrelab.audio.flac import flac_length, flac_starts
from genrelab.audio.lengths import count_mpeg_frames
from genrelab.audio.ogg import link_starts
from genrelab.audio.part import AudioError, Chain, Part
from genrelab.audio.sndfile import DECODER_ERRORS, LENGTH_TOLERANCE_S, SoundFile
from genrelab.audio.tag_blocks import read_at, stream_start
from genrelab.core.errors import DecodeError

if TYPE_CHECKING:
    from genrelab.audio.ffmpeg import FFmpeg

UNREADABLE = "cannot be decoded (not audio, or damaged)"
"""Error message of a file that no decoder reads."""

MAX_PARTS = 1_000
"""Maximum number of parts of a file that are read: a day of web radio has some hundreds."""


class Audio:
    """One audio file, open for reading.

    Args:
        path: the file.
        max_s: limit for measuring the length of a file that does not state it; of a longer one, slightly more than this
            is reported. None: no limit, so that the whole file is read.
        part: read only this part, as a separate file.

    Attributes:
        sr, channels, frames: rate, channels, and length in samples of one channel.
        decoder: `soundfile` or `av`; of several parts that of the first.
        parts: one part, or several in their order.
        notes: a sentence for each remark on the file, for the user.

    Raises:
        DecodeError: no readable file (stage `read`), no decoder reads it, or a bitstream instead of samples (stage
            `check`).
    """

    def __init__(self, path: str | Path, *, max_s: float | None = None, part: Part | None = None) -> None:
        self.path, self._max_s = Path(path), max_s
        self.notes: list[str] = []
        if reason := why_unreadable(self.path):
            raise DecodeError(path, reason, stage="read")
        parts = list(islice(find_parts(self.path) if part is None else iter([part]), MAX_PARTS + 1))
        if len(parts) > MAX_PARTS:
            self.notes.append(f"it consists of more than {MAX_PARTS:,} joined parts: the rest is left out")
            parts.pop()
        if len(parts) > 1:
            self._set_source(Chain(parts, lambda one: Audio(path, max_s=max_s, part=one), max_s, self.notes))
        else:
            self._set_source(_choose_decoder(parts[0], max_s, self.notes))

    def _set_source(self, source: SoundFile | FFmpeg | Chain) -> None:
        self._source, self.decoder = source, source.decoder
        self.sr, self.channels, self.frames = source.sr, source.channels, source.frames
        self.parts = source.parts if isinstance(source, Chain) else [replace(source.part, decoder=source.decoder)]

    def read(self, start_s: float, seconds: float | None) -> NDArray[np.float32]:
        """Mono samples from `start_s` on, shape (samples,): `seconds` of them, or fewer if the file ends earlier.

        Raises:
            DecodeError: neither libsndfile nor FFmpeg can decode them.
        """
        try:
            return self._source.read(start_s, seconds)
        except DECODER_ERRORS as e:
            if not isinstance(self._source, SoundFile):
                raise DecodeError(self.path, error_text(e)) from e
        self._source.close()
        self._set_source(_fall_back_to_ffmpeg(self._source.part, self._max_s, self.notes))
        return self.read(start_s, seconds)

    def close(self) -> None:
        """Close the file."""
        self._source.close()


def find_parts(path: Path) -> Iterator[Part]:
    """The parts of a file in order, with or without tags before them.

    These are the links of a chained Ogg file, joined FLAC files, or stretches of an MP3 with different rates, versions
    or layers. Any other file is one part.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = stream_start(file)
        head = read_at(file, start, 4)
        if head == b"OggS":
            yield from _between(path, [at for at in link_starts(file) if at >= start])
        elif head == b"fLaC":
            length = flac_length(file)
            starts = [] if length is None or length.agrees else flac_starts(file)
            yield from _between(path, [at for at in starts if at >= start], Part(path, counted=length))
        elif start or head[:1] == b"\xff":
            yield from _mpeg_parts(path)
        else:
            yield Part(path)


def _between(path: Path, starts: list[int], whole: Part | None = None) -> Iterator[Part]:
    """Parts that start at these offsets; the whole file if there are fewer than two."""
    if len(starts) < 2:
        yield whole or Part(path)
        return
    yield from (Part(path, at, end) for at, end in pairwise(starts))
    yield Part(path, starts[-1])


def _mpeg_parts(path: Path) -> Iterator[Part]:
    start: int | None = 0
    while start is not None:
        with Part(path, start).open() as file:
            counted = count_mpeg_frames(file)
        further = None if counted is None else counted.further
        stop = None if counted is None or further is None else start + counted.end
        yield Part(path, start, stop, counted=counted)
        start = None if further is None else start + further


def _choose_decoder(part: Part, max_s: float | None, notes: list[str]) -> SoundFile | FFmpeg:
    try:
        source = SoundFile(part, notes)
    except DECODER_ERRORS:
        return _fall_back_to_ffmpeg(part, max_s, notes)
    chosen: SoundFile | FFmpeg | None = None
    better: SoundFile | None = None
    try:
        _refuse_bitstream(source)
        if source.is_right():
            chosen = source
            return source
        corrected = source.corrected()
        better = None if corrected is None else _open_corrected(corrected, notes)
        if better is not None and better.is_certain:
            chosen = better
            return better
        chosen = _choose_by_length(part, source, better, max_s, notes)
        return chosen
    finally:
        for opened in (source, better):
            if opened is not None and opened is not chosen:
                opened.close()


def _choose_by_length(
    part: Part, source: SoundFile, better: SoundFile | None, max_s: float | None, notes: list[str]
) -> SoundFile | FFmpeg:
    """The source with the length that FFmpeg measures: the file as it is, or with a corrected header; else FFmpeg."""
    candidates = [s for s in (better, source) if s is not None and s.is_plausible]
    if not candidates:
        return _fall_back_to_ffmpeg(part, max_s, notes)
    try:
        ffmpeg = _open_with_ffmpeg(part, max_s, notes)
    except DECODER_ERRORS:
        return candidates[-1]  # its length is doubtful, but no other decoder reads the file

    def off_s(s: SoundFile) -> float:
        lengths = (s.frames / s.sr, ffmpeg.frames / ffmpeg.sr)
        return abs(lengths[0] - lengths[1]) if max_s is None or min(lengths) <= max_s else 0.0

    nearest = min(candidates, key=off_s)
    return nearest if off_s(nearest) <= LENGTH_TOLERANCE_S else ffmpeg


def _refuse_bitstream(source: SoundFile | FFmpeg) -> None:
    name = source.find_bitstream()
    if name is not None:
        raise DecodeError(source.part.path, bitstream.REASON.format(name), stage="check")


def _open_corrected(part: Part, notes: list[str]) -> SoundFile | None:
    """A file with a corrected header, if libsndfile reads it to the end."""
    try:
        source = SoundFile(part, notes)
    except DECODER_ERRORS:
        return None
    if source.is_plausible and source.is_complete():
        return source
    source.close()
    return None


def _open_with_ffmpeg(part: Part, max_s: float | None, notes: list[str]) -> FFmpeg:
    from genrelab.audio import ffmpeg  # imported late: most files do not need it

    source = ffmpeg.FFmpeg(replace(part, corrections=()), notes, max_s)
    _refuse_bitstream(source)
    return source


def _fall_back_to_ffmpeg(part: Part, max_s: float | None, notes: list[str]) -> FFmpeg:
    try:
        return _open_with_ffmpeg(part, max_s, notes)
    except DECODER_ERRORS as e:
        raise DecodeError(part.path, error_text(e)) from e


def error_text(error: BaseException) -> str:
    """The reason why a file cannot be decoded, for the user; a library's own message is for the traceback."""
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    return str(error) if isinstance(error, AudioError) else UNREADABLE
