"""Who reads nothing more is let go: its connection holds no place for ever."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

pytest.importorskip("uvicorn")
from genrelab.serve.http.connection import CLOSE_TIMEOUT_S, WebSocketConnection
from genrelab.serve.limits import Limits
from tests.support.guards import HANG_S
from tests.support.hand_clock import held_server
from tests.support.live_service import (
    BINARY,
    frame,
    open_connection,
    read_until_closed,
    upgrade_to_websocket,
)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with much more than what a system keeps for a client, and goes."""
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    await receive()
    await send({"type": "websocket.send", "bytes": bytes(32 << 20)})


def test_client_that_reads_nothing_is_disconnected_and_frees_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    app_ended, on_task_complete = threading.Event(), WebSocketConnection.on_task_complete

    def ended(connection: WebSocketConnection, task: asyncio.Task[None]) -> None:
        on_task_complete(connection, task)
        app_ended.set()

    monkeypatch.setattr(WebSocketConnection, "on_task_complete", ended)
    with (
        held_server(app, Limits(connections=1), ws=WebSocketConnection) as (port, clock),
        open_connection(port) as one,
    ):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        upgrade_to_websocket(one, port)
        one.sendall(frame(BINARY, b"x"))
        assert app_ended.wait(HANG_S)
        clock.advance(CLOSE_TIMEOUT_S - 0.1)
        with open_connection(port) as other:  # WebSockets count among the connections
            assert read_until_closed(other) == b""
        clock.advance(0.2)
        with open_connection(port) as other:
            upgrade_to_websocket(other, port)
        said = read_until_closed(one)
        assert len(said) < 32 << 20
