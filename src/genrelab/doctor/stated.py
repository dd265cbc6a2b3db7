"""The lengths that the headers of a file state, right or wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from genrelab.audio.content_hash import atoms
from genrelab.audio.lengths import count_mpeg_frames
from genrelab.audio.part import Part
from genrelab.audio.tag_blocks import InconsistentFileError, read_at

UNKNOWN_BYTES = (1 << 31) - (1 << 16)
"""A WAV header with this size or more was written into a pipe, where the length was unknown."""

WAV_SAMPLES = (1, 3, 6, 7, 0xFFFE)
"""Formats of WAV in which the size of the data gives the number of samples: PCM, floats, A-law and mu-law."""

FFMPEG_CONTAINERS = ("matroska,webm", "w64", "caf", "wav")
"""Formats, by FFmpeg's names, whose header states a length that FFmpeg does not estimate."""

MP4_PARENTS = {b"moov": b"", b"trak": b"moov", b"mdia": b"trak", b"edts": b"trak"}
"""Boxes that hold others, and their parents; they are opened nowhere else, however deep a file nests them."""


def stated_lengths(path: Path) -> list[float]:
    """Durations in seconds that the headers state; none where they would only be estimated from the file size.

    0 counts where the header has a number that was never filled in, but not where 0 means unknown.
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
    except Exception:  # noqa: BLE001 - its parsers raise anything on damaged headers
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
    """By the number of frames (0 too) in an MP3's Xing or Info header; None without one."""
    with path.open("rb") as file:
        found = count_mpeg_frames(file)
        if found is None or found.tag is None or not found.flags & 1:
            return None
        file.seek(found.tag)
        samples = int.from_bytes(file.read(4)) * found.frame_samples - found.dropped
    return max(samples, 0) / found.sr


def _lengths_by_ffmpeg(path: Path) -> list[float]:
    """By the header of a container that mutagen does not read; none if there are several streams, as in a film."""
    from genrelab.audio import ffmpeg

    with suppress(*ffmpeg.FFMPEG_ERRORS), ffmpeg.open_part(Part(path)) as (container, _):
        if container.format.name in FFMPEG_CONTAINERS and container.duration and len(container.streams) == 1:
            return [float(container.duration / 1_000_000)]
    return []


def _lengths_of_mp4(path: Path) -> list[float]:
    """By the movie, the track, its edit list and its media; none if there are several tracks, which may last longer."""
    boxes: list[tuple[bytes, bytes]] = []
    with path.open("rb") as file, suppress(InconsistentFileError):  # what comes before the damage counts
        for box in _mp4_boxes(file, 0, file.seek(0, 2)):
            boxes.append(box)
    if sum(kind == b"mdhd" for kind, _ in boxes) != 1:
        return []
    numbers = [(kind, _mp4_numbers(kind, body)) for kind, body in boxes]
    movie = next((scale for kind, (scale, _) in numbers if kind == b"mvhd"), 0)
    lengths = ((scale or movie, length) for _, (scale, length) in numbers)
    return [length / scale for scale, length in lengths if scale and length]


def _mp4_boxes(file: BinaryIO, at: int, end: int, inside: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
    """Kind and first bytes of every box in the movie header that states a length."""
    for kind, start, length in atoms(file, at, end):
        if MP4_PARENTS.get(kind) == inside:
            yield from _mp4_boxes(file, start, start + length, kind)
        elif kind in (b"mvhd", b"mdhd", b"tkhd", b"elst"):
            yield kind, read_at(file, start, min(length, 1 << 16))


def _mp4_numbers(kind: bytes, body: bytes) -> tuple[int, int]:
    """Units per second (0: those of the movie), and the length in them; of an edit list the sum of its edits."""

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
