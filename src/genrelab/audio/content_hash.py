"""A hash of a file's audio without its tags: it does not change when the file is renamed, moved or retagged.

Only sizes and markers are parsed, nothing is decoded; memory does not grow with the file. Of an inconsistent file
everything counts as audio, so that a cached result is valid for exactly these bytes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from genrelab.audio.flac import metadata_blocks
from genrelab.audio.ogg import ByteRange, OggStream
from genrelab.audio.tag_blocks import InconsistentFileError, read_at, tags_after, tags_before

BLOCK = 1 << 20

ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_PROPERTIES = {
    bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"): 56,  # of the file: not its id, its size and its date
    bytes.fromhex("9107dcb7b7a9cf118ee600c00c205365"): 24,  # of a stream
}
"""Objects of the ASF header that belong to the audio, and the number of bytes at their start that do not."""

MP4_FIRST = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
MP4_INSIDE = {
    b"moov": (b"trak",), b"trak": (b"mdia",), b"mdia": (b"mdhd", b"minf"), b"minf": (b"stbl",),
    b"stbl": (b"stsd", b"stsz", b"stz2", b"stts", b"stsc"), b"moof": (b"traf",), b"traf": (b"trun",),
}  # fmt: skip
MP4_TABLES = (*MP4_INSIDE[b"stbl"], b"trun")


def sha256_of_audio(path: str | Path) -> str:
    """SHA-256 of a file's audio.

    It omits ID3v2 and APEv2 tags at the start; ID3v1, ID3v2, APEv2 and Lyrics3 tags at the end; FLAC's metadata blocks
    except STREAMINFO; comment packets and page boundaries of Ogg; everything in MP4 except `mdat` and the tables needed
    to decode it, in WAV except `fmt ` and `data`, in AIFF except `COMM` and `SSND`, and in the header of ASF except the
    properties of its streams. Other and damaged files are hashed as a whole.

    Args:
        path: any file.

    Returns:
        64 hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with Path(path).open("rb") as f:
        for offset, length in audio_ranges(f):
            for block in blocks(f, offset, length):
                digest.update(block)
    return digest.hexdigest()


def audio_ranges(f: BinaryIO) -> list[ByteRange]:
    """The byte ranges of the audio in an open file, in order.

    Raises:
        OSError: it cannot be read.
    """
    size = f.seek(0, 2)
    try:
        found = list(_ranges_by_format(f, size))
    except InconsistentFileError:
        return [(0, size)]
    return found if sum(length for _, length in found) else [(0, size)]


def blocks(f: BinaryIO, offset: int, length: int) -> Iterator[bytes]:
    """A byte range of a file, at most `BLOCK` bytes (1 MiB) at a time."""
    f.seek(offset)
    while length > 0 and (block := f.read(min(BLOCK, length))):
        length -= len(block)
        yield block


def _ranges_by_format(f: BinaryIO, size: int) -> Iterator[ByteRange]:
    head = read_at(f, 0, 16)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        yield from chunks(f, b"fmt ", b"data")
    elif head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        yield from chunks(f, b"COMM", b"SSND")
    elif head[:4] == b"OggS":
        yield from _ogg_ranges(f, size)
    elif head[4:8] in MP4_FIRST:
        yield from _mp4_ranges(f, size)
    elif head == ASF_HEADER:
        yield from _asf_ranges(f, size)
    else:
        before, after = tags_before(f), tags_after(f, size)
        start, end = before[-1].end if before else 0, after[-1].start if after else size
        if read_at(f, start, 4) == b"fLaC":
            yield start + 8, 34  # STREAMINFO is the first block, and always this long
            start = _after_flac_blocks(f, start + 4)
        yield start, _require_non_negative(end - start)


def _require_non_negative(length: int) -> int:
    if length < 0:
        raise InconsistentFileError
    return length


def _after_flac_blocks(f: BinaryIO, at: int) -> int:
    *_, (_, content, length) = metadata_blocks(f, at)
    at = content + length
    frame = read_at(f, at, 2)
    if len(frame) < 2 or frame[0] != 0xFF or frame[1] & 0xFC != 0xF8:
        raise InconsistentFileError
    return at


# --- containers ---


def chunks(f: BinaryIO, *wanted: bytes) -> Iterator[ByteRange]:
    """Contents of the wanted chunks of a RIFF or IFF file: chunks padded to even length inside one outer chunk.

    Raises:
        InconsistentFileError: sizes that do not fit the file.
        OSError: it cannot be read.
    """
    size, head = f.seek(0, 2), read_at(f, 0, 8)
    layout = ">4sI" if head[:4] == b"FORM" else "<4sI"
    end = 8 + struct.unpack(layout, head)[1]
    if end > size + 1:  # the padding byte of the last chunk is often missing
        raise InconsistentFileError
    at = 12
    while at + 8 <= min(end, size):
        name, length = struct.unpack(layout, read_at(f, at, 8))
        _require_non_negative(size - at - 8 - length)
        if name in wanted:
            yield at + 8, length
        at += 8 + length + length % 2


def _mp4_ranges(f: BinaryIO, size: int) -> Iterator[ByteRange]:
    tables: list[ByteRange] = []
    for name, offset, length in atoms(f, 0, size):
        if name == b"mdat":
            yield offset, length
        tables += _mp4_decoding_ranges(f, name, offset, length)
    yield from tables  # last, because they may be before the audio data or after it


def _mp4_decoding_ranges(f: BinaryIO, name: bytes, offset: int, length: int) -> Iterator[ByteRange]:
    """The ranges below an MP4 atom needed to decode the audio, without offsets and modification times."""
    if name in MP4_INSIDE:
        for inner, at, n in atoms(f, offset, offset + length):
            if inner in MP4_INSIDE[name]:
                yield from _mp4_decoding_ranges(f, inner, at, n)
    elif name == b"mdhd":
        times = 20 if read_at(f, offset, 1) == b"\1" else 12
        yield offset + times, _require_non_negative(length - times)
    elif name in MP4_TABLES:
        yield offset, length


def atoms(f: BinaryIO, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, offset of the content, and its length, of every MP4 atom between two offsets.

    Raises:
        InconsistentFileError: sizes that do not fit.
        OSError: it cannot be read.
    """
    while at < end:
        head = read_at(f, at, 16)
        if len(head) < 8:
            raise InconsistentFileError
        length, header = int.from_bytes(head[:4], "big"), 8
        if length == 1:
            length, header = int.from_bytes(head[8:], "big"), 16
        elif length == 0:  # to the end
            length = end - at
        if length < header:
            raise InconsistentFileError
        _require_non_negative(end - at - length)
        yield head[4:8], at + header, length - header
        at += length


def _asf_ranges(f: BinaryIO, size: int) -> Iterator[ByteRange]:
    end = int.from_bytes(read_at(f, 16, 8), "little")
    _require_non_negative(size - end)
    at = 30
    while at < end:
        head = read_at(f, at, 24)
        length = int.from_bytes(head[16:], "little")
        if len(head) < 24 or length < 24:
            raise InconsistentFileError
        skipped = ASF_PROPERTIES.get(head[:16])
        if skipped is not None:
            yield at + skipped, _require_non_negative(length - skipped)
        at += length
    _require_non_negative(end - at)
    yield end, size - end


def _ogg_ranges(f: BinaryIO, size: int) -> Iterator[ByteRange]:
    streams: dict[int, OggStream] = {}
    at = 0
    while at < size:
        head = read_at(f, at, 27)
        if len(head) < 27 or head[:5] != b"OggS\x00":
            raise InconsistentFileError
        lacing = f.read(head[26])
        body, length = at + 27 + head[26], sum(lacing)
        if len(lacing) < head[26] or body + length > size:
            raise InconsistentFileError
        serial = int.from_bytes(head[14:18], "little")
        if head[5] & 2:
            streams[serial] = OggStream(read_at(f, body, min(length, 8)))
        if serial not in streams:
            raise InconsistentFileError
        yield from streams[serial].audio(f, body, lacing)
        at = body + length
