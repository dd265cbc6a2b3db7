"""How long a connection is waited for, and how many there may be: what uvicorn has no setting for.

A body that comes slowly is the application's to refuse (`uploads.py`), and a connection between two requests is
uvicorn's to close (`timeout_keep_alive`). Here is what no request is yet, and what nobody fetches any more.
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


def http_protocol(limits: Limits) -> type[H11Protocol]:
    """For `uvicorn.Config(http=...)`."""
    return type("Patient", (HttpConnection,), {"limits": limits})


class HttpConnection(H11Protocol):
    """A connection.

    It is closed at once where there are too many; after `idle_s` where the head of a request has not come, counted
    from its opening or, after an answer, from the first byte of the next head; where an answer is not fetched; and
    where reading it costs too much (`purse.py`).
    """

    limits = Limits()

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._head: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._received_data = False
        if self.ws_protocol_class is not None:
            self.ws_protocol_class = BudgetedWebSocket

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._budget = ReadBudget(transport)
        door: socket.socket | None = transport.get_extra_info("socket")
        if door is not None and door.family in (socket.AF_INET, socket.AF_INET6):
            # asyncio does so only where the listening socket names its protocol; else an answer, which is written in
            # two pieces, waits 40 ms for the client's system to acknowledge the first.
            door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self.connections) > self.limits.connections:
            transport.close()
        self._update_timers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received_data = True
        began = time.thread_time()
        super().data_received(data)
        dear = not self._budget.spend(len(data), time.thread_time() - began)
        if dear and self.transport.get_protocol() is self and not self.transport.is_closing():
            self._refuse(Problem("bad-request", "The request comes in pieces that are too small. Send larger ones."))
        self._update_timers()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._cancel_timers()
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        self._received_data = False
        self._budget.fill()  # each request pays for itself
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
            self._stop_stall()

    def send_400_response(self, msg: str) -> None:
        self._refuse(Problem("bad-request", "That is no request as HTTP/1.1 has them, or its head is too long."))

    def _update_timers(self) -> None:
        """Is a head being waited for, or somebody who fetches the last answer?"""
        if self.transport.get_protocol() is not self:  # a WebSocket from now on
            return
        if self.transport.is_closing():
            self._start_stall_timer()
        elif not self._waits_for_head():
            self._stop_head()
        elif self._head is None:
            self._head = self.loop.call_later(self.limits.idle_s, self._head_timed_out)

    def _waits_for_head(self) -> bool:
        """Not between two requests: that is uvicorn's, until the first byte of the next."""
        unread_body = self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY
        return unread_body or (self.conn.their_state is h11.IDLE and (self._received_data or self.cycle is None))

    def _head_timed_out(self) -> None:
        self._head = None
        if self.transport.is_closing():
            return
        if self._received_data:
            idle_s = self.limits.idle_s
            self._refuse(Problem("too-slow", f"The head of a request must be here within {idle_s:g} s."))
        else:
            self.transport.close()
        self._update_timers()

    def _refuse(self, problem: Problem) -> None:
        """Say what is wrong, where an answer can still be given, and close."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            answer = problem_response(problem)
            headers = [*answer.raw_headers, (b"connection", b"close")]
            for event in (
                h11.Response(status_code=problem.status, headers=headers, reason=problem.title.encode()),
                h11.Data(data=bytes(answer.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None and not self.cycle.response_complete:  # what the application says is too late
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _start_stall_timer(self) -> None:
        if self._stall is None:
            self._stall = self.loop.call_later(self.limits.idle_s, self.transport.abort)

    def _cancel_timers(self) -> None:
        self._stop_head()
        self._stop_stall()

    def _stop_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _stop_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None


# --- What reading from a connection may cost, so that nobody keeps the event loop from all others ---


BYTE_CREDIT_S = 5e-7
"""Seconds of the loop that a byte earns. Chunks of 1 KiB take a twentieth of it; chunks of one byte twice it on a fast
machine, six times it on a slow one.
"""
CHEAP_BYTE_S = 3e-7
"""Seconds a byte up to which much is read at a time."""
MAX_CREDIT_S = 0.15
"""Seconds that can be saved; also what a connection begins with."""
SMALL_READ_BYTES, LARGE_READ_BYTES = 1 << 11, 1 << 15
"""Bytes that are read at a time: at first and where they are dear, and where they are cheap.

asyncio's own number is 256 KiB: half a second of work, where every byte is a chunk.
"""


class ReadBudget:
    """What one connection has left.

    Args:
        byte_s: seconds that a byte earns.
    """

    def __init__(self, transport: asyncio.BaseTransport, byte_s: float = BYTE_CREDIT_S) -> None:
        self._transport, self._byte_s = transport, byte_s
        self.fill()

    def fill(self) -> None:
        """Begin again."""
        self._left = MAX_CREDIT_S
        self._read(SMALL_READ_BYTES)

    def spend(self, size: int, seconds: float) -> bool:
        """So many bytes came, and cost so many seconds. False: more than the connection had."""
        self._left = min(MAX_CREDIT_S, self._left + size * self._byte_s - seconds)
        self._read(LARGE_READ_BYTES if seconds < size * CHEAP_BYTE_S else SMALL_READ_BYTES)
        return self._left >= 0

    def _read(self, size: int) -> None:
        self._transport.max_size = size  # type: ignore[attr-defined]  # only of asyncio's selector loop


# --- A WebSocket that is let go even if its client fetches nothing more: what uvicorn has no setting for ---


CLOSE_TIMEOUT_S = 10.0
"""Seconds that a client is given to fetch the last words and to say goodbye itself."""


class WebSocketConnection(WebSocketsSansIOProtocol):
    """A connection that is cut off where it is still there some time after the application has done with it."""

    _cut: asyncio.TimerHandle | None = None

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        if not self.disconnected:
            self._cut = self.loop.call_later(CLOSE_TIMEOUT_S, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._cut is not None:
            self._cut.cancel()
        super().connection_lost(exc)


# --- A WebSocket whose frames must be worth their while: what uvicorn has no setting for ---


FRAME_COST_S = 5e-5
"""Seconds that a frame costs besides its reading: whoever it is for must be woken, even if there is nothing in it."""
WS_BYTE_CREDIT_S = 3e-6
"""Seconds that a byte earns: three times what the frames of 128 samples need that browsers make sound of."""


class BudgetedWebSocket(WebSocketConnection):
    """A connection that is closed where its frames cost more than they bring, or where its pings pile up answers."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._frames = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._budget = ReadBudget(transport, WS_BYTE_CREDIT_S)

    def data_received(self, data: bytes) -> None:
        began, self._frames = time.thread_time(), 0
        super().data_received(data)
        seconds = time.thread_time() - began + self._frames * FRAME_COST_S
        if not self._budget.spend(len(data), seconds) and not self.transport.is_closing():
            self._refuse()

    def handle_events(self) -> None:
        self._frames += len(self.conn.events)
        super().handle_events()

    def handle_ping(self) -> None:
        super().handle_ping()
        if not self.writable.is_set():  # nobody fetches what is answered
            self.transport.abort()

    def _refuse(self) -> None:
        if self.conn.state is not State.OPEN:
            self.transport.abort()
            return
        self.conn.fail(CloseCode.POLICY_VIOLATION, "too many frames for what is in them")
        self.handle_parser_exception()
