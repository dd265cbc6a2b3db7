"""All samples of a file, block by block and channel by channel: what a mean of the channels would hide.

Models hear the mean (`decoders.Audio.read`); who judges a file must see every channel, and may not stop early without
a word. Memory is that of one block, however long the file is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genrelab.audio.sndfile import SequentialSoundFile
from genrelab.core.stderr import silence_c_stderr

BLOCK_S = 5.0
"""Least length of a block but the last."""

Block = NDArray[np.float32]
"""Shape (samples, channels); -1 to 1, a little more where a lossy format overshoots."""


def blocks(path: Path, decoder: str) -> Iterator[Block]:
    """Every sample of a file, in order.

    Args:
        path: audio file.
        decoder: who reads it, as `decoders.Audio.decoder` says: `soundfile` or `av`.

    Raises:
        One of `decoders.FAULTS`, where the decoder gives up; the blocks before have been given.
    """
    yield from _by_soundfile(path) if decoder == "soundfile" else _by_ffmpeg(path)


def _by_soundfile(path: Path) -> Iterator[Block]:
    with path.open("rb") as handle:  # a descriptor, for the reason that `decoders` gives
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


def _by_ffmpeg(path: Path) -> Iterator[Block]:
    """FFmpeg's frames, which are short, joined to blocks."""
    waiting, n, least = list[Block](), 0, 0.0
    for sr, x in _frames(path):
        least = least or BLOCK_S * sr
        waiting.append(x)
        n += len(x)
        if n >= least:
            yield np.concatenate(waiting)
            waiting, n = [], 0
    if n:
        yield np.concatenate(waiting)


def _frames(path: Path) -> Iterator[tuple[int, Block]]:
    """Rate and samples of every frame that is like the first one; damaged ones are left out, as every player does."""
    from av import AudioResampler  # late: most files never need it

    from genrelab.audio import ffmpeg

    to_floats, like = AudioResampler(format="flt"), None
    with ffmpeg.translate_errors(), ffmpeg.open_file(path) as (container, stream):
        for frame in (f for packet in ffmpeg.packets(container, stream) for f in ffmpeg.decode_packet(packet)):
            form = (frame.sample_rate, frame.layout.nb_channels, frame.format.name)
            like = like or form
            if form == like:
                for floats in to_floats.resample(frame):
                    yield like[0], floats.to_ndarray().reshape(-1, like[1]).astype(np.float32, copy=False)
