from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("httpx")
from genrelab.serve.limits import Limits
from tests.support.live_service import (
    BINARY,
    FLOODS,
    PING,
    empty_messages,
    frame,
    open_connection,
    read_until_closed,
    running_server,
    tiny_chunks,
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
        count_bytes, Limits(), lifespan="off", ws="websockets-sansio", ws_per_message_deflate=False
    ) as port:
        yield port


@pytest.mark.parametrize("flood", [f for f in FLOODS if f is not tiny_chunks])
def test_flooding_connection_is_closed(port: int, flood: Callable[[socket.socket, int], bytes]) -> None:
    with open_connection(port) as connection:
        block, sent = flood(connection, port), 0
        with pytest.raises(OSError, match=r"reset|pipe|abort"):
            while sent < 20_000_000:
                connection.sendall(block)
                sent += len(block)


def test_flooding_client_can_read_the_close_reason(port: int) -> None:
    with open_connection(port) as connection:
        block = empty_messages(connection, port)
        said = b""
        connection.settimeout(0.01)
        while (
            b"too many frames" not in said
        ):  # no more at a time than is read at once, or its end takes the answer back
            connection.sendall(block[:1200])
            try:
                said += connection.recv(1000)
            except TimeoutError:
                continue
    assert b"\x03\xf0too many frames" in said  # 1008


def test_many_small_audio_frames_are_accepted(port: int) -> None:
    websockets = pytest.importorskip("websockets.sync.client")
    with websockets.connect(f"ws://127.0.0.1:{port}/") as talk:
        for n in range(6_000):  # 128 samples each, as browsers cut them
            talk.send(bytes(256))
            if n > 4_000:  # each is a read of its own
                time.sleep(0.001)
        talk.send("how many?")
        assert talk.recv(timeout=20) == str(6_000 * 256)


def test_unread_pongs_close_the_connection(port: int) -> None:
    with open_connection(port) as connection:
        upgrade_to_websocket(connection, port)
        began, sent, block = time.monotonic(), 0, frame(PING, bytes(125)) * 500
        connection.settimeout(20)
        with pytest.raises(OSError, match=r"reset|pipe|abort"):
            while sent < 100_000_000:
                connection.sendall(block)
                sent += len(block)
        assert time.monotonic() - began < 15


def test_fragmented_message_is_reassembled(port: int) -> None:
    with open_connection(port) as connection:
        upgrade_to_websocket(connection, port)
        connection.sendall(frame(BINARY, b"ab", last=False) + frame(0, b"c") + frame(1, b"?"))
        assert connection.recv(10) == b"\x81\x013"
    with open_connection(port) as connection:
        upgrade_to_websocket(connection, port)
        connection.sendall(frame(8, b"\x03\xe8"))
        assert read_until_closed(connection).startswith(b"\x88")
