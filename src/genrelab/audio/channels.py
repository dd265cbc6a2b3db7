"""All samples of a file, block by block, with its channels kept apart.

Models use the mean of the channels (`reader.Audio.read`); measuring a file's quality needs every channel, and must not
stop early silently. Memory is that of one block, however long the file is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genrelab.audio.sndfile import SequentialSoundFile
from genrelab.core.stderr import silence_c_stderr

BLOCK_S = 5.0
"""Minimum length of a block, except the last one."""

Block = NDArray[np.float32]
"""Shape (samples, channels); -1 to 1, a little more where a lossy format overshoots."""


def blocks(path: Path, decoder: str) -> Iterator[Block]:
    """Every sample of a file, in order.

    Args:
        path: audio file.
        decoder: the one that reads it, from `reader.Audio.decoder`: `soundfile` or `av`.

    Raises:
        One of `sndfile.DECODER_ERRORS`, where the decoder gives up; the blocks before it have been yielded.
    """
    yield from _soundfile_blocks(path) if decoder == "soundfile" else _ffmpeg_blocks(path)


def _soundfile_blocks(path: Path) -> Iterator[Block]:
    with path.open("rb") as handle:  # a descriptor, for the reason given in `sndfile.SoundFile`
        with silence_c_stderr:
            file = SequentialSoundFile(handle.fileno(), closefd=False)
        try:
            n = max(round(BLOCK_S * file.samplerate), 1)
            while True:
                with silence_c_stderr:
                    x: Block = file.read(n, dtype="float32", always_2d=True)
                if len(x):
                    yield x
                if len(x) < n:
                    return
        finally:
            with silence_c_stderr:
                file.close()


def _ffmpeg_blocks(path: Path) -> Iterator[Block]:
    """FFmpeg's frames, which are short, joined into blocks."""
    waiting, n, least = list[Block](), 0, 0.0
    for sr, x in _ffmpeg_frames(path):
        least = least or BLOCK_S * sr
        waiting.append(x)
        n += len(x)
        if n >= least:
            yield np.concatenate(waiting)
            waiting, n = [], 0
    if n:
        yield np.concatenate(waiting)


def _ffmpeg_frames(path: Path) -> Iterator[tuple[int, Block]]:
    """Rate and samples of every frame of the first one's format; damaged frames are skipped, as players do."""
    from av import AudioResampler  # imported late: most files do not need it

    from genrelab.audio import ffmpeg

    resampler, expected = AudioResampler(format="flt"), None
    with ffmpeg.translate_errors(), ffmpeg.open_file(path) as (container, stream):
        for frame in (f for packet in ffmpeg.packets(container, stream) for f in ffmpeg.decode_packet(packet)):
            frame_format = (frame.sample_rate, frame.layout.nb_channels, frame.format.name)
            expected = expected or frame_format
            if frame_format == expected:
                for resampled in resampler.resample(frame):
                    yield expected[0], resampled.to_ndarray().reshape(-1, expected[1]).astype(np.float32, copy=False)
