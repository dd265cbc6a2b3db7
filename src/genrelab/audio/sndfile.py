"""libsndfile (soundfile): most files, block by block as mono."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import BinaryIO, Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from genrelab.audio import bitstream
from genrelab.audio.flac import FlacLength, flac_length
from genrelab.audio.lengths import Corrections, MpegFrames, count_mpeg_frames
from genrelab.audio.mix import CANCELLED, Mixer, mix_window
from genrelab.audio.part import Part
from genrelab.core.stderr import silence_c_stderr

LENGTH_TOLERANCE_S = 0.1
"""Two counts of one file's length that differ by less are the same: encoder delay, padding, trailing tags."""

PREROLL_S = 0.5
"""Seconds that are decoded before a window and discarded, to fill overlaps and bit reservoirs."""

BLOCK_VALUES = 1 << 17
"""Values (frames x channels) decoded at once before they are mixed to mono: half a MiB, which fits the CPU cache."""

LOSSY = ("VORBIS", "OPUS", "MPEG", "ADPCM", "GSM", "G72", "VOX", "DWVW", "DPCM", "NMS", "ALAW", "ULAW")
"""Parts of the names of encodings that cannot hold another bitstream."""

DECODER_ERRORS = (OSError, ValueError, RuntimeError, ArithmeticError, LookupError, TypeError, MemoryError)
"""What decoders raise on bad input; those of soundfile are RuntimeErrors."""


class SequentialSoundFile(soundfile.SoundFile):  # type: ignore[misc]
    """Reads sequentially: soundfile would seek after every read, which makes an MP3 be decoded again."""

    def seekable(self) -> bool:  # noqa: D102 - as in the base class
        return False  # soundfile only uses this to decide whether to seek after a read; `seek` works all the same


def open_part(part: Part) -> tuple[SequentialSoundFile, BinaryIO]:
    """A part of a file opened by libsndfile, and the file that must be closed after it.

    Raises:
        One of `DECODER_ERRORS`.
    """
    handle = part.open()
    try:
        with silence_c_stderr:
            # A descriptor, not a name: by its suffix libsndfile would take any text named `.au` for 8 kHz noise.
            return SequentialSoundFile(handle.fileno() if part.is_plain else handle, closefd=False), handle
    except BaseException:
        handle.close()
        raise


class SoundFile:
    """One part of a file, read by libsndfile; its methods raise one of `DECODER_ERRORS` on bad input.

    Args:
        notes: gets a sentence for each remark on the file.
    """

    decoder = "soundfile"

    def __init__(self, part: Part, notes: list[str]) -> None:
        self.part, self._notes = part, notes
        self._file, self._handle = open_part(part)
        self.sr, self.channels, self.frames = self._file.samplerate, self._file.channels, self._file.frames
        self._format = self._file.format
        self._position: int | None = None  # where the last read ended

    @property
    def is_plausible(self) -> bool:
        """Does its header state a length? That of a streamed FLAC does not."""
        return bool(0 < self.frames < 1 << 40)

    def find_bitstream(self) -> str | None:
        """The name of a bitstream, such as DTS, whose bytes its samples are; to be called before anything is read."""
        if any(name in self._file.subtype for name in LOSSY):
            return None
        try:
            with silence_c_stderr:
                return bitstream.find(lambda n: self._file.read(n, dtype="float32", always_2d=True))
        except DECODER_ERRORS:
            return None  # reading it raises the error

    def corrected(self) -> Part | None:
        """The part with the true length in its header, if the frames of an MP3 or FLAC show that it is wrong."""
        counted, corrections = self._counted, Corrections()
        if isinstance(counted, FlacLength) or (counted and not counted.agrees(self.frames) and not counted.gaps):
            corrections = counted.corrections
        shifted = tuple((self.part.start + at, correct) for at, correct in corrections)
        return replace(self.part, corrections=shifted) if shifted else None

    @cached_property
    def _counted(self) -> FlacLength | MpegFrames | None:
        """Its length by its frames, of MP3 and FLAC."""
        if self._format not in ("MP3", "FLAC") or self.part.counted is not None:
            return self.part.counted if self._format in ("MP3", "FLAC") else None
        with self.part.open() as file:
            return count_mpeg_frames(file) if self._format == "MP3" else flac_length(file)

    @property
    def is_certain(self) -> bool:
        """Is its length the sum of all its frames?"""
        return bool(self._format == "MP3")

    def is_right(self) -> bool:
        """Does it state its length, and do its frames and its last samples confirm it?"""
        doubted = isinstance(self._counted, FlacLength) and not self._counted.agrees
        return self.is_plausible and not doubted and self.is_complete()

    def is_complete(self) -> bool:
        """Is it as long as stated? Checked by all frame headers of an MP3, and by the last samples of other formats.

        For an MP3 that does not state its length libsndfile assumes the bit rate of the first frame, and so reads only
        a part if that varies.
        """
        if self._format == "MP3":
            return isinstance(self._counted, MpegFrames) and self._counted.agrees(self.frames)
        tail = min(self.frames, 64)
        try:
            with silence_c_stderr:
                self._file.seek(self.frames - tail)
                return bool(len(self._file.read(tail, dtype="float32")) == tail) and not self._has_more_samples()
        except DECODER_ERRORS:
            return False

    def _has_more_samples(self) -> bool:
        """Does an AU file have more samples than stated? Nothing else can be there."""
        if self._format != "AU":
            return False
        with self.part.open() as file:
            head = file.read(12)
            order: Literal["big", "little"] = "big" if head[:4] == b".snd" else "little"
            return file.seek(0, 2) > int.from_bytes(head[4:8], order) + int.from_bytes(head[8:12], order)

    def read(self, start_s: float, seconds: float | None) -> NDArray[np.float32]:
        """Mono samples, shape (samples,)."""
        start = min(round(start_s * self.sr), self.frames)
        wanted = self.frames - start
        if seconds is not None:
            wanted = min(wanted, round(seconds * self.sr))
        y, cancelled = mix_window(self.channels, lambda mixer: self._read(start, wanted, mixer))
        if cancelled and CANCELLED not in self._notes:
            self._notes.append(CANCELLED)
        return y

    def _read(self, start: int, wanted: int, mixer: Mixer) -> NDArray[np.float32]:
        preroll = self._preroll_samples(start)
        y, missing = np.empty(wanted, np.float32), preroll + wanted
        with silence_c_stderr:
            if start - preroll != self._position:
                self._file.seek(start - preroll)
            self._position = None  # unknown if the read fails
            for x in self._blocks(preroll):  # not mixed: only the window itself decides how it is mixed
                missing -= len(x)
            got = 0
            for x in self._blocks(wanted if missing == wanted else 0):
                mixer.mix(x, y[got : got + len(x)])
                got += len(x)
        missing -= got
        if missing > LENGTH_TOLERANCE_S * self.sr:
            raise ValueError(f"decoding stops {missing / self.sr:.2f} s before the end")
        self._position = start + wanted if not missing else None
        return y[:got]

    def _blocks(self, n: int) -> Iterator[NDArray[np.float32]]:
        """The next `n` samples as blocks (samples, channels), fewer at the end; each overwrites the last."""
        block = np.empty((max(BLOCK_VALUES // self.channels, 1), self.channels), np.float32)
        while n > 0:
            x = self._file.read(min(n, len(block)), out=block)
            yield x
            n = n - len(x) if len(x) == len(block) else 0

    def _preroll_samples(self, start: int) -> int:
        """Samples to decode before a read: few or none if it follows the last one, which needs no seek."""
        if self._position is not None and 0 <= start - self._position <= PREROLL_S * self.sr:
            return start - self._position
        # libsndfile seeks back too little in an MP3, and not at all in an Ogg file, whose blocks overlap.
        return min(start, round(PREROLL_S * self.sr)) if self._format in ("MP3", "OGG") else 0

    def close(self) -> None:
        """Close the file."""
        with silence_c_stderr:
            self._file.close()
        self._handle.close()
