"""One interface to two decoders: libsndfile (soundfile) reads what it can, FFmpeg (PyAV) the rest.

FFmpeg also takes over where libsndfile would stop early without an error: an MP3 of variable bit rate whose first frame
does not state its length (libsndfile then guesses), a file that is shorter than it states, damage in the middle. What
can be decoded counts, not what a header states: the frames of MP3 and FLAC are looked at (`lengths.py`), and chained
Ogg files are read link by link (`ogg.py`).
"""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genrelab.audio import bitstream
from genrelab.audio.ogg import Chain, find_parts
from genrelab.audio.part import Part
from genrelab.audio.sndfile import DECODER_ERRORS, LENGTH_TOLERANCE_S, SoundFile
from genrelab.core.errors import DecodeError

if TYPE_CHECKING:
    from genrelab.audio.ffmpeg import FFmpeg


class Audio:
    """One audio file, open for reading.

    Args:
        path: the file.
        most_s: up to where the length of a file that does not state it is measured; for a longer one slightly more than
            this is reported. None: to its end, for which all of it is read.
        part: read this part of it only, as a file of its own.

    Attributes:
        sr, channels, frames: rate, channels, and length in samples of one channel.
        decoder: `soundfile` or `av`; of a chained Ogg file that of its first link.
        parts: what is read: one part, or the links of a chained Ogg file.
        notes: sentences about what was found while reading that a user should know; each once.

    Raises:
        DecodeError: no file (stage `read`), no decoder reads it (with the message of the decoder, or of both), or its
            samples are a bitstream (stage `check`).
    """

    def __init__(self, path: str | Path, *, most_s: float | None = None, part: Part | None = None) -> None:
        self.path, self._most_s = Path(path), most_s
        self.notes: list[str] = []
        _require_regular_file(self.path)
        parts = find_parts(self.path) if part is None else [part]
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


def _choose_decoder(part: Part, most_s: float | None, notes: list[str]) -> SoundFile | FFmpeg:
    try:
        source = SoundFile(part, notes)
    except DECODER_ERRORS as e:
        return _fall_back_to_ffmpeg(part, e, most_s, notes)
    _refuse_bitstream(source)
    corrected = source.corrected()
    if corrected is None:
        if source.is_plausible and source.is_complete():
            return source
    elif (better := _open_corrected(corrected, notes)) is not None:
        source.close()
        return better
    if not source.is_plausible:
        source.close()
        error = ValueError(f"states a length of {source.frames} samples")
        return _fall_back_to_ffmpeg(part, error, most_s, notes)
    try:
        ffmpeg = _open_with_ffmpeg(part, most_s, notes)
    except DECODER_ERRORS:
        return source  # its length is doubtful, yet it is the only decoder that reads the file
    if abs(ffmpeg.frames / ffmpeg.sr - source.frames / source.sr) <= LENGTH_TOLERANCE_S:
        return source
    source.close()
    return ffmpeg


def _refuse_bitstream(source: SoundFile | FFmpeg) -> None:
    name = source.find_bitstream()
    if name is not None:
        source.close()
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
