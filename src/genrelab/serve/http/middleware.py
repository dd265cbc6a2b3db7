"""What every request passes on its way in, and what is added to every answer.

Plain ASGI, so that nothing stands between a body and who reads it.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genrelab.serve.metrics import NO_ROUTE, ServiceMetrics
from genrelab.serve.problems import Problem, internal_problem, problem_response, quoted
from genrelab.serve.shutdown import Draining, shutdown_problem

LINGER_S = 3.0
"""Seconds that the rest of a body is read and thrown away, so that a client that still sends can read the answer."""

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self)",
}
NO_CONTENT = "default-src 'none'; frame-ancestors 'none'"
"""Content-Security-Policy of what is no page."""

HEALTH_PATHS = ("/v1/health", "/v1/ready")
PUBLIC_PATHS = frozenset(("/", "/docs", "/openapi.json", *HEALTH_PATHS))
PUBLIC_PREFIXES = ("/web/", "/docs/")
"""What is the same for everybody, and so needs no token."""

_log = logging.getLogger("genrelab.service")


class MetricsMiddleware:
    """The outermost: counts and times requests, and sets headers.

    A HEAD is a GET whose answer has no body. Where an answer comes before the body has, the rest of it is thrown away
    for a while first, and the connection is closed where that did not suffice.
    """

    def __init__(self, app: ASGIApp, *, gauges: ServiceMetrics, draining: Draining) -> None:
        self.app, self.gauges, self.draining = app, gauges, draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, method = time.perf_counter(), scope["method"]
        answer = _Exchange(scope, receive, send, self.draining)
        scope = {**scope, "method": "GET"} if method == "HEAD" else scope
        accepted = not self.draining.started  # who comes later is refused, and keeps nobody waiting
        if accepted:
            self.draining.enter()
        try:
            if answer.two_lengths:
                await problem_response(ambiguous_length())(scope, answer.receive, answer.send)
            else:
                await self.app(scope, answer.receive, answer.send)
        finally:
            if accepted:
                self.draining.leave()
            route = getattr(scope.get("route"), "path", NO_ROUTE)
            self.gauges.count_request(route, method, answer.status, time.perf_counter() - began)


class _Exchange:
    """One answer on its way out, and the body on its way in."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, draining: Draining) -> None:
        self._receive, self._send, self._draining = receive, send, draining
        self._head, self._path = scope["method"] == "HEAD", scope["path"]
        headers = Headers(scope=scope)
        self._more = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        self.two_lengths = "content-length" in headers and "transfer-encoding" in headers
        self._expects_continue = "expect" in headers
        """Has nothing been sent yet, since the client waits for our word?"""
        self.status = 0

    async def receive(self) -> Message:
        self._expects_continue = False
        message = await self._receive()
        self._more = self._more and message["type"] == "http.request" and message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._more:
                await self._discard_body()
            self._set_headers(MutableHeaders(scope=message))
        elif self._head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)

    async def _discard_body(self) -> None:
        """The rest of a body; not that of a client that has not begun to send it, or that is too slow anyway."""
        if self._expects_continue or self.status == 408:
            return
        with suppress(TimeoutError, Problem):
            async with asyncio.timeout(LINGER_S):
                await self._draining.run_unless_over(self._rest())

    async def _rest(self) -> None:
        while self._more:
            await self.receive()

    def _set_headers(self, headers: MutableHeaders) -> None:
        for name, value in SECURITY.items():
            headers.setdefault(name, value)
        headers.setdefault("Content-Security-Policy", NO_CONTENT)
        if self._path.startswith("/v1/") or self._path == "/metrics":
            headers.setdefault("Cache-Control", "no-store")
        if self._more or self.two_lengths or self._draining.started:
            headers["Connection"] = "close"


class ErrorMiddleware:
    """Answers what nobody caught, and those who are no longer waited for: with a problem, whatever it was."""

    def __init__(self, app: ASGIApp, *, draining: Draining) -> None:
        self.app, self.draining = app, draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            await send(message)
            begun = True

        try:
            await self.app(scope, receive, sent)
        except asyncio.CancelledError:
            if self.draining.started and not begun:
                self.draining.end()  # nobody waits for the rest of a body, either
                await problem_response(shutdown_problem())(scope, receive, send)
            raise
        except Exception:
            _log.exception("%s %s: not answered", scope["method"], quoted(scope["path"]))
            if begun:
                raise
            await problem_response(internal_problem())(scope, receive, send)


class AuthMiddleware:
    """Refuses those who do not know the token; while stopping, everybody."""

    def __init__(self, app: ASGIApp, *, token: str | None, draining: Draining) -> None:
        self.app, self.draining = app, draining
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = self._problem(scope) if scope["type"] == "http" else None
        if problem is None:
            await self.app(scope, receive, send)
        else:
            await problem_response(problem)(scope, receive, send)

    def _problem(self, scope: Scope) -> Problem | None:
        path = scope["path"]
        if self.draining.started and path not in HEALTH_PATHS:
            return shutdown_problem()
        if self.token is None or path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIXES):
            return None
        return None if has_token(Headers(scope=scope), self.token) else unauthorized()


def has_token(headers: Headers, token: str) -> bool:
    """Does a request bear the token? The time it takes tells nothing of it."""
    said = headers.getlist("authorization")
    scheme, _, given = said[0].partition(" ") if len(said) == 1 else ("", "", "")
    return scheme.lower() == "bearer" and is_token(given.strip(" ").encode("latin-1"), token)


def is_token(given: bytes, token: str) -> bool:
    """Is it the token? The time it takes tells nothing of it."""
    return hmac.compare_digest(given, token.encode())


def ambiguous_length() -> Problem:
    """Whoever stood between may have believed the other one: what follows may be part of the body, or a request."""
    return Problem("bad-request", "The request has a Content-Length and a Transfer-Encoding: which one counts?")


def unauthorized() -> Problem:
    return Problem(
        "unauthorized", "Send the service's token: Authorization: Bearer TOKEN.", headers={"WWW-Authenticate": "Bearer"}
    )
