"""A WebSocket that is let go even if its client fetches nothing more: what uvicorn has no setting for.

Closing a transport waits until all is sent that was written, and so without end for who reads nothing.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

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
