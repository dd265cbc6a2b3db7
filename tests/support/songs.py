"""Songs of the synthesiser, and what is done to copies of them, for tests that look for duplicates."""

from __future__ import annotations

import io
from functools import cache

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from genrelab.datasets.synth import STYLES, Colour, artist_style, render
from genrelab.datasets.synth_voices import SR

Samples = NDArray[np.float32]


@cache
def song(genre: str, artist: int, number: int, seconds: float = 8.0) -> Samples:
    """One song at `SR`: those of an artist share instruments, room and about the key and the tempo."""
    by = np.random.default_rng(artist)
    style, colour = artist_style(genre, by), Colour.random(by)
    y: Samples = render(style, colour, np.random.default_rng((artist, number)), seconds)
    y.setflags(write=False)
    return y


def genres() -> list[str]:
    """Names of the styles."""
    return sorted(STYLES)


def encode_and_decode(y: Samples, container: str, bit_rate: int = 64_000) -> Samples:
    """`y` encoded (`mp3` or `ogg`) and decoded again."""
    return decoded(encoded(y, container, bit_rate))


def decoded(content: bytes) -> Samples:
    """The samples of an encoded file."""
    y: Samples = soundfile.read(io.BytesIO(content), dtype="float32")[0]
    return y


def encoded(y: Samples, container: str, bit_rate: int = 64_000, sr: int = SR) -> bytes:
    """`y` as an MP3 or an Ogg Vorbis file."""
    file = io.BytesIO()
    if container == "ogg":
        soundfile.write(file, y, sr, format="OGG", subtype="VORBIS")
        return file.getvalue()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream("libmp3lame", rate=sr)
        stream.layout, stream.bit_rate, stream.format = "mono", bit_rate, "fltp"
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(y[None]), format="fltp", layout="mono")
        frame.sample_rate = sr
        for packet in (*stream.encode(frame), *stream.encode(None)):
            out.mux(packet)
    return file.getvalue()
