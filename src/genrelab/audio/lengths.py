"""The true length of an MP3 by its frames, whatever its header states; nothing is decoded.

libsndfile relies on that header. If it is wrong, libsndfile gets it with corrected bytes (`part.Part`).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from genrelab.audio.tag_blocks import stream_start

Corrections = tuple[tuple[int, bytes], ...]
"""Offsets, and the bytes that replace the file's own there."""

BLOCK = 1 << 17
"""Bytes read at once while frames are counted."""

FOLLOWING = 3
"""Consecutive frames needed before bytes after damage count as frames again."""

OVERLAP = 1 << 13
"""Bytes at the end of a block that are read again with the next: FOLLOWING frames of any kind fit into them."""

SLACK_FRAMES = 2
"""Decoders drop up to this many frames at the ends of an MP3: two counts this close are equal."""

_KBITS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    **dict.fromkeys([(2, 2), (2, 3)], (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)),
}
"""Bit rates 1 to 14 by version of MPEG (2 includes 2.5) and layer."""

_SYNC = re.compile(rb"\xff[\xe2-\xff]")

_MPEG_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Sampling rates by the version bits of a frame."""


@dataclass(frozen=True)
class MpegFrames:
    """Count of the audio frames of an MP3.

    Attributes:
        frames, frame_samples, sr: number of frames that hold audio, samples of one channel in each, sampling rate.
        dropped: samples that the encoder added at both ends and decoders leave out.
        size, end: bytes from the first frame to the end of the last one, and the offset of that end.
        tag: offset of the number of frames in the Xing or Info header; None without one.
        flags: of that header: 1 with a number of frames, 2 with one of bytes.
        gaps: is there anything else between frames?
        further: offset of the first frame of another version, layer or rate; the count ends there. None: no such frame.
    """

    frames: int
    frame_samples: int
    sr: int
    dropped: int
    size: int
    end: int
    tag: int | None
    flags: int
    gaps: bool
    further: int | None

    def agrees(self, samples: int) -> bool:
        """Is that the length in samples, apart from frames that decoders drop at the ends?"""
        own = self.frames * self.frame_samples - self.dropped
        return abs(own - samples) <= SLACK_FRAMES * self.frame_samples

    @property
    def corrections(self) -> Corrections:
        """Bytes that correct its header (see `part.Part`); none if it has no field for the number."""
        if self.tag is None or not self.flags & 1:
            return ()
        numbers = (self.frames, self.size)[: 1 + bool(self.flags & 2)]
        return ((self.tag, struct.pack(f">{len(numbers)}I", *numbers)),)


@lru_cache(maxsize=256)
def frame_sizes(first: int) -> tuple[dict[int, int], int] | None:
    """Sizes in bytes of MPEG frames by the third byte of their header, and samples in each; None if there are none.

    Args:
        first: the second byte of the header: version, layer, and whether there is a checksum.
    """
    version, layer = first >> 3 & 3, 4 - (first >> 1 & 3)
    if first < 0xE0 or version == 1 or layer == 4:
        return None
    low = version != 3
    samples = 384 if layer == 1 else 576 if layer == 3 and low else 1152
    sizes = {}
    for i, kbits in enumerate(_KBITS[2 if low else 1, layer], 1):
        for j, sr in enumerate(_MPEG_RATES[version]):
            for padded in (0, 1):
                size = samples // 8 * kbits * 1_000 // sr + padded
                if layer == 1:
                    size = (12 * kbits * 1_000 // sr + padded) * 4
                for private in (0, 1):
                    sizes[i << 4 | j << 2 | padded << 1 | private] = size
    return sizes, samples


def count_mpeg_frames(file: BinaryIO) -> MpegFrames | None:
    """Count the frames of an MP3 by their headers: a few milliseconds per song. None: their bit rate is free."""
    start = stream_start(file)
    file.seek(start)
    head = file.read(1 << 16)
    first = next((found.start() for found in _SYNC.finditer(head) if _follow(head, found.start())), None)
    if first is None:
        return None
    sizes, per_frame = frame_sizes(head[first + 1]) or ({}, 0)
    rate_bits = head[first + 2] & 0x0C
    sr = _MPEG_RATES[head[first + 1] >> 3 & 3][rate_bits >> 2]
    table = [sizes.get(b, 0) if b & 0x0C == rate_bits else 0 for b in range(256)]
    n, end, gaps, further = _count(file, start + first, head[first + 1] | 1, table)
    tag, flags, dropped, is_tag = _xing(head[first : first + 256])
    n -= is_tag
    at = None if tag is None else start + first + tag
    return MpegFrames(n, per_frame, sr, dropped, end - start - first, end, at, flags, gaps, further)


def _follow(data: bytes, at: int, *, whole: bool = False) -> bool:
    """Are there FOLLOWING consecutive MPEG frames from `at`, as far as the data go? `whole`: the data must hold all."""
    sizes, _ = frame_sizes(data[at + 1]) or ({}, 0) if at + 1 < len(data) else ({}, 0)
    kind, rate = data[at + 1] | 1 if sizes else 0, data[at + 2] & 0x0C if at + 2 < len(data) else 0
    for done in range(FOLLOWING):
        if at + 4 > len(data):
            return done > 0 and not whole
        size = sizes.get(data[at + 2], 0)
        if data[at] != 0xFF or data[at + 1] | 1 != kind or data[at + 2] & 0x0C != rate or not size:
            return False
        at += size
    return not whole or at <= len(data)


def _count(file: BinaryIO, at: int, kind: int, table: list[int]) -> tuple[int, int, bool, int | None]:
    """Count frames from `at` on.

    Returns:
        Their number, the offset after the last one, whether anything is between them, and the offset of a frame of
        another kind that ends the count.
    """
    n, end, gaps, lost = 0, at, False, False
    while True:
        file.seek(at)
        data = file.read(BLOCK)
        p, last = 0, len(data) - 4
        while p <= last:
            size = table[data[p + 2]] if data[p] == 0xFF and data[p + 1] | 1 == kind else 0
            if not size:
                break
            n += 1
            p += size
        if p:
            gaps, lost, end = gaps or lost, False, at + p
        at += p
        if p > last:
            if len(data) < BLOCK:
                return n, end, gaps, None
            continue
        found, is_own = _next_frame(data, p, kind, table)
        if found is not None and not is_own:
            return n, end, gaps, at + found - p
        lost = True
        at += (found if found is not None else max(len(data) - OVERLAP, p + 1)) - p
        if found is None and len(data) < BLOCK:
            return n, end, gaps, None


def _next_frame(data: bytes, at: int, kind: int, table: list[int]) -> tuple[int | None, bool]:
    """Offset of the next frame after other data, and whether it is of this kind; others must be whole."""
    for found in _SYNC.finditer(data, at, len(data) - 2):
        here = found.start()
        is_own = data[here + 1] | 1 == kind and table[data[here + 2]] > 0
        if _follow(data, here, whole=not is_own):
            return here, is_own
    return None, False


def _xing(frame: bytes) -> tuple[int | None, int, int, bool]:
    """Read the Xing or Info header in the first frame.

    Returns:
        Offset of its numbers, its flags, the samples that the encoder added, and whether the frame holds a header (of
        any kind) instead of audio.
    """
    found = re.search(rb"Xing|Info|VBRI", frame[:64])
    if found is None or found[0] == b"VBRI":
        return None, 0, 0, found is not None
    flags = int.from_bytes(frame[found.end() : found.end() + 4])
    lame = found.end() + 4 + 4 * (flags & 1) + 2 * (flags & 2) + 25 * (flags & 4) + (flags & 8) // 2
    added = frame[lame + 21 : lame + 24]
    known = frame[lame : lame + 4] in (b"LAME", b"Lavf", b"Lavc", b"L3.9") and len(added) == 3
    dropped = int.from_bytes(added) if known else 0
    return found.end() + 4, flags, (dropped >> 12) + (dropped & 0xFFF), True
