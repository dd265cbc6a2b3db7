"""Ogg: where its comments are, and where the links of a chained file start."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from genrelab.audio.tag_blocks import find_all

HEADS_BEFORE_COMMENT = (b"\x01vorbis", b"OpusHead", b"Speex   ", b"\x80theora")
"""First bytes of streams whose second packet is the comment."""

FLAC_HEAD = 51
"""Bytes of the first packet of FLAC in Ogg; the last 34 are STREAMINFO, those before count the tag packets."""

ByteRange = tuple[int, int]
"""Offset and length in bytes."""


class OggStream:
    """One logical stream; tracks across pages which of its packets are comments."""

    def __init__(self, beginning: bytes) -> None:
        self._flac = beginning.startswith(b"\x7fFLAC")
        self._comments = self._flac or beginning.startswith(HEADS_BEFORE_COMMENT)
        self._packet, self._inside = 0, False  # complete packets; does one continue on the next page?
        self._skipped = False

    def audio(self, f: BinaryIO, body: int, lacing: bytes) -> Iterator[ByteRange]:
        """The ranges of a page's body that are not comments."""
        if not self._comments:
            yield body, sum(lacing)
            return
        for at, length, complete in _packets(body, lacing):
            if self._comments and not self._inside:
                f.seek(at)
                self._skipped = self._is_comment(f.read(1))
                if self._flac and self._packet == 0 and length == FLAC_HEAD:
                    yield at + FLAC_HEAD - 34, 34
            if not (self._comments and self._skipped):
                yield at, length
            self._inside = not complete
            self._packet += complete

    def _is_comment(self, first: bytes) -> bool:
        if not self._flac:
            self._comments = self._packet < 2
            return self._packet == 1
        self._comments = first != b"\xff"  # audio frames start with it, and no metadata block does
        return self._comments


def _packets(body: int, lacing: bytes) -> Iterator[tuple[int, int, bool]]:
    """Offset, length, and whether it ends here, of every packet or part of a packet on a page."""
    length = 0
    for value in lacing:
        length += value
        if value < 255:
            yield body, length, True
            body, length = body + length, 0
    if length:
        yield body, length, False


# --- chained files ---

_FIRST_PAGE = re.compile(rb"OggS\x00[\x02\x03\x06\x07]")
"""The first page of a stream: bit 2 of its flags."""


def link_starts(file: BinaryIO) -> Iterator[int]:
    """Offsets at which links start; several first pages in a row belong to one link."""
    end_of_last = -1
    for at in find_all(file, _FIRST_PAGE, 6):
        if at != end_of_last:
            yield at
        file.seek(at + 26)
        n_segments = (file.read(1) or b"\0")[0]
        end_of_last = at + 27 + n_segments + sum(file.read(n_segments))
