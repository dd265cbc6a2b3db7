"""The documentation of /v1/stream, and validation of a client's first message."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from genrelab.serve.problems import Problem, quoted
from genrelab.serve.stream.framing import DEFAULT_SR, HIGHEST_SR, LOWEST_SR, MAX_CHANNELS

START_HINT = 'Send {"type":"start","format":"pcm16","sr":44100} first, as text.'
NO_RATE = "pcm16 needs `sr`, the rate of the samples in Hz, such as 44100: at another one the music has another pitch"

DOCUMENTATION = """\
A WebSocket at `ws://HOST:PORT/v1/stream` (`wss://` behind TLS) takes sound while it is played, and answers once a
second of sound. Text messages are JSON objects, binary ones are sound. A client says `start`, sends sound, and says
`stop`; then it gets the last answers, an `end`, and a close with 1000.

### What a client sends

1. Text, first and within 10 s:
   `{"type": "start", "format": "pcm16", "sr": 44100}`

   | field | what | default |
   |---|---|---|
   | `type` | `start` | has none |
   | `format` | `pcm16`: 16-bit samples, little-endian, the channels of a moment one after the other. `auto`: any container that FFmpeg reads without going back, such as WebM, Ogg, MP3, FLAC, WAV, AAC, fragmented MP4; what it is, its bytes tell. `webm`, `ogg` and `mp3` mean the same as `auto` | has none |
   | `sr` | rate of `pcm16` in Hz, 8,000 to 192,000; containers state their own, and it is passed over | has none: `pcm16` needs it |
   | `channels` | of `pcm16`, 1 to 8; passed over with containers | 1 |
   | `model` | a name that `GET /v1/models` tells | its `default` |
   | `top` | only so many genres in `probabilities`, the most probable first | all |
   | `window_s` | seconds that an answer looks back, 3 to 30 | 10 |
   | `any` | `true`: name the most probable genre in any case, never `unknown`: also of what does not sound like music, and however unsure | false |
   | `tags` | `true`: predictions also have `tags`, of models that have them | false |
   | `token` | the service's token, where it asks for one and no header `Authorization: Bearer TOKEN` bears it (browsers cannot send one) | none |

   No other field is known, and the address takes no query.
2. Binary messages of up to 1 MiB. Where they are cut does not matter; a tenth of a second each is good. A client that
   sends faster than is heard is read slower.
3. Text, at the end: `{"type": "stop"}`

### What the service sends

- `{"type": "ready", "model": "starter", "window_s": 10.0}`: the model is loaded. Sound may be sent before.
- `{"type": "prediction", "start_s": 2.0, "end_s": 12.0, "path": "", "genre": "rock", "confidence": 0.7,
  "probabilities": {…}, "unknown_because": null, "duration_s": 10.0, "model": "starter", "error": null,
  "notes": []}`: of the sound from `start_s` to `end_s`, in seconds of the stream. The first comes as soon as there is as much as the model needs,
  the others at every full second. The fields are those of `POST /v1/predict`, without a timeline; further ones may come
  with later versions. Where `genre` is `unknown`, the optional `unknown_because` says why: `not_music`, it does not
  sound like music, or `unsure`. The optional `tags` are there where `start` asks for them and the model has them: how
  likely each of 50 descriptive tags is. In silence `genre` and `confidence` are null, `probabilities` is empty and
  `error` says why; the stream goes on.
- `{"type": "end", "audio_s": 63.2, "recording": {…}}`: the last message. `recording` is the answer for all that was
  heard, with the fields of a prediction: the mean over windows of `window_s` that do not overlap (a rest that fills
  none does not count; of a shorter stream, its last answer). Whether it sounds like music is decided by the mean over
  these windows, too. It is null where nothing could be answered.
- `{"type": "problem", "problem": "busy", "title": …, "status": 429, "detail": …}`: why it ends otherwise. `problem` is
  the kind, `detail` is for people. A close follows:

| code | kinds |
|---|---|
| 1000 | none: all was heard |
| 1001 | `stopping`: the service is being stopped |
| 1008 | `bad-parameter`, `unknown-model`, `unauthorized`, `foreign-origin`, `not-audio`, `unsupported-codec`, `damaged`, `unusable`, `too-slow`, `too-long` |
| 1009 | `too-large`: a message of more than 1 MiB (far larger ones are closed without a problem) |
| 1011 | `crashed`, `took-too-long`, `internal` |
| 1012 | none: the service has stopped |
| 1013 | `busy`, `not-ready`: try again later |

### Windows

A model looks at windows of its own: `window_s` of `GET /v1/models`, 3 s say. The `window_s` of a stream is how far an
answer looks back: the model's windows in the last 10 s, say, are pooled as those of a file are, all of them, also by a
model that `stops_early` on files. It slides on by a second at a time. A longer one is surer and steadier, a shorter one
follows a change sooner. `ready` tells what holds: at least what the model needs.

### Ends

By default 4 streams are heard at a time, for an hour each; one more is `busy`. Who sends nothing for 15 s, or takes no
answer for as long, is `too-slow`, and so is who sends less than a quarter of a second of sound a second, over 60 s of
waiting for it.

### An example

```python
import json
import sys
import threading

from websockets.sync.client import connect  # pip install websockets


def send(stream, file):
    while chunk := file.read(4_096):
        stream.send(chunk)
    stream.send(json.dumps({"type": "stop"}))


with connect("ws://127.0.0.1:8000/v1/stream") as stream, open(sys.argv[1], "rb") as file:
    stream.send(json.dumps({"type": "start", "format": "auto"}))
    threading.Thread(target=send, args=(stream, file), daemon=True).start()  # answers come meanwhile
    for message in stream:
        said = json.loads(message)
        match said["type"]:
            case "prediction":
                print(f"{said['end_s']:6.1f} s  {said['genre'] or said['error']}")
            case "end":
                print("all of it:", (said["recording"] or {}).get("genre"))
            case "problem":
                sys.exit(said["detail"])
```
"""  # noqa: E501 - tables have long rows
"""The protocol in Markdown, for docs/stream.md and /docs."""


class StartMessage(BaseModel):
    """The first message of a stream; its fields are described in `DOCUMENTATION`."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    type: Literal["start"]
    format: Literal["pcm16", "auto", "webm", "ogg", "mp3"]
    sr: int = Field(DEFAULT_SR, ge=LOWEST_SR, le=HIGHEST_SR)
    channels: int = Field(1, ge=1, le=MAX_CHANNELS)
    model: str | None = None
    top: int | None = Field(None, ge=1)
    window_s: float = Field(10.0, ge=3, le=30)
    any: bool = False
    tags: bool = False
    token: str | None = None

    @model_validator(mode="after")
    def _check_rate(self) -> Self:
        if self.format == "pcm16" and "sr" not in self.model_fields_set:
            raise ValueError(NO_RATE)
        return self


def parse_start(message: Any) -> StartMessage:
    """Validate the first message of a client; `None`: it was not JSON.

    Raises:
        Problem: it is no `start` message, or an invalid one.
    """
    if not isinstance(message, dict) or message.get("type") != "start":
        raise Problem("bad-parameter", f"That is no `start` message. {START_HINT}")
    try:
        return StartMessage.model_validate(message)
    except ValidationError as e:
        errors = e.errors(include_url=False, include_input=False, include_context=False)
        reasons = "; ".join(
            _describe_error([str(part) for part in error["loc"]], error["type"], error["msg"]) for error in errors[:3]
        )
        raise Problem("bad-parameter", f"The start message: {reasons}.") from None


def _describe_error(path: list[str], kind: str, message: str) -> str:
    name = quoted(path[0]) if path else ""
    match kind:
        case "extra_forbidden":
            return f"there is no field {name}. It may have {', '.join(f'`{f}`' for f in StartMessage.model_fields)}"
        case "missing":
            return f"{name} is missing, as in " + '{"type":"start","format":"pcm16","sr":44100}'
        case "value_error":
            return message.removeprefix("Value error, ")
    return f"{name} must {message.removeprefix('Input should ')}"
