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

from genrelab.serve.http.frames import BudgetedWebSocket
from genrelab.serve.http.purse import ReadBudget
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
