"""Limits on connections that uvicorn has no setting for: their number, timeouts, and event loop time a byte.

HTTP: request heads that do not arrive, responses that are not read, and data in chunks that are too small. Slow bodies
are refused by the application (`body.py`), and idle connections between two requests are closed by uvicorn
(`timeout_keep_alive`). WebSocket: clients that stop reading, and frames that are too small.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode
from websockets.protocol import State

from genrelab.serve.limits import Limits
from genrelab.serve.problems import Problem, problem_response

BYTE_CREDIT_S = 5e-7
"""Seconds of the event loop that a byte may take on average. In chunks of 1 KiB it takes a twentieth of this; in chunks
of one byte twice this on a fast machine, six times on a slow one.
"""
CHEAP_BYTE_S = 3e-7
"""Seconds a byte below which reads are large."""
MAX_CREDIT_S = 0.15
"""Maximum credit in seconds; also that of a new connection."""
SMALL_READ_BYTES, LARGE_READ_BYTES = 1 << 11, 1 << 15
"""Bytes a read: at first and where bytes take long, and where they are cheap.

asyncio's default is 256 KiB: half a second of work, where every byte is a chunk.
"""

CLOSE_TIMEOUT_S = 10.0
"""Seconds that a WebSocket's client has to read the last messages and to close."""
FRAME_COST_S = 5e-5
"""Seconds that a WebSocket frame costs besides parsing: its receiver is woken even if the frame is empty."""
WS_BYTE_CREDIT_S = 3e-6
"""`BYTE_CREDIT_S` of a WebSocket: three times what frames of 128 samples need, the audio blocks of browsers."""


def http_protocol(limits: Limits) -> type[H11Protocol]:
    """For `uvicorn.Config(http=...)`."""
    return type("LimitedHttpConnection", (HttpConnection,), {"limits": limits})


class HttpConnection(H11Protocol):
    """An HTTP connection.

    It is closed at once where there are too many; after `idle_s` where the head of a request has not arrived, counted
    from the opening or, after a response, from the first byte of the next head; after `idle_s` where a response is not
    read; and where parsing its data takes too much time (`ReadBudget`).
    """

    limits = Limits()

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._received_data = False
        if self.ws_protocol_class is not None:
            self.ws_protocol_class = BudgetedWebSocket

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._budget = ReadBudget(transport)
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            # asyncio does so only where the listening socket names its protocol; otherwise a response, which is written
            # in two pieces, waits 40 ms for the client's kernel to acknowledge the first.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self.connections) > self.limits.connections:
            transport.close()
        self._update_timers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received_data = True
        start = time.thread_time()
        super().data_received(data)
        over_budget = not self._budget.spend(len(data), time.thread_time() - start)
        if over_budget and self.transport.get_protocol() is self and not self.transport.is_closing():
            self._refuse(Problem("bad-request", "The request comes in pieces that are too small. Send larger ones."))
        self._update_timers()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._cancel_timers()
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        self._received_data = False
        self._budget.fill()  # each request has its own
        super().on_response_complete()
        self._update_timers()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._update_timers()

    def shutdown(self) -> None:
        super().shutdown()
        self._update_timers()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_stall_timer()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_stall_timer()

    def send_400_response(self, msg: str) -> None:
        self._refuse(Problem("bad-request", "That is no request as HTTP/1.1 has them, or its head is too long."))

    def _update_timers(self) -> None:
        """Start or stop the timers for a request's head and, on a closing connection, for reading the last response."""
        if self.transport.get_protocol() is not self:  # it has become a WebSocket
            return
        if self.transport.is_closing():
            self._start_stall_timer()
        elif not self._waits_for_head():
            self._stop_head_timer()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.limits.idle_s, self._head_timed_out)

    def _waits_for_head(self) -> bool:
        """False between two requests: until the first byte of the next that is uvicorn's timeout."""
        unread_body = self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY
        return unread_body or (self.conn.their_state is h11.IDLE and (self._received_data or self.cycle is None))

    def _head_timed_out(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._received_data:
            idle_s = self.limits.idle_s
            self._refuse(Problem("too-slow", f"The head of a request must be here within {idle_s:g} s."))
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

    def _start_stall_timer(self) -> None:
        if self._stall_timer is None:
            self._stall_timer = self.loop.call_later(self.limits.idle_s, self.transport.abort)

    def _cancel_timers(self) -> None:
        self._stop_head_timer()
        self._stop_stall_timer()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None


class ReadBudget:
    """Event loop time that one connection may use, so that none blocks the loop for all others.

    Args:
        byte_s: seconds of credit that a received byte adds.
    """

    def __init__(self, transport: asyncio.BaseTransport, byte_s: float = BYTE_CREDIT_S) -> None:
        self._transport, self._byte_s = transport, byte_s
        self.fill()

    def fill(self) -> None:
        """Reset to the full credit."""
        self._credit_s = MAX_CREDIT_S
        self._set_read_size(SMALL_READ_BYTES)

    def spend(self, size: int, seconds: float) -> bool:
        """`size` bytes arrived, and took `seconds` to process. False: more than the credit."""
        self._credit_s = min(MAX_CREDIT_S, self._credit_s + size * self._byte_s - seconds)
        self._set_read_size(LARGE_READ_BYTES if seconds < size * CHEAP_BYTE_S else SMALL_READ_BYTES)
        return self._credit_s >= 0

    def _set_read_size(self, size: int) -> None:
        self._transport.max_size = size  # type: ignore[attr-defined]  # only of asyncio's selector loop


class WebSocketConnection(WebSocketsSansIOProtocol):
    """A WebSocket that is aborted where it is still open `CLOSE_TIMEOUT_S` after the application has finished."""

    _abort_timer: asyncio.TimerHandle | None = None

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        if not self.disconnected:
            self._abort_timer = self.loop.call_later(CLOSE_TIMEOUT_S, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        super().connection_lost(exc)


class BudgetedWebSocket(WebSocketConnection):
    """A WebSocket that is closed where its frames are too small for their cost, or where it does not read its pongs."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._frames = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._budget = ReadBudget(transport, WS_BYTE_CREDIT_S)

    def data_received(self, data: bytes) -> None:
        start, self._frames = time.thread_time(), 0
        super().data_received(data)
        seconds = time.thread_time() - start + self._frames * FRAME_COST_S
        if not self._budget.spend(len(data), seconds) and not self.transport.is_closing():
            self._refuse()

    def handle_events(self) -> None:
        self._frames += len(self.conn.events)
        super().handle_events()

    def handle_ping(self) -> None:
        super().handle_ping()
        if not self.writable.is_set():  # the client does not read the pongs
            self.transport.abort()

    def _refuse(self) -> None:
        if self.conn.state is not State.OPEN:
            self.transport.abort()
            return
        self.conn.fail(CloseCode.POLICY_VIOLATION, "too many frames for what is in them")
        self.handle_parser_exception()
