"""The kind of problem of a file that cannot be classified: not audio, an unsupported codec, damage, or unusable audio.

The decoders' error messages do not distinguish these, so the file is inspected again. Runs in the worker.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from genrelab.audio import ffmpeg
from genrelab.audio.part import Part
from genrelab.core.errors import DecodeError

AUDIO_SIGNATURES = re.compile(
    rb"RIFF....(WAVE|AVI )|RF64|riff|FORM....AIF[FC]|\.snd|fLaC|OggS|ID3|\xff[\xe2-\xfd]|MAC |wvPk|.{4}(ftyp|moov|mdat)"
    rb"|\x30\x26\xb2\x75|\x1a\x45\xdf\xa3|caff|FLV\x01|TTA1|MPCK|MP\+|DSD |tBaK|ajkg|\.RMF|#!AMR|\x0b\x77",
    re.DOTALL,
)
"""First bytes of audio files: where no decoder opens such a file it is damaged, any other is not audio."""

LOOSE = frozenset({"aac", "ac3", "eac3", "mp3", "mpeg", "mpegts"})
"""Formats that FFmpeg detects by a few bytes anywhere in a file."""

EMPTY = "the file is empty"

CONVERT = "Send MP3, FLAC, WAV, Ogg, Opus, M4A or WebM."

NO_MEMORY = "not enough memory to decode it"


def describe_decode_error(error: DecodeError, path: Path, *, long_enough: bool = False) -> dict[str, str]:
    """The problem of a file that was not classified. Its `detail` is what `genrelab predict` prints.

    Args:
        error: raised by a decoder or by `audio/clips.py`.
        path: of the file, which may be removed meanwhile.
        long_enough: the file's headers state a duration that would be enough.

    Returns:
        `kind` of a problem (see `problems.py`) and `detail`, without the file's name.
    """
    reason = error.reason.replace(str(path), "the file")
    if isinstance(error.__cause__, MemoryError):
        return {"kind": "damaged", "detail": NO_MEMORY}
    if error.stage == "check":
        return {"kind": "damaged" if long_enough and reason.startswith("too short") else "unusable", "detail": reason}
    if error.stage == "read":
        return {"kind": "not-audio", "detail": reason} if reason == EMPTY else {"kind": "internal"}
    return _describe_unreadable(path, reason)


def _describe_unreadable(path: Path, reason: str) -> dict[str, str]:
    if reason.endswith(ffmpeg.NO_SOUND):
        return {"kind": "not-audio", "detail": ffmpeg.NO_SOUND}
    try:
        with path.open("rb") as file:
            has_signature = AUDIO_SIGNATURES.match(file.read(16)) is not None
    except OSError:  # removed since: its client has gone, and gets no response
        has_signature = True
    with suppress(*ffmpeg.FFMPEG_ERRORS), ffmpeg.open_part(Part(path)) as (container, stream):
        if stream.codec_context is None:
            detail = f"there is no decoder for its codec (container: {container.format.long_name}). {CONVERT}"
            return {"kind": "unsupported-codec", "detail": detail}
        has_signature = has_signature or container.format.name not in LOOSE
    return {"kind": "damaged" if has_signature else "not-audio", "detail": reason}
