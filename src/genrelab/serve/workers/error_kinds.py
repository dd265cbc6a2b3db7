"""Why a file cannot be heard: no audio, a codec that nothing here reads, damage, or nothing to hear in it.

What the decoders say does not tell these apart, so the file is looked at once more. Runs in the worker.
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
"""How audio, or what holds it, begins: a file like that is damaged where no decoder opens it; any other is no audio."""

LOOSE = frozenset({"aac", "ac3", "eac3", "mp3", "mpeg", "mpegts"})
"""What FFmpeg takes a file for because of a few bytes somewhere in it."""

CONVERT = "Send MP3, FLAC, WAV, Ogg, Opus, M4A or WebM."

EMPTY = "the file is empty"

NO_MEMORY = "Hearing it takes more memory than a file is given."


def describe_decode_error(fault: DecodeError, path: Path, stated_s: float | None = None) -> dict[str, str]:
    """Why a file cannot be heard.

    Args:
        fault: what a decoder or `decode` raised.
        path: the file; it may be gone meanwhile.
        stated_s: how long it says that it is, where that would be enough.

    Returns:
        `kind` of a problem (see `problems.py`) and `detail`; where that does not say it, `decoders`: what they said. No
        file is named.
    """
    reason = fault.reason.replace(str(path), "the file")
    if isinstance(fault.__cause__, MemoryError):
        return _problem("damaged", NO_MEMORY)
    if fault.stage == "check":
        if reason.startswith("too short") and stated_s is not None:
            return _problem(
                "damaged", f"It says that it lasts {stated_s:.2f} s; what can be decoded of it is {reason}."
            )
        silent, _, measure = reason.partition(": ")
        return _problem("unusable", f"It is silent. {_sentence(measure)}" if silent == "silent" else _sentence(reason))
    if fault.stage == "read":
        if reason == EMPTY:
            return _problem("not-audio", _sentence(reason))
        return _problem("internal", "The file cannot be read here.")
    return _inspect_file(path, reason)


def _inspect_file(path: Path, reason: str) -> dict[str, str]:
    if reason.endswith(ffmpeg.NO_SOUND):
        return _problem("not-audio", _sentence(ffmpeg.NO_SOUND))
    try:
        with path.open("rb") as file:
            begins = AUDIO_SIGNATURES.match(file.read(16)) is not None
    except OSError:  # it was there a moment ago: who had sent it is gone, and waits for no answer
        begins = True
    with suppress(*ffmpeg.FFMPEG_ERRORS), ffmpeg.open_file(path) as (container, stream):
        if stream.codec_context is None:
            what = container.format.long_name
            return _problem(
                "unsupported-codec", f"No decoder here reads the sound in it (container: {what}). {CONVERT}"
            )
        begins = begins or container.format.name not in LOOSE
    if begins:
        return _problem("damaged", f"It cannot be decoded: {reason}")
    return _problem("not-audio", f"It is in no format that is known here. {CONVERT}", decoders=reason)


def _problem(kind: str, detail: str, **more: str) -> dict[str, str]:
    return {"kind": kind, "detail": detail} | more


def _sentence(reason: str) -> str:
    return reason[0].upper() + reason[1:] + "."
