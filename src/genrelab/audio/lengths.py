"""The true length of an MP3 or a FLAC file by its frames, whatever its header states; nothing is decoded.

libsndfile believes these headers. Where they are wrong it gets a corrected copy of their few bytes (`part.Part`).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from genrelab.audio.part import Corrections

BLOCK = 1 << 17
"""Bytes that are read at once while frames are counted."""

FOLLOWING = 3
"""Frames that must follow each other before bytes behind damage count as frames again."""

SLACK_FRAMES = 2
"""Decoders drop as many frames of an MP3 at its ends, or keep them: two counts this close are the same."""

FLAC_TAIL = (1 << 16, 1 << 20)
"""Bytes at the end of a FLAC file in which its last frame is looked for: the usual size of frames, and the largest."""

_KBITS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates 1 to 14 by version of MPEG (2 stands for 2.5, too) and layer."""

_MPEG_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Sampling rates by the version bits of a frame."""


@dataclass(frozen=True)
class MpegFrames:
    """Count of the audio frames of an MP3.

    Attributes:
        frames, frame_samples, sr: number of frames that hold audio, samples of one channel in each, sampling rate.
        dropped: samples at both ends that the encoder added, and that decoders leave out.
        size: bytes from the first frame to the end of the last one.
        tag: offset of the number of frames in the Xing or Info header; None without one.
        flags: of that header: 1 with a number of frames, 2 with one of bytes.
        gaps: does something else stand between frames?
    """

    frames: int
    frame_samples: int
    sr: int
    dropped: int
    size: int
    tag: int | None
    flags: int
    gaps: bool

    def agrees(self, samples: int) -> bool:
        """Is that the length in samples, but for frames that decoders drop at the ends?"""
        own = self.frames * self.frame_samples - self.dropped
        return abs(own - samples) <= SLACK_FRAMES * self.frame_samples

    @property
    def corrections(self) -> Corrections:
        """Bytes with which its header states the truth (see `part.Part`); none where that has no place for it."""
        if self.tag is None or not self.flags & 1:
            return ()
        numbers = (self.frames, self.size)[: 1 + bool(self.flags & 2)]
        return ((self.tag, struct.pack(f">{len(numbers)}I", *numbers)),)


def after_id3v2(file: BinaryIO) -> int:
    """Offset behind the ID3v2 tags at the start of a file."""
    at = 0
    while True:
        file.seek(at)
        head = file.read(10)
        if len(head) < 10 or head[:3] != b"ID3":
            return at
        footer = 10 if head[3] == 4 and head[5] & 0x10 else 0
        at += 10 + footer + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])


@lru_cache(maxsize=256)
def frame_sizes(first: int) -> tuple[dict[int, int], int] | None:
    """Sizes in bytes of MPEG frames by the third byte of their header, and samples in each; None: no such frames.

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
    """Count the frames of an MP3 by their headers: a few milliseconds for a song. None: they are of a free bit rate."""
    start = after_id3v2(file)
    file.seek(start)
    head = file.read(1 << 16)
    first = _first_frame(head)
    if first is None:
        return None
    sizes, per_frame = frame_sizes(head[first + 1]) or ({}, 0)
    rate_bits = head[first + 2] & 0x0C
    sr = _MPEG_RATES[head[first + 1] >> 3 & 3][rate_bits >> 2]
    table = [sizes.get(b, 0) if b & 0x0C == rate_bits else 0 for b in range(256)]
    n, end, gaps = _count(file, start + first, head[first + 1] | 1, table)
    tag, flags, dropped, is_tag = _xing(head[first : first + 256])
    n -= is_tag
    at = None if tag is None else start + first + tag
    return MpegFrames(n, per_frame, sr, dropped, end - start - first, at, flags, gaps)


def _first_frame(head: bytes) -> int | None:
    for found in re.finditer(rb"\xff[\xe2-\xff]", head):
        at = found.start()
        if _follow(head, at, FOLLOWING):
            return at
    return None


def _follow(data: bytes, at: int, n: int) -> bool:
    """Do `n` MPEG frames follow each other from `at` on, as far as there are data?"""
    sizes, _ = frame_sizes(data[at + 1]) or ({}, 0) if at + 1 < len(data) else ({}, 0)
    kind, rate = data[at + 1] | 1 if sizes else 0, data[at + 2] & 0x0C if at + 2 < len(data) else 0
    for done in range(n):
        if at + 4 > len(data):
            return done > 0
        size = sizes.get(data[at + 2], 0)
        if data[at] != 0xFF or data[at + 1] | 1 != kind or data[at + 2] & 0x0C != rate or not size:
            return False
        at += size
    return True


def _count(file: BinaryIO, at: int, kind: int, table: list[int]) -> tuple[int, int, bool]:
    """Number of frames from `at` on, the offset behind the last one, and whether there is something between them."""
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
                return n, end, gaps
            continue
        found = _next_frame(data, p + 1, kind)
        lost = True
        at += (found if found is not None else max(len(data) - 4_096, p + 1)) - p
        if found is None and len(data) < BLOCK:
            return n, end, gaps


def _next_frame(data: bytes, at: int, kind: int) -> int | None:
    for found in re.compile(b"\xff[" + bytes((kind - 1, kind)) + b"]").finditer(data, at):
        if _follow(data, found.start(), FOLLOWING):
            return found.start()
    return None


def _xing(frame: bytes) -> tuple[int | None, int, int, bool]:
    """Where the numbers of a Xing or Info header stand in the first frame, its flags, what the encoder added, and
    whether that frame holds a header (of any kind) instead of audio."""
    found = re.search(rb"Xing|Info|VBRI", frame[:64])
    if found is None or found[0] == b"VBRI":
        return None, 0, 0, found is not None
    flags = int.from_bytes(frame[found.end() : found.end() + 4])
    lame = found.end() + 4 + 4 * (flags & 1) + 2 * (flags & 2) + 25 * (flags & 4) + (flags & 8) // 2
    added = frame[lame + 21 : lame + 24]
    known = frame[lame : lame + 4] in (b"LAME", b"Lavf", b"Lavc", b"L3.9") and len(added) == 3
    dropped = int.from_bytes(added) if known else 0
    return found.end() + 4, flags, (dropped >> 12) + (dropped & 0xFFF), True


# --- FLAC ---


@dataclass(frozen=True)
class FlacLength:
    """The number of samples of a FLAC file by its header, and by its last frame; `at`: where the header states it."""

    at: int
    stated: int
    samples: int
    byte: int

    @property
    def corrections(self) -> Corrections:
        """Bytes with which its header states the truth (see `part.Part`)."""
        return ((self.at, ((self.byte & 0xF0) << 32 | self.samples).to_bytes(5)),)


def flac_length(file: BinaryIO) -> FlacLength | None:
    """Compare what a FLAC file's header states with its last frame. None: no such frame is found."""
    start = after_id3v2(file)
    file.seek(start)
    head = file.read(42)
    if head[:4] != b"fLaC" or len(head) < 42:
        return None
    block = int.from_bytes(head[10:12])
    size = file.seek(0, 2)
    for tail in FLAC_TAIL:
        file.seek(max(size - tail, start + 42))
        samples = _end_of_last_frame(file.read(tail), block, (head[20] >> 1 & 7) + 1)
        if samples is not None:
            return FlacLength(start + 21, int.from_bytes(head[21:26]) & (1 << 36) - 1, samples, head[21])
    return None


def _end_of_last_frame(data: bytes, block: int, channels: int) -> int | None:
    """Number of samples up to the end of the last frame whose header stands in `data`."""
    for at in reversed([found.start() for found in re.finditer(rb"\xff[\xf8\xf9]", data)]):
        samples = _flac_frame_end(data[at : at + 16], block, channels)
        if samples is not None:
            return samples
    return None


def _flac_frame_end(head: bytes, block: int, channels: int) -> int | None:
    """Number of samples up to the end of the frame of this header; None: it is none."""
    if len(head) < 16:
        head = head + bytes(16 - len(head))
    size_code, rate_code, layout, reserved = head[2] >> 4, head[2] & 15, head[3] >> 4, head[3] & 1
    fits = layout == channels - 1 if channels != 2 else layout in (1, 8, 9, 10)
    if not size_code or rate_code == 15 or not fits or reserved:
        return None
    extra = 0 if head[4] < 0x80 else 8 - (head[4] ^ 0xFF).bit_length() - 1
    if head[4] >= 0x80 and not 1 <= extra <= 6:
        return None
    number = head[4] if not extra else head[4] & (0x3F >> extra)
    for byte in head[5 : 5 + extra]:
        if byte >> 6 != 2:
            return None
        number = number << 6 | byte & 0x3F
    at = 5 + extra
    if size_code in (6, 7):
        samples = int.from_bytes(head[at : at + size_code - 5]) + 1
        at += size_code - 5
    else:
        samples = 192 if size_code == 1 else 576 << size_code - 2 if size_code < 6 else 256 << size_code - 8
    at += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if at >= 16 or _crc8(head[:at]) != head[at]:
        return None
    return (number if head[1] & 1 else number * block) + samples


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1) ^ (0x107 if crc & 0x80 else 0)
    return crc
