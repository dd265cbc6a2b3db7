"""Requests and responses of the service."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from genrelab.serve.problems import KINDS, TYPE

MAX_WINDOWS = MAX_TOP = 1_000

EXPECTED = {
    "model": "the name of a model that GET /v1/models lists",
    "top": f"a whole number from 1 to {MAX_TOP:,}",
    "timeline": "true or false",
    "windows": f"a whole number from 1 to {MAX_WINDOWS:,}, or all",
    "any": "true or false",
    "tags": "true or false",
    "describe": "true or false",
}
"""What each parameter of a query must be, for errors."""

Probability = Annotated[float, Field(ge=0, le=1)]
Probabilities = Annotated[
    dict[str, Probability],
    Field(description="The probability of each genre, or with `top` of the most probable ones only."),
]


def _parse_int(value: str) -> Any:
    """Digits only: Pydantic also reads `1_000`, ` 3 ` and `3.0`."""
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise ValueError
    return int(value)


def _parse_windows(value: str) -> Any:
    return value if value == "all" else _parse_int(value)


def _parse_bool(value: str) -> Any:
    """`true` and `false` only: Pydantic also reads `on`, `1` and `y`."""
    if value not in ("true", "false"):
        raise ValueError
    return value == "true"


Flag = Annotated[bool, BeforeValidator(_parse_bool)]


class PredictQuery(BaseModel):
    """The query of a prediction."""

    model_config = ConfigDict(extra="forbid")

    model: str | SkipJsonSchema[None] = Field(
        default=None, description="A name from `GET /v1/models`; if omitted, the model that is `default` there."
    )
    top: Annotated[
        Annotated[int, Field(ge=1, le=MAX_TOP)] | SkipJsonSchema[None],
        BeforeValidator(_parse_int),
        Field(description="Number of genres in `probabilities`, the most probable first.", examples=[3]),
    ] = None
    timeline: Annotated[Flag, Field(description="Also return the probabilities of each window of the recording.")] = (
        False
    )
    windows: Annotated[
        Annotated[int, Field(ge=1, le=MAX_WINDOWS)] | Literal["all"] | SkipJsonSchema[None],
        BeforeValidator(_parse_windows),
        Field(
            description="Number of windows to classify, spread evenly over the recording, and up to the same number "
            "again if two genres are close; or `all`. By default the model's `max_windows`, or fewer if it "
            "`stops_early`."
        ),
    ] = None
    any: Annotated[
        Flag,
        Field(
            description="Always name the most probable genre, never `unknown`, even if the recording does not sound "
            "like music or the confidence is low."
        ),
    ] = False
    tags: Annotated[Flag, Field(description="Also return descriptive tags, if the model has them.")] = False
    describe: Annotated[
        Flag,
        Field(
            description="Also return tempo and key, found in the 30 s at the middle of the recording, or in all of a "
            "shorter one."
        ),
    ] = False


EXAMPLE: dict[str, Any] = {
    "path": "song.mp3", "genre": "Rock", "confidence": 0.71, "probabilities": {"Rock": 0.71, "Folk": 0.29},
    "unknown_because": None, "duration_s": 201.4, "model": "starter", "error": None, "notes": [],
}  # fmt: skip


class _Response(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WindowResult(_Response):
    """The result for one window."""

    start_s: float
    end_s: float
    probabilities: Probabilities


class PredictionResult(_Response):
    """The result for a recording: the object that `genrelab predict --json` prints."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    path: str = Field(description="The uploaded file's name, as text; empty if the file was sent as the body.")
    genre: str = Field(description="The most probable genre, or `unknown`; then `unknown_because` gives the reason.")
    confidence: Probability = Field(description="Of the most probable genre, even if `genre` is `unknown`.")
    probabilities: Probabilities
    unknown_because: Literal["not_music", "unsure"] | None = Field(
        description="If `genre` is `unknown`: the recording does not sound like music (`not_music`), or the confidence "
        "is below what the service requires (`unsure`)."
    )
    duration_s: float | None = Field(description="Length of the recording in seconds.")
    model: str = Field(description="The model's name in this service.")
    error: None = None
    notes: list[str] = Field(description="Remarks about the audio, for people.")
    tempo_bpm: float | None = Field(
        default=None, description="With `describe=true`: beats per minute; null if there is no clear beat."
    )
    tempo_confidence: Probability | SkipJsonSchema[None] = Field(default=None, description="With `describe=true`.")
    key: str | None = Field(
        default=None,
        description="With `describe=true`: the key, such as `C major` or `F# minor`; null if there is no clear key.",
    )
    key_confidence: Probability | SkipJsonSchema[None] = Field(default=None, description="With `describe=true`.")
    tags: dict[str, Probability] | SkipJsonSchema[None] = Field(
        default=None,
        description="With `tags=true`, if the model has them: the probability of each of 50 descriptive tags, trained "
        "on tags of last.fm listeners and not tested here.",
    )
    timeline: list[WindowResult] | SkipJsonSchema[None] = Field(default=None, description="With `timeline=true`.")


class FileError(_Response):
    """A file of a batch that could not be classified."""

    path: str
    genre: None = None
    confidence: None = None
    probabilities: dict[str, Probability] = Field(max_length=0)
    unknown_because: None = None
    duration_s: None = None
    model: str
    error: str = Field(description="The title and the detail of the problem.")
    notes: list[str] = Field(max_length=0)
    tempo_bpm: None = Field(default=None, description="With `describe=true`, as the next three fields.")
    tempo_confidence: None = None
    key: None = None
    key_confidence: None = None
    problem: str = Field(description="The kind of the problem.", json_schema_extra={"enum": [*KINDS]})


class GenreEvidence(_Response):
    """Validation tracks that the model gave this genre, by confidence."""

    n: list[int] = Field(description="Tracks in each of 20 steps of confidence: from 0 to below 0.05, and so on.")
    right: list[int] = Field(description="How many of these tracks are of this genre.")


class ModelInfo(_Response):
    """A served model."""

    name: str
    genres: list[str]
    view: str = Field(description="The feature view that it reads.")
    dataset: str = Field(description="The dataset that it was trained on.")
    split: str = Field(description="How tracks were divided into training, validation and test sets.")
    licence: str | None
    created_by: str
    fingerprint: str = Field(description="Equal for models that give the same results.")
    window_s: float | None = Field(description="Length of a window in seconds.")
    max_windows: int | None = Field(description="Maximum number of windows, unless more are requested.")
    stops_early: bool = Field(description="Whether it stops as soon as the result is clear.")
    gate: bool = Field(description="Whether it returns `unknown` for what does not sound like music.")
    metrics: dict[str, Any] = Field(description="Its scores on test tracks.")
    min_precision: float | None = Field(
        description="The precision that the service requires; answers below it are `unknown`."
    )
    evidence: dict[str, GenreEvidence] | None = Field(
        description="How often results were right, by genre and confidence; null if the model has no such data."
    )


class ModelDetails(ModelInfo):
    """A served model with its model card."""

    card: str = Field(description="Markdown.")


class UploadLimits(_Response):
    """Limits on what clients may send."""

    upload_bytes: int
    audio_s: float
    batch_files: int
    batch_bytes: int
    streams: int


class ModelList(_Response):
    """The served models."""

    default: str
    version: str
    models: list[ModelInfo]
    limits: UploadLimits


class HealthStatus(_Response):
    """The service runs."""

    status: Literal["live"]


class ReadyStatus(_Response):
    """The service can classify files."""

    status: Literal["ready"]


class ProblemDetails(BaseModel):
    """Why a request failed (RFC 9457)."""

    type: str = Field(json_schema_extra={"enum": [TYPE + kind for kind in KINDS]})
    title: str
    status: int
    detail: str = Field(description="What is wrong, with which value, and what to do. For people.")
