"""libsndfile (soundfile): most files, block by block as mono."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from genrelab.core.stderr import silence_c_stderr

LENGTH_TOLERANCE_S = 0.1
"""Two counts of one file's length that differ by less are the same: encoder delay, padding, trailing tags."""

PREROLL_S = 0.5
"""How much is decoded before a window and discarded: overlaps and bit reservoirs have filled up by then."""

BLOCK_VALUES = 1 << 17
"""Values (frames x channels) decoded at once before they are mixed to mono: half a MiB, which fits the CPU cache."""

MP3_TAG_BYTES = 4_096
"""Tolerated difference of an MP3's size from the one that its first frame states: tags at its end."""

DECODER_ERRORS = (OSError, ValueError, RuntimeError, ArithmeticError, LookupError, TypeError, MemoryError)
"""What decoders raise on bad input; soundfile's own errors are RuntimeErrors."""


class SequentialSoundFile(soundfile.SoundFile):  # type: ignore[misc]
    """Reads sequentially: soundfile would seek after every read, which makes an MP3 be decoded again."""

    def seekable(self) -> bool:
        return False  # soundfile only uses this to decide whether to seek after a read; `seek` works all the same


class SoundFile:
    """One file, read by libsndfile; its methods raise one of `DECODER_ERRORS` on bad input."""

    decoder = "soundfile"

    def __init__(self, path: Path) -> None:
        # A descriptor, not a name: by its suffix libsndfile would take any text named `.au` for 8 kHz noise.
        self._path, self._handle = path, path.open("rb")
        try:
            with silence_c_stderr:
                self._file = SequentialSoundFile(self._handle.fileno(), closefd=False)
        except BaseException:
            self._handle.close()
            raise
        self.sr, self.channels, self.frames = self._file.samplerate, self._file.channels, self._file.frames
        self._position: int | None = None  # where the last read ended
        if not 0 < self.frames < 1 << 40:  # a streamed FLAC does not state its length
            self.close()
            raise ValueError(f"states a length of {self.frames} samples")

    def is_complete(self) -> bool:
        """Is the file as long as it states? Checks the first frame of an MP3, the last samples of other formats."""
        if self._file.format == "MP3":
            return _mp3_is_as_long_as_stated(self._path)
        tail = min(self.frames, 64)
        try:
            with silence_c_stderr:
                self._file.seek(self.frames - tail)
                return bool(len(self._file.read(tail, dtype="float32")) == tail)
        except DECODER_ERRORS:
            return False

    def read(self, start_s: float, seconds: float | None) -> NDArray[np.float32]:
        """Mono samples, shape (samples,)."""
        start = min(round(start_s * self.sr), self.frames)
        wanted = self.frames - start
        if seconds is not None:
            wanted = min(wanted, round(seconds * self.sr))
        preroll = self._preroll_samples(start)
        y, got = np.empty(preroll + wanted, np.float32), 0
        with silence_c_stderr:
            if start - preroll != self._position:
                self._file.seek(start - preroll)
            self._position = None  # unknown if the read fails
            for x in self._blocks(len(y)):
                self._to_mono(x, y[got : got + len(x)])
                got += len(x)
        if len(y) - got > LENGTH_TOLERANCE_S * self.sr:
            raise ValueError(f"stops {(len(y) - got) / self.sr:.2f} s before its end")
        self._position = start + wanted if got == len(y) else None
        return y[preroll:got]

    def _blocks(self, n: int) -> Iterator[NDArray[np.float32]]:
        """The next `n` samples as blocks (samples, channels), fewer where the file ends; each overwrites the last."""
        block = np.empty((max(BLOCK_VALUES // self.channels, 1), self.channels), np.float32)
        while n > 0:
            x = self._file.read(min(n, len(block)), out=block)
            yield x
            n = n - len(x) if len(x) == len(block) else 0

    def _to_mono(self, x: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        if self.channels == 1:
            out[:] = x[:, 0]
        else:
            np.matmul(x, np.full(self.channels, 1 / self.channels, np.float32), out=out)

    def _preroll_samples(self, start: int) -> int:
        """Samples to decode before a read: none, or few, where it follows the last one, which then needs no seek."""
        if self._position is not None and 0 <= start - self._position <= PREROLL_S * self.sr:
            return start - self._position
        # When seeking libsndfile goes back too little in an MP3, and not at all in an Ogg file, whose blocks overlap.
        return min(start, round(PREROLL_S * self.sr)) if self._file.format in ("MP3", "OGG") else 0

    def close(self) -> None:
        """Close the file."""
        with silence_c_stderr:
            self._file.close()
        self._handle.close()


def _mp3_is_as_long_as_stated(path: Path) -> bool:
    """Does the first frame carry a Xing, Info or VBRI tag with a size that matches the file's?

    Without one libsndfile assumes the first frame's bit rate throughout, and so reads only a part of a VBR file.
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
