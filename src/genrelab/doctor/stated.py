"""The lengths that a file's own headers state, right or wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from genrelab.audio.lengths import count_mpeg_frames

UNKNOWN_BYTES = (1 << 31) - (1 << 16)
"""A WAV header with this size or more was written into a pipe: the length was not known."""

WAV_SAMPLES = (1, 3, 6, 7, 0xFFFE)
"""Formats of WAV in which the size of the sound is a number of samples: PCM, floats, A-law and mu-law."""

FFMPEG_CONTAINERS = ("matroska,webm", "w64", "caf", "wav")
"""Formats, by FFmpeg's name, whose header states a length that FFmpeg doesn't estimate."""

MP4_PARENTS = {b"moov": b"", b"trak": b"moov", b"mdia": b"trak", b"edts": b"trak"}
"""Boxes that hold others, and in which box they lie: nowhere else are they opened, however deep a file nests them."""


def stated_lengths(path: Path) -> list[float]:
    """Durations in seconds by the file's headers; none where they state nothing, or it is only estimated from the size.

    0 counts where a number is stated that was never filled in, and not where 0 means unknown.
    """
    import mutagen
    from mutagen.aac import AACInfo
    from mutagen.ac3 import AC3Info
    from mutagen.mp3 import BitrateMode, MPEGInfo
    from mutagen.mp4 import MP4Info
    from mutagen.wave import WaveStreamInfo

    try:
        info = getattr(mutagen.File(path), "info", None)
        seconds = float(getattr(info, "length", 0.0))
    except Exception:  # noqa: BLE001 - its parsers raise anything on damaged headers; what the decoders report counts
        return []
    if isinstance(info, MP4Info):
        return _lengths_of_mp4(path)
    if isinstance(info, MPEGInfo) and (by_tag := _length_by_xing(path)) is not None:
        return [by_tag]
    if info is None or (isinstance(info, WaveStreamInfo) and info.audio_format not in WAV_SAMPLES):
        return _lengths_by_ffmpeg(path)
    if isinstance(info, WaveStreamInfo):
        return [seconds] if seconds * info.bitrate / 8 < UNKNOWN_BYTES else []
    estimated = isinstance(info, AACInfo | AC3Info) or (
        isinstance(info, MPEGInfo) and info.bitrate_mode == BitrateMode.UNKNOWN
    )
    return [seconds] if math.isfinite(seconds) and seconds > 0 and not estimated else []


def _length_by_xing(path: Path) -> float | None:
    """By the number of frames in an MP3's Xing or Info header, be it 0; None without one."""
    with path.open("rb") as file:
        found = count_mpeg_frames(file)
        if found is None or found.tag is None or not found.flags & 1:
            return None
        file.seek(found.tag)
        samples = int.from_bytes(file.read(4)) * found.frame_samples - found.dropped
    return max(samples, 0) / found.sr


def _lengths_by_ffmpeg(path: Path) -> list[float]:
    """By the header of a container that mutagen doesn't know; of one stream: a film may last longer than its sound."""
    from genrelab.audio import ffmpeg

    with suppress(*ffmpeg.FFMPEG_ERRORS), ffmpeg.open_file(path) as (container, _):
        if container.format.name in FFMPEG_CONTAINERS and container.duration and len(container.streams) == 1:
            return [float(container.duration / 1_000_000)]
    return []


def _lengths_of_mp4(path: Path) -> list[float]:
    """By the movie, the track, its edit list and its media; none of several tracks: they may last longer."""
    with path.open("rb") as file:
        boxes = list(_mp4_boxes(file, file.seek(0, 2)))
    if sum(kind == b"mdhd" for kind, _ in boxes) != 1:
        return []
    numbers = [(kind, _mp4_numbers(kind, body)) for kind, body in boxes]
    movie = next((scale for kind, (scale, _) in numbers if kind == b"mvhd"), 0)
    lengths = ((scale or movie, length) for _, (scale, length) in numbers)
    return [length / scale for scale, length in lengths if scale and length]


def _mp4_boxes(file: BinaryIO, stop: int, at: int = 0, inside: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
    """Kind and first bytes of every box that states a length, in the movie's header."""
    while at + 8 <= stop:
        file.seek(at)
        head = file.read(16)
        size, kind, header = int.from_bytes(head[:4]), head[4:8], 8
        if size == 1:
            size, header = int.from_bytes(head[8:16]), 16
        if size < header:  # 0: to the end of the file
            return
        if MP4_PARENTS.get(kind) == inside:
            yield from _mp4_boxes(file, min(at + size, stop), at + header, kind)
        elif kind in (b"mvhd", b"mdhd", b"tkhd", b"elst"):
            file.seek(at + header)
            yield kind, file.read(min(size - header, 1 << 16))
        at += size


def _mp4_numbers(kind: bytes, body: bytes) -> tuple[int, int]:
    """Units a second (0: those of the movie) and the length in them; of an edit list the sum of its edits."""

    def number(at: int, n: int) -> Any:
        return int.from_bytes(body[at : at + n])

    wide = 8 if body[:1] == b"\x01" else 4
    if kind == b"elst":
        step = 2 * wide + 4
        return 0, sum(number(8 + i * step, wide) for i in range(min(number(4, 4), len(body) // step)))
    if kind == b"tkhd":
        return 0, number(12 + 2 * wide, wide)
    length = number(8 + 2 * wide, wide)
    return number(4 + 2 * wide, 4), 0 if length == (1 << 8 * wide) - 1 else length
