"""Requests and responses of the service, and their description in /openapi.json."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from genrelab.serve.http.middleware import HEALTH_PATHS
from genrelab.serve.problems import KINDS, MEDIA_TYPE, TYPE, Problem

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
        bool, BeforeValidator(_parse_bool), Field(description="Also what is said of every window of the recording.")
    ] = False
    windows: Annotated[
        Annotated[int, Field(ge=1, le=MAX_WINDOWS)] | Literal["all"] | SkipJsonSchema[None],
        BeforeValidator(_parse_windows),
        Field(
            description="Stretches of the recording that are listened to, spread evenly over it, and up to as many "
            "again where two genres are close; or `all`."
        ),
    ] = None


EXAMPLE: dict[str, Any] = {
    "path": "song.mp3", "genre": "Rock", "confidence": 0.71, "probabilities": {"Rock": 0.71, "Folk": 0.29},
    "duration_s": 201.4, "model": "starter", "error": None,
}  # fmt: skip


class _Response(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WindowOut(_Response):
    """What the model says of one window."""

    start_s: float
    end_s: float
    probabilities: Probabilities


class Heard(_Response):
    """What the model says of a recording: the object that `genrelab predict --json` prints."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    path: str = Field(description="The file's name as it was sent, as text; empty for a raw body.")
    genre: str = Field(description="The most probable genre, or `unknown` where that is not sure enough.")
    confidence: Probability = Field(description="Of the most probable genre, also where the answer is `unknown`.")
    probabilities: Probabilities
    duration_s: float | None = Field(description="Seconds that the recording lasts.")
    model: str = Field(description="The name that the model is served by.")
    error: None = None
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
    duration_s: None = None
    model: str
    error: str = Field(description="The title and the detail of the problem.")
    problem: str = Field(description="The kind of the problem.", json_schema_extra={"enum": [*KINDS]})


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
    max_windows: int | None = Field(description="Stretches that are listened to unless `windows` says otherwise.")
    metrics: dict[str, Any] = Field(description="Its scores on tracks that it had not learned from.")
    min_precision: float | None = Field(description="Answers less sure than this share asks for are `unknown`.")


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


DETAILS = {
    "bad-parameter": "there is no parameter 'tpo'",
    "unknown-model": "No model is called 'blues'. There is: starter.",
    "too-large": "A file may have 67,108,864 bytes.",
    "busy": "16 files wait to be heard.",
}
"""Example details, by kind of problem."""

RETRY = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
HEADERS: Mapping[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    405: {"Allow": {"schema": {"type": "string"}}},
    426: {"Upgrade": {"schema": {"type": "string"}}},
    429: RETRY,
    503: RETRY,
}


def problem_responses(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses for the problems that a route may answer with, by status."""
    responses: dict[int | str, dict[str, Any]] = {}
    for status in sorted({KINDS[kind][0] for kind in kinds}):
        these = [kind for kind in kinds if KINDS[kind][0] == status]
        examples = {kind: {"value": Problem(kind, DETAILS.get(kind, KINDS[kind][1] + ".")).about} for kind in these}
        responses[status] = {
            "description": "; ".join(f"{KINDS[kind][1]} (`{kind}`)" for kind in these),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemOut"}, "examples": examples}},
        }
        if status in HEADERS:
            responses[status]["headers"] = HEADERS[status]
    return responses


def request_body(*, batch: int | None = None) -> dict[str, Any]:
    """OpenAPI description of a request body.

    Args:
        batch: maximum number of files; None: one file, in a form or as the raw body.
    """
    file = {"type": "string", "format": "binary", "description": "An audio file. The part's name does not matter."}
    files = {"type": "array", "items": file, "minItems": 1, "maxItems": batch}
    name, schema = ("files", files) if batch else ("file", file)
    form = {"type": "object", "properties": {name: schema}, "required": [name], "additionalProperties": False}
    content: dict[str, Any] = {"multipart/form-data": {"schema": form}}
    if not batch:
        content |= {kind: {"schema": file} for kind in ("audio/*", "application/octet-stream")}
    return {"requestBody": {"required": True, "content": content}}


DESCRIPTION = """Genres of recordings. Every answer is JSON, every refusal an object of RFC 9457, whose `type` ends with
a kind that programs can go by. A parameter that is not named here is refused. Where the service runs with a token, it
is sent as `Authorization: Bearer TOKEN`. Sound as it is played is heard at `/v1/stream`, a WebSocket: what is
said there stands below, at `GET /v1/stream`."""


class OpenApiDocument:
    """The OpenAPI document of an application, built when it is first requested.

    Args:
        names: of the served models; the document lists them only where no token is needed.
        secured: a token is needed.
    """

    def __init__(self, app: FastAPI, *, names: Sequence[str], secured: bool) -> None:
        self._app, self._names, self._secured = app, names, secured

    @cached_property
    def _schema(self) -> dict[str, Any]:
        document = get_openapi(
            title=self._app.title, version=self._app.version, description=DESCRIPTION, routes=self._app.routes
        )
        document["components"]["schemas"]["ProblemOut"] = ProblemOut.model_json_schema()
        if self._secured:
            document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            for operation in operations.values():
                if self._secured and path not in HEALTH_PATHS:
                    operation["security"] = [{"token": []}]
                for parameter in operation.get("parameters", ()):
                    if parameter["name"] in ("model", "name") and not self._secured:
                        parameter["schema"]["enum"] = list(self._names)
        return document

    @cached_property
    def _text(self) -> bytes:
        return json.dumps(self._schema, ensure_ascii=False, separators=(",", ":")).encode()

    def schema(self) -> dict[str, Any]:
        """The document as an object."""
        return self._schema

    async def answer(self) -> Response:
        """The response with the document as JSON."""
        return Response(self._text, media_type="application/json")
