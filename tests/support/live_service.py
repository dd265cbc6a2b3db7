"""A server on a port of its own, in a thread, as `serve.py` has it, for tests of what passes over a wire."""

from __future__ import annotations

import base64
import http.client
import os
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import uvicorn

from genrelab.serve.http.connection import http_protocol
from genrelab.serve.limits import Limits
from genrelab.serve.workers.queue import WorkerQueue
from tests.support.guards import HANG_S


class _Server(uvicorn.Server):
    """Says when it has begun, or ended before it did."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.known = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.known.set()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        finally:
            self.known.set()


def with_workers(app: Any, queue: WorkerQueue) -> Any:
    """The application, whose lifespan starts and stops the workers."""

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        await queue.start()
        try:
            yield
        finally:
            await queue.stop()

    app.router.lifespan_context = lifespan
    return app


@contextmanager
def running_server(app: Any, limits: Limits, *, graceful_s: float = HANG_S, **settings: Any) -> Iterator[int]:
    """The port where `app` answers.

    Args:
        graceful_s: seconds that requests are given at the end; what is still under way then is called off.
    """
    config = uvicorn.Config(
        app, http=http_protocol(limits), log_config=None, timeout_graceful_shutdown=graceful_s, **settings
    )
    server = _Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        server.known.wait(HANG_S)
        assert server.started, "the server did not begin"
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@contextmanager
def open_connection(port: int) -> Iterator[socket.socket]:
    """A bare connection, that waits for anything as long as a test may hang."""
    with socket.create_connection(("127.0.0.1", port), timeout=HANG_S) as connection:
        yield connection


def read_until_closed(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    said = b""
    try:
        while piece := connection.recv(65_536):
            said += piece
    except ConnectionResetError:
        pass
    return said


def upgrade_to_websocket(connection: socket.socket, port: int, path: str = "/v1/stream") -> None:
    """Make a WebSocket of a bare connection."""
    key = base64.b64encode(os.urandom(16)).decode()
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    connection.sendall(f"{head}Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
    said = b""
    while not said.endswith(b"\r\n\r\n"):
        said += connection.recv(1)
    assert said.startswith(b"HTTP/1.1 101 "), said


def frame(opcode: int, content: bytes = b"", *, last: bool = True) -> bytes:
    """A frame of a client, up to 64 KiB."""
    size = len(content)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack("!H", size)
    return bytes([last << 7 | opcode]) + length + bytes(4) + content


TEXT, BINARY, PING = 1, 2, 9


def tiny_chunks(connection: socket.socket, port: int) -> bytes:
    """Begins a body whose every byte is a chunk; what goes on for ever."""
    head = f"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection.sendall(head.encode())
    return b"1\r\nx\r\n" * 20_000


def empty_messages(connection: socket.socket, port: int) -> bytes:
    """Begins a stream of messages without content."""
    upgrade_to_websocket(connection, port)
    connection.sendall(frame(TEXT, b'{"type":"start","format":"pcm16","sr":8000}'))
    return frame(BINARY) * 20_000


def empty_pieces(connection: socket.socket, port: int) -> bytes:
    """Begins a message of pieces without content."""
    upgrade_to_websocket(connection, port)
    connection.sendall(frame(BINARY, last=False))
    return frame(0, last=False) * 20_000


def pings(connection: socket.socket, port: int) -> bytes:
    """Begins a stream of pings."""
    upgrade_to_websocket(connection, port)
    return frame(PING) * 20_000


FLOODS = (tiny_chunks, empty_messages, empty_pieces, pings)
"""What costs a server much more than a client."""


def health_seconds_under_flood(
    port: int,
    flood: Callable[[socket.socket, int], bytes],
    clients: int,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> list[float]:
    """How long each look at its health takes while a server is flooded for so many seconds."""
    over, looks = threading.Event(), list[float]()

    def attack() -> None:
        while not over.is_set():
            with suppress(OSError, AssertionError), open_connection(port) as connection:
                block = flood(connection, port)
                while not over.is_set():
                    connection.sendall(block)

    attackers = [threading.Thread(target=attack) for _ in range(clients)]
    end = threading.Timer(seconds, over.set)
    for thread in (*attackers, end):
        thread.start()
    while not over.wait(0.1):
        looks.append(health_seconds(port, clock))
    for attacker in attackers:
        attacker.join()
    return looks


def health_seconds(port: int, clock: Callable[[], float] = time.monotonic) -> float:
    """Seconds that a look takes."""
    began = clock()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HANG_S)
    connection.request("GET", "/v1/health")
    assert connection.getresponse().status == 200
    connection.close()
    return clock() - began
