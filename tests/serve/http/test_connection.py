from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("httpx")
from genrelab.serve.http.connection import HttpConnection
from genrelab.serve.limits import Limits
from tests.support.fake_workers import service
from tests.support.guards import HANG_S, wait_until
from tests.support.hand_clock import HandClock, held_server
from tests.support.live_service import open_connection, read_until_closed, running_server

LIMITS = Limits(body_bytes_s=1, connections=8)
IDLE_S = LIMITS.idle_s
HEALTH = b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    limits = Limits(idle_s=HANG_S, upload_s=HANG_S, body_bytes_s=1)
    with running_server(service(tmp_path_factory.mktemp("uploads"), limits), limits, timeout_keep_alive=HANG_S) as port:
        yield port


class Held:
    """A server whose clock the test moves, and what reaches it.

    Attributes:
        opened: its connections.
        read: how many bytes each read brought.
    """

    def __init__(self, port: int, clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.port, self.clock = port, clock
        self.opened: SimpleQueue[HttpConnection] = SimpleQueue()
        self.read: SimpleQueue[int] = SimpleQueue()
        connection_made, data_received = HttpConnection.connection_made, HttpConnection.data_received

        def made(connection: HttpConnection, transport: Any) -> None:
            connection_made(connection, transport)
            self.opened.put(connection)

        def received(connection: HttpConnection, data: bytes) -> None:
            data_received(connection, data)
            self.read.put(len(data))

        monkeypatch.setattr(HttpConnection, "connection_made", made)
        monkeypatch.setattr(HttpConnection, "data_received", received)

    def send(self, connection: socket.socket, data: bytes) -> None:
        """Returns when all of it has been read."""
        connection.sendall(data)
        left = len(data)
        while left:
            left -= self.read.get(timeout=HANG_S)


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    with held_server(service(tmp_path, LIMITS), LIMITS, timeout_keep_alive=3600) as (port, clock):
        yield Held(port, clock, monkeypatch)


def read_health_response(connection: socket.socket) -> bytes:
    """An answer of /v1/health, whole."""
    said = b""
    while not said.endswith(b"}") and (piece := connection.recv(4_096)):
        said += piece
    return said


def test_idle_connection_is_closed(held: Held) -> None:
    with open_connection(held.port) as connection:
        transport = held.opened.get(timeout=HANG_S).transport
        held.clock.advance(IDLE_S - 0.1)
        assert not transport.is_closing()
        held.clock.advance(0.2)
        assert read_until_closed(connection) == b""


def test_slow_request_head_is_refused(held: Held) -> None:
    with open_connection(held.port) as connection:
        transport = held.opened.get(timeout=HANG_S).transport
        held.send(connection, HEALTH[:-2] + b"X-Slow: ")
        for _ in range(19):  # each byte alone is in time
            held.clock.advance(IDLE_S / 20)
            assert not transport.is_closing()
            held.send(connection, b"a")
        held.clock.advance(IDLE_S / 10)
        said = read_until_closed(connection)
        assert said.startswith(b"HTTP/1.1 408 ")
        assert b"urn:genrelab:problem:too-slow" in said


def test_slow_head_of_a_second_request_is_refused(held: Held) -> None:
    with open_connection(held.port) as connection:
        transport = held.opened.get(timeout=HANG_S).transport
        held.send(connection, HEALTH)
        assert read_health_response(connection).startswith(b"HTTP/1.1 200 ")
        held.clock.advance(IDLE_S * 2)  # between two requests uvicorn's own timeout counts
        held.send(connection, HEALTH)
        assert read_health_response(connection).startswith(b"HTTP/1.1 200 ")
        held.send(connection, b"GET /v1")
        held.clock.advance(IDLE_S - 0.1)
        assert not transport.is_closing()
        held.clock.advance(0.2)
        assert read_until_closed(connection).startswith(b"HTTP/1.1 408 ")


def test_slow_body_does_not_count_as_a_slow_head(held: Held) -> None:
    head = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
    with open_connection(held.port) as connection:
        held.send(connection, head)
        for _ in range(10):  # longer than IDLE_S in sum, in pieces that come in time
            held.clock.advance(IDLE_S / 5)
            held.send(connection, b"x" * 10)
        assert read_health_response(connection).startswith(b"HTTP/1.1 200 ")


def test_non_http_request_gets_a_problem_response(port: int) -> None:
    for nonsense in (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000):
        with open_connection(port) as connection:
            connection.sendall(nonsense)
            said = read_until_closed(connection)
        if said:  # the rest of a long head may come after the answer, and the system then takes the answer back
            assert said.startswith(b"HTTP/1.1 400 ")
            assert b"application/problem+json" in said


def test_invalid_chunk_gets_a_problem_response(port: int) -> None:
    with open_connection(port) as connection:
        connection.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nXYZ\r\n"
        )
        said = read_until_closed(connection)
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"bad-request" in said


def test_one_connection_too_many_is_closed_at_once(held: Held) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(open_connection(held.port)) for _ in range(LIMITS.connections)]
        for connection in connections:
            connection.sendall(HEALTH)
            assert read_health_response(connection).startswith(b"HTTP/1.1 200 ")
        with open_connection(held.port) as extra:  # no time passes
            assert read_until_closed(extra) == b""
        connections[0].shutdown(socket.SHUT_WR)
        assert read_until_closed(connections[0]) == b""
        with open_connection(held.port) as another:
            another.sendall(HEALTH)
            assert read_health_response(another).startswith(b"HTTP/1.1 200 ")


def test_unread_response_is_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    stalled, given_up = threading.Event(), threading.Event()
    pause_writing = HttpConnection.pause_writing

    def paused(connection: HttpConnection) -> None:
        pause_writing(connection)
        stalled.set()

    monkeypatch.setattr(HttpConnection, "pause_writing", paused)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"64000000")]})
        for _ in range(64):
            await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})
        given_up.set()

    with held_server(app, LIMITS, lifespan="off") as (port, clock), open_connection(port) as connection:
        connection.sendall(HEALTH)
        assert stalled.wait(HANG_S)
        assert not given_up.is_set()
        # The systems may still take some of it, and then it is waited for once more.
        wait_until(lambda: given_up.is_set() or clock.advance(1.0))
        assert clock.moved_s >= IDLE_S


def test_idle_websocket_is_kept_and_counts_as_a_connection() -> None:
    websockets = pytest.importorskip("websockets.sync.client")
    patient = {"open_timeout": HANG_S, "close_timeout": HANG_S, "ping_interval": None}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"]})

    with held_server(app, Limits(connections=1), lifespan="off", ws="websockets-sansio") as (port, clock):
        with websockets.connect(f"ws://127.0.0.1:{port}/", **patient) as talk:
            clock.advance(IDLE_S * 3)
            talk.send("still here?")
            assert talk.recv(timeout=HANG_S) == "still here?"
            with open_connection(port) as extra:
                assert read_until_closed(extra) == b""
        with open_connection(port) as another:
            another.sendall(b"nonsense\r\n\r\n")
            assert read_until_closed(another).startswith(b"HTTP/1.1 400 ")
