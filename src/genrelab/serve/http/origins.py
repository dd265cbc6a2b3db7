"""Who asks, as browsers tell it: pages of other web sites are refused, and so are names that are not ours.

Anybody can have a name of theirs lead to this machine (DNS rebinding). To a browser their page and the service are then
one web site, and what is asked within one says nothing of where it comes from. But it says by which name we are asked.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from genrelab.serve.problems import Problem, problem_response, quoted

PLACE = r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]{1,5})?"
HOST, ORIGIN = re.compile(PLACE), re.compile(rf"https?://(?P<place>{PLACE})")


class OriginMiddleware:
    """Refuses what another web site makes a visitor's browser ask; before CORS, which would only hide the answer.

    Args:
        origins: web sites that may ask.
        hosts: names by which the service may be asked, besides `localhost` and addresses; None: any.
    """

    def __init__(self, app: ASGIApp, *, origins: Sequence[str], hosts: Sequence[str] | None) -> None:
        self.app, self.origins = app, frozenset(origins)
        self.hosts = None if hosts is None else allowed_hosts(hosts, origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = self._problem(scope) if scope["type"] in ("http", "websocket") else None
        if problem is None:
            await self.app(scope, receive, send)
        else:
            await problem_response(problem)(scope, receive, send)

    def _problem(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        if self.hosts is not None and not is_allowed_host(headers, self.hosts):
            return wrong_host_problem(headers.get("host", ""))
        # The page of a stream is told in the stream itself, where scripts can read it.
        return cross_origin_problem() if scope["type"] == "http" and is_cross_origin(headers, self.origins) else None


def allowed_hosts(hosts: Iterable[str], origins: Iterable[str]) -> frozenset[str]:
    """All names that are ours: those that we were given, and those of web sites that may ask, for they may be us."""
    named = [match["name"] for origin in origins if (match := ORIGIN.fullmatch(origin))]
    return frozenset(("localhost", *(name.lower() for name in (*hosts, *named) if name)))


def is_allowed_host(headers: Headers, names: Iterable[str]) -> bool:
    """Is it us whom somebody asks, by an address or one of the names? Who names nobody is no browser."""
    said = headers.getlist("host")
    if not said:
        return True
    match = HOST.fullmatch(said[0]) if len(said) == 1 else None
    if match is None:
        return False
    return _is_address(match["six"] or match["name"]) or (match["name"] or "").lower() in names


def is_cross_origin(headers: Headers, origins: Iterable[str]) -> bool:
    """Does the page of another web site ask? One whose host and port are those that were asked is our own."""
    said = headers.getlist("origin")
    if not said:
        return False
    if len(said) > 1:
        return True
    match = ORIGIN.fullmatch(said[0])
    return said[0] not in origins and (match is None or match["place"].lower() != headers.get("host", "").lower())


def cross_origin_problem() -> Problem:
    return Problem(
        "foreign-origin",
        "Web sites may not ask this service, unless it was started with --allow-origin and theirs, "
        "such as --allow-origin https://music.example.com.",
    )


def wrong_host_problem(host: str) -> Problem:
    return Problem(
        "foreign-origin",
        f"Without a token this service goes by its address and by localhost only, not by {quoted(host)}. "
        "Ask by one of these, or start it with a token, or with that name as its --host or in an --allow-origin.",
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


# --- What browsers are told of the web sites that may ask (CORS) ---


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
