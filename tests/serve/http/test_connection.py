from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("httpx")
from genrelab.serve.http import connection as http_connection
from genrelab.serve.limits import Limits
from tests.support.fake_workers import service
from tests.support.live_service import open_connection, read_until_closed, running_server, tiny_chunks

IDLE_S = 0.4
LIMITS = Limits(idle_s=IDLE_S, body_bytes_s=1, connections=8)
HEALTH = b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running_server(service(tmp_path_factory.mktemp("uploads"), LIMITS), LIMITS, timeout_keep_alive=2) as port:
        yield port


def seconds_until_closed(connection: socket.socket) -> tuple[float, bytes]:
    began = time.monotonic()
    said = read_until_closed(connection)
    return time.monotonic() - began, said


def read_health_response(connection: socket.socket) -> bytes:
    """An answer of /v1/health, whole."""
    said = b""
    while not said.endswith(b"}") and (piece := connection.recv(4_096)):
        said += piece
    return said


def test_idle_connection_is_closed(port: int) -> None:
    with open_connection(port) as connection:
        seconds, said = seconds_until_closed(connection)
    assert IDLE_S * 0.8 < seconds < IDLE_S + 1
    assert said == b""


def test_slow_request_head_is_refused(port: int) -> None:
    with open_connection(port) as connection:
        began = time.monotonic()
        connection.settimeout(0.05)
        said = b""
        for byte in HEALTH[:-2] + b"X-Slow: " + b"a" * 100:  # each byte alone is in time
            connection.send(bytes([byte]))
            try:
                said = connection.recv(1)
                break
            except TimeoutError:
                continue
        assert IDLE_S * 0.8 < time.monotonic() - began < IDLE_S + 1
        said += read_until_closed(connection)
        assert said.startswith(b"HTTP/1.1 408 ")
        assert b"urn:genrelab:problem:too-slow" in said


def test_slow_head_of_a_second_request_is_refused(port: int) -> None:
    with open_connection(port) as connection:
        connection.sendall(HEALTH)
        assert read_health_response(connection).startswith(b"HTTP/1.1 200 ")
        time.sleep(IDLE_S * 2)  # between two requests uvicorn's own patience counts
        connection.sendall(HEALTH)
        assert read_health_response(connection).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"GET /v1")
        seconds, said = seconds_until_closed(connection)
    assert IDLE_S * 0.8 < seconds < IDLE_S + 1
    assert said.startswith(b"HTTP/1.1 408 ")


def test_response_does_not_wait_for_a_tcp_acknowledgement(port: int) -> None:
    with open_connection(port) as connection:
        times = []
        for _ in range(20):
            began = time.monotonic()
            connection.sendall(HEALTH)
            assert read_health_response(connection).startswith(b"HTTP/1.1 200 ")
            times.append(time.monotonic() - began)
    assert sorted(times)[5] < 0.03  # 40 ms where it waits


def test_slow_body_does_not_count_as_a_slow_head(port: int) -> None:
    body = b"x" * 10
    head = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"
    with open_connection(port) as connection:
        connection.sendall(head)
        for byte in body:  # longer than IDLE_S in sum, in pieces that come in time
            time.sleep(IDLE_S / 5)
            connection.sendall(bytes([byte]))
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


def test_body_of_one_byte_chunks_is_refused(port: int) -> None:
    with open_connection(port) as connection:
        block, sent = tiny_chunks(connection, port), 0
        with pytest.raises(OSError, match=r"reset|pipe|abort"):
            while sent < 20_000_000:
                connection.sendall(block)
                sent += len(block)


def test_client_of_too_small_chunks_can_read_the_error(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "MAX_CREDIT_S", 0.002)
    with open_connection(port) as connection:
        connection.sendall(tiny_chunks(connection, port)[:12_000])
        said = read_until_closed(connection)
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"too small" in said


def test_chunks_of_256_bytes_are_accepted(port: int) -> None:
    with open_connection(port) as connection:
        tiny_chunks(connection, port)
        for _ in range(10):
            connection.sendall((b"100\r\n" + bytes(256) + b"\r\n") * 400)
        connection.sendall(b"0\r\n\r\n")
        assert read_health_response(connection).startswith(b"HTTP/1.1 200 ")


def test_read_budget_is_refilled_for_each_request(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "MAX_CREDIT_S", 0.02)
    with open_connection(port) as connection:
        for _ in range(200):
            connection.sendall(HEALTH)
            assert read_health_response(connection).startswith(b"HTTP/1.1 200 ")


def test_one_connection_too_many_is_closed_at_once(port: int) -> None:
    connections = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(LIMITS.connections)]
    try:
        for connection in connections:
            connection.sendall(HEALTH)
            assert read_health_response(connection).startswith(b"HTTP/1.1 200 ")
        with open_connection(port) as extra:
            seconds, said = seconds_until_closed(extra)
            assert (said, seconds < IDLE_S / 2) == (b"", True)
        connections.pop().close()
        time.sleep(0.1)
        with open_connection(port) as another:
            another.sendall(HEALTH)
            assert read_health_response(another).startswith(b"HTTP/1.1 200 ")
    finally:
        for connection in connections:
            connection.close()


def test_unread_response_is_aborted(tmp_path: Path) -> None:
    lost: list[float] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        began = time.monotonic()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"64000000")]})
        for _ in range(64):
            await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})
        lost.append(time.monotonic() - began)

    with running_server(app, LIMITS, lifespan="off") as port, open_connection(port) as connection:
        connection.sendall(HEALTH)
        time.sleep(IDLE_S * 3)
        assert lost
        assert lost[0] < IDLE_S + 1


def test_idle_websocket_is_kept_and_counts_as_a_connection() -> None:
    websockets = pytest.importorskip("websockets.sync.client")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"]})

    one = Limits(idle_s=IDLE_S, connections=1)
    with running_server(app, one, lifespan="off", ws="websockets-sansio") as port:
        with websockets.connect(f"ws://127.0.0.1:{port}/") as talk:
            time.sleep(IDLE_S * 3)
            talk.send("still here?")
            assert talk.recv(timeout=5) == "still here?"
            with open_connection(port) as extra:
                assert read_until_closed(extra) == b""
        time.sleep(0.1)
        with open_connection(port) as another:
            another.sendall(b"nonsense\r\n\r\n")
            assert read_until_closed(another).startswith(b"HTTP/1.1 400 ")
