"""Checks of the headers Origin and Host: pages of other web sites are refused, and so are foreign host names.

An attacker can point a domain of their own at this machine (DNS rebinding). To a browser their page and the service are
then the same origin, and the request's Origin does not give them away. But its Host header does.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Scope

from genrelab.serve.http.middleware import RefusalMiddleware
from genrelab.serve.problems import Problem, quoted

PLACE = r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]{1,5})?"
HOST, ORIGIN = re.compile(PLACE), re.compile(rf"https?://(?P<place>{PLACE})")


class OriginMiddleware(RefusalMiddleware):
    """Refuses cross-origin requests and foreign host names; before CORS, which would only hide the response.

    Args:
        origins: allowed web origins.
        hosts: allowed host names, besides `localhost` and IP addresses; None: any.
    """

    def __init__(self, app: ASGIApp, *, origins: Sequence[str], hosts: Sequence[str] | None) -> None:
        super().__init__(app)
        self.origins = frozenset(origins)
        self.hosts = None if hosts is None else allowed_hosts(hosts, origins)

    def find_problem(self, scope: Scope) -> Problem | None:
        """Why a request is refused; None: it is not."""
        headers = Headers(scope=scope)
        if self.hosts is not None and not is_allowed_host(headers, self.hosts):
            host = quoted(headers.get("host", ""))
            return Problem(
                "foreign-origin",
                f"Without a token this service answers at its IP address and at localhost only, not at {host}. Use "
                "one of these, or start the service with a --token, or give that name as --host or in --allow-origin.",
            )
        # A WebSocket is refused by a message on it, which scripts can read: see stream/route.py.
        return cross_origin_problem() if scope["type"] == "http" and is_cross_origin(headers, self.origins) else None


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
    """Is it sent by a page whose origin is neither the service's own (that of the Host header) nor in `origins`?"""
    values = headers.getlist("origin")
    if not values:
        return False
    if len(values) > 1:
        return True
    match = ORIGIN.fullmatch(values[0])
    return values[0] not in origins and (match is None or match["place"].lower() != headers.get("host", "").lower())


def cross_origin_problem() -> Problem:
    """The problem of requests from pages of other web sites."""
    return Problem(
        "foreign-origin",
        "This service does not answer pages of other web sites. To allow one, start it with --allow-origin, "
        "such as --allow-origin https://music.example.com.",
    )


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
