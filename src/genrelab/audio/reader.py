"""One interface to two decoders: libsndfile (soundfile) reads what it can, FFmpeg (PyAV) the rest.

FFmpeg also takes over where libsndfile would stop early without an error: an MP3 of variable bit rate whose first frame
does not state its length (libsndfile then guesses), a file that is shorter than it states, damage in the middle. What
can be decoded counts, not what a header states: the frames of MP3 and FLAC are looked at (`lengths.py`, `flac.py`), and
files of several parts, such as chained Ogg files, are read part by part (`part.py`).
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genrelab.audio import bitstream
from genrelab.audio.flac import flac_length, flac_starts
from genrelab.audio.lengths import count_mpeg_frames
from genrelab.audio.ogg import link_starts
from genrelab.audio.part import Chain, Part
from genrelab.audio.sndfile import DECODER_ERRORS, LENGTH_TOLERANCE_S, SoundFile
from genrelab.audio.tag_blocks import read_at, stream_start
from genrelab.core.errors import DecodeError

if TYPE_CHECKING:
    from genrelab.audio.ffmpeg import FFmpeg

MAX_PARTS = 1_000
"""Most parts of a file that are read: a day of web radio has some hundreds."""


class Audio:
    """One audio file, open for reading.

    Args:
        path: the file.
        most_s: up to where the length of a file that does not state it is measured; for a longer one slightly more than
            this is reported. None: to its end, for which all of it is read.
        part: read this part of it only, as a file of its own.

    Attributes:
        sr, channels, frames: rate, channels, and length in samples of one channel.
        decoder: `soundfile` or `av`; of a file of several parts that of the first.
        parts: what is read: one part, or several that follow each other.
        notes: sentences about what was found while reading that a user should know; each once.

    Raises:
        DecodeError: no file (stage `read`), no decoder reads it (with the message of the decoder, or of both), or its
            samples are a bitstream (stage `check`).
    """

    def __init__(self, path: str | Path, *, most_s: float | None = None, part: Part | None = None) -> None:
        self.path, self._most_s = Path(path), most_s
        self.notes: list[str] = []
        _require_regular_file(self.path)
        parts = list(islice(find_parts(self.path) if part is None else iter([part]), MAX_PARTS + 1))
        if len(parts) > MAX_PARTS:
            self.notes.append(f"it has more than {MAX_PARTS:,} parts: those behind are left out")
            parts.pop()
        if len(parts) > 1:
            self._set_source(Chain(parts, lambda link: Audio(path, most_s=most_s, part=link), most_s, self.notes))
        else:
            self._set_source(_choose_decoder(parts[0], most_s, self.notes))

    def _set_source(self, source: SoundFile | FFmpeg | Chain) -> None:
        self._source, self.decoder = source, source.decoder
        self.sr, self.channels, self.frames = source.sr, source.channels, source.frames
        self.parts = source.parts if isinstance(source, Chain) else [replace(source.part, decoder=source.decoder)]

    def read(self, start_s: float, seconds: float | None) -> NDArray[np.float32]:
        """Mono samples from `start_s` on, shape (samples,): `seconds` of them, or fewer where the file ends earlier.

        Raises:
            DecodeError: FFmpeg cannot decode them; it is tried where libsndfile cannot.
        """
        try:
            return self._source.read(start_s, seconds)
        except DECODER_ERRORS as e:
            error = e
        if not isinstance(self._source, SoundFile):
            raise DecodeError(self.path, _error_text(error)) from error
        self._source.close()
        ffmpeg = _fall_back_to_ffmpeg(self._source.part, error, self._most_s, self.notes)
        self._set_source(ffmpeg)
        try:
            return ffmpeg.read(start_s, seconds)
        except DECODER_ERRORS as e:
            raise DecodeError(self.path, f"soundfile: {_error_text(error)}; FFmpeg: {_error_text(e)}") from e

    def close(self) -> None:
        """Close the file."""
        self._source.close()


def _require_regular_file(path: Path) -> None:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would block for ever
            kind = "a folder, not a file" if path.is_dir() else "not a regular file"
            raise DecodeError(path, kind, stage="read")
        if status.st_size == 0:
            raise DecodeError(path, "the file is empty", stage="read")
        path.open("rb").close()
    except (OSError, ValueError) as e:
        raise DecodeError(path, _error_text(e), stage="read") from e


def find_parts(path: Path) -> Iterator[Part]:
    """The parts of a file in their order, tags in front or not: the links of a chained Ogg file, FLAC files that were
    joined, stretches of an MP3 between which its rate, version or layer changes. Any other file is one part.

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
    """Parts that begin at these offsets; the file as a whole where they are fewer than two."""
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


def _choose_decoder(part: Part, most_s: float | None, notes: list[str]) -> SoundFile | FFmpeg:
    try:
        source = SoundFile(part, notes)
    except DECODER_ERRORS as e:
        return _fall_back_to_ffmpeg(part, e, most_s, notes)
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
        chosen = _by_ffmpegs_measure(part, source, better, most_s, notes)
        return chosen
    finally:
        for opened in (source, better):
            if opened is not None and opened is not chosen:
                opened.close()


def _by_ffmpegs_measure(
    part: Part, source: SoundFile, better: SoundFile | None, most_s: float | None, notes: list[str]
) -> SoundFile | FFmpeg:
    """What FFmpeg's length agrees with: the file as it is, or with its header corrected; else FFmpeg itself."""
    candidates = [s for s in (better, source) if s is not None and s.is_plausible]
    if not candidates:
        return _fall_back_to_ffmpeg(part, ValueError(f"states a length of {source.frames} samples"), most_s, notes)
    try:
        ffmpeg = _open_with_ffmpeg(part, most_s, notes)
    except DECODER_ERRORS:
        return candidates[-1]  # its length is doubtful, yet it is the only decoder that reads the file

    def off_s(s: SoundFile) -> float:
        lengths = (s.frames / s.sr, ffmpeg.frames / ffmpeg.sr)
        return abs(lengths[0] - lengths[1]) if most_s is None or min(lengths) <= most_s else 0.0

    nearest = min(candidates, key=off_s)
    return nearest if off_s(nearest) <= LENGTH_TOLERANCE_S else ffmpeg


def _refuse_bitstream(source: SoundFile | FFmpeg) -> None:
    name = source.find_bitstream()
    if name is not None:
        raise DecodeError(source.part.path, bitstream.REASON.format(name), stage="check")


def _open_corrected(part: Part, notes: list[str]) -> SoundFile | None:
    """A file whose header is corrected, if libsndfile reads it to its end."""
    try:
        source = SoundFile(part, notes)
    except DECODER_ERRORS:
        return None
    if source.is_plausible and source.is_complete():
        return source
    source.close()
    return None


def _open_with_ffmpeg(part: Part, most_s: float | None, notes: list[str]) -> FFmpeg:
    from genrelab.audio import ffmpeg  # imported late: most files do not need it

    source = ffmpeg.FFmpeg(replace(part, corrections=()), notes, most_s)
    _refuse_bitstream(source)
    return source


def _fall_back_to_ffmpeg(part: Part, error: BaseException, most_s: float | None, notes: list[str]) -> FFmpeg:
    try:
        return _open_with_ffmpeg(part, most_s, notes)
    except DECODER_ERRORS as e:
        raise DecodeError(part.path, f"soundfile: {_error_text(error)}; FFmpeg: {_error_text(e)}") from e


def _error_text(e: BaseException) -> str:
    """A decoder's message without the name of the file: the error around it names the file."""
    return getattr(e, "error_string", None) or getattr(e, "strerror", None) or str(e) or type(e).__name__
