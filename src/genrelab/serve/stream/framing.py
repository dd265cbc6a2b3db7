"""What the service and the process of a stream say to each other.

To the process: pieces, each behind its length in four bytes; the first is the order as JSON, the others are the
client's bytes, an empty one is the end of them. From it: lines of JSON,

    {"type": "ready"}
    {"type": "more", "audio_s"}                          it has used up all and wants a piece; so much was heard
    {"type": "prediction", "start_s", "end_s", …}
    {"type": "end", "audio_s", "recording"} or {"type": "refused", "kind", "detail"}        the last
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import BinaryIO

PIECE_BYTES = 1 << 16
"""Of the client's bytes, handed over at a time."""

LOWEST_SR, HIGHEST_SR = 8_000, 192_000
"""Rates in Hz that a stream may have."""

DEFAULT_SR = 48_000
"""In Hz, of which a model is asked once before anything is heard, where a container will state the rate."""

MAX_CHANNELS = 8
"""Of pcm16."""

_LENGTH_BYTES = 4


@dataclass(frozen=True)
class StreamJob:
    """What is to be heard, and how.

    Attributes:
        bundle: folder of the model.
        name: by which clients know it.
        format: `pcm16`; with every other any container is meant.
        sr, channels: of pcm16.
        window_s: seconds that a prediction looks back.
        top: only so many genres, the most probable first.
        min_precision, coverage: which answers count (see `Classifier`).
    """

    bundle: str
    name: str
    format: str
    sr: int
    channels: int
    window_s: float
    top: int | None = None
    min_precision: float | None = None
    coverage: float | None = None

    def to_json(self) -> bytes:
        """As it is sent."""
        return json.dumps(dataclasses.asdict(self)).encode()


def pack_piece(piece: bytes) -> bytes:
    """A piece behind its length."""
    return len(piece).to_bytes(_LENGTH_BYTES, "big") + piece


def unpack_piece(source: BinaryIO) -> bytes | None:
    """The next piece; None where the source ends before its end."""
    length = source.read(_LENGTH_BYTES)
    if len(length) < _LENGTH_BYTES:
        return None
    n = int.from_bytes(length, "big")
    piece = source.read(n)
    return piece if len(piece) == n else None
