"""A WebSocket whose frames must be worth their while: what uvicorn has no setting for."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from websockets.frames import CloseCode
from websockets.protocol import State

from genrelab.serve.http.hangup import WebSocketConnection
from genrelab.serve.http.purse import ReadBudget

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
