"""Checks of the headers Origin and Host, and CORS: pages of other web sites are refused, and so are foreign host names.

An attacker can point a domain of their own at this machine (DNS rebinding). To a browser their page and the service are
then the same origin, and the request's Origin does not give them away. But its Host header does.
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

CORS_METHODS, CORS_HEADERS = ("GET", "POST"), ("Authorization", "Content-Type")


class OriginMiddleware:
    """Refuses cross-origin requests and foreign host names; before CORS, which would only hide the response.

    Args:
        origins: allowed web origins.
        hosts: allowed host names, besides `localhost` and IP addresses; None: any.
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
        # A WebSocket is refused by a message on it, which scripts can read: see stream/route.py.
        return cross_origin_problem() if scope["type"] == "http" and is_cross_origin(headers, self.origins) else None


class ProblemCorsMiddleware(CORSMiddleware):
    """Starlette's CORS middleware, with refusals as problems.

    Args:
        origins: allowed web origins.
    """

    def __init__(self, app: ASGIApp, *, origins: Sequence[str]) -> None:
        super().__init__(app, origins, CORS_METHODS, CORS_HEADERS, expose_headers=["Retry-After"])

    def preflight_response(self, request_headers: Headers) -> Response:
        """The response to a preflight request."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        cors_headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        detail = (
            f"A page of another web site may ask by {' and '.join(CORS_METHODS)}, with the headers "
            f"{', '.join(CORS_HEADERS)} besides those that every page may send."
        )
        return problem_response(Problem("bad-request", detail, headers=cors_headers))


def allowed_hosts(hosts: Iterable[str], origins: Iterable[str]) -> frozenset[str]:
    """All allowed host names: `hosts`, and those of allowed origins, for the service may be reached by these, too."""
    origin_hosts = [match["name"] for origin in origins if (match := ORIGIN.fullmatch(origin))]
    return frozenset(("localhost", *(name.lower() for name in (*hosts, *origin_hosts) if name)))


def is_allowed_host(headers: Headers, names: Iterable[str]) -> bool:
    """Is the Host header an IP address or one of `names`? Requests without it do not come from browsers: allowed."""
    values = headers.getlist("host")
    if not values:
        return True
    match = HOST.fullmatch(values[0]) if len(values) == 1 else None
    if match is None:
        return False
    return _is_ip_address(match["six"] or match["name"]) or (match["name"] or "").lower() in names


def is_cross_origin(headers: Headers, origins: Iterable[str]) -> bool:
    """Does a page of an origin that is neither the service's own (that of the Host header) nor in `origins` ask?"""
    values = headers.getlist("origin")
    if not values:
        return False
    if len(values) > 1:
        return True
    match = ORIGIN.fullmatch(values[0])
    return values[0] not in origins and (match is None or match["place"].lower() != headers.get("host", "").lower())


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


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
