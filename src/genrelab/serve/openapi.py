"""The description of the service in /openapi.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response

from genrelab.serve.http.middleware import HEALTH_PATHS
from genrelab.serve.problems import KINDS, MEDIA_TYPE, Problem
from genrelab.serve.schemas import ProblemOut

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
