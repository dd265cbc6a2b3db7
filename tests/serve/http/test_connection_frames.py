from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("httpx")
from genrelab.serve.http.connection import READ_BYTES, WebSocketConnection
from genrelab.serve.limits import Limits
from tests.support.guards import HANG_S
from tests.support.live_service import (
    BINARY,
    PING,
    TEXT,
    empty_messages,
    frame,
    open_connection,
    read_until_closed,
    running_server,
    upgrade_to_websocket,
)


async def count_bytes(scope: Any, receive: Any, send: Any) -> None:
    """Tells how many bytes came, when it is asked in a text."""
    size = 0
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text"):
            await send({"type": "websocket.send", "text": str(size)})
        size += len(message.get("bytes") or b"")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with running_server(
        count_bytes, Limits(idle_s=HANG_S), lifespan="off", ws="websockets-sansio", ws_per_message_deflate=False
    ) as port:
        yield port


def test_reads_of_websockets_are_small(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    data_received = WebSocketConnection.data_received

    def observed(connection: WebSocketConnection, data: bytes) -> None:
        sizes.append(len(data))
        data_received(connection, data)

    monkeypatch.setattr(WebSocketConnection, "data_received", observed)
    with open_connection(port) as connection:
        block = empty_messages(connection, port)
        connection.sendall(block + frame(TEXT, b"?"))
        assert connection.recv(10) == b"\x81\x010"
    assert max(sizes) <= READ_BYTES < len(block)


def test_unread_pongs_close_the_connection(port: int) -> None:
    with open_connection(port) as connection:
        upgrade_to_websocket(connection, port)
        sent, block = 0, frame(PING, bytes(125)) * 500
        with pytest.raises(OSError, match=r"reset|pipe|abort"):
            while sent < 100_000_000:
                connection.sendall(block)
                sent += len(block)


def test_fragmented_message_is_reassembled(port: int) -> None:
    with open_connection(port) as connection:
        upgrade_to_websocket(connection, port)
        connection.sendall(frame(BINARY, b"ab", last=False) + frame(0, b"c") + frame(1, b"?"))
        assert connection.recv(10) == b"\x81\x013"
    with open_connection(port) as connection:
        upgrade_to_websocket(connection, port)
        connection.sendall(frame(8, b"\x03\xe8"))
        assert read_until_closed(connection).startswith(b"\x88")
