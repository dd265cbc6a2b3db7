"""Why a file cannot be classified: not audio, an unsupported codec, damage, or nothing to classify in it.

The decoders' error messages do not distinguish these, so the file is inspected again. Runs in the worker.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from genrelab.audio import ffmpeg
from genrelab.core.errors import DecodeError

AUDIO_SIGNATURES = re.compile(
    rb"RIFF....(WAVE|AVI )|RF64|riff|FORM....AIF[FC]|\.snd|fLaC|OggS|ID3|\xff[\xe2-\xfd]|MAC |wvPk|.{4}(ftyp|moov|mdat)"
    rb"|\x30\x26\xb2\x75|\x1a\x45\xdf\xa3|caff|FLV\x01|TTA1|MPCK|MP\+|DSD |tBaK|ajkg|\.RMF|#!AMR|\x0b\x77",
    re.DOTALL,
)
"""First bytes of audio files: where no decoder opens such a file it is damaged, any other is not audio."""

LOOSE = frozenset({"aac", "ac3", "eac3", "mp3", "mpeg", "mpegts"})
"""Formats that FFmpeg detects by a few bytes anywhere in a file."""

CONVERT = "Send MP3, FLAC, WAV, Ogg, Opus, M4A or WebM."

EMPTY = "the file is empty"

NO_MEMORY = "Hearing it takes more memory than a file is given."


def describe_decode_error(error: DecodeError, path: Path, stated_s: float | None = None) -> dict[str, str]:
    """The problem of a file that was not classified.

    Args:
        error: raised by a decoder or by `audio/clips.py`.
        path: of the file, which may be removed meanwhile.
        stated_s: the duration in seconds that its headers state, where that would be enough.

    Returns:
        `kind` of a problem (see `problems.py`) and `detail`; `decoders`, their error messages, where `detail` does not
        explain it. Contains no file name.
    """
    reason = error.reason.replace(str(path), "the file")
    if isinstance(error.__cause__, MemoryError):
        return _problem("damaged", NO_MEMORY)
    if error.stage == "check":
        if reason.startswith("too short") and stated_s is not None:
            return _problem(
                "damaged", f"It says that it lasts {stated_s:.2f} s; what can be decoded of it is {reason}."
            )
        what, _, measure = reason.partition(": ")
        return _problem("unusable", f"It is silent. {_sentence(measure)}" if what == "silent" else _sentence(reason))
    if error.stage == "read":
        if reason == EMPTY:
            return _problem("not-audio", _sentence(reason))
        return _problem("internal", "The file cannot be read here.")
    return _problem_of_unreadable(path, reason)


def _problem_of_unreadable(path: Path, reason: str) -> dict[str, str]:
    if reason.endswith(ffmpeg.NO_SOUND):
        return _problem("not-audio", _sentence(ffmpeg.NO_SOUND))
    try:
        with path.open("rb") as file:
            has_signature = AUDIO_SIGNATURES.match(file.read(16)) is not None
    except OSError:  # removed since: its client has gone, and gets no response
        has_signature = True
    with suppress(*ffmpeg.FFMPEG_ERRORS), ffmpeg.open_file(path) as (container, stream):
        if stream.codec_context is None:
            what = container.format.long_name
            return _problem(
                "unsupported-codec", f"No decoder here reads the sound in it (container: {what}). {CONVERT}"
            )
        has_signature = has_signature or container.format.name not in LOOSE
    if has_signature:
        return _problem("damaged", f"It cannot be decoded: {reason}")
    return _problem("not-audio", f"It is in no format that is known here. {CONVERT}", decoders=reason)


def _problem(kind: str, detail: str, **extra: str) -> dict[str, str]:
    return {"kind": kind, "detail": detail} | extra


def _sentence(reason: str) -> str:
    return reason[0].upper() + reason[1:] + "."
