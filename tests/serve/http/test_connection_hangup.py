"""Who reads nothing more is let go: its connection holds no place for ever."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("uvicorn")
from genrelab.serve.http import connection as http_connection
from genrelab.serve.limits import Limits
from tests.support.live_service import (
    BINARY,
    frame,
    open_connection,
    read_until_closed,
    running_server,
    upgrade_to_websocket,
)

GOODBYE_S = 0.5


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with much more than what a system keeps for a client, and goes."""
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    await receive()
    await send({"type": "websocket.send", "bytes": bytes(32 << 20)})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(http_connection, "CLOSE_TIMEOUT_S", GOODBYE_S)
    with running_server(app, Limits(connections=1), ws=http_connection.WebSocketConnection) as port:
        yield port


def test_client_that_reads_nothing_is_disconnected_and_frees_its_place(port: int) -> None:
    with open_connection(port) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        upgrade_to_websocket(one, port)
        one.sendall(frame(BINARY, b"x"))
        time.sleep(GOODBYE_S / 4)
        with open_connection(port) as other:  # WebSockets count among the connections
            assert read_until_closed(other) == b""
        time.sleep(GOODBYE_S * 1.5)
        with open_connection(port) as other:
            upgrade_to_websocket(other, port)
        said = read_until_closed(one)
        assert len(said) < 32 << 20
