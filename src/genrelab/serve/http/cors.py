"""What browsers are told of the web sites that may ask (CORS)."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from genrelab.serve.problems import Problem, problem_response

CORS_METHODS, CORS_HEADERS = ("GET", "POST"), ("Authorization", "Content-Type")


class ProblemCorsMiddleware(CORSMiddleware):
    """Starlette's, whose refusals are problems as all others.

    Args:
        origins: web sites that may ask.
    """

    def __init__(self, app: ASGIApp, *, origins: Sequence[str]) -> None:
        super().__init__(app, origins, CORS_METHODS, CORS_HEADERS, expose_headers=["Retry-After"])

    def preflight_response(self, request_headers: Headers) -> Response:
        """Whether a page may ask as it wants to."""
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        told = {name: value for name, value in answer.headers.items() if not name.startswith("content-")}
        detail = f"A page of another web site may ask by {' and '.join(CORS_METHODS)}, with the headers {', '.join(CORS_HEADERS)}"
        return problem_response(
            Problem("bad-request", f"{detail} besides those that every page may send.", headers=told)
        )
