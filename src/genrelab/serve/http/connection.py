"""Limits on connections that uvicorn has no setting for: their number, timeouts, and bytes a read.

HTTP: request heads that do not arrive, and responses that are not read. Slow bodies are refused by the application
(`body.py`), and uvicorn closes idle connections between two requests (`timeout_keep_alive`). WebSocket: clients that
stop reading.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from genrelab.serve.limits import Limits
from genrelab.serve.problems import Problem, problem_response

READ_BYTES = 1 << 11
"""Bytes a read. Other clients wait while they are parsed: half a second for asyncio's default of 256 KiB, where every
byte is a chunk.
"""

CLOSE_TIMEOUT_S = 10.0
"""Seconds that a WebSocket's client has to read the last messages and to close."""


def http_protocol(limits: Limits) -> type[H11Protocol]:
    """For `uvicorn.Config(http=...)`."""
    return type("LimitedHttpConnection", (HttpConnection,), {"limits": limits})


class HttpConnection(H11Protocol):
    """An HTTP connection.

    It is closed at once where there are too many; after `idle_s` where the head of a request has not arrived, counted
    from the opening or, after a response, from the first byte of the next head; and after `idle_s` where a response is
    not read.
    """

    limits = Limits()

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._received_data = False
        if self.ws_protocol_class is not None:
            self.ws_protocol_class = WebSocketConnection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Close it where there are too many, else start the timer for the first head."""
        super().connection_made(transport)
        limit_reads(transport)
        if len(self.connections) > self.limits.connections:
            transport.close()
        self._update_timers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        self._stop_timers("head", "stall")
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Restart or stop the timer for the head."""
        self._received_data = True
        super().data_received(data)
        self._update_timers()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Stop the timers: a WebSocket has its own."""
        self._stop_timers("head", "stall")
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        """Wait for the next head."""
        self._received_data = False
        super().on_response_complete()
        self._update_timers()

    def timeout_keep_alive_handler(self) -> None:
        """An idle connection is closing."""
        super().timeout_keep_alive_handler()
        self._update_timers()

    def shutdown(self) -> None:
        """The server is stopping."""
        super().shutdown()
        self._update_timers()

    def pause_writing(self) -> None:
        """The client does not read: start the timer."""
        super().pause_writing()
        self._start_timer("stall", self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_timers("stall")

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, with a problem."""
        self._refuse(Problem("bad-request", "This is not a valid HTTP/1.1 request, or its head is too long."))

    def _update_timers(self) -> None:
        """Start or stop the timer for a request's head; on a closing connection that for reading the last response."""
        if self.transport.get_protocol() is not self:  # it has become a WebSocket
            return
        if self.transport.is_closing():
            self._start_timer("stall", self.transport.abort)
        elif not self._waits_for_head():
            self._stop_timers("head")
        else:
            self._start_timer("head", self._head_timed_out)

    def _waits_for_head(self) -> bool:
        """False between two requests: until the first byte of the next that is uvicorn's timeout."""
        unread_body = self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY
        return unread_body or (self.conn.their_state is h11.IDLE and (self._received_data or self.cycle is None))

    def _head_timed_out(self) -> None:
        self._stop_timers("head")
        if self.transport.is_closing():
            return
        if self._received_data:
            self._refuse(Problem("too-slow", f"Send the head of a request within {self.limits.idle_s:g} s."))
        else:
            self.transport.close()
        self._update_timers()

    def _refuse(self, problem: Problem) -> None:
        """Send the problem, where a response can still be sent, and close."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            response = problem_response(problem)
            headers = [*response.raw_headers, (b"connection", b"close")]
            for event in (
                h11.Response(status_code=problem.status, headers=headers, reason=problem.title.encode()),
                h11.Data(data=bytes(response.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None and not self.cycle.response_complete:  # the application's response would be too late
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _start_timer(self, name: str, callback: Callable[[], None]) -> None:
        if name not in self._timers:
            self._timers[name] = self.loop.call_later(self.limits.idle_s, callback)

    def _stop_timers(self, *names: str) -> None:
        for name in names:
            if timer := self._timers.pop(name, None):
                timer.cancel()


class WebSocketConnection(WebSocketsSansIOProtocol):
    """A WebSocket that is aborted where the client stops reading.

    That is where it does not read pongs, or is still open `CLOSE_TIMEOUT_S` after the application has finished.
    """

    _abort_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Limit the size of reads."""
        super().connection_made(transport)
        limit_reads(transport)

    def handle_ping(self) -> None:
        """Abort where pongs are not read."""
        super().handle_ping()
        if not self.writable.is_set():
            self.transport.abort()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Give the client time to read the last messages."""
        super().on_task_complete(task)
        if not self.disconnected:
            self._abort_timer = self.loop.call_later(CLOSE_TIMEOUT_S, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        super().connection_lost(exc)


def limit_reads(transport: asyncio.BaseTransport) -> None:
    """Read at most `READ_BYTES` at a time."""
    transport.max_size = READ_BYTES  # type: ignore[attr-defined]  # only of asyncio's selector loop
