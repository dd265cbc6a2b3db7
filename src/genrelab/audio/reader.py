"""One interface to two decoders: libsndfile (soundfile) reads what it can, FFmpeg (PyAV) the rest.

FFmpeg also takes over where libsndfile would stop early without an error: an MP3 of variable bit rate whose first frame
does not state its length (libsndfile then guesses), a file that is shorter than it states, damage in the middle.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

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

    Attributes:
        sr, channels, frames: rate, channels, and length in samples of one channel.
        decoder: `soundfile` or `av`.

    Raises:
        DecodeError: no file (stage `read`), or no decoder reads it; with the message of the decoder, or of both.
    """

    def __init__(self, path: str | Path, *, most_s: float | None = None) -> None:
        self.path, self._most_s = Path(path), most_s
        _require_regular_file(self.path)
        self._set_decoder(_choose_decoder(self.path, most_s))

    def _set_decoder(self, source: SoundFile | FFmpeg) -> None:
        self._source, self.decoder = source, source.decoder
        self.sr, self.channels, self.frames = source.sr, source.channels, source.frames

    def read(self, start_s: float, seconds: float | None) -> NDArray[np.float32]:
        """Mono samples from `start_s` on, shape (samples,): `seconds` of them, or fewer where the file ends earlier.

        Raises:
            DecodeError: FFmpeg cannot decode them; it is tried where libsndfile cannot.
        """
        try:
            return self._source.read(start_s, seconds)
        except DECODER_ERRORS as e:
            error = e
        if self.decoder == "av":
            raise DecodeError(self.path, _error_text(error)) from error
        self._source.close()
        ffmpeg = _fall_back_to_ffmpeg(self.path, error, self._most_s)
        self._set_decoder(ffmpeg)
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


def _choose_decoder(path: Path, most_s: float | None) -> SoundFile | FFmpeg:
    try:
        source = SoundFile(path)
    except DECODER_ERRORS as e:
        return _fall_back_to_ffmpeg(path, e, most_s)
    if source.is_complete():
        return source
    try:
        ffmpeg = _open_with_ffmpeg(path, most_s)
    except DECODER_ERRORS:
        return source  # its length is doubtful, yet it is the only decoder that reads the file
    if abs(ffmpeg.frames / ffmpeg.sr - source.frames / source.sr) <= LENGTH_TOLERANCE_S:
        return source
    source.close()
    return ffmpeg


def _open_with_ffmpeg(path: Path, most_s: float | None) -> FFmpeg:
    from genrelab.audio import ffmpeg  # imported late: most files do not need it

    return ffmpeg.FFmpeg(path, most_s)


def _fall_back_to_ffmpeg(path: Path, error: BaseException, most_s: float | None) -> FFmpeg:
    try:
        return _open_with_ffmpeg(path, most_s)
    except DECODER_ERRORS as e:
        raise DecodeError(path, f"soundfile: {_error_text(error)}; FFmpeg: {_error_text(e)}") from e


def _error_text(e: BaseException) -> str:
    """A decoder's message without the name of the file: the error around it names the file."""
    return getattr(e, "error_string", None) or getattr(e, "strerror", None) or str(e) or type(e).__name__
