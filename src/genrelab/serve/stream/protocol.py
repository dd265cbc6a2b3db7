"""The documentation of /v1/stream, and validation of a client's first message."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genrelab.serve.problems import Problem, quoted
from genrelab.serve.stream.framing import DEFAULT_SR, HIGHEST_SR, LOWEST_SR, MAX_CHANNELS

_FILE = Path(__file__).with_name("protocol.md")
DOCUMENTATION = _FILE.read_text(encoding="utf-8").partition("\n\n")[2].replace("\n## ", "\n### ")
"""The protocol in Markdown, for /docs; docs/stream.md is a copy of the file."""

MIN_WINDOW_S, MAX_WINDOW_S = 3, 30

EXAMPLE = '{"type":"start","format":"pcm16","sr":44100}'
START_HINT = f"Send {EXAMPLE} first, as text."

EXPECTED = {
    "type": "start",
    "format": "pcm16, auto, webm, ogg or mp3",
    "sr": f"a whole number from {LOWEST_SR:,} to {HIGHEST_SR:,}, the sample rate in Hz",
    "channels": f"a whole number from 1 to {MAX_CHANNELS}",
    "model": "the name of a model that GET /v1/models lists",
    "top": "a whole number of 1 or more",
    "window_s": f"a number from {MIN_WINDOW_S} to {MAX_WINDOW_S}",
    "any": "true or false",
    "tags": "true or false",
    "token": "the service's token, as text",
}
"""What each field must be, for errors."""


class StartMessage(BaseModel):
    """The first message of a stream; its fields are described in `DOCUMENTATION`."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    type: Literal["start"]
    format: Literal["pcm16", "auto", "webm", "ogg", "mp3"]
    sr: int = Field(DEFAULT_SR, ge=LOWEST_SR, le=HIGHEST_SR)
    channels: int = Field(1, ge=1, le=MAX_CHANNELS)
    model: str | None = None
    top: int | None = Field(None, ge=1)
    window_s: float = Field(10.0, ge=MIN_WINDOW_S, le=MAX_WINDOW_S)
    any: bool = False
    tags: bool = False
    token: str | None = None


def parse_start(message: Any) -> StartMessage:
    """Validate the first message of a client; `None`: it was not JSON.

    Raises:
        Problem: it is no `start` message, or an invalid one.
    """
    if not isinstance(message, dict) or message.get("type") != "start":
        raise Problem("bad-parameter", f"The first message must be `start`. {START_HINT}")
    try:
        start = StartMessage.model_validate(message)
    except ValidationError as e:
        errors = e.errors(include_url=False, include_input=False, include_context=False)
        names = dict.fromkeys(str(error["loc"][0]) for error in errors)
        sentences = " ".join(_describe_error(name, message) for name in list(names)[:3])
        raise Problem("bad-parameter", f"The start message is invalid. {sentences}") from None
    if start.format == "pcm16" and "sr" not in message:
        raise Problem("bad-parameter", f"The start message is invalid. {_describe_error('sr', message)}")
    return start


def _describe_error(name: str, message: dict[str, Any]) -> str:
    if name not in EXPECTED:
        return f"There is no field {quoted(name)}. Fields: {', '.join(EXPECTED)}."
    received = "it is not text" if name == "token" else f"received {quoted(str(message.get(name)))}"
    return f"{name}: give {EXPECTED[name]}; {received if name in message else 'it is missing'}."
