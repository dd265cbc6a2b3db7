"""Middleware for every request: metrics, headers, error responses, authentication.

Plain ASGI, so that request bodies are not buffered on the way to their reader.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from abc import ABC, abstractmethod
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genrelab.serve.metrics import NO_ROUTE, ServiceMetrics
from genrelab.serve.problems import Problem, internal_problem, problem_response, quoted
from genrelab.serve.shutdown import Draining, shutdown_problem

LINGER_S = 3.0
"""Seconds for which the rest of a body is read and discarded, so that a client that still sends gets the response."""

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self)",
}
NO_CONTENT = "default-src 'none'; frame-ancestors 'none'"
"""Content-Security-Policy of all responses but pages."""

HEALTH_PATHS = ("/v1/health", "/v1/ready")
PUBLIC_PATHS = frozenset(("/", "/docs", "/openapi.json", *HEALTH_PATHS))
PUBLIC_PREFIXES = ("/web/", "/docs/")
"""Static content, the same for all clients; needs no token."""

_log = logging.getLogger("genrelab.service")


class MetricsMiddleware:
    """Outermost: counts and times requests, and sets headers.

    A HEAD is handled as a GET; uvicorn leaves out the body of the response. Where the response is ready before the body
    of the request has arrived, the rest of it is discarded for up to `LINGER_S`; if that is not enough the connection
    is closed.
    """

    def __init__(self, app: ASGIApp, *, metrics: ServiceMetrics, draining: Draining) -> None:
        self.app, self.metrics, self.draining = app, metrics, draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, method = time.perf_counter(), scope["method"]
        exchange = _Exchange(scope, receive, send, self.draining)
        scope = {**scope, "method": "GET"} if method == "HEAD" else scope
        self.draining.in_flight += 1
        try:
            if exchange.two_lengths:
                # A proxy may have used the other one (request smuggling): the rest may be body, or another request.
                both = Problem("bad-request", "Send either a Content-Length or a Transfer-Encoding, not both.")
                await problem_response(both)(scope, exchange.receive, exchange.send)
            else:
                await self.app(scope, exchange.receive, exchange.send)
        finally:
            self.draining.in_flight -= 1
            route = getattr(scope.get("route"), "path", NO_ROUTE)
            self.metrics.count_request(route, method, exchange.status, time.perf_counter() - start)


class _Exchange:
    """One request and its response: wraps `receive` and `send`."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, draining: Draining) -> None:
        self._receive, self._send, self._draining = receive, send, draining
        self._path = scope["path"]
        headers = Headers(scope=scope)
        self._more_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        self.two_lengths = "content-length" in headers and "transfer-encoding" in headers
        self._expects_continue = "expect" in headers
        """The client waits for 100 Continue before it sends the body, and `receive` has not been called."""
        self.status = 0

    async def receive(self) -> Message:
        self._expects_continue = False
        message = await self._receive()
        self._more_body = self._more_body and message["type"] == "http.request" and message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._more_body:
                await self._discard_body()
            self._set_headers(MutableHeaders(scope=message))
        await self._send(message)

    async def _discard_body(self) -> None:
        """Discard the rest of the body, unless it will not come in time, or the client waits for 100 Continue."""
        if self._expects_continue or self.status == 408 or self._draining.started:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while self._more_body:
                    await self.receive()

    def _set_headers(self, headers: MutableHeaders) -> None:
        for name, value in SECURITY.items():
            headers.setdefault(name, value)
        headers.setdefault("Content-Security-Policy", NO_CONTENT)
        if self._path.startswith("/v1/") or self._path == "/metrics":
            headers.setdefault("Cache-Control", "no-store")
        if self._more_body or self.two_lengths or self._draining.started:
            headers["Connection"] = "close"


class ErrorMiddleware:
    """Answers uncaught exceptions, and requests that are cancelled during shutdown, with a problem."""

    def __init__(self, app: ASGIApp, *, draining: Draining) -> None:
        self.app, self.draining = app, draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        response_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal response_started
            await send(message)
            response_started = True

        try:
            await self.app(scope, receive, send_and_note)
        except asyncio.CancelledError:
            if not self.draining.started:
                raise
            if not response_started:
                await problem_response(shutdown_problem())(scope, receive, send)
        except Exception:  # any: a client gets a problem, never a closed connection, and the log the traceback
            _log.exception("%s %s failed", scope["method"], quoted(scope["path"]))
            if response_started:
                raise
            await problem_response(internal_problem())(scope, receive, send)


class RefusalMiddleware(ABC):
    """Base of middleware that refuses some requests."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        problem = self.find_problem(scope) if scope["type"] in ("http", "websocket") else None
        await (self.app if problem is None else problem_response(problem))(scope, receive, send)

    @abstractmethod
    def find_problem(self, scope: Scope) -> Problem | None:
        """Why a request is refused; None: it is not."""


class AuthMiddleware(RefusalMiddleware):
    """Refuses requests without the token; during shutdown, all but health checks."""

    def __init__(self, app: ASGIApp, *, token: str | None, draining: Draining) -> None:
        super().__init__(app)
        self.token, self.draining = token, draining

    def find_problem(self, scope: Scope) -> Problem | None:
        """A WebSocket is refused by a message on it, which scripts can read: see stream/route.py."""
        if scope["type"] == "websocket":
            return None
        path = scope["path"]
        if self.draining.started and path not in HEALTH_PATHS:
            return shutdown_problem()
        if self.token is None or path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIXES):
            return None
        if has_token(Headers(scope=scope), self.token):
            return None
        detail = "Send the service's token: Authorization: Bearer TOKEN."
        return Problem("unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})


def has_token(headers: Headers, token: str) -> bool:
    """Does a request have the token? Compared in constant time."""
    values = headers.getlist("authorization")
    scheme, _, candidate = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    return scheme.lower() == "bearer" and is_token(candidate.strip(" ").encode("latin-1"), token)


def is_token(candidate: bytes, token: str) -> bool:
    """Is it the token? Compared in constant time."""
    return hmac.compare_digest(candidate, token.encode())
