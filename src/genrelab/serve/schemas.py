"""Requests and responses of the service."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from genrelab.serve.problems import KINDS, TYPE

MAX_WINDOWS = 1_000
MAX_TOP = 1_000
A_NUMBER = re.compile(r"[0-9]{1,9}")

Probability = Annotated[float, Field(ge=0, le=1)]
Probabilities = Annotated[dict[str, Probability], Field(description="Of each genre; with `top` of the best ones.")]


def _parse_int(value: str) -> Any:
    """Digits only: Pydantic also reads `1_000`, ` 3 ` and `3.0`."""
    if not A_NUMBER.fullmatch(value):
        raise ValueError("must be a whole number")
    return int(value)


def _parse_bool(value: str) -> Any:
    """`true` and `false` only: Pydantic also reads `on`, `1` and `y`."""
    if value not in ("true", "false"):
        raise ValueError("must be true or false")
    return value == "true"


def _parse_windows(value: str) -> Any:
    if value == "all":
        return value
    if not (A_NUMBER.fullmatch(value) and 0 < int(value) <= MAX_WINDOWS):
        raise ValueError(f"must be a whole number from 1 to {MAX_WINDOWS:,}, or all")
    return int(value)


class PredictQuery(BaseModel):
    """The query of a prediction."""

    model_config = ConfigDict(extra="forbid")

    model: str | SkipJsonSchema[None] = Field(
        default=None, description="A name that `GET /v1/models` tells; by default its `default`."
    )
    top: Annotated[
        Annotated[int, Field(ge=1, le=MAX_TOP)] | SkipJsonSchema[None],
        BeforeValidator(_parse_int),
        Field(description="Only so many genres, the most probable first.", examples=[3]),
    ] = None
    timeline: Annotated[
        bool,
        BeforeValidator(_parse_bool),
        Field(
            description="Also what is said of every window of the recording. A model that `stops_early` then listens "
            "to all of it, unless `windows` gives a number."
        ),
    ] = False
    windows: Annotated[
        Annotated[int, Field(ge=1, le=MAX_WINDOWS)] | Literal["all"] | SkipJsonSchema[None],
        BeforeValidator(_parse_windows),
        Field(
            description="Stretches of the recording that are listened to, spread evenly over it, and up to as many "
            "again where two genres are close; or `all`. By default the model's `max_windows`, or fewer where it "
            "`stops_early`."
        ),
    ] = None
    any: Annotated[
        bool,
        BeforeValidator(_parse_bool),
        Field(
            description="Name the most probable genre in any case, never `unknown`: also of what does not sound like "
            "music, and however unsure."
        ),
    ] = False
    tags: Annotated[
        bool,
        BeforeValidator(_parse_bool),
        Field(description="Also the descriptive tags, of models that have them; left out by default."),
    ] = False


EXAMPLE: dict[str, Any] = {
    "path": "song.mp3", "genre": "Rock", "confidence": 0.71, "probabilities": {"Rock": 0.71, "Folk": 0.29},
    "unknown_because": None, "duration_s": 201.4, "model": "starter", "error": None, "notes": [],
}  # fmt: skip


class _Response(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WindowOut(_Response):
    """What the model says of one window."""

    start_s: float
    end_s: float
    probabilities: Probabilities


UnknownBecause = Annotated[
    Literal["not_music", "unsure"] | None,
    Field(
        description="Where `genre` is `unknown`: it does not sound like music (`not_music`), or the answer is less "
        "sure than the service asks for (`unsure`)."
    ),
]


class Heard(_Response):
    """What the model says of a recording: the object that `genrelab predict --json` prints."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    path: str = Field(description="The file's name as it was sent, as text; empty for a raw body.")
    genre: str = Field(description="The most probable genre, or `unknown`; then `unknown_because` says why.")
    confidence: Probability = Field(description="Of the most probable genre, also where the answer is `unknown`.")
    probabilities: Probabilities
    unknown_because: UnknownBecause
    duration_s: float | None = Field(description="Seconds that the recording lasts.")
    model: str = Field(description="The name that the model is served by.")
    error: None = None
    notes: list[str] = Field(description="What was found while the recording was read: sentences for people.")
    tags: dict[str, Probability] | SkipJsonSchema[None] = Field(
        default=None,
        description="With `tags=true`, of a model that has them: how likely each of 50 descriptive tags is. They were "
        "learned from what listeners of last.fm call music, and are not validated here.",
    )
    timeline: list[WindowOut] | SkipJsonSchema[None] = Field(default=None, description="With `timeline=true`.")
    set: list[str] | SkipJsonSchema[None] = Field(
        default=None, description="The genres that the recording may have; where the service runs with a coverage."
    )


class Refused(_Response):
    """A file of a batch that was not heard."""

    path: str
    genre: None = None
    confidence: None = None
    probabilities: dict[str, Probability] = Field(max_length=0)
    unknown_because: None = None
    duration_s: None = None
    model: str
    error: str = Field(description="The title and the detail of the problem.")
    notes: list[str] = Field(max_length=0)
    problem: str = Field(description="The kind of the problem.", json_schema_extra={"enum": [*KINDS]})


class GenreEvidence(_Response):
    """Tracks that were answered with a genre and that the model had not learned from, by their confidence."""

    n: list[int] = Field(description="Tracks in each of 20 steps of confidence: from 0 to below 0.05, and so on.")
    right: list[int] = Field(description="Those of them that are of this genre.")


class About(_Response):
    """A model that is served."""

    name: str
    genres: list[str]
    view: str = Field(description="What it reads of the audio.")
    dataset: str = Field(description="That it learned from.")
    split: str = Field(description="How its tracks were divided for its scores.")
    licence: str | None
    created_by: str
    fingerprint: str = Field(description="Two models that share it answer alike.")
    window_s: float | None = Field(description="Seconds that a window looks at.")
    max_windows: int | None = Field(description="The most stretches that are used unless more are asked for.")
    stops_early: bool = Field(description="Does it use no more of them than make the answer clear?")
    gate: bool = Field(description="Is what does not sound like music answered `unknown`?")
    metrics: dict[str, Any] = Field(description="Its scores on tracks that it had not learned from.")
    min_precision: float | None = Field(description="Answers less sure than this share asks for are `unknown`.")
    evidence: dict[str, GenreEvidence] | None = Field(
        description="For each genre how often answers were right, by confidence; null where that was not kept."
    )


class AboutWithCard(About):
    """A model that is served, with its card."""

    card: str = Field(description="Markdown.")


class Offer(_Response):
    """What a client may send."""

    upload_bytes: int
    audio_s: float
    batch_files: int
    batch_bytes: int
    streams: int


class Models(_Response):
    """The models that are served."""

    default: str
    version: str
    models: list[About]
    limits: Offer


class Health(_Response):
    """The service runs."""

    status: Literal["live"]


class Ready(_Response):
    """The service hears."""

    status: Literal["ready"]


class ProblemOut(BaseModel):
    """Why there is no other answer (RFC 9457)."""

    type: str = Field(json_schema_extra={"enum": [TYPE + kind for kind in KINDS]})
    title: str
    status: int
    detail: str = Field(description="What, which, what now: for people.")
