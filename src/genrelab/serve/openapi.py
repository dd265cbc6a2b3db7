"""The description of the service in /openapi.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from genrelab.serve.http.middleware import HEALTH_PATHS
from genrelab.serve.problems import KINDS, MEDIA_TYPE, Problem
from genrelab.serve.schemas import ProblemDetails

RETRY = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
HEADERS: Mapping[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    405: {"Allow": {"schema": {"type": "string"}}},
    426: {"Upgrade": {"schema": {"type": "string"}}},
    429: RETRY,
    503: RETRY,
}


def problem_responses(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses for the problems of a route, by status."""
    responses: dict[int | str, dict[str, Any]] = {}
    for status in sorted({KINDS[kind][0] for kind in kinds}):
        these = [kind for kind in kinds if KINDS[kind][0] == status]
        examples = {kind: {"value": Problem(kind, KINDS[kind][1] + ".").about} for kind in these}
        responses[status] = {
            "description": "; ".join(f"{KINDS[kind][1]} (`{kind}`)" for kind in these),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}, "examples": examples}},
        }
        if status in HEADERS:
            responses[status]["headers"] = HEADERS[status]
    return responses


def request_body(*, batch: int | None = None) -> dict[str, Any]:
    """OpenAPI description of a request body.

    Args:
        batch: maximum number of files; None: one file, in a form or as the raw body.
    """
    file = {
        "type": "string",
        "format": "binary",
        "description": "An audio file. The name of the form field does not matter.",
    }
    files = {"type": "array", "items": file, "minItems": 1, "maxItems": batch}
    name, schema = ("files", files) if batch else ("file", file)
    form = {"type": "object", "properties": {name: schema}, "required": [name], "additionalProperties": False}
    content: dict[str, Any] = {"multipart/form-data": {"schema": form}}
    if not batch:
        content |= {kind: {"schema": file} for kind in ("audio/*", "application/octet-stream")}
    return {"requestBody": {"required": True, "content": content}}


DESCRIPTION = """Classifies recordings by genre. Every response is JSON; every error is a problem object (RFC 9457), and
its `type` ends with the kind of problem. Unknown parameters are errors. If the service runs with a token, send it as
`Authorization: Bearer TOKEN`. Live audio goes to the WebSocket `/v1/stream`, which is described below at
`GET /v1/stream`."""


def build_document(app: FastAPI, names: Sequence[str], *, secured: bool) -> dict[str, Any]:
    """The OpenAPI document of an application.

    Args:
        names: of the served models; the document lists them only where no token is needed.
        secured: a token is needed.
    """
    document = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
    document["components"]["schemas"]["ProblemDetails"] = ProblemDetails.model_json_schema()
    if secured:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if secured and path not in HEALTH_PATHS:
                operation["security"] = [{"token": []}]
            for parameter in operation.get("parameters", ()):
                if parameter["name"] in ("model", "name") and not secured:
                    parameter["schema"]["enum"] = list(names)
    return document
