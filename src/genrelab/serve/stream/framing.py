"""The protocol between the service and the process of a stream.

To the process: pieces, each after its length in four bytes (big-endian); the first is the job as JSON, the others are
the client's bytes, an empty one is their end. From the process: lines of JSON,

    {"type": "ready"}
    {"type": "more", "audio_s"}                          requests a piece; `audio_s` seconds have been processed
    {"type": "prediction", "start_s", "end_s", …}
    {"type": "end", "audio_s", "recording"} or {"type": "refused", "kind", "detail"}        the last
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import BinaryIO

PIECE_BYTES = 1 << 16
"""Maximum size of a piece."""

LOWEST_SR, HIGHEST_SR = 8_000, 192_000
"""Range of sample rates in Hz."""

DEFAULT_SR = 48_000
"""Rate in Hz of the warm-up prediction, where a container will state the stream's rate."""

MAX_CHANNELS = 8
"""Of pcm16."""

_LENGTH_BYTES = 4


@dataclass(frozen=True)
class StreamJob:
    """The model and the format of a stream.

    Attributes:
        bundle: folder of the model.
        name: of the served model.
        format: `pcm16`, or any other value for a container.
        sr, channels: of pcm16; `sr` in Hz.
        window_s: seconds of audio that a prediction uses.
        first_answer_s: seconds of audio before the first prediction: a full window of the model, at most `window_s`.
        top: number of genres in a prediction, the most probable first; None: all.
        min_precision, any_genre: see `Classifier.with_min_precision` and `with_any`.
        tags: predictions have the tags, of models that have them.
    """

    bundle: str
    name: str
    format: str
    sr: int
    channels: int
    window_s: float
    first_answer_s: float
    top: int | None = None
    min_precision: float | None = None
    any_genre: bool = False
    tags: bool = False

    def to_json(self) -> bytes:
        """As sent to the process."""
        return json.dumps(vars(self)).encode()


def pack_piece(piece: bytes) -> bytes:
    """A piece after its length."""
    return len(piece).to_bytes(_LENGTH_BYTES, "big") + piece


def unpack_piece(source: BinaryIO) -> bytes | None:
    """The next piece; None where the source ends before the piece is complete."""
    length = source.read(_LENGTH_BYTES)
    if len(length) < _LENGTH_BYTES:
        return None
    n = int.from_bytes(length, "big")
    piece = source.read(n)
    return piece if len(piece) == n else None
