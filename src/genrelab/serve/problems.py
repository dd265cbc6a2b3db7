"""Error responses: a JSON problem object for every kind of error (RFC 9457)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:genrelab:problem:"
MAX_QUOTED_CHARS = 300
"""Characters of a client's text that a response quotes at most."""

KINDS: dict[str, tuple[int, str]] = {
    "bad-request": (400, "The request is malformed"),
    "unauthorized": (401, "A token is needed"),
    "foreign-origin": (403, "Requests from this web site are refused"),
    "not-found": (404, "There is nothing at this address"),
    "unknown-model": (404, "There is no such model"),
    "method-not-allowed": (405, "The method is not allowed here"),
    "too-slow": (408, "The upload is too slow"),
    "too-large": (413, "The upload is too large"),
    "not-audio": (415, "The file is not audio"),
    "unsupported-codec": (415, "This codec is not supported"),
    "damaged": (422, "The file is damaged"),
    "unusable": (422, "The audio cannot be classified"),
    "too-long": (422, "The recording is too long"),
    "took-too-long": (422, "Processing took too long"),
    "crashed": (422, "The decoder crashed on this file"),
    "bad-parameter": (422, "A parameter is invalid"),
    "upgrade-required": (426, "This address is a WebSocket"),
    "busy": (429, "The service is busy"),
    "internal": (500, "Internal error"),
    "model-not-loaded": (503, "The model could not be loaded in time"),
    "not-ready": (503, "The service is not ready"),
    "stopping": (503, "The service is stopping"),
}
"""HTTP status and title by kind; the title is the same for every problem of a kind."""


class Problem(Exception):  # noqa: N818 - reads as what it is
    """A request is answered with a problem.

    Args:
        kind: one of `KINDS`.
        detail: what is wrong, with which value, and what to do; no internal path, Python class or stack trace.
        headers: of the response, besides those of its content.
        extra: further members of the object.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.kind, self.detail = kind, detail
        self.headers, self.extra = dict(headers or {}), dict(extra or {})
        super().__init__(f"{kind}: {detail}")

    @property
    def status(self) -> int:
        """HTTP status of the kind."""
        return KINDS[self.kind][0]

    @property
    def title(self) -> str:
        """Title of the kind."""
        return KINDS[self.kind][1]

    @property
    def about(self) -> dict[str, Any]:
        """The JSON object of the response."""
        members = {"type": TYPE + self.kind, "title": self.title, "status": self.status, "detail": self.detail}
        return {**self.extra, **members}


def problem_response(problem: Problem) -> Response:
    """The response for a problem, of type application/problem+json."""
    return json_response(problem.about, status_code=problem.status, headers=problem.headers, media_type=MEDIA_TYPE)


def json_response(content: Any, media_type: str = "application/json", **settings: Any) -> Response:
    """A response with `content` as compact JSON."""
    body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(body.encode("utf-8", "replace"), media_type=media_type, **settings)


def internal_problem() -> Problem:
    """The problem for an error of the service; details are in its log only."""
    return Problem("internal", "The service failed, not your request. Details are in the service's log.")


def retry_later(kind: str, detail: str, seconds: float) -> Problem:
    """A problem with Retry-After: `seconds`, rounded up to whole ones, at least 1."""
    return Problem(kind, detail, headers={"Retry-After": str(max(1, math.ceil(seconds)))})


def quoted(text: str) -> str:
    """A client's text for a detail: shortened, on one line, unprintable characters and lone surrogates escaped."""
    short = text if len(text) <= MAX_QUOTED_CHARS else text[:MAX_QUOTED_CHARS] + "…"
    return "'" + "".join(c if c.isprintable() else repr(c)[1:-1] for c in short) + "'"
