from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("httpx")
from genrelab.serve.http import connection as http_connection
from genrelab.serve.http.connection import FRAME_COST_S, MAX_CREDIT_S, WS_BYTE_CREDIT_S
from genrelab.serve.limits import Limits
from tests.support.guards import HANG_S
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
        count_bytes, Limits(idle_s=HANG_S), lifespan="off", ws="websockets-sansio", ws_per_message_deflate=False
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


def test_flooding_client_can_read_the_close_reason(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "time", SimpleNamespace(thread_time=lambda: 0.0))  # frames have their price
    size = len(frame(BINARY))
    most = int(MAX_CREDIT_S / (FRAME_COST_S - size * WS_BYTE_CREDIT_S))  # empty frames that are put up with
    with open_connection(port) as connection:
        block, said = empty_messages(connection, port), b""
        connection.sendall(block[: size * (most - 100)] + frame(PING, b"still here?"))
        while not said.endswith(b"still here?"):
            said += connection.recv(1_000)
        connection.sendall(block[: size * 200])  # no more than is read at once, or its end takes the answer back
        said = read_until_closed(connection)
    assert b"\x03\xf0too many frames" in said  # 1008


def test_many_small_audio_frames_are_accepted(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    websockets = pytest.importorskip("websockets.sync.client")
    patient = {"open_timeout": HANG_S, "close_timeout": HANG_S, "ping_interval": None}
    with websockets.connect(f"ws://127.0.0.1:{port}/", **patient) as talk:
        # Each read costs as much as the frames of three times its length may.
        clock = itertools.count(0.0, 256 * WS_BYTE_CREDIT_S / 3)
        monkeypatch.setattr(http_connection, "time", SimpleNamespace(thread_time=clock.__next__))
        for n in range(6_000):  # 128 samples each, as browsers cut them
            talk.send(bytes(256))
            if n > 4_000:  # each is a read of its own
                assert talk.ping().wait(HANG_S)
        talk.send("how many?")
        assert talk.recv(timeout=HANG_S) == str(6_000 * 256)


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
