"""All samples of a file, block by block, with separate channels.

Models use one channel (`reader.Audio.read`); measuring the quality of a file needs all, and an error where decoding
stops early. Memory is that of one block, however long the file is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from genrelab.audio.mix import with_channels
from genrelab.audio.part import Part
from genrelab.audio.sndfile import open_part
from genrelab.core.stderr import silence_c_stderr

BLOCK_S = 5.0
"""Minimum length of a block, except the last one of each part."""

Block = NDArray[np.float32]
"""Shape (samples, channels); -1 to 1, a little more where a lossy format overshoots."""

RatedBlocks = Iterator[tuple[int, Block]]
"""Sampling rate, and block."""


def blocks(parts: Sequence[Part]) -> Iterator[Block]:
    """Every sample of a file, in order; of a chained one at the rate and with the number of channels of its first part.

    Args:
        parts: with their decoders, from `reader.Audio.parts`.

    Raises:
        One of `sndfile.DECODER_ERRORS`, where a decoder fails, after the blocks before that point.
    """
    sr, channels = 0, 0
    for part in parts:
        found = _soundfile_blocks(part) if part.decoder == "soundfile" else _ffmpeg_blocks(part)
        for rate, x in found:
            if not sr:
                sr, channels = rate, x.shape[1]
            if rate == sr:
                yield with_channels(x, channels)
                continue
            yield from _resampled(chain([(rate, x)], found), rate, sr, channels)


def _resampled(found: RatedBlocks, rate: int, sr: int, channels: int) -> Iterator[Block]:
    import soxr  # imported late: few files need it

    stream = soxr.ResampleStream(rate, sr, channels, quality="HQ")
    for _, x in found:
        y = stream.resample_chunk(with_channels(x, channels))
        if len(y):
            yield y
    rest = stream.resample_chunk(np.empty((0, channels), np.float32), last=True)
    if len(rest):
        yield rest


def _soundfile_blocks(part: Part) -> RatedBlocks:
    file, handle = open_part(part)
    with handle:
        try:
            n, left = max(round(BLOCK_S * file.samplerate), 1), file.frames
            while left > 0:  # no more than stated: a tag after the last frame of a FLAC would be damage to libsndfile
                wanted = min(n, left)
                with silence_c_stderr:
                    x: Block = file.read(wanted, dtype="float32", always_2d=True)
                left -= len(x)
                if len(x):
                    yield file.samplerate, x
                if len(x) < wanted:
                    return
        finally:
            with silence_c_stderr:
                file.close()


def _ffmpeg_blocks(part: Part) -> RatedBlocks:
    """FFmpeg's frames, which are short, joined into blocks."""
    waiting, n, sr = list[Block](), 0, 0
    for sr, x in _ffmpeg_frames(part):
        waiting.append(x)
        n += len(x)
        if n >= BLOCK_S * sr:
            yield sr, np.concatenate(waiting)
            waiting, n = [], 0
    if n:
        yield sr, np.concatenate(waiting)


def _ffmpeg_frames(part: Part) -> RatedBlocks:
    """Rate and samples of every frame of the first one's rate, with its channels; damaged ones are skipped."""
    from genrelab.audio import ffmpeg  # imported late: most files do not need it

    sr, channels = 0, 0
    with ffmpeg.translate_errors(), ffmpeg.open_part(part) as (container, stream):
        for frame in (f for packet in ffmpeg.packets(container, stream) for f in ffmpeg.decode_packet(packet)):
            sr, channels = sr or frame.sample_rate, channels or frame.layout.nb_channels
            if frame.sample_rate == sr:
                yield sr, with_channels(ffmpeg.planes(frame), channels)
